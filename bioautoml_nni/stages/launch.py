"""Processes that a command starts for itself where `devices` asks for several, by the launcher of torchrun.

The command is given again in each of them, and goes on as under torchrun (`together.py`). This process waits, passes on
what ends it, and ends as the first of them that failed.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ..config.schema import Experiment
from ..utils.errors import RunDirectoryError

if TYPE_CHECKING:  # with torch
    from ..training.group import Group

ALONE = "BIOAUTOML_ALONE"
"""Environment variable of a command that is one of many at the same time, and therefore starts no processes."""

LAUNCHER = "BIOAUTOML_LAUNCHER"
"""Environment variable with the number of the process that has started this one, with which it ends."""

LOOK = 1.0
"""Seconds between two looks whether the launcher is there."""

HEARTBEAT = 60
"""Seconds between the launcher's signs of life to itself; on a busy machine torchrun's 5 are missed."""

PATIENCE = 20.0
"""Seconds that a process has to end after its launcher."""


leader: Group | None = None
"""The group that this process leads, which torchrun has started; None in a process of its own."""


def spread(experiment: Experiment, arguments: Sequence[str] | None, console: Console) -> None:
    """Give the command to as many processes as `devices` says, and exit when they have ended; else return.

    Args:
        arguments: of the command line; without them, as from Python, the work is done in this process.

    Raises:
        RunDirectoryError: if torchrun has started other processes than `devices` and `nodes` say, if it has to and has
            not, if there are too few GPUs, or if a process was killed.
    """
    if leader is not None:
        return _require_size(experiment, leader)
    if arguments is None or ALONE in os.environ:
        return
    count = processes(experiment, console)
    if experiment.nodes > 1:
        raise RunDirectoryError(
            f"nodes: {experiment.nodes} machines start the command by torchrun; give on each of them, with --node-rank "
            f"0 on the one that --master-addr names, up to {experiment.nodes - 1} on the others:\n"
            f"torchrun --nnodes {experiment.nodes} --node-rank 0 --nproc-per-node {count} --master-addr FIRST_MACHINE "
            f"--master-port 29500 --no-python bioautoml {shlex.join(arguments)}"
        )
    if count > 1:
        sys.exit(launch(count, ["-m", "bioautoml_nni", *arguments]))


def _require_size(experiment: Experiment, group: Group) -> None:
    """Check that torchrun has started as many processes as an experiment says.

    Raises:
        RunDirectoryError: if not; the defaults say nothing.
    """
    devices, nodes = experiment.devices, experiment.nodes
    if devices == "auto" and nodes in (1, group.machines):
        return
    if (devices, nodes) == (group.local_size, group.machines):
        return
    raise RunDirectoryError(
        f"torchrun has started {group.local_size} processes on each of {group.machines} machines, but the experiment "
        f"says devices: {devices}, nodes: {nodes}; give torchrun --nnodes {nodes} and --nproc-per-node "
        f"{group.local_size if devices == 'auto' else devices}, or set the two keys."
    )


def processes(experiment: Experiment, console: Console) -> int:
    """Return how many processes this machine has for an experiment.

    Raises:
        RunDirectoryError: if there are GPUs, but fewer than processes.
    """
    import torch

    gpus, devices = torch.cuda.device_count(), experiment.devices
    if devices != "auto":
        if 0 < gpus < devices:
            raise RunDirectoryError(
                f"devices: {devices} processes need a GPU each, and this machine has {gpus}; lower it, or hide the "
                "GPUs (CUDA_VISIBLE_DEVICES=) to compute on the CPU."
            )
        return devices
    batch = experiment.training.batch_size
    count = max(
        number for number in range(1, max(1, gpus) + 1) if not batch % (number * experiment.nodes) or number == 1
    )
    if count < gpus:
        console.print(
            f"devices: {count} of {gpus} GPUs, since training.batch_size {batch} cannot be shared by more.",
            highlight=False,
        )
    return count


def launch(count: int, arguments: Sequence[str]) -> int:
    """Run Python in processes of this machine, and return the exit code of the first that failed, else 0.

    Args:
        arguments: of Python.

    Raises:
        RunDirectoryError: if a process was killed.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the processes themselves say what is wrong
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=count, run_id=uuid.uuid4().hex, rdzv_backend="c10d",
        rdzv_endpoint="localhost:0", max_restarts=0, rdzv_configs={"keep_alive_interval": HEARTBEAT},
    )  # fmt: skip
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    os.environ[LAUNCHER] = str(os.getpid())
    try:
        elastic_launch(config, sys.executable)(*arguments)
    except SignalException as ended:
        return 128 + int(ended.sigval)
    except ChildFailedError as failed:
        return _code(failed.failures, count)
    return 0


def _code(failures: dict[int, Any], count: int) -> int:
    """Return the exit code that says most of processes that have failed.

    Raises:
        RunDirectoryError: if one was killed, which could not say so itself.
    """
    codes = {rank: int(failures[rank].exitcode) for rank in sorted(failures)}
    said = next((code for code in codes.values() if code > 0), None)
    if said is not None:
        return said
    rank = next((rank for rank, code in codes.items() if -code != signal.SIGTERM), min(codes))  # which ends the others
    killed = signal.Signals(-codes[rank])
    raise RunDirectoryError(
        f"process {rank} of {count} was ended by {killed.name}"
        f"{', as where memory is short' if killed == signal.SIGKILL else ''}; the others ended with it. The same "
        "command goes on, in a training from the last completed epoch."
    )


def end_with_launcher() -> None:
    """End this process soon after the one that has started it, if that was a launcher which has set `LAUNCHER`."""
    launcher = os.environ.pop(LAUNCHER, None)
    if launcher is None:
        return

    def watch() -> None:
        while os.getppid() == int(launcher):
            time.sleep(LOOK)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="watch of the launcher").start()
