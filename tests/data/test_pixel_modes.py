"""Images of all kinds and all damage: pixels, or one sentence."""

import io
import struct

import cv2
import numpy as np
import pytest
from damage import damaged, tries
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, TiffImagePlugin

from bioautoml_nni.data.decoding import decode


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def colours(size=(24, 24)):
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_lies_on_white(mode):
    layers = Image.new("RGBA", (16, 16), (10, 20, 30, 0))
    layers.paste((200, 0, 0, 255), (4, 4, 12, 12))
    image = layers.quantize() if mode == "P" else layers.convert(mode)
    square = decode(saved(image, "PNG"), 16).square
    assert (square[0, 0] > 250).all() and (square[8, 8] < 250).any()


def test_sixteen_bits_are_scaled_by_their_range():
    ramp = np.tile(np.linspace(1000, 3000, 16).astype(np.uint16), (16, 1))
    grey = decode(saved(Image.fromarray(ramp), "PNG"), 16).square
    _, data = cv2.imencode(".png", np.dstack([ramp] * 3))
    colour = decode(data.tobytes(), 16).square
    for square in (grey, colour):
        assert square.min() == 0 and square.max() == 255 and np.all(np.diff(square[0, :, 0].astype(int)) >= 0)
    assert decode(saved(Image.fromarray(np.full((9, 9), 7, np.uint16)), "PNG"), 9).square.max() == 0


def test_floating_point_with_values_that_are_no_numbers_is_an_image():
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    values[0, 0], values[0, 1] = np.nan, np.inf
    square = decode(saved(Image.fromarray(values), "TIFF"), 8).square
    assert square[7, 7, 0] == 255 and square[0, 0, 0] == 0


def test_cmyk_goes_through_its_profile_and_a_damaged_one_is_ignored():
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert decode(saved(image, "TIFF"), 16).square[8, 8, 0] > 150
    assert decode(saved(image, "JPEG", icc_profile=b"no profile at all"), 16).square[8, 8, 0] > 150
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert decode(saved(image, "JPEG", icc_profile=profile), 16).square.shape == (16, 16, 3)


def test_of_animations_the_first_frame_is_taken():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    for kind in ("GIF", "WEBP", "PNG", "MPO"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        assert decode(data, 8).square[4, 4].argmax() == 0, kind


def with_exif(entry=None):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "camera", TiffImagePlugin.IFDRational(72, 1)
    exif[0x8769] = {0x9003: "2016:06:01 10:00:00", 0x829A: TiffImagePlugin.IFDRational(1, 60)}
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 0.0)}
    image = Image.new("RGB", (40, 20))
    image.paste((255, 255, 255), (0, 0, 20, 20))
    return saved(image, "JPEG", exif=exif, quality=95), len(exif.tobytes())


@pytest.mark.filterwarnings("ignore")
@tries(400)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6))
def test_pixels_outlive_any_damage_to_exif(changes):
    data, length = with_exif()
    content = bytearray(data)
    for place, value in changes:
        content[30 + place % (length - 6)] = value  # behind the head of the block, whose length is the JPEG's own
    square = decode(bytes(content), 20).square
    assert square.max() > 200 and square.min() < 60  # however it is turned


KINDS = {
    "JPEG": {}, "PNG": {}, "GIF": {}, "TIFF": {}, "WEBP": {}, "BMP": {}, "AVIF": {"quality": 60}, "JPEG2000": {},
    "PPM": {}, "MPO": {}, "ICO": {}, "TGA": {}, "PCX": {}, "SGI": {},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
@tries(60)
@given(st.data())
def test_a_damaged_image_of_any_kind_is_an_os_error_or_an_image(kind, data):
    content = data.draw(damaged(saved(colours(), kind, **KINDS[kind])))
    try:
        square = decode(content, 16).square
    except OSError as error:
        assert str(error) and "<" not in str(error)
        return
    assert square.shape == (16, 16, 3)


def tiff_with(tags):
    """A TIFF with more entries in its first directory."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        info[tag] = value
        info.tagtype[tag] = 1 if isinstance(value, bytes) else 4
    return saved(Image.new("RGB", (8, 8)), "TIFF", tiffinfo=info)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC|decoder|identify"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "Canon's raw data"),
        (b"FUJIFILMCCD-RAW 0201", "Fujifilm's raw data"),
        (b"IIRO\x08\0\0\0" + bytes(40), "Olympus' raw data"),
        (tiff_with({50706: b"\1\4\0\0"}), "camera's raw data"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "PostScript"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>404</html>", "a web page"),
        (b"<?xml version='1.0'?><svg/>", "a drawing"),
        (b"%PDF-1.4", "a PDF"),
        (b"\0\0\0\x18ftypisom" + bytes(40), "a video"),
        (b"\xff\x0a" + bytes(40), "JPEG XL"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"text", "cannot identify"),
    ],
)
def test_kinds_that_are_refused_are_named(data, words):
    with pytest.raises(OSError, match=words):
        decode(data, 8)


def test_heic_is_read_where_the_extra_is_installed():
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    assert decode(saved(Image.new("RGB", (32, 32), (200, 20, 20)), "HEIF"), 16).square[8, 8].argmax() == 0


def test_a_jpeg_of_thousands_of_scans_is_refused():
    data = saved(colours(), "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    with pytest.raises(OSError, match="scans"):
        decode(data[:-2] + data[scan:-2] * 200 + data[-2:], 8)


def test_a_file_that_claims_a_gigapixel_is_refused_before_it_takes_room():
    header = struct.pack(">II", 60_000, 60_000) + b"\x08\x02\0\0\0"
    data = bytearray(saved(colours(), "PNG"))
    data[16:29] = header
    with pytest.raises(OSError):
        decode(bytes(data), 8)
