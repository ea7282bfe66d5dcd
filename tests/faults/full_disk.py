"""Runs an experiment again and again, each time in a process forked from this one: python full_disk.py EXPERIMENT

Every line on standard input names the folder of a run; it does `bioautoml run` and answers with a JSON list: exit code
and what was said.
"""

import json
import os
import sys
import tempfile

import torch
from ready import import_everything

from bioautoml_nni.cli import main as command_line


def attempt(experiment: str, run: str) -> tuple[int, str]:
    with tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if child == 0:
            torch.set_num_threads(1)
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            sys.argv = ["bioautoml", "run", experiment, "--output", run]
            code = 1
            try:
                command_line.main()
            except SystemExit as end:
                code = end.code or 0
            except BaseException:
                import traceback

                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return os.waitstatus_to_exitcode(status), said.read()


import_everything()
EXPERIMENT = sys.argv[1]
for line in sys.stdin:
    print(json.dumps(attempt(EXPERIMENT, line.strip())), flush=True)
os._exit(0)  # clearing everything away takes an interpreter seconds
