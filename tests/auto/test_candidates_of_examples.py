"""Every candidate and every row of a comparison is an experiment, whatever the experiment was that it changes."""

from pathlib import Path

import pytest

from bioautoml_nni.auto._base import Work
from bioautoml_nni.auto.limits import Limits
from bioautoml_nni.auto.plan import Clock, Slot, make_plan, plan_settings
from bioautoml_nni.compare._base import RunMethod
from bioautoml_nni.compare.rows import find_method
from bioautoml_nni.config import load_experiment
from bioautoml_nni.config.load import changed

EXAMPLES = Path(__file__).parents[2] / "examples"
EXPERIMENTS = sorted(path for path in EXAMPLES.rglob("*.yml") if "strategy:" in path.read_text(encoding="utf-8"))
SIZES = {"weights_train": 1000, "alpha_train": 1000, "validation": 400, "test": 600}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_every_candidate_can_change_every_example(path, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    experiment = load_experiment(path, [f"data.root={folder}"])
    work = Work(experiment, SIZES, 10, 5, 64, teacher=tmp_path / "teacher.parquet")
    for step in make_plan(work, Limits.of(experiment.derivation), Clock(1.0)):
        assert step.candidate is not None, step.reason
        method = find_method(step.candidate.row)
        own = method.settings(experiment.seed) if isinstance(method, RunMethod) else {}
        slot = Slot(max(0.5, step.candidate.least), 60.0, max_minutes=1.0)
        values = {**own, **plan_settings(step.candidate, work, slot, step.teaches)}
        result = changed(experiment, values, f"{path.name}, {step.name}")
        assert _split(result) == _split(experiment)
        assert step.teaches or result.derivation.budget == experiment.derivation.budget


@pytest.mark.parametrize("row", ["probe", "timm:resnet18", "timm_probe:resnet18@pretrained", "random"])
@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_every_row_can_change_every_example(path, row, tmp_path):
    experiment = load_experiment(path, [f"data.root={tmp_path}"])
    method = find_method(row)
    assert isinstance(method, RunMethod)
    result = changed(experiment, method.settings(1), row)
    assert result.data == experiment.data and result != experiment


def _split(experiment):
    """Return what decides the split, but for a seed that is stated."""
    return experiment.data.split.model_dump(exclude={"seed"})
