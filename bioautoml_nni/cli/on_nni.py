"""Options of the commands whose runs may be trials of NNI, `compare` and `auto`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..utils.errors import ConfigError

if TYPE_CHECKING:
    from ..nni_jobs.template import Workers

On = Annotated[str | None, typer.Option("--on", help="nni: every run is a trial of NNI, on --machine or this one.")]
Jobs = Annotated[
    int | None, typer.Option("--jobs", min=1, help="Trials of NNI at a time.", show_default="one on each machine")
]
Gpus = Annotated[int, typer.Option("--gpus-per-trial", help="GPUs of each trial of NNI; 0 is without.")]


def workers_on(
    on: str | None, command: str, jobs: int | None, gpus: int, machines: list[str] | None, key: str, python: str | None
) -> Workers | None:
    """Return who does the trials of NNI, None for processes of this machine.

    Args:
        jobs: trials at the same time; None is one on each machine.

    Raises:
        ConfigError: for another place, and options of NNI without it.
    """
    if on not in (None, "nni"):
        raise ConfigError([f"--on {on}: is unknown; there is nni, and without it processes of this machine"], command)
    if on is None:
        if gpus or machines or python:
            raise ConfigError(["--machine, --remote-python and --gpus-per-trial: are of --on nni; add it"], command)
        return None
    from ..nni_jobs.template import Remote, Workers

    remote = Remote(machines, key, python) if machines else None
    return Workers(jobs or len(machines or [None]), gpus, remote)
