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


PIECES = """
import os, sys
from bioautoml_nni.utils.memory import return_freed_memory
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
pieces = [bytes(2**14) for _ in range(2**12)]
kept = pieces[::64]  # what lies between, and at the end, is still there
kept.append(pieces[-1])
held = resident()
del pieces
if sys.argv[1] == "told":
    return_freed_memory()
print(held - resident())
"""


def test_freed_pieces_go_back_to_the_system_once_it_is_told():
    if not memory.keep_freed_memory():
        pytest.skip("only glibc can be told")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    returned = {
        name: int(subprocess.check_output([sys.executable, "-c", PIECES, name], text=True, env=environment))
        for name in ("as is", "told")
    }
    assert returned["as is"] < 0.2 * 2**26
    assert returned["told"] > 0.8 * 2**26


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.keep_freed_memory() is False
    memory.return_freed_memory()
