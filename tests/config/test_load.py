from pathlib import Path

import pytest
import yaml
from conftest import tiny_experiment

from bioautoml_nni.config import apply_overrides, load_experiment, parse_experiment
from bioautoml_nni.config.sizing import sized
from bioautoml_nni.config.template import experiment_template
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.utils.errors import ConfigError


def test_a_valid_experiment_is_read(tmp_path):
    experiment = parse_experiment(tiny_experiment(tmp_path))
    assert experiment.space.arguments["channels"] == 4
    assert experiment.data.arguments["columns"]["site"] == "categorical"


def test_five_mistakes_are_reported_at_once(tmp_path):
    raw = tiny_experiment(tmp_path)
    raw["serch"] = raw.pop("search")
    raw["training"]["epochs"] = "many"
    raw["space"]["chanels"] = 3
    raw["strategy"]["name"] = "alternating_dart"
    raw["data"]["split"] = {"method": "group"}
    with pytest.raises(ConfigError) as caught:
        parse_experiment(raw)
    problems = caught.value.problems
    assert len(problems) == 5
    text = "\n".join(problems)
    assert "serch: there is no such key (did you mean 'search'?" in text
    assert "training.epochs:" in text
    assert "space.chanels" in text and "did you mean 'channels'" in text
    assert "strategy.name" in text and "did you mean 'alternating_darts'" in text
    assert "data.split: method 'group' needs split.group" in text


def test_wrong_types_of_plugin_arguments_are_found(tmp_path):
    raw = tiny_experiment(tmp_path, loss={"name": "logit_adjusted", "tau": "strong"})
    with pytest.raises(ConfigError, match=r"loss\.tau: .*found 'strong'"):
        parse_experiment(raw)


def test_contradictions_are_found(tmp_path):
    raw = tiny_experiment(tmp_path)
    raw["strategy"]["warmup_epochs"] = 2
    raw["retrain"] = {"initial_weights": "supernet", "channels": 8}
    with pytest.raises(ConfigError) as caught:
        parse_experiment(raw)
    assert "retrain.cells and .channels" in str(caught.value)
    del raw["retrain"]
    with pytest.raises(ConfigError, match=r"strategy\.warmup_epochs: 2 epochs"):
        parse_experiment(raw)


def test_a_run_that_was_begun_is_read_whatever_later_versions_refuse(tmp_path):
    raw = tiny_experiment(tmp_path)
    raw["training"]["distillation"] = {"teacher": "../teachers/run", "folds": 5}
    with pytest.raises(ConfigError, match=r"training\.distillation\.folds: heads are fitted to an encoder"):
        parse_experiment(raw)
    RunDirectory.create(tmp_path / "run", parse_experiment(raw, begun=True))
    assert RunDirectory.open(tmp_path / "run").experiment.training.distillation.folds == 5
    with pytest.raises(ConfigError, match="heads are fitted to an encoder"):
        RunDirectory.open(tmp_path / "run", ["training.epochs=2"])


def test_a_source_that_needs_a_root_says_so(tmp_path):
    raw = tiny_experiment(tmp_path)
    del raw["data"]["root"]
    with pytest.raises(ConfigError, match=r"data\.root: this source needs the folder"):
        parse_experiment(raw)


def test_overrides_reach_any_dotted_key(tmp_path):
    raw = apply_overrides(
        tiny_experiment(tmp_path), ["training.epochs=3", "data.modalities=[image]", "loss.name=cross_entropy"]
    )
    experiment = parse_experiment(raw)
    assert experiment.training.epochs == 3
    assert experiment.data.modalities == ["image"]
    assert experiment.loss.name == "cross_entropy"


@pytest.mark.parametrize("text", ["training.epochs", "=3", "name.first=x", "a..b=1"])
def test_malformed_overrides_are_refused(tmp_path, text):
    with pytest.raises(ConfigError, match="--set"):
        apply_overrides(tiny_experiment(tmp_path), [text])


def test_relative_roots_start_at_the_file(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "experiment.yml").write_text(yaml.safe_dump(tiny_experiment("mine")))
    experiment = load_experiment(tmp_path / "sub" / "experiment.yml")
    assert experiment.data.root == tmp_path / "sub" / "mine"
    monkeypatch.chdir(tmp_path)
    overridden = load_experiment(tmp_path / "sub" / "experiment.yml", ["data.root=other"])
    assert overridden.data.root == tmp_path / "other"


@pytest.mark.parametrize(("content", "message"), [("a: [", "not readable as YAML"), ("- 1", "must hold keys")])
def test_files_that_are_no_configuration(tmp_path, content, message):
    (tmp_path / "experiment.yml").write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_experiment(tmp_path / "experiment.yml")


def test_a_missing_file_points_to_init(tmp_path):
    with pytest.raises(ConfigError, match="bioautoml init"):
        load_experiment(tmp_path / "none.yml")


def test_the_template_is_valid():
    assert parse_experiment(yaml.safe_load(experiment_template())).name == "my-experiment"


def test_a_search_that_prefers_nothing_cannot_be_perturbed():
    raw = {"name": "x", "data": {"source": "sample"}, "strategy": {"name": "random_paths"}}
    assert parse_experiment({**raw, "derivation": {"method": "evolution"}}).derivation.method == "evolution"
    with pytest.raises(ConfigError, match=r"derivation\.method: strategy 'random_paths' gives all candidates the same"):
        parse_experiment({**raw, "derivation": {"method": "perturbation"}})


def test_several_processes_need_a_strategy_that_can():
    raw = {"name": "x", "data": {"source": "sample"}, "search": {"devices": 2}}
    assert parse_experiment(raw).search.devices == 2
    with pytest.raises(ConfigError, match=r"search\.devices: strategy 'nni_darts' searches in one process only"):
        parse_experiment({**raw, "strategy": {"name": "nni_darts"}})


@pytest.mark.parametrize("space", ["probe", "timm"])
def test_a_space_that_needs_images_says_so(tmp_path, space):
    raw = {**tiny_experiment(tmp_path), "space": {"name": space}}
    raw["data"] = {**raw["data"], "modalities": ["metadata"]}
    with pytest.raises(ConfigError, match=f"data.modalities: space '{space}' needs images; add image"):
        parse_experiment(raw)


@pytest.mark.parametrize("rows", [2, 300, 4_000, 60_000, 5_000_000])
def test_the_template_for_a_table_parses_and_has_the_lengths_for_its_size(rows):
    experiment = parse_experiment(yaml.safe_load(experiment_template("/data/Käfer, it's: mine", "a.csv", rows)))
    assert experiment.data.root == Path("/data/Käfer, it's: mine") and experiment.data.arguments["table"] == "a.csv"
    lengths = sized(round(0.68 * rows))
    assert experiment.training.epochs == lengths["training.epochs"]
    assert experiment.search.epochs == lengths["search.epochs"]
    assert experiment.training.ema_decay == lengths["training.ema_decay"]


def test_more_specimens_are_seen_fewer_times_each_but_more_often_in_all():
    sizes = [50, 300, 1_000, 3_000, 10_000, 100_000, 1_000_000, 5_000_000]
    lengths = [sized(size) for size in sizes]
    for stage in ("search", "training"):
        epochs = [length[f"{stage}.epochs"] for length in lengths]
        seen = [size * epoch for size, epoch in zip(sizes, epochs, strict=True)]
        assert epochs == sorted(epochs, reverse=True) and seen == sorted(seen)
    assert sized(3_000)["training.epochs"] == 60  # as examples/pitfall has it
    with pytest.raises(ValueError, match="at least 1"):
        sized(0)
