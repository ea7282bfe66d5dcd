"""Rows per second of checking a full image cache: python benchmarks/verification.py [--rows 100000] [--size 64]

Draws small JPEG files, stores them, and times what a process does before it reads pixels: its first look, at every file
and every stored row, and each later one, of which a stage has one and `evaluate` had three. Medians of the rounds, and
what they are in rows per second, are printed and written to benchmarks/out/verification.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg

from bioautoml_nni.data.image_store import ImageStore

OUT = Path(__file__).parent / "out"


def draw(root: Path, rows: int, edge: int = 16) -> list[str]:
    """Write small JPEG files, a thousand a folder, unless they are there, and return their references."""
    names = [f"{number // 1000:04}/{number}.jpg" for number in range(rows)]
    rng = np.random.default_rng(0)
    for name in names:
        path = root / name
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            colour = rng.integers(0, 256, (1, 1, 3))
            pixels = np.clip(colour + rng.normal(0, 30, (edge, edge, 3)), 0, 255).astype(np.uint8)
            path.write_bytes(simplejpeg.encode_jpeg(pixels, quality=80))
    return names


def seconds(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Return medians over several rounds: seconds by the clock, and seconds of processor time."""
    clock, processor = [], []
    for _ in range(rounds):
        start, used = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    return statistics.median(clock), statistics.median(processor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    root = OUT / "verification"
    names = draw(root, options.rows)
    store = ImageStore(root, options.size, OUT / "cache")
    start = time.perf_counter()
    store.ensure(names)
    print(f"{options.rows:,} rows at {options.size} px, {os.cpu_count()} cores; stored or checked in "
          f"{time.perf_counter() - start:.1f} s")  # fmt: skip
    ways = {
        "first look of a process": lambda: store.ensure(names),
        "each later one": lambda: store.verified(names),
    }
    results = {}
    for title, work in ways.items():
        clock, processor = seconds(work, options.rounds)
        results[title] = {"seconds": clock, "processor_seconds": processor, "rows_per_s": options.rows / clock}
        print(
            f"  {title:<24} {clock:8.3f} s  {options.rows / clock:>12,.0f} rows/s  {processor:8.3f} s of processor time"
        )
    (OUT / "verification.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
