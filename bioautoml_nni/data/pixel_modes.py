"""Images of any kind as RGB: palettes, transparency, CMYK, 16 bits; and kinds that are refused by name."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cache
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageCms

FORMATS = (
    "JPEG", "MPO", "PNG", "TIFF", "WEBP", "BMP", "DIB", "GIF", "AVIF", "JPEG2000", "PPM", "ICO", "TGA", "PCX", "SGI",
    "HEIF",
)  # fmt: skip
"""What is decoded; none of them runs another program, as EPS would."""
MAX_SCANS = 100
"""Of a JPEG; one with thousands of them keeps a decoder busy for hours."""
DNG_VERSION, PHOTOMETRIC, SUB_IFDS, REDUCED = 50706, 262, 330, 254
SENSOR = (32803, 34892)
"""TIFF's photometric interpretations of a sensor's raw values."""
RAW_STARTS = {
    b"FUJIFILMCCD-RAW": "Fujifilm's raw data (RAF)",
    b"IIRO": "Olympus' raw data (ORF)",
    b"IIRS": "Olympus' raw data (ORF)",
    b"MMOR": "Olympus' raw data (ORF)",
    b"IIU\0": "Panasonic's raw data (RW2)",
    b"FOVb": "Sigma's raw data (X3F)",
}
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


AS_IMAGE = "save it as JPEG, PNG or TIFF"
NO_IMAGE: Mapping[bytes, str] = {
    b"version https://git-lfs": "it is a pointer of Git LFS, not the image; fetch that with git lfs pull",
    b"PK\x03\x04": "it is a ZIP file; unpack it",
    b"\x1aE\xdf\xa3": "it is a video; save still images of it",
    b"%PDF-": f"it is a PDF; {AS_IMAGE}",
    b"%!PS": f"it is PostScript; {AS_IMAGE}",
    b"8BPS": f"it is a Photoshop file; {AS_IMAGE}",
    b"\xff\x0a": f"it is a JPEG XL image; {AS_IMAGE}",
    b"\0\0\0\x0cJXL ": f"it is a JPEG XL image; {AS_IMAGE}",
}
"""What files are by their first bytes that are often called like images."""
VIDEOS = (b"mp4", b"iso", b"M4V", b"qt ", b"avc", b"3gp")
PAGES = (b"<!doctype html", b"<html")


def kind_of_other(data: bytes) -> str:
    """Return what a file is that is no image of a kind that is read, and the way out."""
    for start, what in NO_IMAGE.items():
        if data.startswith(start):
            return what
    if data[4:8] == b"ftyp" and data[8:11] in VIDEOS:
        return "it is a video; save still images of it"
    if data[128:132] == b"DICM":
        return f"it is a DICOM image; {AS_IMAGE}"
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(PAGES):
        return "it is a web page, as a server sends it in place of an image; download the image again"
    if head.startswith(b"<svg") or (head.startswith(b"<?xml") and b"<svg" in head):
        return f"it is a drawing (SVG); {AS_IMAGE}"
    return "cannot identify it as an image of a kind that is read"


def kind_refused(data: bytes) -> str | None:
    """Return why images of this kind are refused, None for others."""
    for start, name in RAW_STARTS.items():
        if data.startswith(start):
            return f"it is {name}; develop it to JPEG or TIFF"
    if data[8:11] == b"CR\x02" or data[4:12] == b"ftypcrx ":
        return "it is Canon's raw data (CR2, CR3); develop it to JPEG or TIFF"
    if data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS and not _heif():
        return "it is a HEIC image; install the extra that reads them: pip install 'bioautoml-nni[heif]'"
    if data[:2] == b"\xff\xd8" and data.count(b"\xff\xda") > MAX_SCANS:
        return f"it is a JPEG of more than {MAX_SCANS} scans, as no camera writes it"
    return None


@cache
def _heif() -> bool:
    """Whether HEIC images can be read; then Pillow knows how."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    _heif()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def open_image(data: bytes) -> Image.Image:
    """Open an image of one of `FORMATS`.

    Raises:
        OSError: for a camera's raw data in TIFF's clothes, whose first image is a thumbnail.
        PIL.UnidentifiedImageError: if it is none.
    """
    try:
        opened = Image.open(io.BytesIO(data), formats=_formats())
    except Exception:  # Pillow looks into the EXIF block of a JPEG before it knows that it is one
        plain = without_exif(data)
        if plain is None:
            raise
        opened = Image.open(io.BytesIO(plain), formats=_formats())
    if opened.format == "TIFF" and _is_raw(opened):
        raise OSError("it is a camera's raw data (DNG, NEF, ARW or another); develop it to JPEG or TIFF")
    return opened


def without_exif(data: bytes) -> bytes | None:
    """Return a JPEG without its EXIF and XMP blocks; None if it is not a JPEG or has none."""
    if data[:2] != b"\xff\xd8":
        return None
    kept, position = [data[:2]], 2
    while data[position : position + 1] == b"\xff" and data[position + 1] != 0xDA and position + 4 < len(data):
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if data[position + 1] != 0xE1:
            kept.append(data[position:end])
        position = end
    plain = b"".join(kept) + data[position:]
    return plain if len(plain) < len(data) else None


def _is_raw(opened: Any) -> bool:
    tags = opened.tag_v2
    thumbnail_first = SUB_IFDS in tags and tags.get(REDUCED) == 1
    return DNG_VERSION in tags or tags.get(PHOTOMETRIC) in SENSOR or thumbnail_first


def as_rgb(opened: Image.Image, data: bytes) -> Image.Image | np.ndarray:
    """Return the first frame of an image in RGB.

    Sixteen bits and floating point are scaled by their own range, what is transparent lies on white, and CMYK goes
    through its profile if it has one.
    """
    deep = _sixteen_bits(opened, data)
    if deep is not None:
        return deep
    if opened.mode == "CMYK":
        return _from_cmyk(opened)
    if opened.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in opened.info:
        layers = opened.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB")
    if opened.mode == "P":
        return opened.convert("RGBA").convert("RGB")
    return opened if opened.mode == "RGB" else opened.convert("RGB")  # a copy of a large one may be too much


def _sixteen_bits(opened: Image.Image, data: bytes) -> np.ndarray | None:
    """Return pixels (h, w, 3) uint8 of an image of more than 8 bits, None for others."""
    if opened.mode.startswith("I;16") or opened.mode in ("I", "F"):
        return np.repeat(_to_bytes(np.asarray(opened))[:, :, None], 3, axis=2)
    if opened.format == "PNG" and data[24:25] == b"\x10":  # its header's bit depth; Pillow would drop the lower byte
        colours = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH)
        if colours is not None and colours.dtype == np.uint16:
            opened.load()  # which finds damage
            return _to_bytes(colours)
    return None


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Scale values to 0..255 by their own range; those that are no numbers become 0."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    scale = 255 / (high - low) if high > low else 0.0
    result = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), 256):  # in parts, since the numbers between take eight times the room
        part = (values[top : top + 256].astype(np.float64) - low) * scale
        result[top : top + 256] = np.nan_to_num(part, nan=0.0, posinf=255.0, neginf=0.0).clip(0, 255)
    return result


def _from_cmyk(opened: Image.Image) -> Image.Image:
    profile = opened.info.get("icc_profile")
    if profile:
        try:
            found = ImageCms.profileToProfile(
                opened, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # a damaged profile: as if there were none
            found = None
        if found is not None:
            return found
    return opened.convert("RGB")
