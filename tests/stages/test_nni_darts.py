"""NNI's own DARTS in a run: it resumes after an interruption."""

import json

import pytest
import torch
from conftest import tiny_experiment
from rich.console import Console

from bioautoml_nni.config import parse_experiment
from bioautoml_nni.config.load import changed
from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.stages.run import run_stages
from bioautoml_nni.strategies.nni_darts import NNIDarts

SILENT = Console(quiet=True)


class Stop(BaseException):
    pass


def test_an_interrupted_search_of_nni_s_own_darts_goes_on_with_each_parameter_s_own_moments(table_root, tmp_path):
    settings = {"strategy": {"name": "nni_darts", "arc_learning_rate": 0.05}, "search.epochs": 3}
    experiment = changed(parse_experiment(tiny_experiment(table_root)), settings, "test")
    run = RunDirectory.create(tmp_path / "run", experiment)

    def stop(stage, line):
        if line["epoch"] == 1:  # the checkpoint at hand is that of the first epoch
            raise Stop

    run.listeners.append(stop)
    with pytest.raises(Stop):
        run_stages(run, ["prepare", "search"], SILENT)
    checkpoint = torch.load(run / "search/last.ckpt", weights_only=True)
    kept = [state["exp_avg"] for _, state in sorted(checkpoint["optimizer_states"][-1]["state"].items())]
    supernet = NNIDarts().mutate_model(PreparedData.load(run).search_space())
    declared = named_architecture_parameters(supernet).values()
    assert [len(moments) for moments in kept] == [len(parameter) for parameter in declared]
    assert len({len(moments) for moments in kept}) > 1, "of several sizes, which must not be mixed up"

    run.listeners.clear()
    run_stages(run, ["search"], SILENT)
    shares = json.loads((run / "search/shares.json").read_text(encoding="utf-8"))
    assert any(abs(share - 1 / len(own)) > 0.01 for own in shares.values() for share in own.values())
