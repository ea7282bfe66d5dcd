"""The dry run of an experiment that several processes do together: by as many processes as the run would have here."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ..artifacts.history import read_history
from ..runs.directory import RunDirectory
from ..utils.errors import BioAutoMLError

PAUSE = 0.02
"""Seconds between two looks at what the processes have written."""


def in_group(run: Path, stages: Sequence[str], console: Console) -> dict[str, dict[str, Any]]:
    """Do stages of a prepared run as its command does, in several processes, and return what each took.

    An epoch is timed from the line of the one before in the stage's history to its own. Memory is that of the first
    process's GPU, whose share is as large as any, or, without one, of the process that took most.

    Args:
        stages: without `prepare`, which is done.

    Raises:
        BioAutoMLError: if the command fails, with what it said.
    """
    command = [sys.executable, "-W", "ignore", "-m", "bioautoml_nni", "run", str(run), "--no-baselines", "--no-report"]
    times: dict[str, list[float]] = {stage: [] for stage in stages}
    with tempfile.TemporaryFile("w+") as said, console.status("dry run: in several processes"):
        with subprocess.Popen(command, stdout=said, stderr=said, env={**os.environ, "NO_COLOR": "1"}) as process:
            try:
                while process.poll() is None:
                    _note(run, times)
                    time.sleep(PAUSE)
            except BaseException:  # its processes end with it
                process.terminate()
                raise
        _note(run, times)
        said.seek(0)
        text = " ".join(said.read().split())
    if process.returncode:
        raise BioAutoMLError(f"dry run: {text.rpartition('Error: ')[2] or 'the processes have said nothing'}")
    provenance = RunDirectory.open(run).provenance()
    took, held = provenance.stages, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    memory = provenance.hardware.get("gpu_memory_mb", held / (1e6 if sys.platform == "darwin" else 1e3))
    return {
        stage: {"seconds": took[stage].seconds, "epoch_seconds": _last(times[stage]), "memory": memory}
        for stage in stages
    }


def _note(run: Path, times: Mapping[str, list[float]]) -> None:
    """Note when lines of histories are there for the first time."""
    now = time.perf_counter()
    for stage, seen in times.items():
        file = run / stage / "history.jsonl"
        if file.is_file():
            seen += [now] * (len(read_history(file)) - len(seen))


def _last(seen: Sequence[float]) -> float | None:
    return seen[-1] - seen[-2] if len(seen) > 1 else None
