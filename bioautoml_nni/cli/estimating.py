"""What `bioautoml estimate` prints, and `bioautoml run` before a long run."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from .shared import console

LONG = 2_000_000
"""From so many specimens times epochs a run says what it will take before it searches."""


def is_long(directory: object) -> bool:
    """Whether a run is so long that it says what it will take, and has not begun to search or train."""
    from ..data.own_csv import read_own
    from ..runs.directory import RunDirectory

    assert isinstance(directory, RunDirectory)
    begun = ("search/last.ckpt", "retrain/last.ckpt", "retrain/model.pt")
    if directory.done("search") or any((directory / name).is_file() for name in begun):
        return False
    epochs = directory.experiment.search.epochs + directory.experiment.training.epochs
    return epochs * len(read_own(directory / "splits.csv")) > LONG


def uncounted(experiment: object) -> str:
    """Return a sentence on the teachers, of which a dry run knows nothing; empty without one."""
    from ..config import Experiment

    assert isinstance(experiment, Experiment)
    lessons = (experiment.search.distillation, experiment.training.distillation)
    names = sorted({Path(settings.teacher).name for settings in lessons if settings is not None})
    return f"Not counted: to train and to ask the teacher {' and '.join(names)}." if names else ""


def show_estimate(experiment: object) -> None:
    """Print the time, memory and disk that a dry run predicts."""
    from ..config import Experiment
    from ..stages.estimate import estimate as estimated
    from ..utils.progress import duration

    assert isinstance(experiment, Experiment)
    found = estimated(experiment, console)
    shown = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in found.specimens.items())
    table = Table(title=f"{experiment.name}: {shown}", title_justify="left")
    for name in ("", "epochs", "one epoch", "in all"):
        table.add_column(name, justify="left" if not name else "right")
    for name, cost in found.stages.items():
        once = "" if cost.epoch_seconds is None else duration(cost.epoch_seconds)
        table.add_row(name, str(cost.epochs or ""), once, duration(cost.seconds))
    table.add_row("whole run", "", "", duration(found.seconds), style="bold")
    console.print(table)
    kept = "kept" if found.cached else "above cache.max_gb, so decoded again in every epoch"
    kept += f"; {found.there:,} images are there" if found.there else ""
    images = f"image cache {found.cache_gb:.2f} GB ({kept}); " if found.cache_gb else ""
    if found.features is not None:
        done = f", of which {found.features.share:.0%} are there" if found.features.share else ""
        images += f"features of frozen encoders {found.features.gb:.2f} GB{done}; "
    several = found.processes > 1
    console.print(
        f"Memory {found.memory_mb / 1000:.1f} GB{' of each process' if several else ''}. Disk: {images}run directory "
        f"about {found.run_mb:.0f} MB. From a dry run of {found.sampled:,} specimens "
        f"{f'by {found.processes} processes ' if several else ''}on this machine, as busy as it is now."
    )
    if found.nodes > 1:
        console.print(
            f"Epochs that {found.nodes} machines share are those of this machine divided by {found.nodes}: that is "
            "arithmetic, without what passes between the machines.",
            highlight=False,
        )
    if teachers := uncounted(experiment):
        console.print(teachers, markup=False, highlight=False)
