"""A process that has imported everything: what is forked from it starts at once, instead of after seconds of imports.

python ready.py: every line on standard input is a JSON object that says what a command of `bioautoml` is given, its
environment, the folder it is called in and the files for what it says; its exit code is the answer, negative for
signals. The process computes nothing itself, since a forked process has only the thread that forked it.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import signal
import sys
import traceback
from contextlib import suppress

STAGES = ("derive", "estimate", "evaluate", "export", "prepare", "report", "retrain", "run", "search")
LATE = (
    *(f"bioautoml_nni.stages.{name}" for name in STAGES),
    "bioautoml_nni.runtime.predict", "bioautoml_nni.search_spaces", "bioautoml_nni.strategies",
    "s3fs", "gcsfs",  # Lightning imports them to save a checkpoint
    "matplotlib.pyplot", "nni.nas.experiment", "onnxruntime", "onnxscript", "sklearn.linear_model", "torchvision",
)  # fmt: skip
"""Modules that commands import when they need them."""
SECONDS = 300


def import_everything() -> None:
    """Import what the commands import, those that are not installed apart."""
    importlib.import_module("bioautoml_nni.cli.main")
    for name in LATE:
        with suppress(ImportError):
            importlib.import_module(name)


def become(asked: dict) -> int:
    """Do a command in this process and return its exit code."""
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, file in ((1, asked["out"]), (2, asked["err"])):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    signal.alarm(SECONDS)
    sys.argv = asked["command"]
    from bioautoml_nni.cli.main import main as command_line

    try:
        command_line()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    """Fork a process for every line, and end with the input."""
    import_everything()
    gc.freeze()  # a forked process that looked for garbage among the modules would copy them
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = become(json.loads(line))
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # an interpreter that ends waits for threads that the fork has left behind
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
