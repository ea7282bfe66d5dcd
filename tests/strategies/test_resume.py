"""A killed search that goes on ends bit for bit like one that was never interrupted, whatever its parts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import surroundings
from killed_searches import search

from bioautoml_nni.registry import plugins

PARTS = [
    *({"schedule": name} for name in plugins("schedules")),
    *({"relaxation": name} for name in plugins("relaxations") if name != "softmax"),
    {"regularisers": ["skip_dropout", "beta_decay", "entropy"], "max_skips": 9},
    {"partial_channels": 2},
]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A function that returns the checkpoint which a killed search with the nth parts left."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, str(Path(__file__).with_name("killed_searches.py")), str(folder), json.dumps(PARTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, env=surroundings())
    assert done.returncode == 0, done.stderr[-3000:]
    return lambda number: folder / str(number) / "last.ckpt"


@pytest.mark.parametrize("number", range(len(PARTS)), ids=["-".join(map(str, parts.values())) for parts in PARTS])
def test_resuming_is_exact(number, killed, tmp_path):
    checkpoint = torch.load(killed(number), weights_only=True)
    assert checkpoint["epoch"] == 1, "the last completed epoch is the second"
    folders = [tmp_path / name for name in ("whole", "again")]
    for folder in folders:
        folder.mkdir()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole, alphas = search(folders[0], PARTS[number])
        torch.manual_seed(99)  # whatever went on before in the new process
        resumed, resumed_alphas = search(folders[1], PARTS[number], killed(number))
    finally:
        torch.set_num_threads(threads)
    assert list(alphas) == list(resumed_alphas)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert any(float(alpha.detach().abs().max()) > 0.05 for alpha in alphas.values())
