"""What has to be there before a network is taught: the trained networks of teachers that are experiment files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from ..runs.directory import STAGES, RunDirectory
from ..runs.teacher import is_experiment, teacher_experiment, teacher_folder

TAUGHT: Mapping[str, str] = {"search": "search", "derive": "training", "retrain": "training"}
"""For each stage that trains, the section that names its teacher."""


def untrained_teacher(run: RunDirectory, stage: str) -> str | None:
    """Return the experiment file that teaches in a stage, if its network is not trained yet."""
    settings = getattr(run.experiment, TAUGHT[stage]).distillation if stage in TAUGHT else None
    if settings is None or not is_experiment(settings.teacher):
        return None
    folder = teacher_folder(run, settings.teacher)
    done = (folder / "experiment.yml").is_file() and RunDirectory.open(folder).done("retrain")
    return None if done else str(settings.teacher)


def train_teacher(run: RunDirectory, stage: str, console: Console) -> None:
    """Train the network of the experiment file that teaches in a stage, as far as that is not done.

    Raises:
        BioAutoMLError: whatever ends the teacher's own run.
    """
    from .run import run_stages

    teacher = untrained_teacher(run, stage)
    if teacher is None:
        return
    console.print(f"[bold]Teacher:[/] {escape(Path(teacher).name)}, on the same training split", highlight=False)
    experiment = teacher_experiment(run, teacher, f"{TAUGHT[stage]}.distillation.teacher")
    names = list(STAGES)[: list(STAGES).index("retrain") + 1]
    run_stages(RunDirectory.create(teacher_folder(run, teacher), experiment), names, console)
    console.print("[bold]Teacher:[/] done", highlight=False)
