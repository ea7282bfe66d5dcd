"""Time and memory of each step on many rows: python benchmarks/many_rows.py [--rows 75000 300000] [--images 20000]

Draws tables of BIOSCAN-5M's shape (`screen.py`) as CSV, and takes them through the steps that look at every row, each
size in a process of its own: manifest, finished data (labels, split, screen, roles), audit, encode, digest. --label
taxon --group asks for thousands of classes in place of families, and for a split by collecting event, 50 rows each. The
image store's bookkeeping is measured on as many boxes of one image file as --images says: filled, then looked at again.
--stages runs a whole experiment on the measurements as well: prepare, derive (a random architecture), and one epoch of
retrain in batches of 1,024. Prints seconds, rows a second and peak memory above the start (bytes a row) of each step,
and the exponents between the smallest and the largest size. Written to benchmarks/out/many_rows.json.
"""

from __future__ import annotations

import argparse
import gc
import math
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from kept import keep
from PIL import Image
from rich.console import Console
from screen import bioscan_shaped

from bioautoml_nni.audit.examine import finish
from bioautoml_nni.audit.judge import audit
from bioautoml_nni.config import Experiment
from bioautoml_nni.config.load import parse_experiment
from bioautoml_nni.data.image_store import ImageStore
from bioautoml_nni.data.load import load_manifest
from bioautoml_nni.data.manifest import LABEL
from bioautoml_nni.data.metadata import MetadataPreprocessor
from bioautoml_nni.runs.directory import RunDirectory


def memory(name: str) -> int:
    """Return a line of this process's status in bytes: VmRSS now, VmHWM at most."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


class Steps:
    """Runs steps and keeps their seconds and peak memory."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        gc.collect()
        self.base = memory("VmRSS")
        self.found: list[dict[str, Any]] = []

    def run(self, name: str, action: Callable[[], Any]) -> Any:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins again
        start, clock = time.process_time(), time.perf_counter()
        value = action()
        seconds, clock = time.process_time() - start, time.perf_counter() - clock
        peak = memory("VmHWM") - self.base
        gc.collect()
        self.found.append(
            {
                "step": name, "rows": self.rows, "cpu_seconds": round(seconds, 2), "seconds": round(clock, 2),
                "rows_per_second": round(self.rows / max(seconds, 1e-9)), "peak_bytes_per_row": round(peak / self.rows),
                "kept_bytes_per_row": round((memory("VmRSS") - self.base) / self.rows),
            }
        )  # fmt: skip
        print(f"{self.rows:,} rows, {name}: {seconds:.1f} s ({clock:.1f} s), {peak / 1e9:.2f} GB at most", flush=True)
        return value


EVENT = 50
"""Rows of a collecting event."""


def experiment_of(folder: Path, rows: int, label: str, group: bool) -> Experiment:
    """Return an experiment on the measurements of a table: a random architecture, one epoch."""
    split = {"method": "group", "group": "event"} if group else {"method": "stratified"}
    return parse_experiment(
        {
            "name": "rows",
            "data": {
                "source": "csv", "root": str(folder), "table": f"{rows}.csv", "image": None, "label": label,
                "id": "processid", "modalities": ["metadata"], "rare_labels": "drop", "split": split,
            },
            "derivation": {"method": "random"},
            "training": {"epochs": 1, "batch_size": 1024},
        }
    )  # fmt: skip


def table_steps(label: str, group: bool, folder: Path, rows: int, queue: Any) -> None:
    """Take a table through everything that looks at each row."""
    experiment, console, steps = experiment_of(folder, rows, label, group), Console(quiet=True), Steps(rows)
    given = [steps.run("manifest", partial(load_manifest, experiment))]
    data, seen = steps.run("labels, split, screen, roles", lambda: finish(experiment, given.pop(), console))
    print(
        f"{rows:,} rows, {data.table[LABEL].nunique():,} classes, split by {experiment.data.split.method}", flush=True
    )
    steps.run("audit", lambda: audit(data, seen, experiment.data))
    steps.run("digest", data.digest)
    encoder = MetadataPreprocessor(data.manifest.features(), forms=data.manifest.forms)
    steps.run("encode", lambda: encoder.fit(data.table[data.in_training]).transform(data.table))
    queue.put(steps.found)


def stages(label: str, group: bool, folder: Path, rows: int, queue: Any) -> None:
    """Prepare a table, and train one epoch on it."""
    from bioautoml_nni.stages import derive, prepare, retrain  # noqa: F401  # what they import is there before
    from bioautoml_nni.stages.run import run_stages

    run = RunDirectory.create(folder / f"run-{rows}", experiment_of(folder, rows, label, group))
    steps, console = Steps(rows), Console(quiet=True)
    for stage in ("prepare", "derive", "retrain"):
        steps.run(f"stage {stage}", partial(run_stages, run, [stage], console))
    queue.put(steps.found)


def store_steps(folder: Path, rows: int, queue: Any) -> None:
    """Fill an image store, and look at it again as every later command does."""
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "one.bmp")
    side = math.ceil(math.sqrt(rows))
    names = [
        f"one.bmp#{number % side % 200},{number // side % 200},{16 + number // 40000},16" for number in range(rows)
    ]
    steps = Steps(rows)
    steps.run("store, filled", lambda: ImageStore(folder, 16, folder / f"cache-{rows}").ensure(names))
    steps.run("store, looked at again", lambda: ImageStore(folder, 16, folder / f"cache-{rows}").ensure(names))
    queue.put(steps.found)


def apart(action: Callable[[Path, int, Any], None], folder: Path, rows: int) -> list[dict[str, Any]]:
    """Run steps in a fresh process."""
    context = multiprocessing.get_context("spawn")
    queue: Any = context.Queue()
    process = context.Process(target=action, args=(folder, rows, queue))
    process.start()
    found: list[dict[str, Any]] = queue.get()
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[75_000, 300_000])
    parser.add_argument("--images", type=int, default=20_000, help="0 leaves the store out")
    parser.add_argument("--label", default="family", help="column of the classes")
    parser.add_argument("--group", action="store_true", help="split by event")
    parser.add_argument("--stages", action="store_true", help="prepare a run and train one epoch, too")
    arguments = parser.parse_args()
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for rows in arguments.rows:
            table = bioscan_shaped(rows)
            table["event"] = [f"event-{number}" for number in np.arange(rows) // EVENT]
            table.to_csv(folder / f"{rows}.csv", index=False)
            del table
            found += apart(partial(table_steps, arguments.label, arguments.group), folder, rows)
            if arguments.stages:
                found += apart(partial(stages, arguments.label, arguments.group), folder, rows)
        for rows in (arguments.images // 4, arguments.images) if arguments.images else ():
            found += apart(store_steps, folder, rows)
    show(found)
    keep("many_rows", found)


def show(found: list[dict[str, Any]]) -> None:
    """Print what was measured, with the exponents between the smallest and the largest size."""
    print(
        f"{'step':<30} {'rows':>9} {'cpu s':>8} {'clock s':>8} {'rows/s':>9} {'peak B/row':>11} {'kept B/row':>11} "
        f"{'exponent':>8}"
    )
    for line in found:
        smaller = next(
            (other for other in found if other["step"] == line["step"] and other["rows"] < line["rows"]), None
        )
        if smaller is not None and smaller["cpu_seconds"]:
            growth = math.log(line["cpu_seconds"] / smaller["cpu_seconds"])
            line["exponent"] = round(growth / math.log(line["rows"] / smaller["rows"]), 2)
        print(
            f"{line['step']:<30} {line['rows']:>9,} {line['cpu_seconds']:>8.2f} {line['seconds']:>8.2f} "
            f"{line['rows_per_second']:>9,} {line['peak_bytes_per_row']:>11,} "
            f"{line['kept_bytes_per_row']:>11,} {line.get('exponent', ''):>8}"
        )


if __name__ == "__main__":
    main()
