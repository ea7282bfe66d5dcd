"""The project without its CPU kernels: torch's own operators search, resume and derive alike, as on a GPU."""

import json
import sys

import pytest
import torch
from conftest import tiny_experiment, write_table
from rich.console import Console

from bioautoml_nni.config import parse_experiment
from bioautoml_nni.kernels import loops, passes
from bioautoml_nni.registry import plugins
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.stages.run import run_stages

STAGES = ["prepare", "search", "derive"]
SILENT = Console(quiet=True)
LOOPS = [name for name, value in vars(loops).items() if hasattr(value, "py_func") and not name.startswith("_")]
TOLERANCES = {"alternating_darts": 1e-4}
"""Of architecture weights after two epochs: both forms add in another order (1.5e-8 was seen)."""
LARGER = 2e-3
"""Of strategies that draw other batches when they resume (1.1e-4 was seen)."""


class Stop(BaseException):
    pass


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("kernels") / "data").parent


def counted(monkeypatch):
    """Count the kernels that are called from now on."""
    calls = []
    for name in LOOPS:
        own = getattr(loops, name)
        monkeypatch.setattr(loops, name, lambda *given, own=own, name=name: (calls.append(name), own(*given))[1])
    return calls


def switched_off(monkeypatch):
    """Let every module that asks whether kernels are usable hear that they are not."""
    asked = passes.usable
    for module in [each for each in list(sys.modules.values()) if vars(each).get("usable") is asked]:
        monkeypatch.setattr(module, "usable", lambda features: False)


def searched(root, folder, strategy, stop_in=None):
    """Prepare, search and derive; if asked, with an interruption in an epoch, after which the search resumes."""
    search = {"epochs": 2, "batch_size": 8, "score_derived": False}
    raw = tiny_experiment(root, strategy={"name": strategy}, search=search)
    run = RunDirectory.create(folder, parse_experiment(raw))

    def interrupt(stage, line):
        if stage == "search" and line["epoch"] == stop_in:
            raise Stop

    if stop_in is not None:
        run.listeners.append(interrupt)
        with pytest.raises(Stop):
            run_stages(run, STAGES, SILENT)
        assert torch.load(run / "search/last.ckpt", weights_only=True)["epoch"] == stop_in - 1
        run.listeners.clear()
    run_stages(run, STAGES, SILENT)
    return run


def weights(run):
    found = json.loads((run / "search/shares.json").read_text(encoding="utf-8"))
    return {f"{label} {name}": share for label, own in found.items() for name, share in own.items()}


def edges(run):
    """Return what the architecture has on its edges: cell, source, target, operation."""
    cells = json.loads((run / "architecture.json").read_text(encoding="utf-8"))["cells"]
    return {(kind, e["source"], e["target"], e["operation"]) for kind, cell in cells.items() for e in cell["edges"]}


@pytest.mark.parametrize("strategy", plugins("strategies"))
def test_every_strategy_searches_resumes_and_derives_alike(strategy, root, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        used = counted(patch)
        usual = searched(root, tmp_path / "usual", strategy)
    with monkeypatch.context() as patch:
        switched_off(patch)
        unused = counted(patch)
        without = searched(root, tmp_path / "without", strategy, stop_in=1)
    assert used and not unused
    assert weights(without) == pytest.approx(weights(usual), abs=TOLERANCES.get(strategy, LARGER))
    assert len(edges(without)) == len(edges(usual)) > 0
    if strategy == "alternating_darts":  # the others leave candidates nearly equal after two epochs
        assert edges(without) == edges(usual)
