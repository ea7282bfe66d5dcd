import numpy as np
import pytest
from PIL import Image

from bioautoml_nni.data.images import build_cache, decode, resolve_below
from bioautoml_nni.errors import DataError


def test_aspect_is_kept_and_borders_take_the_edge_colour(tmp_path):
    pixels = np.full((20, 60, 3), 200, np.uint8)
    pixels[4:16, 15:45] = (10, 20, 30)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    square = decode(tmp_path / "wide.png", 32)
    assert square.shape == (32, 32, 3)
    assert (square[0] == 200).all() and (square[-1] == 200).all()
    assert square[16, 16].tolist() == pytest.approx([10, 20, 30], abs=3)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    image = Image.fromarray(np.full((9, 9), 7, np.uint16)) if mode == "I;16" else Image.new(mode, (9, 9))
    name = "x.jpg" if mode == "CMYK" else "x.png"
    image.save(tmp_path / name)
    assert decode(tmp_path / name, 16).shape == (16, 16, 3)


def test_orientation_is_applied(tmp_path):
    image = Image.fromarray(np.zeros((10, 40, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    image.paste((255, 255, 255), (0, 0, 10, 10))
    image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    square = decode(tmp_path / "turned.jpg", 40)
    assert square[3, 20].mean() > 200 and square[36, 20].mean() < 60


def test_the_cache_names_what_it_could_not_read(tmp_path):
    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "good.jpg")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("not a picture")
    data = (tmp_path / "good.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    names = ["good.jpg", "empty.jpg", "text.jpg", "half.jpg", "none.jpg"]
    failures = build_cache(tmp_path, names, 8, tmp_path / "cache" / "images.npy", workers=2)
    assert sorted(failures) == [1, 2, 3, 4]
    assert failures[1] == "the file is empty"
    assert failures[4] == "the file is missing"
    pixels = np.load(tmp_path / "cache" / "images.npy", allow_pickle=False)
    assert pixels.shape == (5, 8, 8, 3) and (pixels[0] == 9).all()
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["images.npy"]


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "link/secret.png"])
def test_no_path_leaves_the_root(tmp_path, path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(DataError, match="leads outside the image root"):
        resolve_below(root, path)


def test_a_decompression_bomb_is_an_unreadable_image(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("RGB", (30, 30)).save(tmp_path / "bomb.png")
    with pytest.raises(OSError, match="exceeds limit"):
        decode(tmp_path / "bomb.png", 8)
