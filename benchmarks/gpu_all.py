"""Everything that a GPU is wanted for, within ten minutes: python benchmarks/gpu_all.py [--check] [--minutes 9]

Run `--check` first: the same sections with miniatures on the CPU, which shows in minutes that nothing is amiss; its
figures say nothing. Then, on the GPU, once without it. Sections, in this order; none begins after `--minutes`:

  machine      device, versions, threads
  step         a search step against NNI's DARTS at batch 64 (supernets of benchmarks/search_step.py)
  end_to_end   a run of the sample: seconds of every stage, steps of search and training, share of waiting
  compile      the retraining of that run with training.compile, alone and with bf16
  features     what a frozen trunk makes of all images: seconds, images a second
  fine_tuning  an encoder trained along: stages, steps, share of waiting
  bf16         retraining and search of that run in bf16-mixed

Data: the sample, drawn with seed 0, decoded into a cache of its own. Waiting is the time between two batches (reading,
augmenting, copying, Lightning's own work) divided by all time after the first epoch; the device is synchronised before
and after each batch, so that it is an upper bound. Each section's rows are appended to the table as soon as they are
measured; a section that fails, or for which no time is left, is named in it and the others go on.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if "--check" in sys.argv:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch looks

import pytorch_lightning as pl
import torch
import yaml
from rich.console import Console

from bioautoml_nni.config import load_experiment
from bioautoml_nni.runs.directory import STAGES, RunDirectory
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.stages.run import run_stages
from bioautoml_nni.training import compiling
from bioautoml_nni.utils.quiet import quiet

HERE = Path(__file__).parent
COLUMNS = ("section", "what", "setting", "value", "unit")
SILENT = Console(quiet=True)


@dataclass(frozen=True)
class Sizes:
    """How much is measured; the defaults are for a GPU."""

    specimens: int = 2000
    pixels: int = 64
    channels: int = 16
    cells: int = 6
    epochs: int = 4
    batch: int = 64
    encoder: str = "efficientnet_lite0"
    encoder_pixels: int = 160
    rounds: int = 7
    steps: int = 3


MINIATURE = Sizes(60, 16, 4, 2, 2, 8, "timm:test_resnet@random", 32, 1, 1)


@dataclass
class Bench:
    """What all sections share: sizes, a folder for runs, and the table that they write."""

    sizes: Sizes
    folder: Path
    table: Path
    rows: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def add(self, section: str, what: str, setting: str, value: Any, unit: str) -> None:
        """Append a row to the table and print it."""
        row = (section, what, setting, f"{value:.4g}" if isinstance(value, float) else str(value), unit)
        self.rows.append(row)
        with self.table.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(row)
        print("{:<12}{:<30}{:<28}{:>14} {}".format(*row), flush=True)


class Clock(pl.Callback):
    """Seconds in batches and between them and the number of batches, of all epochs but the first."""

    def __init__(self, found: dict[str, list[float]]) -> None:
        self.found = found

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        stage = "search" if hasattr(pl_module, "arc_learning_rate") else "training"
        self.seconds = self.found.setdefault(stage, [0.0, 0.0, 0])

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.moment = now()

    def on_train_batch_start(self, trainer: pl.Trainer, *arguments: Any) -> None:
        self._add(trainer, 0)

    def on_train_batch_end(self, trainer: pl.Trainer, *arguments: Any) -> None:
        self._add(trainer, 1)
        if trainer.current_epoch > 0:
            self.seconds[2] += 1

    def _add(self, trainer: pl.Trainer, kind: int) -> None:
        moment = now()
        if trainer.current_epoch > 0:
            self.seconds[kind] += moment - self.moment
        self.moment = moment


def now() -> float:
    """Return the time once the device has done all that it was told to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


@contextmanager
def clocked() -> Iterator[dict[str, list[float]]]:
    """Let every Lightning trainer that is made have a clock; give what they find, by stage."""
    found: dict[str, list[float]] = {}
    create = pl.Trainer.__init__

    def with_clock(trainer: pl.Trainer, *arguments: Any, callbacks: Any = (), **settings: Any) -> None:
        create(trainer, *arguments, callbacks=[*(callbacks or ()), Clock(found)], **settings)

    pl.Trainer.__init__ = with_clock
    try:
        yield found
    finally:
        pl.Trainer.__init__ = create


def experiment(bench: Bench, name: str, pixels: int, space: dict[str, Any], **changes: Any) -> RunDirectory:
    """Return the run directory of an experiment on the sample."""
    sizes = bench.sizes
    settings = {
        "name": name,
        "data": {
            "source": "sample", "specimens": sizes.specimens, "rank": "order", "image_size": pixels,
            "split": {"method": "official", "train": ["train"], "validation": ["val"], "test": ["test"]},
        },
        "space": {"name": "multimodal", **space},
        "search": {"epochs": sizes.epochs, "batch_size": sizes.batch},
        "training": {"epochs": sizes.epochs, "batch_size": sizes.batch},
        "evaluation": {"baselines": []},
        "cache": {"folder": str(bench.folder / "cache")},
        **changes,
    }  # fmt: skip
    file = bench.folder / f"{name}.yml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return RunDirectory.create(bench.folder / name, load_experiment(file))


def stages(bench: Bench, section: str, run: RunDirectory, names: list[str], setting: str) -> None:
    """Run stages and add their seconds, their steps and the share in which the device waits."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with clocked() as found:
        for name in names:
            started = now()
            run_stages(run, [name], SILENT)
            bench.add(section, f"stage {name}", setting, now() - started, "s")
    for stage, (between, within, count) in found.items():
        if count:
            bench.add(section, f"step of {stage}", setting, 1000 * (between + within) / count, "ms")
            bench.add(section, f"waiting in {stage}", setting, between / (between + within), "of the time")
    if torch.cuda.is_available():
        bench.add(section, "peak memory", setting, torch.cuda.max_memory_allocated() / 1e9, "GB")


def machine(bench: Bench) -> None:
    """Say on what is measured."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    for what, value in (
        ("device", name), ("torch", torch.__version__), ("cores", os.cpu_count()), ("threads", torch.get_num_threads()),
    ):  # fmt: skip
        bench.add("machine", what, "", value, "")


def searching(name: str, form: str, options: argparse.Namespace, device: torch.device) -> Callable[[Any], Any]:
    """Return the step of a supernet of benchmarks/search_step.py, recorded and under autocast as its name says."""
    import search_step

    from bioautoml_nni.strategies.graphs import GraphedForward

    network = search_step.build(form, options).to(device)
    graphs = GraphedForward(network) if name.startswith("graphs") else None

    def forward(images: torch.Tensor, group: int) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=name.endswith("bf16")):
            logits = graphs(images, ("alpha", "weights")[group]) if graphs else network(images)
        assert not (graphs and graphs.failure), graphs and graphs.failure
        return logits.float()

    return search_step.make_step(network, form == "fast", forward)


def step(bench: Bench) -> None:
    """Compare a search step with NNI's DARTS: medians of rounds in turn, every other one in reversed order."""
    import search_step

    sizes, device = bench.sizes, bench.device
    options = argparse.Namespace(batch=sizes.batch, size=sizes.pixels, channels=sizes.channels, cells=sizes.cells)
    data = [(images.to(device), labels.to(device)) for images, labels in search_step.batches(options)]
    forms = {"nni": "nni", "nni_channels_last": "nni_channels_last", "nni_bf16": "nni_channels_last", "fast": "fast"}
    forms |= {"graphs": "fast", "graphs_bf16": "fast"} if device.type == "cuda" else {"fast_bf16": "fast"}
    work = {name: searching(name, form, options, device) for name, form in forms.items()}
    for each in work.values():
        for _ in range(4 if device.type == "cuda" else 1):  # recordings are made, memory is taken
            each(data)
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for number in range(sizes.rounds):
        for name in list(work)[:: -1 if number % 2 else 1]:
            started = now()
            for _ in range(sizes.steps):
                work[name](data)
            seconds[name].append((now() - started) / sizes.steps)
    for name, values in seconds.items():
        bench.add("step", name, f"batch {sizes.batch}", 1000 * statistics.median(values), "ms")
        ratio = statistics.median(theirs / own for theirs, own in zip(seconds["nni"], values, strict=True))
        bench.add("step", f"{name} against nni", f"batch {sizes.batch}", ratio, "times as fast")


def searched(bench: Bench) -> RunDirectory:
    """Return the run that end_to_end makes and later sections change."""
    if (bench.folder / "whole").is_dir():
        return RunDirectory.open(bench.folder / "whole")
    space = {"channels": bench.sizes.channels, "cells": bench.sizes.cells}
    return experiment(bench, "whole", bench.sizes.pixels, space)


def end_to_end(bench: Bench) -> None:
    """Run every stage."""
    stages(bench, "end_to_end", searched(bench), list(STAGES), "32-true")


def again(bench: Bench, section: str, name: str, **settings: str) -> None:
    """Run a stage of the run of end_to_end once more with other settings, after the stages that it needs."""
    run_stages(searched(bench), list(STAGES)[: list(STAGES).index(name)], SILENT)
    every = {
        "search.precision": "32-true", "training.precision": "32-true", "training.compile": "false",
        **{key.replace("_", "."): value for key, value in settings.items()},
    }  # fmt: skip
    run = RunDirectory.open(bench.folder / "whole", [f"{key}={value}" for key, value in every.items()])
    told = " ".join(f"{key.replace('_', '.')}={value}" for key, value in settings.items())
    stages(bench, section, run, [name], told)


def compiled(bench: Bench) -> None:
    """Train with torch.compile."""
    again(bench, "compile", "retrain", training_compile="true")
    again(bench, "compile", "retrain", training_compile="true", training_precision="bf16-mixed")


def bf16(bench: Bench) -> None:
    """Train and search in bf16-mixed; the search last, since what follows from it would be done again."""
    again(bench, "bf16", "retrain", training_precision="bf16-mixed")
    again(bench, "bf16", "search", search_precision="bf16-mixed")


def features(bench: Bench) -> None:
    """Compute what a frozen trunk makes of all images."""
    trunk = {"encoder": bench.sizes.encoder, "embedding": True}
    run = experiment(bench, "frozen", bench.sizes.encoder_pixels, {"cells": 1, "trunk": trunk})
    run_stages(run, ["prepare"], SILENT)
    data = PreparedData.load(run)
    assert data.pixels is not None
    started = now()
    assert data.features is not None
    seconds = now() - started
    bench.add("features", "features of all images", bench.sizes.encoder, seconds, "s")
    bench.add("features", "throughput", bench.sizes.encoder, len(data.table) / seconds, "images/s")


def fine_tuning(bench: Bench) -> None:
    """Train an encoder along, from images."""
    trunk = {"encoder": bench.sizes.encoder, "frozen": False}
    run = experiment(
        bench, "tuned", bench.sizes.encoder_pixels, {"cells": 1, "trunk": trunk}, derivation={"method": "random"}
    )
    stages(bench, "fine_tuning", run, ["prepare", "derive", "retrain", "evaluate"], bench.sizes.encoder)


SECTIONS: dict[str, Callable[[Bench], None]] = {
    "machine": machine, "step": step, "end_to_end": end_to_end, "compile": compiled, "features": features,
    "fine_tuning": fine_tuning, "bf16": bf16,
}  # fmt: skip


def measure(bench: Bench, names: list[str], seconds: float) -> list[str]:
    """Run sections until the time is over; return those that failed."""
    started, failed = time.monotonic(), []
    for name in names:
        if time.monotonic() - started > seconds:
            bench.add(name, "not measured", "", "no time left", "")
            continue
        try:
            SECTIONS[name](bench)
        except Exception as error:  # the others are wanted all the same
            traceback.print_exc()
            bench.add(name, "failed", type(error).__name__, " ".join(str(error).split())[:200], "")
            failed.append(name)
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="miniatures on the CPU, to see that everything runs")
    parser.add_argument("--minutes", type=float, default=9.0, help="after which no further section begins")
    parser.add_argument("--sections", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--output", type=Path, default=HERE / "out")
    options = parser.parse_args()
    if not options.check and not torch.cuda.is_available():
        sys.exit("gpu_all.py: PyTorch finds no GPU here; --check tries everything on the CPU with miniatures.")
    quiet()
    if options.check:
        compiling.BACKEND = "eager"  # no compiler is needed, and minutes are saved
    options.output.mkdir(parents=True, exist_ok=True)
    table = options.output / ("gpu_all_check.csv" if options.check else "gpu_all.csv")
    table.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="bioautoml-gpu-") as folder:
        bench = Bench(MINIATURE if options.check else Sizes(), Path(folder), table)
        failed = measure(bench, options.sections, 60 * options.minutes)
    print(f"Wrote {table}.")
    if failed:
        sys.exit(f"gpu_all.py: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
