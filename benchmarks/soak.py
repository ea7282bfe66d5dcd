"""Memory and open files of a long search: python benchmarks/soak.py [--minutes 60] [--interval 10]

Searches on a small built-in sample, with many more epochs than there is time for, and looks every few seconds at the
memory (of the process and those that read images for it, pages that they share counted once) and the open files. After
the first tenth, which warms up, a straight line is fitted; its slope, the first and the last reading are printed, and
all readings are written to benchmarks/out/soak.csv.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import yaml

from bioautoml_nni.utils.atomic import write_text

OUTPUT = Path(__file__).parent / "out" / "soak.csv"
COLUMNS = ["seconds", "epochs", "memory_mb", "open_files", "processes"]
EXPERIMENT: dict[str, dict[str, object] | str] = {
    "name": "soak",
    "data": {"source": "sample", "specimens": 200, "image_size": 32},
    "space": {"name": "multimodal", "channels": 4, "cells": 3},
    "search": {"epochs": 100_000, "batch_size": 16},
}


def look(process: psutil.Process) -> tuple[float, int, int]:
    """Return the memory in MB, the open files and the number of processes."""
    family = [process, *process.children(recursive=True)]
    memory, files = 0.0, 0
    for member in family:
        try:
            memory += member.memory_full_info().pss / 2**20
            files += member.num_fds()
        except psutil.Error:
            continue  # it ended meanwhile
    return memory, files, len(family)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--interval", type=float, default=10, help="seconds between two readings")
    arguments = parser.parse_args()
    readings = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "experiment.yml").write_text(yaml.safe_dump(EXPERIMENT))
        command = [str(Path(sys.executable).with_name("bioautoml")), "run", str(root / "experiment.yml")]
        process = subprocess.Popen(
            [*command, "--output", str(root / "run"), "--set", f"data.root={root / 'sample'}"],
            stdout=subprocess.DEVNULL,
        )
        history = root / "run/search/history.jsonl"
        while not history.is_file():
            if process.poll() is not None:
                raise SystemExit("the search did not start")
            time.sleep(0.2)
        started = time.monotonic()
        while (elapsed := time.monotonic() - started) < 60 * arguments.minutes:
            epochs = len(history.read_text().splitlines())
            readings.append((elapsed, epochs, *look(psutil.Process(process.pid))))
            write_text(OUTPUT, pd.DataFrame(readings, columns=COLUMNS).to_csv(index=False))
            if process.poll() is not None:
                raise SystemExit("the search ended by itself")
            time.sleep(arguments.interval)
        process.kill()  # an interrupt is ignored by what a shell started in the background
        process.wait()
    table = pd.DataFrame(readings, columns=COLUMNS)
    settled = table.iloc[len(table) // 10 :]
    print(f"{int(table['epochs'].iloc[-1])} epochs in {table['seconds'].iloc[-1] / 60:.1f} minutes")
    for name in ("memory_mb", "open_files", "processes"):
        slope = np.polyfit(settled["seconds"] / 3600, settled[name], 1)[0]
        first, last, largest = settled[name].iloc[0], settled[name].iloc[-1], settled[name].max()
        print(f"{name:>10}: {first:.1f} at first, {last:.1f} at last, {largest:.1f} at most, {slope:+.1f} an hour")


if __name__ == "__main__":
    main()
