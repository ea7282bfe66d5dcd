import os
import subprocess
import sys

import pytest

from bioautoml_nni.utils import memory

SCRIPT = """
import os, sys, torch
from bioautoml_nni.utils.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
maps = [torch.empty(2**20).fill_(1) for _ in range(16)]
held = resident()
del maps
print(held - resident())
"""
MAPS = 16 * 4 * 2**20
"""Bytes of the feature maps of the script."""


def test_freed_maps_stay_with_the_process():
    if not memory.keep_freed_memory():
        pytest.skip("only glibc is told to keep freed memory")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    returned = {
        name: int(subprocess.check_output([sys.executable, "-c", SCRIPT, name], text=True, env=environment))
        for name in ("as is", "kept")
    }
    assert returned["as is"] > 0.9 * MAPS
    assert returned["kept"] < 0.1 * MAPS


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.keep_freed_memory() is False
