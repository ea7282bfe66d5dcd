"""What candidates teach a student, and which candidates are tried as teachers alone."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import write_experiment, write_table
from rich.console import Console

import bioautoml_nni.auto.teaching as teaching
from bioautoml_nni.architecture.budgets import BUDGETS
from bioautoml_nni.auto._base import Work
from bioautoml_nni.auto.limits import Limits
from bioautoml_nni.auto.plan import Clock, Slot, make_plan, plan_settings
from bioautoml_nni.compare.rows import find_method
from bioautoml_nni.config import load_experiment
from bioautoml_nni.config.load import changed
from bioautoml_nni.config.schema import DataConfig, SplitConfig
from bioautoml_nni.data import splits
from bioautoml_nni.data.manifest import LABEL
from bioautoml_nni.features import load_encoder
from bioautoml_nni.runs import before_refit
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.networks import load_model, predict_logits
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.runs.teacher_asked import Asked
from bioautoml_nni.runs.teacher_table import table_answers


def test_the_table_holds_logits_under_the_training_prior_of_the_training_split(finished, tmp_path, monkeypatch):
    run = RunDirectory.open(finished[0])
    data = PreparedData.load(run)
    weights = teaching.write_teacher(data, [run.path], tmp_path / "teacher.parquet")
    assert weights == {run.path.name: 1.0}
    asked = Asked(run, data, "key", Console(quiet=True), data.in_training)
    found = table_answers(tmp_path / "teacher.parquet", asked).values[0]
    network = load_model(run, data)
    for part in ("weights_train", "alpha_train"):
        logits = data.loss().prior_logits(predict_logits(data, network, part)[0]).double().log_softmax(1).numpy()
        assert np.allclose(found[(data.part == part).to_numpy()], logits, atol=1e-5)
    assert np.isnan(found[(data.part == "validation").to_numpy()]).all()
    table = pd.read_parquet(tmp_path / "teacher.parquet")
    monkeypatch.setattr(before_refit, "learned_parts", lambda run: ["validation"])
    teaching.write_teacher(data, [run.path], tmp_path / "again.parquet")  # of best.pt, which had not seen validation
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "again.parquet"), table)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    experiment = load_experiment(write_experiment(folder, write_table(folder / "data").parent))
    sizes = {"weights_train": 1000, "alpha_train": 1000, "validation": 400, "test": 600}
    return Work(experiment, sizes, 10, 5, 64)


def plan_for(work, target):
    fitting = dataclasses.replace(work, experiment=changed(work.experiment, {"derivation.target": target}, "test"))
    limits = Limits.of(fitting.experiment.derivation)
    return fitting, {step.name: step for step in make_plan(fitting, limits, Clock(1.0))}


def test_a_small_device_has_a_student_and_teachers_that_are_not_chosen(work):
    fitting, steps = plan_for(work, "trap")
    assert steps["probe"].teaches and "only to teach a smaller one" in steps["probe"].reason
    student, cells = steps["ensemble_student"], steps["searched_on_trunk"]
    assert student.seconds is not None and not student.teaches and not cells.teaches
    taught = dataclasses.replace(fitting, teacher=Path("teacher.parquet"))
    values = student.candidate.settings(taught, 1.0)
    assert values["training.distillation"]["teacher"] == "teacher.parquet" and not values["retrain.refit"]
    for step, of in ((student, taught), (cells, fitting)):
        assert step.candidate.settings(of, 1.0)["space"]["trunk"]["embedding"] is False
        assert not BUDGETS["trap"].overrun(*step.candidate.cost(of))
        changed(of.experiment, step.candidate.settings(of, 1.0), step.name)  # an experiment that is valid


def test_one_that_only_teaches_is_as_large_as_it_is(work):
    fitting, steps = plan_for(work, "trap")
    limits = []
    for name in ("probe", "searched_on_trunk"):
        step = steps[name]
        values = plan_settings(step.candidate, fitting, Slot(1.0, 1.0), step.teaches)
        limits.append(changed(fitting.experiment, values, name).derivation.budget)
    assert limits == [None, BUDGETS["trap"]]


def test_a_large_device_needs_no_student_and_repetitions_keep_the_split(work):
    fitting, steps = plan_for(work, "station")
    assert steps["ensemble_student"].seconds is None
    assert "devices without room" in steps["ensemble_student"].reason
    assert not any(step.teaches for step in steps.values())
    values = [steps[name].candidate.settings(fitting, 1.0) for name in ("searched_on_trunk", "searched_on_trunk_2")]
    assert values[0]["space"] == values[1]["space"] and values[0]["space"]["trunk"]["embedding"] is True
    first, second = (changed(fitting.experiment, each, "test") for each in values)
    assert first.seed != second.seed and second.data.split.seed == first.seed


def test_further_seeds_come_after_what_differs_and_before_what_starts_from_nothing(work):
    _, steps = plan_for(work, "station")
    wanted = ["probe", "searched_on_trunk", "fine_tuned", "searched_on_trunk_2", "searched_on_trunk_3"]
    wanted += ["searched_fine_tuned", "searched"]
    assert [name for name in steps if name in wanted] == wanted


def test_fine_tuning_keeps_maps_where_the_cache_has_room(work):
    fitting, steps = plan_for(work, "station")
    tuned = steps["fine_tuned"].candidate
    crowded = dataclasses.replace(fitting, experiment=changed(fitting.experiment, {"cache.max_gb": 0.1}, "test"))
    trunks = [tuned.settings(of, 1.0)["space"]["trunk"] for of in (fitting, crowded)]
    assert [trunk.get("frozen_stages") for trunk in trunks] == [2, None] and not any(
        trunk["frozen"] for trunk in trunks
    )
    assert tuned.seconds(fitting) < tuned.seconds(crowded)
    for of in (fitting, crowded):
        changed(of.experiment, tuned.settings(of, 1.0), "fine_tuned")  # an experiment that is valid


@pytest.mark.parametrize(("target", "embedding"), [("station", True), ("trap", False)])
def test_searched_cells_are_trained_with_their_encoder_from_stored_maps(work, target, embedding):
    fitting, steps = plan_for(work, target)
    tuned = steps["searched_fine_tuned"].candidate
    crowded = dataclasses.replace(fitting, experiment=changed(fitting.experiment, {"cache.max_gb": 0.1}, "test"))
    for of, stored in ((fitting, 2), (crowded, None)):
        trained = changed(of.experiment, tuned.settings(of, 1.0), "searched_fine_tuned")
        searched, final = (each["trunk"] for each in (trained.space.arguments, trained.network_arguments()))
        assert searched.get("frozen", True) and not final["frozen"] and final["embedding"] is embedding
        assert (final.get("frozen_stages"), final["path_dropout"]) == (stored, 0)
        assert trained.training.recipe == "finetune" and trained.training.trunk_rate < 1
    assert tuned.seconds(fitting) < tuned.seconds(crowded)


@pytest.mark.parametrize("name", ["probe", "searched_on_trunk", "fine_tuned", "searched_fine_tuned", "searched"])
def test_candidates_set_aside_what_the_experiment_does_with_its_own_trunk(work, name):
    own = {"space.cells": 2, "space.trunk": {"encoder": "efficientnet_lite0", "stage": 3, "path_dropout": 0.2}}
    own |= {"retrain.trunk": {"frozen": False, "embedding_dropout": 0.4}, "search.image_sizes": []}
    fitting, steps = plan_for(dataclasses.replace(work, experiment=changed(work.experiment, own, "test")), "station")
    candidate = steps[name].candidate
    values = {**find_method(candidate.row).settings(0), **candidate.settings(fitting, 1.0)}
    result = changed(fitting.experiment, values, name).retrain.trunk
    assert (result.embedding_dropout == 0.4) == (name == "searched")


@pytest.mark.parametrize(
    ("limits", "stage"),
    [
        ({"derivation.target": "station"}, None),
        ({"derivation.target": "trap"}, 5),
        ({"derivation.max_parameters": 1_000_000}, 4),
        ({"derivation.max_mflops": 300}, 4),
        ({"derivation.max_parameters": 500_000}, 3),
    ],
)
def test_fine_tuning_takes_the_stages_that_the_device_has_room_for(work, limits, stage):
    fitting = dataclasses.replace(work, experiment=changed(work.experiment, limits, "test"))
    tuned = next(step.candidate for step in make_plan(fitting, Limits.of(fitting.experiment.derivation), Clock(1.0))
                 if step.name == "fine_tuned")  # fmt: skip
    trunk = changed(fitting.experiment, tuned.settings(fitting, 1.0), "fine_tuned").space.arguments["trunk"]
    assert (trunk.get("stage"), trunk["embedding"]) == (stage, stage is None)
    measured = load_encoder(trunk["encoder"]).stages(tuned.settings(fitting, 1.0)["data.image_size"])
    parameters, flops = tuned.cost(fitting)
    if stage is not None:
        assert parameters == pytest.approx(measured[stage].parameters, rel=0.02)
        assert flops == pytest.approx(measured[stage].flops, rel=0.02)
    assert not fitting.experiment.derivation.budget.overrun(parameters, flops)


def test_fine_tuning_is_left_out_where_no_stage_fits(work):
    tiny = dataclasses.replace(work, experiment=changed(work.experiment, {"derivation.max_mflops": 100}, "test"))
    steps = make_plan(tiny, Limits.of(tiny.experiment.derivation), Clock(1.0))
    (tuned,) = (step for step in steps if step.name == "fine_tuned")
    assert tuned.seconds is None or tuned.teaches


def test_another_seed_with_that_of_the_split_draws_the_same_parts():
    table = pd.DataFrame({LABEL: ["a", "b"] * 50})
    plain, fixed = DataConfig(source="csv"), DataConfig(source="csv", split=SplitConfig(seed=0))
    assert splits.divide(table, fixed, 5).equals(splits.divide(table, plain, 0))
    assert not splits.divide(table, plain, 5).equals(splits.divide(table, plain, 0))
