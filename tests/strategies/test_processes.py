"""A search in two processes: both end with the same architecture, which is that of one process on joined batches."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import surroundings
from two_processes import search

from bioautoml_nni.registry import plugins


@pytest.fixture(scope="module")
def in_two(tmp_path_factory):
    """A function that returns what both processes ended with."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [str(Path(__file__).with_name("two_processes.py")), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, env=surroundings())
    assert done.returncode == 0, done.stderr[-3000:]
    return lambda name: [torch.load(folder / f"{name}-{rank}.pt", weights_only=True) for rank in "01"]


@pytest.mark.parametrize("schedule", list(plugins("schedules")))
def test_two_processes_end_like_one_on_the_joined_batches(schedule, in_two, tmp_path):
    first, second = in_two(schedule)
    assert set(first) == set(second)
    assert all(torch.equal(first[name], second[name]) for name in first)
    whole = search(tmp_path / "one", schedule, 8, 1, plain=True)
    alphas = [name for name in whole if name.startswith("alpha ")]
    assert len(alphas) == 5 and max(float(whole[name].abs().max()) for name in alphas) > 0.05
    for name in whole:
        assert torch.allclose(whole[name].double(), first[name].double(), atol=1e-7), name


def test_with_batch_statistics_of_their_own_they_agree_as_well(in_two):
    first, second = in_two("usual")
    assert all(torch.equal(first[name], second[name]) for name in first)
