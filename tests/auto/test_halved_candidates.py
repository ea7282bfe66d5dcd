"""Successive halving among candidates that train the same way: when it starts, what it does, and what kills leave."""

import dataclasses
import json
from types import SimpleNamespace

import pandas as pd
import pytest
from conftest import here, write_table
from rich.console import Console
from test_auto import SMALL

import bioautoml_nni.auto.attempt
import bioautoml_nni.auto.plan as plan
import bioautoml_nni.auto.trying as trying
from bioautoml_nni.architecture.budgets import Budget
from bioautoml_nni.auto._base import Candidate, Work
from bioautoml_nni.auto.halving import Halving, finalists, halved_kinds, halving_seconds
from bioautoml_nni.auto.limits import Limits
from bioautoml_nni.auto.plan import Slot, Step
from bioautoml_nni.auto.records import Record, leaderboard, load_record
from bioautoml_nni.auto.trying import Trying
from bioautoml_nni.config import parse_experiment
from bioautoml_nni.runs.directory import STAGES, RunDirectory
from bioautoml_nni.stages.run import begin_training, run_stages
from bioautoml_nni.training.weights import load_weights


class Alike(Candidate):
    """One of several that train the same way."""

    row = "as_configured"
    least = 1.0
    training_share = 0.8
    kind = "alike"

    def seconds(self, work):
        return 100.0

    rate, seed = 0.01, 0

    def settings(self, work, share):
        return {
            "derivation.method": "random", "seed": self.seed, "data.split.seed": 0, "training.epochs": 4,
            "training.learning_rate": self.rate, "training.keep": "last",
        }  # fmt: skip


class Useless(Alike):
    """Learns nothing."""

    rate = 1e-9


class Other(Alike):
    seed = 1


class Different(Alike):
    kind = ""


def steps_of(**candidates):
    return [Step(name, made, 100.0) for name, made in candidates.items()]


def estimate(candidate):
    return 100.0, 10.0


def test_halving_starts_only_where_one_of_three_would_be_left_out_and_takes_nothing_from_others():
    three = steps_of(a=Alike(), b=Useless(), c=Other())
    needed = halving_seconds([step.candidate for step in three], estimate)
    # 3 x (20 before training + a quarter of 80 + half an overhead), then 2 x (60 that are left + an overhead)
    assert needed == pytest.approx(3 * (40 + 5) + 2 * (60 + 10))
    assert halved_kinds(three, estimate, 3 * 110) == {}  # all fit, and an ensemble gains by each
    assert halved_kinds(three, estimate, 3 * 110 - 1) == {"alike": ["a", "b", "c"]}
    assert halved_kinds(three, estimate, needed) == {"alike": ["a", "b", "c"]}
    assert halved_kinds(three, estimate, needed - 1) == {}
    assert halved_kinds(three[:2], estimate, 150) == {}
    between = [*three[:2], *steps_of(d=Different()), three[2]]
    assert halved_kinds(between, estimate, needed + 109) == {}
    assert halved_kinds(between, estimate, needed + 110) == {"alike": ["a", "b", "c"]}
    taught = steps_of(a=Alike(), b=Useless(), c=Other(), d=Different())
    for step in taught:
        step.candidate.needs = ("teacher",)
    assert halved_kinds(taught, estimate, needed) == {}


@pytest.mark.parametrize("target", ["station", "trap"])
def test_the_projects_own_candidates_are_tried_as_ever(target, tmp_path):
    data = {"source": "sample", "specimens": 60, "image_size": 64}
    experiment = parse_experiment({"name": "own", "data": data, "derivation": {"target": target}})
    sizes = {"weights_train": 1300, "alpha_train": 1300, "validation": 700, "test": 1100}
    work, clock = Work(experiment, sizes, 14, 8, 64), plan.Clock(1.0)
    steps = plan.make_plan(work, Limits.of(experiment.derivation), clock)
    assert {"searched_on_trunk", "fine_tuned", "searched"} <= {step.name for step in steps if step.seconds}
    for minutes in range(1, 240, 3):
        assert halved_kinds(steps, lambda candidate: clock.estimate(candidate, work), 60.0 * minutes) == {}


def test_the_better_half_goes_on_two_at_least():
    assert [finalists(count) for count in (1, 2, 3, 4, 5, 8, 9)] == [1, 2, 2, 2, 2, 2, 3]


def test_what_a_rung_saw_is_kept_in_a_file(tmp_path):
    file, names = tmp_path / "halving.json", list("abcdef")
    state = Halving.start(file, "alike", {name: {} for name in names})
    for place, name in enumerate(names):
        if name != "e":  # which failed
            state.note(0, name, 2, [0.3, 0.5, 0.2, 0.4, 0.0, 0.1][place], 1.0)
    assert state.conclude(0) == ["c", "f"]
    again = Halving.load(file)["alike"]
    assert again == dataclasses.replace(state) and again.begun(1) == ["b", "d", "a"]
    for name, score in (("b", 0.1), ("d", 0.6), ("a", 0.6)):
        again.note(1, name, 4, score, 2.0)
    assert again.conclude(1) == ["b"] and again.winners == ["d", "a"]
    assert again.score("b") == (4, 0.1) and again.score("c") == (2, 0.2) and again.seconds("a") == 3.0
    assert "d 0.600, a 0.600, b 0.100; d, a went on" in again.sentences()[1]


def test_those_that_stopped_early_stand_below_all_that_were_trained():
    records = [
        Record("early", "", "stopped early", validation={"macro_f1": 0.9}),
        Record("floor", "", "baseline", validation={"macro_f1": 0.1}), Record("broken", "", "failed"),
        Record("good", "", "winner", validation={"macro_f1": 0.5}),
    ]  # fmt: skip
    assert leaderboard(records)["candidate"].tolist() == ["good", "floor", "early", "broken"]
    assert records[0].scored and not records[0].finished


def without_training(finished, folder):
    """Return a copy of a finished run whose final training is to be done."""
    import shutil

    shutil.copytree(finished, folder)
    for name in ("retrain", "evaluation"):
        shutil.rmtree(folder / name)
    run = RunDirectory.open(folder)
    stages = run.provenance().stages
    run.record(stages={name: stages[name] for name in ("prepare", "search", "derive")})
    return run


def test_a_training_that_paused_goes_on_as_if_it_had_not(finished, tmp_path):
    run = without_training(finished[0], tmp_path / "run")
    done = here("run", run.path, "--first-epochs", 1)
    assert done.returncode == 0 and "Stopped after 1 epochs" in done.stdout, done.stderr
    assert len(run.history("retrain")) == 1 and not run.done("retrain")
    begin_training(run, 1, Console(quiet=True))  # nothing is left of that
    assert len(run.history("retrain")) == 1
    run_stages(run, ["retrain"], Console(quiet=True))
    whole = without_training(finished[0], tmp_path / "whole")  # in this process too, whose threads round alike
    run_stages(whole, ["retrain"], Console(quiet=True))
    assert [dict(line) for line in run.history("retrain")] == [dict(line) for line in whole.history("retrain")]
    ours, theirs = (load_weights(each / "retrain/model.pt") for each in (run, whole))
    assert all(ours[name].equal(theirs[name]) for name in theirs)
    begin_training(run, 1, Console(quiet=True))
    assert run.done("retrain")


CALLS: list[tuple[str, str]] = []
METADATA = ("--set", "data.modalities=[metadata]")
"""Without images a training takes a second."""
SCORES = {"useless": 0.1, "alike": 0.2, "other": 0.3}


@pytest.fixture
def tries(tmp_path, monkeypatch):
    """A call's tries of three that train the same way, whose trainings are replaced by what they would give."""
    monkeypatch.setattr(trying, "join", lambda *arguments: (None, {}))
    CALLS.clear()

    def begin(row, settings, data, folder, *rest):
        CALLS.append((folder.name, "begins"))
        return 2, SCORES[folder.name]

    def attempt(row, settings, data, folder, *rest):
        CALLS.append((folder.name, "goes on"))
        scores = dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1"), 0.5)
        return {"validation": scores, "test": scores, "parameters": 1, "flops": 1, "latency_ms": 1.0}

    monkeypatch.setattr(trying, "begin", begin)
    monkeypatch.setattr(trying, "attempt", attempt)

    def call(left=300.0):
        made = Trying(None, tmp_path, Console(quiet=True), Limits(None, Budget(None, None)), None, [])
        made.candidates.mkdir(exist_ok=True)
        made.steps = steps_of(useless=Useless(), alike=Alike(), other=Other())
        made.halved = {"alike": list(SCORES)}
        made.clock = SimpleNamespace(estimate=lambda candidate, work: estimate(candidate), learn=lambda *seconds: None)
        made.work = made.data = None
        known = (load_record(made.candidates, name) for name in SCORES)
        made.records = {record.name: record for record in known if record is not None and record.scored}
        monkeypatch.setattr(Trying, "left", left)
        made.try_all()
        return {name: record.status for name, record in made.records.items()}

    return call


def test_the_best_go_on_first_and_the_best_of_all_whatever_time_is_left(tries, monkeypatch):
    assert tries() == {"useless": "stopped early", "other": "done", "alike": "done"}
    assert CALLS[:3] == [(name, "begins") for name in SCORES] and CALLS[3:] == [
        ("other", "goes on"),
        ("alike", "goes on"),
    ]


def test_what_comes_before_took_too_long_and_they_are_tried_one_after_the_other(tries):
    assert tries(left=120.0)["useless"] == "done" and ("useless", "begins") not in CALLS


def test_one_whose_rest_does_not_fit_stops_early(tries, tmp_path, monkeypatch):
    conclude = Halving.conclude

    def late(self, number):
        monkeypatch.setattr(Trying, "left", 5.0)
        return conclude(self, number)

    monkeypatch.setattr(Halving, "conclude", late)
    assert tries() == {"useless": "stopped early", "other": "done", "alike": "stopped early"}
    assert (
        "the rest takes 1 min 10 s, and 5 s of the time were left" in load_record(tmp_path / "candidates", "alike").note
    )


def test_one_that_fails_in_a_rung_leaves_the_others_and_is_tried_again(tries, monkeypatch):
    def fails(row, settings, data, folder, *rest):
        if folder.name == "other":
            raise ZeroDivisionError("no such luck")
        return begin(row, settings, data, folder, *rest)

    begin = trying.begin
    with monkeypatch.context() as patch:
        patch.setattr(trying, "begin", fails)
        assert tries() == {"useless": "done", "alike": "done", "other": "failed"}
    CALLS.clear()
    assert tries()["other"] == "done" and CALLS == [("other", "goes on")]


def run_here(run, threads, seconds=None, arguments=()):
    """Do a run in this process, which saves the seconds of importing torch."""
    CALLS.append((run.path.name, "begins" if arguments else "goes on"))
    if arguments:
        begin_training(run, int(arguments[-1]), Console(quiet=True))
    else:
        run_stages(run, list(STAGES), Console(quiet=True))


@pytest.fixture
def halved(tmp_path, monkeypatch):
    """A command whose portfolio has three that train the same way, and time to halve them."""
    known = plan.plugins("candidates")
    ours = {
        name: SimpleNamespace(target=made, attribute=lambda name, default, made=made: getattr(made, name, default))
        for name, made in (("useless", Useless), ("alike", Alike), ("other", Other))
    }
    ours = {"majority": known["majority"], **ours}
    monkeypatch.setattr(plan, "plugins", lambda kind: ours if kind == "candidates" else {})
    monkeypatch.setattr(plan.Clock, "estimate", lambda self, candidate, work: (candidate.seconds(work), 10.0))
    monkeypatch.setattr(Trying, "left", 300.0)  # however busy this machine is
    monkeypatch.setattr(bioautoml_nni.auto.attempt, "run_process", run_here)
    begin = trying.begin

    def begins(row, settings, data, folder, *rest):
        epochs, score = begin(row, settings, data, folder, *rest)
        history = RunDirectory.open(folder).history("retrain")
        assert epochs == len(history) == 2 and score == pytest.approx(sum(line["val_macro_f1"] for line in history) / 2)
        return epochs, SCORES[folder.name]

    monkeypatch.setattr(trying, "begin", begins)
    CALLS.clear()
    table = write_table(tmp_path / "data")
    return ("auto", table, "--output", tmp_path / "out", "--minutes", 5, *SMALL, *METADATA), tmp_path / "out"


def test_the_worse_stop_early_and_a_call_that_ended_in_a_rung_does_no_rung_again(halved, monkeypatch):
    command, out = halved
    killed = []

    def ends(run, threads, seconds=None, arguments=()):
        run_here(run, threads, seconds, arguments)
        if len(CALLS) == 2 and not killed:
            killed.append(run.path.name)  # in the second one's rung, whose training is done and not yet noted
            raise KeyboardInterrupt

    monkeypatch.setattr(bioautoml_nni.auto.attempt, "run_process", ends)
    assert here(*command).returncode == 130
    rung = json.loads((out / "halving.json").read_text())["alike"]["rungs"][0]
    assert list(rung["scores"]) == ["useless"] and "kept" not in rung
    before = (out / "candidates/alike/retrain/history.jsonl").stat().st_mtime_ns
    CALLS.clear()
    done = here(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 3 begin" in " ".join(done.stdout.split())
    assert [name for name, what in CALLS if what == "begins"] == ["other"]  # the others' first epochs were there
    table = pd.read_csv(out / "leaderboard.csv").set_index("candidate")
    assert table.loc["useless", "status"] == "stopped early" and table.index[-1] == "useless"
    stopped = table.loc["useless"]
    assert stopped["validation_macro_f1"] == SCORES["useless"] and "2 epochs" in stopped["note"]
    assert (
        pd.isna(stopped["test_macro_f1"]) and len(RunDirectory.open(out / "candidates/useless").history("retrain")) == 2
    )
    finished = table.loc[["alike", "other"]]
    assert finished["status"].isin(["done", "winner"]).all() and finished["test_macro_f1"].notna().all()
    assert (out / "candidates/alike/retrain/history.jsonl").stat().st_mtime_ns != before
    assert len(RunDirectory.open(out / "candidates/alike").history("retrain")) == 4
    html = " ".join((out / "report.html").read_text().split())
    assert "successive halving" in html and "went on." in html and ", early</td>" in html
    CALLS.clear()
    assert here(*command).returncode == 0 and CALLS == []


def test_a_slot_of_a_halved_one_is_whole():
    assert plan.plan_settings(Alike(), None, Slot(1.0, 3.0, "", 0.5))["retrain.max_minutes"] == 0.5
