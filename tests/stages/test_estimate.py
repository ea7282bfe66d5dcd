"""The dry run before a long one: what is sampled, what is counted, and what it says."""

import re
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import bioautoml, here, tiny_experiment, write_experiment, write_table
from rich.console import Console

from bioautoml_nni.cli import estimating
from bioautoml_nni.config import load_experiment, parse_experiment
from bioautoml_nni.config.load import changed
from bioautoml_nni.data import splits
from bioautoml_nni.data.image_store import ImageStore
from bioautoml_nni.derivation.halving import halving
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.environment import gpu_memory
from bioautoml_nni.stages import estimate as module
from bioautoml_nni.stages import estimate_features, estimate_group
from bioautoml_nni.stages.estimate import estimate
from bioautoml_nni.stages.run import run_stages
from bioautoml_nni.utils.errors import BioAutoMLError
from bioautoml_nni.utils.progress import duration


@pytest.mark.parametrize("batch", [2, 16, 1000])
def test_the_sample_has_all_parts_in_proportion(batch):
    sizes = {splits.WEIGHTS: 4000, splits.ALPHA: 2000, splits.VALIDATION: 1000, splits.TEST: 3000}
    part = pd.Series(np.repeat(list(sizes), list(sizes.values()))).sample(frac=1, random_state=0)
    chosen = module._sample(part, sizes, batch)
    assert chosen.is_unique
    found = part[chosen].value_counts()
    share = min(1.0, module.BATCHES * batch / 2000)
    for name, size in sizes.items():
        assert found[name] == pytest.approx(share * size, abs=2)


@pytest.mark.parametrize(
    ("candidates", "first", "longest", "total"), [(8, 4, 40, 64), (5, 3, 7, 26), (2, 1, 1, 2), (16, 10, 12, 176)]
)
def test_epochs_of_halving_are_those_that_it_trains(candidates, first, longest, total):
    trained: dict[int, int] = {}

    def score(number: int, epochs: int) -> float:
        trained[number] = max(trained.get(number, 0), min(epochs, longest))
        return number

    halving(candidates, first, score)
    assert module._halving_epochs(candidates, first, longest) == sum(trained.values()) == total


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3599, "59 min 59 s"), (5400, "1 h 30 min")]
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


def test_what_a_run_will_cost(table_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(path for path in tmp_path.rglob("*") if "data" not in path.parts)
    path = write_experiment(tmp_path, table_root)
    done = bioautoml("estimate", path, "--set", "training.epochs=40")
    assert done.returncode == 0, done.stdout + done.stderr
    for stage, epochs in (("search", "2"), ("retrain", "40")):
        line = next(line for line in done.stdout.splitlines() if stage in line)
        assert re.search(rf"{epochs} │\s+[\d.]+ (s|min|h)", line)
    assert re.search(r"Memory \d+\.\d GB", done.stdout)
    assert "whole run" in done.stdout and "image cache 0.00 GB (kept)" in " ".join(done.stdout.split())
    assert not done.stderr, "nothing of NNI or torch shows"
    after = sorted(path for path in tmp_path.rglob("*") if "data" not in path.parts)
    assert set(after) - set(before) <= {tmp_path / "experiment.yml"}, "nothing is left behind"


def test_times_grow_with_epochs_and_a_limit_holds(tmp_path):
    write_table(tmp_path / "data")
    raw = tiny_experiment(tmp_path / "data")
    raw["training"]["epochs"] = 10**9
    raw["retrain"] = {"max_minutes": 3}
    raw["data"]["modalities"] = ["metadata"]
    found = estimate(parse_experiment(raw), Console(quiet=True))
    assert found.stages["retrain"].seconds == 180 and "search" not in found.stages
    assert found.seconds == pytest.approx(sum(cost.seconds for cost in found.stages.values()))
    assert sum(found.specimens.values()) == 72 >= found.sampled and found.cached
    assert found.cache_gb == 0


def test_what_would_end_the_run_ends_the_estimate(table_root, tmp_path):
    (table_root / "images/0.png").write_bytes(b"no image")
    path = write_experiment(tmp_path, table_root)
    done = here("estimate", path, "--set", "data.max_unreadable=0")
    assert done.returncode == 2 and "dry run:" in done.stderr and "Traceback" not in done.stderr


def test_teachers_are_named_since_their_time_is_not_counted(tmp_path):
    experiment = load_experiment(write_experiment(tmp_path, tmp_path / "data"))
    assert estimating.uncounted(experiment) == ""
    lessons = {"training.distillation.teacher": "/there/finetune.yml", "search.distillation.teacher": "timm:resnet18"}
    said = estimating.uncounted(changed(experiment, lessons, "test"))
    assert said == "Not counted: to train and to ask the teacher finetune.yml and timm:resnet18."


def test_a_long_run_says_what_it_will_take(finished, monkeypatch):
    run = RunDirectory.open(finished[0])
    assert not estimating.is_long(run)
    monkeypatch.setattr(estimating, "LONG", 1)
    assert not estimating.is_long(run), "what is done costs nothing"
    for name in ("retrain", "search"):
        (run / name).rename(run / f"{name}-away")
    try:
        assert estimating.is_long(run)
    finally:
        for name in ("retrain", "search"):
            (run / f"{name}-away").rename(run / name)


def test_what_is_in_the_cache_already_costs_no_decoding(table_root, tmp_path, monkeypatch):
    costs = {
        "prepare": {"seconds": 0.0}, "search": {"epoch_seconds": 0.1}, "retrain": {"epoch_seconds": 0.1},
        "evaluate": {"seconds": 0.0, "memory": 1.0},
    }  # fmt: skip
    monkeypatch.setattr(module, "_in_process", lambda *arguments: costs)
    experiment = parse_experiment(tiny_experiment(table_root, cache={"folder": str(tmp_path / "cache")}))
    first = estimate(experiment, Console(quiet=True))
    assert first.there == 0 and not (tmp_path / "cache").exists()
    store = ImageStore(table_root, 16, tmp_path / "cache")
    store.ensure([f"images/{number}.png" for number in range(36)])
    whole, clock = ImageStore.ensure, [0.0]

    def ensure(self, references, *more):
        clock[0] += 100
        return whole(self, references, *more)

    monkeypatch.setattr(ImageStore, "ensure", ensure)
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    half = estimate(experiment, Console(quiet=True))
    assert half.there == 36 and half.stages["prepare"].seconds == 50
    whole(store, [f"images/{number}.png" for number in range(72)])
    again = estimate(experiment, Console(quiet=True))
    assert again.there == 72 and again.stages["prepare"].seconds == 0


def test_processes_are_measured_and_machines_are_arithmetic(table_root, tmp_path, monkeypatch, capsys):
    started = []

    def together(run, stages, console):
        started.append((RunDirectory.open(run).experiment.devices, RunDirectory.open(run).experiment.nodes, *stages))
        return {stage: {"seconds": 3.0, "epoch_seconds": 6.0, "memory": 900.0} for stage in stages}

    monkeypatch.setattr(module, "_in_process", lambda run, stages, *rest: {stage: {"seconds": 1.0} for stage in stages})
    monkeypatch.setattr(module, "in_group", together)
    costs = {}
    for nodes in (1, 3):
        raw = tiny_experiment(table_root, devices=2, nodes=nodes, cache={"folder": str(tmp_path / "cache")})
        raw["training"]["batch_size"], raw["search"]["batch_size"] = 12, 12
        costs[nodes] = estimate(parse_experiment(raw), Console(quiet=True))
    assert started == 2 * [(2, 1, "search", "derive", "retrain", "evaluate")]
    for stage in ("search", "retrain"):
        assert costs[1].stages[stage].epoch_seconds == pytest.approx(3 * costs[3].stages[stage].epoch_seconds)
    assert costs[1].processes == 2 and costs[3].nodes == 3
    monkeypatch.setattr("bioautoml_nni.stages.estimate.estimate", lambda *given: costs[3])
    estimating.show_estimate(parse_experiment(raw))
    said = " ".join(capsys.readouterr().out.split())
    assert "Memory 0.9 GB of each process" in said and "by 2 processes on this machine" in said
    assert "divided by 3: that is arithmetic" in said


def test_a_dry_run_of_several_processes_times_epochs_and_says_what_fails(tmp_path, monkeypatch):
    seconds = {"retrain": SimpleNamespace(seconds=4.0), "derive": SimpleNamespace(seconds=0.5)}
    hardware = {}
    run = SimpleNamespace(provenance=lambda: SimpleNamespace(stages=seconds, hardware=hardware))
    monkeypatch.setattr(estimate_group.RunDirectory, "open", lambda path: run)
    (tmp_path / "retrain").mkdir()
    script = tmp_path / "python"
    script.write_text(
        f"#!/bin/sh\necho $* > {tmp_path}/asked\n"
        f"echo '{{\"epoch\": 0}}' > {tmp_path}/retrain/history.jsonl\nsleep 0.4\n"
        f"echo '{{\"epoch\": 1}}' >> {tmp_path}/retrain/history.jsonl\nsleep 0.2\n"
        f"test ! -e {tmp_path}/broken || {{ echo 'Error: process 1 of 2: no memory.' >&2; exit 2; }}\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(estimate_group.sys, "executable", str(script))
    found = estimate_group.in_group(tmp_path, ["derive", "retrain"], Console(quiet=True))
    assert found["derive"]["epoch_seconds"] is None and found["retrain"]["seconds"] == 4
    assert 0.2 < found["retrain"]["epoch_seconds"] < 2
    assert (tmp_path / "asked").read_text().endswith(f"run {tmp_path} --no-baselines --no-report\n")
    assert found["retrain"]["memory"] > 1, "that of the processes, since none had a GPU"
    hardware["gpu_memory_mb"] = 77000.5
    found = estimate_group.in_group(tmp_path, ["derive"], Console(quiet=True))
    assert found["derive"]["memory"] == 77000.5, "that of the GPU, however much the machine's own is"
    (tmp_path / "broken").touch()
    with pytest.raises(BioAutoMLError, match="dry run: process 1 of 2: no memory"):
        estimate_group.in_group(tmp_path, ["derive", "retrain"], Console(quiet=True))


def test_a_dry_run_makes_no_report(finished, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(finished[0], copy)
    (copy / "report.html").unlink()
    done = here("run", copy, "--no-baselines", "--no-report")
    assert done.returncode == 0, done.stderr
    assert "Report" not in done.stdout and not (copy / "report.html").exists()


def test_the_memory_of_a_gpu_is_recorded_where_there_is_one(monkeypatch):
    assert gpu_memory() == {}
    held = [3_000_000, 5_500_000]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", held.__getitem__)
    assert gpu_memory() == {"gpu_memory_mb": 5.5}


def test_features_of_a_frozen_trunk_are_counted_by_views_unless_they_are_there(tmp_path, monkeypatch):
    """With a clock that says a tenth of a second for each image in each view."""
    write_table(tmp_path / "data")
    trunk = {"encoder": "timm:test_resnet@random", "stage": 1}
    path = write_experiment(
        tmp_path, tmp_path / "data", space={"name": "multimodal", "channels": 4, "cells": 1, "trunk": trunk},
        cache={"folder": str(tmp_path / "cache")},
    )  # fmt: skip
    monkeypatch.setattr(estimate_features, "_seconds_a_row", lambda request, few, dry: 0.1)
    monkeypatch.setattr(module, "_in_process", lambda *given: {
        name: {"seconds": 1.0, "epoch_seconds": 1.0, "memory": 1.0} for name in module.DRY
    })  # fmt: skip

    def cost(views):
        found = estimate(load_experiment(path, [f"space.trunk.views={views}"]), Console(quiet=True))
        assert found.seconds == pytest.approx(sum(stage.seconds for stage in found.stages.values()))
        return found.stages["features"].seconds, found.features

    alone, seconds = cost(0)
    images = round(alone / 0.1)
    assert images > 60 and seconds.share == 0
    assert cost(3)[0] == pytest.approx(4 * alone) and cost(3)[1].gb == pytest.approx(4 * seconds.gb)
    run_stages(RunDirectory.create(tmp_path / "run", load_experiment(path)), ["prepare", "search"], Console(quiet=True))
    there, found = cost(0)
    assert there == 0 and found.share == 1
    more, found = cost(3)
    assert more == pytest.approx(3 * alone) and found.share == pytest.approx(0.25)


def test_the_time_of_a_row_is_measured_and_shown(tmp_path):
    write_table(tmp_path / "data")
    path = write_experiment(
        tmp_path, tmp_path / "data", space={"name": "probe", "encoder": "timm:test_resnet@random"},
        cache={"folder": str(tmp_path / "cache")},
    )  # fmt: skip
    done = here("estimate", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "features" in done.stdout and "features of frozen encoders 0.00 GB" in " ".join(done.stdout.split())
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").rglob("values.f16"))
