"""What thousands of classes cost: processor time and memory of every stage on a drawn table.

    python benchmarks/many_classes.py                       # 5,000 classes, 30,000 rows
    python benchmarks/many_classes.py --classes 34000 --rows 120000 --groups 20000

The table has measurements alone, since images cost the same whatever the number of classes; class sizes are
long-tailed, groups are events of some specimens each, and every species belongs to a genus, a family and an order.
Stage prepare does all that `bioautoml check` does. Memory is that of the process, torch included, and never falls.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console


def write_experiment(folder: Path, classes: int, rows: int, groups: int) -> Path:
    """Write a drawn table and its experiment; return the experiment's file."""
    rng = np.random.default_rng(0)
    tail = 1 / np.arange(1, classes + 1) ** 0.8
    rest = rng.choice(classes, size=rows - 3 * classes, p=tail / tail.sum())
    species = rng.permutation(np.concatenate([np.repeat(np.arange(classes), 3), rest]))  # three each at least
    genus, family, order = species // 5, species // 50, species // max(1, classes // 20)
    pd.DataFrame(
        {
            "image": "none.jpg",
            "label": [f"Genus{number // 5:05d} species{number:05d}" for number in species],
            "genus": [f"Genus{number:05d}" for number in genus],
            "family": [f"Family{number:04d}idae" for number in family],
            "order": [f"Order{number:02d}" for number in order],
            "event": [f"event-{number:06d}" for number in rng.integers(groups, size=rows)],
            "length_mm": np.round(rng.lognormal(species % 7 / 3, 0.2), 3),
            "width_mm": np.round(rng.lognormal(species % 11 / 5, 0.2), 3),
        }
    ).to_csv(folder / "table.csv", index=False)
    file = folder / "experiment.yml"
    file.write_text(
        "name: many-classes\n"
        "data:\n"
        "  source: csv\n"
        "  root: .\n"
        "  table: table.csv\n"
        "  modalities: [metadata]\n"
        "  columns: {length_mm: size, width_mm: size, genus: taxonomy, family: taxonomy, order: taxonomy}\n"
        "  split: {method: group, group: event}\n"
        "search: {epochs: 1, batch_size: 256}\n"
        "training: {epochs: 2, batch_size: 256}\n",
        encoding="utf-8",
    )
    return file


def main() -> None:
    """Print a table of the stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=5000)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--groups", type=int, default=5000)
    parser.add_argument("--set", action="append", default=[], help="of the experiment, such as loss=hierarchical")
    chosen = parser.parse_args()
    from bioautoml_nni.config import load_experiment
    from bioautoml_nni.runs.directory import STAGES, RunDirectory
    from bioautoml_nni.stages.run import run_stages
    from bioautoml_nni.utils.quiet import quiet

    quiet()
    with tempfile.TemporaryDirectory() as place:
        file = write_experiment(Path(place), chosen.classes, chosen.rows, chosen.groups)
        run = RunDirectory.create(Path(place) / "run", load_experiment(file, chosen.set))
        print(f"{chosen.classes:,} classes, {chosen.rows:,} rows, {chosen.groups:,} groups")
        print(f"{'stage':<10}{'processor s':>12}{'peak so far, GB':>18}", flush=True)
        for stage in STAGES:
            before = time.process_time()
            run_stages(run, [stage], Console(quiet=True))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(f"{stage:<10}{time.process_time() - before:>12.1f}{peak:>18.2f}", flush=True)
        for name in ("report.html", "evaluation/logits.npz"):
            print(f"{name}: {(run / name).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
