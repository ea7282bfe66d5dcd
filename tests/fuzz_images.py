"""Byte-changed images of every format through the decoder.

    python tests/fuzz_images.py [--count 100000] [--only JPEG PNG ...]

Each image is a small one of the format whose bytes were changed, cut or repeated, drawn from a seed. It has to give
pixels or one sentence, within the bounds of `decode`. Processes decode a few hundred each, so that a crash names its
image. A table says for every format how many had pixels, how many a sentence, the slowest and the most memory; the exit
code is 1 if anything else came out, and what did it is kept in the folder that is named then.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from bioautoml_nni.data.decoding import decode

EDGE = 16
BLOCK = 2500
"""Images that one process decodes."""
SECONDS, MEGABYTES = 12.0, 1200
"""Most that one image may take: the bounds of `decode`, and what it takes to notice them."""


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def originals(kind: str) -> list[bytes]:
    """Return small images of a format, one for each way that it keeps pixels."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 255, (24, 20, 3), dtype=np.uint8))
    clear = Image.fromarray(rng.integers(0, 255, (20, 24, 4), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 2**16, (16, 16), dtype=np.uint16))
    grey, palette, cmyk = colour.convert("L"), colour.quantize(17), colour.convert("CMYK")
    real = deep.convert("F")
    exif = Image.Exif()
    exif[0x0112] = 6
    several = {"save_all": True, "append_images": [colour.rotate(90), colour.rotate(180)]}
    variants: Mapping[str, list[tuple[Image.Image, dict[str, object]]]] = {
        "JPEG": [(colour, {}), (grey, {}), (cmyk, {}), (colour, {"progressive": True, "exif": exif})],
        "PNG": [
            (colour, {}), (clear, {}), (palette, {"transparency": 3}), (deep, {}), (colour, {"exif": exif}),
            (colour, several),
        ],
        "TIFF": [
            (colour, {}), (deep, {}), (real, {}), (cmyk, {}), (palette, {}), (colour, several),
            *((colour, {"compression": name}) for name in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits", "zstd")),
            (grey.convert("1"), {"compression": "group4"}),
        ],
        "GIF": [(palette, {}), (palette, {"transparency": 2}), (colour, several)],
        "BMP": [(colour, {}), (palette, {}), (clear, {}), (grey.convert("1"), {})],
        "WEBP": [(colour, {}), (clear, {"lossless": True}), (colour, several)],
        "AVIF": [(colour, {"quality": 60}), (clear, {"quality": 60}), (colour, {"exif": exif})],
        "JPEG2000": [(colour, {}), (deep, {}), (clear, {"no_jp2": True}), (colour, {"tile_size": (8, 8)})],
        "HEIF": [(colour, {}), (clear, {}), (colour, several)],
        "MPO": [(colour, several)],
        "PPM": [(colour, {}), (deep, {}), (grey.convert("1"), {})],
        "ICO": [(clear, {}), (colour, {"bitmap_format": "bmp"})],
        "TGA": [(colour, {}), (clear, {"compression": "tga_rle"})],
        "PCX": [(colour, {}), (palette, {})],
        "SGI": [(colour, {}), (clear, {})],
    }  # fmt: skip
    return [_saved(image, kind, **options) for image, options in variants[kind]]


FORMATS = ("JPEG", "PNG", "TIFF", "GIF", "BMP", "WEBP", "AVIF", "JPEG2000", "MPO", "PPM", "ICO", "TGA", "PCX", "SGI")


def formats() -> tuple[str, ...]:
    """Return the formats that this machine can write; HEIF needs the extra of its name."""
    try:
        import pillow_heif
    except ImportError:
        return FORMATS
    pillow_heif.register_heif_opener()
    return (*FORMATS, "HEIF")


def changed(data: bytes, rng: np.random.Generator) -> bytes:
    """Return data with one to eight changes, half of them in its head, where sizes stand."""
    content = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        end = min(len(content), 64) if rng.random() < 0.5 else len(content)
        if not end:
            break
        place, action = int(rng.integers(end)), int(rng.integers(10))
        if action < 6:
            content[place] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))]))
        elif action == 6:
            content[place : place + 4] = rng.bytes(4)
        elif action == 7:
            del content[place : place + int(rng.integers(1, 20))]
        elif action == 8:
            content[place:place] = content[place : place + int(rng.integers(1, 40))]
        elif rng.random() < 0.3:
            del content[max(place, len(content) // 2) :]
    return bytes(content)


def with_checksums(data: bytes) -> bytes:
    """Return a PNG whose chunks have the checksums of what they hold now, so that decoders go on."""
    content, position = bytearray(data), 8
    while position + 12 <= len(content):
        end = position + 8 + int.from_bytes(content[position : position + 4], "big")
        if end + 4 > len(content):
            break
        content[end : end + 4] = zlib.crc32(content[position + 4 : end]).to_bytes(4, "big")
        position = end + 4
    return bytes(content)


def images(kind: str, start: int, count: int) -> Iterator[bytes]:
    """Yield changed images of a format; the same numbers give the same ones."""
    whole = originals(kind)
    for number in range(start, start + count):
        rng = np.random.default_rng([FORMATS.index(kind) if kind in FORMATS else len(FORMATS), number])
        data = changed(whole[number % len(whole)], rng)
        yield with_checksums(data) if kind == "PNG" and number % 2 else data


def outcome(data: bytes) -> str:
    """Return "pixels", "sentence", or what else came out."""
    try:
        square = decode(data, EDGE).square
    except OSError as error:
        said = str(error)
        return "sentence" if said and "object at" not in said and "\n" not in said else f"no sentence: {said!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "pixels" if square.shape == (EDGE, EDGE, 3) else f"shape {square.shape}"


def _block(kind: str, start: int, count: int, report: int) -> None:
    """Decode a block in this process, and write a line of JSON for each image."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff says what it thinks
    for data in images(kind, start, count):
        clock = time.process_time()
        found = outcome(data)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        os.write(report, (json.dumps([found, time.process_time() - clock, most]) + "\n").encode())


def _lines(kind: str, start: int, count: int) -> tuple[list[list[object]], str]:
    """Return the outcomes of a block that a process of its own decodes, and how that ended if not well."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reads)
        _block(kind, start, count, writes)
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as lines:
        found = [json.loads(line) for line in lines]
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return found, "" if code == 0 else f"the process ended with {code}"


def fuzz(kind: str, count: int, folder: Path) -> tuple[dict[str, int], float, int, list[str]]:
    """Return how many had which outcome, most seconds and megabytes of one, and what must not be."""
    counts = {"pixels": 0, "sentence": 0}
    slowest, most, faults = 0.0, 0, []

    def fault(number: int, said: str) -> None:
        file = folder / f"{kind}-{number}"
        file.write_bytes(next(images(kind, number, 1)))
        faults.append(f"{file}: {said}")

    number = 0
    while number < count:
        lines, ended = _lines(kind, number, min(BLOCK, count - number))
        for found, seconds, megabytes in lines:
            slowest, most = max(slowest, float(seconds)), max(most, int(megabytes))
            if found in counts:
                counts[found] += 1
            if found not in counts or float(seconds) > SECONDS or int(megabytes) > MEGABYTES:
                fault(number, f"{found}, {seconds:.1f} s, {megabytes} MB")
            number += 1
        if ended:
            fault(number, ended)
            number += 1
    return counts, slowest, most, faults


def main() -> int:
    warnings.simplefilter("ignore")
    known = formats()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="images of each format")
    parser.add_argument("--only", nargs="+", choices=known, default=list(known), metavar="FORMAT")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-images-"))
    print(f"{'format':10} {'images':>8} {'pixels':>8} {'sentence':>9} {'slowest':>8} {'most':>8}  faults")
    failed = 0
    for kind in arguments.only:
        counts, slowest, most, faults = fuzz(kind, arguments.count, folder)
        failed += len(faults)
        row = f"{kind:10} {arguments.count:>8} {counts['pixels']:>8} {counts['sentence']:>9}"
        print(f"{row} {slowest:>6.1f} s {most:>5} MB  {len(faults) or 'none'}", flush=True)
        for said in faults[:5]:
            print(f"    {said}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
