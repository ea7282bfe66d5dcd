"""What has to be there before a network is taught: the trained networks of teachers that are experiment files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from ..runs.directory import STAGES, RunDirectory
from ..runs.teacher import is_experiment, teacher_experiment, teacher_folder
from .run import run_stages

TAUGHT: Mapping[str, str] = {"search": "search", "derive": "training", "retrain": "training"}
"""For each stage that trains, the section that names its teacher."""


def train_teacher(stage: str, run: RunDirectory, console: Console) -> None:
    """Train the network of the experiment file that teaches in a stage, as far as that is not done.

    Raises:
        BioAutoMLError: whatever ends the teacher's own run.
    """
    settings = getattr(run.experiment, TAUGHT[stage]).distillation if stage in TAUGHT else None
    if settings is None or not is_experiment(settings.teacher):
        return
    experiment = teacher_experiment(run, settings.teacher, f"{TAUGHT[stage]}.distillation.teacher")
    teacher = RunDirectory.create(teacher_folder(run, settings.teacher), experiment)
    if teacher.done("retrain"):
        return
    console.print(
        f"[bold]Teacher:[/] {escape(Path(settings.teacher).name)}, on the same training split", highlight=False
    )
    run_stages(teacher, list(STAGES)[: list(STAGES).index("retrain") + 1], console)
    console.print("[bold]Teacher:[/] done", highlight=False)
