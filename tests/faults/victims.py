"""Kills (SIGKILL) the stages of a run at random moments, each in a process forked from this one, which has no threads.

python victims.py FOLDER KILLS: FOLDER holds experiment.yml and its data. Makes the run FOLDER/whole without a fault and
FOLDER/killed with KILLS kills in every stage, exports both, predicts with both, and prints one JSON object: for each
stage the kills, the seconds it takes without one, and the moments of the kills as shares of that.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from ready import import_everything
from rich.console import Console

from bioautoml_nni.cli.main import app
from bioautoml_nni.config import load_experiment
from bioautoml_nni.runs.directory import STAGES, RunDirectory
from bioautoml_nni.runtime import predict as predict_module
from bioautoml_nni.stages.run import run_stages
from bioautoml_nni.utils.quiet import quiet

FOLDER = Path(sys.argv[1])
KILLS = int(sys.argv[2])


def stage(run: Path, name: str) -> None:
    """Do one stage of a run."""
    directory = RunDirectory.create(run, load_experiment(FOLDER / "experiment.yml", []))
    run_stages(directory, [name], Console(quiet=True))


def command(*arguments: object) -> None:
    """Do what the command line does."""
    app([str(argument) for argument in arguments], standalone_mode=False)


def steps(run: Path) -> dict[str, Callable[[], None]]:
    """All that is done with a run, in order."""
    output = run.with_name(f"{run.name}.csv")
    last: dict[str, Callable[[], None]] = {
        "export": lambda: command("export", run),
        "predict": lambda: command("predict", run, FOLDER / "data/metadata.csv", "--output", output, "--logits"),
    }
    return {name: (lambda name=name: stage(run, name)) for name in STAGES} | last


def fork(action: Callable[[], None], seed: int) -> int:
    """Start an action in a process of its own and return its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        quiet()
        random.seed(seed)
        torch.set_num_threads(1)
        predict_module.BLOCK = 16  # several blocks of so few rows
        with open(FOLDER / "said.txt", "a") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        action()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def finish(action: Callable[[], None]) -> float:
    """Do an action to its end and return its seconds."""
    started = time.monotonic()
    _, status = os.waitpid(fork(action, 0), 0)
    assert status == 0, (FOLDER / "said.txt").read_text()[-4000:]
    return time.monotonic() - started


def kill_during(action: Callable[[], None], seconds: float, generator: random.Random) -> float | None:
    """Kill an action at a random moment; return the share of its time that it had, None if it had ended before."""
    share = generator.random()
    child = fork(action, generator.randrange(2**31))
    time.sleep(share * seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return share
    assert status == 0, (FOLDER / "said.txt").read_text()[-4000:]
    return None


def restore(run: Path, before: Path) -> None:
    """Put a run back to where it was before a stage, and let the images be decoded again."""
    shutil.rmtree(run, ignore_errors=True)
    shutil.rmtree(Path(os.environ["XDG_CACHE_HOME"]), ignore_errors=True)
    run.with_name(f"{run.name}.csv").unlink(missing_ok=True)
    if before.exists():
        shutil.copytree(before, run)


def main() -> None:
    import_everything()
    whole, killed, before = FOLDER / "whole", FOLDER / "killed", FOLDER / "before"
    seconds = {name: finish(action) for name, action in steps(whole).items()}
    shutil.rmtree(Path(os.environ["XDG_CACHE_HOME"]), ignore_errors=True)
    generator = random.Random(0)
    moments: dict[str, list[float]] = {}
    for name, action in steps(killed).items():
        shutil.rmtree(before, ignore_errors=True)
        if killed.exists():
            shutil.copytree(killed, before)
        moments[name] = []
        for _ in range(20 * KILLS):
            if len(moments[name]) == KILLS:
                break
            share = kill_during(action, seconds[name], generator)
            if share is None:
                restore(killed, before)
            else:
                moments[name].append(round(share, 3))
        finish(action)
    print(json.dumps({"kills": {name: len(shares) for name, shares in moments.items()}, "seconds": seconds,
                      "moments": moments}))  # fmt: skip


if __name__ == "__main__":
    main()
