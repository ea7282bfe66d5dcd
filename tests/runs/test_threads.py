"""`threads` of an experiment holds for everything that computes, not for torch alone."""

import json
import subprocess
import sys

from conftest import write_experiment, write_table

STAGE = """
import json, sys
from pathlib import Path
from rich.console import Console
from bioautoml_nni.config import load_experiment
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.stages.run import run_stages
run = RunDirectory.create(Path(sys.argv[2]), load_experiment(Path(sys.argv[1])))
run_stages(run, ["prepare"], Console(quiet=True))
import sklearn.linear_model, torch
from threadpoolctl import threadpool_info
print(json.dumps([torch.get_num_threads()] + [library["num_threads"] for library in threadpool_info()]))
"""


def test_every_library_has_the_experiments_threads(tmp_path):
    write_table(tmp_path / "data")
    experiment = write_experiment(tmp_path, tmp_path / "data", threads=1)
    command = [sys.executable, "-c", STAGE, experiment, tmp_path / "run"]
    counts = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(counts) >= 4  # torch, its OpenMP, scikit-learn's, and a BLAS at least
    assert set(counts) == {1}
