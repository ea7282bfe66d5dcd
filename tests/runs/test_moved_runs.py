"""Runs that travel: with their data, without, and with data that are others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import here, write_experiment
from PIL import Image

from bioautoml_nni.config import load_experiment
from bioautoml_nni.runs.directory import STAGES, RunDirectory
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.utils.errors import DataError, RunDirectoryError


@pytest.fixture
def project(finished: tuple[Path, object], tmp_path: Path) -> Path:
    """A copy of a whole project: experiment.yml, data and run."""
    folder = tmp_path / "project"
    shutil.copytree(finished[0].parent, folder)
    text = (folder / "experiment.yml").read_text()
    (folder / "experiment.yml").write_text(text.replace(str(finished[0].parent), "."))
    return folder


def all_done(said: str) -> bool:
    return all(f"{stage}: done before, skipped" in said for stage in STAGES)


def rooted(run: Path, root: object) -> None:
    """Make the run say that its data lie elsewhere, as runs of before did by an absolute path."""
    content = yaml.safe_load((run / "experiment.yml").read_text())
    content["data"]["root"] = str(root)
    (run / "experiment.yml").write_text(yaml.safe_dump(content, sort_keys=False))
    provenance = run / "provenance.json"
    provenance.write_text(provenance.read_text().replace('"data_root"', '"of_later_versions"'))


def test_a_project_that_is_moved_goes_on_with_its_own_data(project, finished):
    assert yaml.safe_load((project / "run/experiment.yml").read_text())["data"]["root"] == "../data"
    for command in (["run", project / "experiment.yml", "--output", project / "run"], ["run", project / "run"]):
        done = here(*command)
        assert done.returncode == 0 and all_done(done.stdout), done.stdout + done.stderr
    (project / "run/evaluation/trust.png").unlink()
    done = here("evaluate", project / "run")
    assert done.returncode == 0, done.stderr
    data = PreparedData.load(RunDirectory.open(project / "run"))
    assert data.image_root == project / "data" and data.pixels is not None
    assert (project / "run/evaluation/metrics.json").read_text() == (
        finished[0] / "evaluation/metrics.json"
    ).read_text()


def test_a_run_that_is_moved_alone_finds_its_data_where_they_were(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")
    done = here("run", tmp_path / "run")
    assert done.returncode == 0 and all_done(done.stdout), done.stdout + done.stderr
    assert PreparedData.load(RunDirectory.open(tmp_path / "run")).image_root == finished[0].parent / "data"


@pytest.mark.parametrize("command", ["run", "report", "export"])
def test_data_in_another_place_are_taken_if_they_are_the_same(project, finished, command):
    (project / "data").rename(project / "specimens")
    rooted(project / "run", finished[0].parent / "data")
    keys = RunDirectory.open(project / "run").provenance().stages
    target = project / ("experiment.yml" if command == "run" else "run")
    options = {"run": ["--output", project / "run"], "export": ["--output", project / "model"]}.get(command, [])
    done = here(command, target, *options, "--set", f"data.root={project / 'specimens'}")
    assert done.returncode == 0, done.stdout + done.stderr
    opened = RunDirectory.open(project / "run")
    assert opened.experiment.data.root.resolve() == (project / "specimens").resolve()
    stages = opened.provenance().stages
    written = ["report"] if command == "report" else []  # whenever it is asked for
    assert all(opened.done(stage) for stage in STAGES)
    assert {**stages, **dict.fromkeys(written)} == {**keys, **dict.fromkeys(written)}
    assert PreparedData.load(opened).image_root == project / "specimens"


@pytest.mark.parametrize("change", ["label", "image"])
def test_other_data_are_refused_and_nothing_changes(project, change):
    shutil.copytree(project / "data", project / "other")
    if change == "label":
        table = pd.read_csv(project / "other/metadata.csv")
        table.assign(label=table["label"].to_numpy()[::-1]).to_csv(project / "other/metadata.csv", index=False)
    else:
        Image.new("RGB", (24, 28)).save(project / "other/images/5.png")
    before = (project / "run/experiment.yml").read_text()
    for command in (
        ["run", project / "experiment.yml", "--output", project / "run"], ["evaluate", project / "run"],
    ):  # fmt: skip
        done = here(*command, "--set", f"data.root={project / 'other'}")
        assert done.returncode == 2 and "are others than those that" in " ".join(done.stderr.split()), done.stderr
        assert (project / "run/experiment.yml").read_text() == before
    with pytest.raises(RunDirectoryError, match="are others"):
        RunDirectory.open(project / "run", [f"data.root={project / 'other'}"])


def test_other_images_in_the_place_of_the_runs_own_are_noticed_after_a_move(project):
    Image.new("RGB", (24, 28)).save(project / "data/images/5.png")
    with pytest.raises(DataError, match="holds other images than those that the run was prepared from"):
        _ = PreparedData.load(RunDirectory.open(project / "run")).pixels


def test_a_run_whose_data_are_gone_says_how_to_name_their_place(project):
    rooted(project / "run", project / "nowhere")
    preprocessing = project / "run/preprocessing.json"
    text = preprocessing.read_text()
    preprocessing.write_text(text.replace(text.partition('"image_root": "')[2].partition('"')[0], "/nowhere"))
    (project / "run/evaluation/trust.png").unlink()
    provenance = project / "run/provenance.json"
    opened = RunDirectory.open(project / "run")
    stages = opened.provenance().stages
    opened.record(stages={name: {**stage.model_dump(), "key": opened.key(name)} for name, stage in stages.items()})
    done = here("evaluate", project / "run")
    assert done.returncode == 2 and "--set data.root=FOLDER" in done.stderr, done.stderr
    assert provenance.is_file()


def taught(folder: Path, teacher: str) -> RunDirectory:
    """Open or make the run of an experiment with a teacher."""
    training = {"epochs": 2, "batch_size": 8, "warmup_steps": 2, "distillation": {"teacher": teacher}}
    path = write_experiment(folder, Path("data"), training=training)
    return RunDirectory.create(folder / "run", load_experiment(path), folder)


@pytest.mark.parametrize("teacher", ["logits.parquet", "teachers/large", "teachers/large.yml"])
def test_a_teacher_that_is_moved_with_its_student_is_the_same(tmp_path, teacher):
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    run = taught(folder, teacher)
    keys = {stage: run.key(stage) for stage in STAGES}
    for place in (folder / teacher, tmp_path / "elsewhere" / teacher):
        opened = RunDirectory.open(run.path)
        assert Path(opened.experiment.training.distillation.teacher).resolve() == place.resolve()
        assert {stage: opened.key(stage) for stage in STAGES} == keys
        again = taught(folder, teacher)
        assert {stage: again.key(stage) for stage in STAGES} == keys
        RunDirectory.open(run.path, ["evaluation.examples=12"])  # which writes the copy of the experiment again
        if folder.exists() and folder.name == "project":
            folder = folder.rename(tmp_path / "elsewhere")
            run = RunDirectory.open(folder / "run")
    changed_one = RunDirectory.open(run.path, [f"training.distillation.teacher={tmp_path / 'other.parquet'}"])
    assert changed_one.key("retrain") != keys["retrain"], "another teacher is another student"


def test_a_teacher_stays_where_it_is_if_the_run_moves_alone(tmp_path):
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    (folder / "logits.parquet").write_bytes(b"")
    key = taught(folder, "logits.parquet").key("retrain")
    (folder / "run").rename(tmp_path / "run")
    opened = RunDirectory.open(tmp_path / "run")
    assert Path(opened.experiment.training.distillation.teacher) == folder / "logits.parquet"
    assert opened.key("retrain") == key
