import subprocess
import sys

import pytest

from bioautoml_nni import memory

SCRIPT = """
import resource, sys, torch
from bioautoml_nni.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def work():
    for _ in range(20):
        maps = [torch.empty(2**20).fill_(1) for _ in range(8)]
work()
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_kept_memory_is_used_again_without_page_faults():
    if not memory.keep_freed_memory():
        pytest.skip("only glibc is told to keep freed memory")
    faults = {
        name: int(subprocess.check_output([sys.executable, "-c", SCRIPT, name], text=True))
        for name in ("as is", "kept")
    }
    assert 10 * faults["kept"] < faults["as is"]


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.keep_freed_memory() is False
