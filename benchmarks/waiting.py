"""Which share of its time a step waits for data: python benchmarks/waiting.py [EXPERIMENT] [--set KEY=VALUE ...]

Runs the search and the training of an experiment, by default three epochs of the sample, and measures in the training
process how long it is between batches (decoding, augmentation, copying, what Lightning does in between) and how long in
them. The first epoch warms up. Once with decoded images in the cache, as is usual, and once with none. Written to
benchmarks/out/waiting.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from kept import keep
from rich.console import Console

from bioautoml_nni.config import load_experiment
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.stages.run import run_stages
from bioautoml_nni.utils.quiet import quiet

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "examples" / "sample" / "experiment.yml"
SHORT = ("search.epochs=3", "strategy.warmup_epochs=1", "training.epochs=3")


class Clock(pl.Callback):
    """Seconds in batches and between them, of all epochs but the first of each training."""

    found: dict[str, list[float]] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        stage = "search" if hasattr(pl_module, "arc_learning_rate") else "training"
        self.seconds = self.found.setdefault(stage, [0.0, 0.0])

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.moment = time.perf_counter()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch, batch_idx) -> None:
        self._add(trainer, 0)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *arguments) -> None:
        self._add(trainer, 1)

    def _add(self, trainer: pl.Trainer, kind: int) -> None:
        now = time.perf_counter()
        if trainer.current_epoch > 0:
            self.seconds[kind] += now - self.moment
        self.moment = now


def measure(path: Path, overrides: list[str]) -> dict[str, float]:
    """Return the share of time between batches, by stage."""
    Clock.found = {}
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory.create(Path(folder) / "run", load_experiment(path, overrides))
        run_stages(run, ["prepare", "search", "derive", "retrain"], Console(quiet=True))
    return {stage: between / (between + within) for stage, (between, within) in Clock.found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--set", action="append", default=list(SHORT), metavar="KEY=VALUE")
    options = parser.parse_args()
    quiet()
    create = pl.Trainer.__init__

    def with_clock(trainer: pl.Trainer, *arguments, callbacks=(), **settings) -> None:
        create(trainer, *arguments, callbacks=[*(callbacks or ()), Clock()], **settings)

    pl.Trainer.__init__ = with_clock
    shares = {
        name: measure(options.experiment, [*options.set, *extra])
        for name, extra in (("images cached", []), ("images decoded in every epoch", ["cache.max_gb=0"]))
    }
    for name, share in shares.items():
        told = ", ".join(f"{stage} {100 * value:.1f} %" for stage, value in share.items())
        print(f"{name}: waits {told} of its time ({torch.get_num_threads()} threads)")
    keep("waiting", shares)


if __name__ == "__main__":
    main()
