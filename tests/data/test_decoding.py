import os

import numpy as np
import pytest
from PIL import Image

from bioautoml_nni.data.border import require_below
from bioautoml_nni.data.decoding import MAX_BYTES, ImageReference, decode, read_bytes
from bioautoml_nni.utils.errors import DataError


def square_of(path, size, box=None):
    return decode(path.read_bytes(), size, box).square


def test_aspect_is_kept_and_borders_take_the_edge_colour(tmp_path):
    pixels = np.full((20, 60, 3), 200, np.uint8)
    pixels[4:16, 15:45] = (10, 20, 30)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    square = square_of(tmp_path / "wide.png", 32)
    assert square.shape == (32, 32, 3)
    assert (square[0] == 200).all() and (square[-1] == 200).all()
    assert square[16, 16].tolist() == pytest.approx([10, 20, 30], abs=3)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    image = Image.fromarray(np.full((9, 9), 7, np.uint16)) if mode == "I;16" else Image.new(mode, (9, 9))
    name = "x.jpg" if mode == "CMYK" else "x.png"
    image.save(tmp_path / name)
    assert square_of(tmp_path / name, 16).shape == (16, 16, 3)


def test_orientation_is_applied(tmp_path):
    image = Image.fromarray(np.zeros((10, 40, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    image.paste((255, 255, 255), (0, 0, 10, 10))
    image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    square = square_of(tmp_path / "turned.jpg", 40)
    assert square[3, 20].mean() > 200 and square[36, 20].mean() < 60


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "link/secret.png", "file.png", "a/../../secret.png"])
def test_no_path_leaves_the_root(tmp_path, path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    (root / "file.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match="leads outside the image root"):
        require_below(root, [path])


@pytest.mark.parametrize("path", ["a\0b.png", "\ud800.png", "x" * 300 + ".png", "gone/none.png"])
def test_what_no_file_can_be_called_is_an_unreadable_image(tmp_path, path):
    require_below(tmp_path, [path])
    with pytest.raises(OSError):
        read_bytes(tmp_path, ImageReference.parse(path))


def test_a_decompression_bomb_is_an_unreadable_image(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("RGB", (30, 30)).save(tmp_path / "bomb.png")
    with pytest.raises(OSError, match="exceeds limit"):
        square_of(tmp_path / "bomb.png", 8)


@pytest.mark.parametrize(("longest", "furthest"), [(28, 1), (32, 1), (34, 1), (80, 16), (256, 10), (1000, 10)])
def test_both_decoders_give_the_same_image(tmp_path, longest, furthest):
    """Up to rounding; where the decoder makes the image smaller by itself, up to the blur of another filter."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8))
    size = (longest, longest * 3 // 4)
    small.resize(size, Image.Resampling.BICUBIC).save(tmp_path / "a.jpg", quality=95)
    ours = square_of(tmp_path / "a.jpg", 32).astype(int)
    pillow = square_of(tmp_path / "a.jpg", 32, (0, 0, *size))  # a box leads through Pillow
    assert np.abs(ours - pillow).max() <= furthest and np.abs(ours - pillow).mean() <= furthest / 6


def test_a_box_is_cut_out_and_clipped(tmp_path):
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[10:20, 30:40] = (200, 100, 50)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert (square_of(tmp_path / "a.png", 16, (30, 10, 99, 10)) == (200, 100, 50)).all()
    with pytest.raises(OSError, match="lies outside of the 40x40 px"):
        square_of(tmp_path / "a.png", 16, (50, 0, 5, 5))


@pytest.mark.parametrize(
    ("text", "path", "member", "box"),
    [
        ("a/b.jpg", "a/b.jpg", None, None),
        ("a#1.jpg", "a#1.jpg", None, None),
        ("a.jpg#1,2,3,4", "a.jpg", None, (1, 2, 3, 4)),
        ("s.tar::512+99", "s.tar", (512, 99), None),
        ("s.tar::512+99#0,0,5,6", "s.tar", (512, 99), (0, 0, 5, 6)),
    ],
)
def test_references_are_taken_apart(text, path, member, box):
    assert ImageReference.parse(text) == ImageReference(path, member, box)


def test_a_member_is_read_in_place(tmp_path):
    (tmp_path / "s.tar").write_bytes(b"0123456789")
    assert read_bytes(tmp_path, ImageReference("s.tar", (3, 4))) == b"3456"


@pytest.mark.parametrize("content", [b"not an image", b"\xff\xd8\xff\xe0 broken", b"GIF89a"])
def test_what_is_no_image_is_an_os_error(content):
    with pytest.raises(OSError):
        decode(content, 8)


def test_a_truncated_jpeg_is_an_os_error(tmp_path):
    Image.new("RGB", (64, 64), (9, 9, 9)).save(tmp_path / "good.jpg")
    data = (tmp_path / "good.jpg").read_bytes()
    with pytest.raises(OSError):
        decode(data[: len(data) // 2], 8)


def test_what_is_no_file_or_far_too_long_is_not_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(OSError, match="it is not a file"):
        read_bytes(tmp_path, ImageReference("pipe.jpg"))
    with open(tmp_path / "long.jpg", "wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(OSError, match=r"its 2\.0 GB exceed the limit of 2"):
        read_bytes(tmp_path, ImageReference("long.jpg"))
