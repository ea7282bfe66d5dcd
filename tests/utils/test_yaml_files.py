import pytest
from conftest import tiny_experiment, write_experiment

from bioautoml_nni.config import load_experiment
from bioautoml_nni.config.load import apply_overrides, parse_experiment
from bioautoml_nni.utils.errors import ConfigError
from bioautoml_nni.utils.yaml_files import RepeatedKeys, entry, flow, load_yaml


def test_only_what_can_be_nothing_else_is_a_number_or_a_truth_value():
    found = load_yaml("[no, 007, 1e3, 0x10, 2016-06-01, 1:30, NA, 1_000, true, null, ~, 7, -2.5, 1e-3, .5]")
    texts = ["no", "007", "1e3", "0x10", "2016-06-01", "1:30", "NA", "1_000"]
    assert found == [*texts, True, None, None, 7, -2.5, 1e-3, 0.5]


def test_keys_that_stand_twice_are_named_with_their_lines():
    with pytest.raises(RepeatedKeys, match=r"'a' stands twice in one section \(lines 1 and 4\)"):
        load_yaml("a: 1\nb:\n  a: 2\na: 3\n")
    assert load_yaml("x: &x {a: 1}\ny: {<<: *x, a: 2}") == {"x": {"a": 1}, "y": {"a": 2}}


def test_a_repeated_key_of_an_experiment_is_a_mistake(tmp_path):
    file = write_experiment(tmp_path, tmp_path)
    file.write_text(file.read_text() + "seed: 1\nseed: 2\n")
    with pytest.raises(ConfigError, match="key 'seed' stands twice"):
        load_experiment(file)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_an_experiment_may_be_saved_in_any_encoding(tmp_path, encoding):
    file = write_experiment(tmp_path, tmp_path)
    text = file.read_text().replace("length_mm", "Länge")
    file.write_bytes(text.encode(encoding))
    assert load_experiment(file).data.arguments["columns"]["Länge"] == "size"


def test_labels_and_switches_get_the_type_that_their_key_asks_for(tmp_path):
    overrides = ["data.hold_out=[no, 007, 12, NA]", "data.infer_columns=no", "data.label=7", "loss.tau=1e0"]
    experiment = parse_experiment(apply_overrides(tiny_experiment(tmp_path), overrides))
    assert experiment.data.hold_out == ["no", "007", "12", "NA"]
    assert experiment.data.arguments["infer_columns"] is False and experiment.data.arguments["label"] == "7"
    assert experiment.loss.arguments["tau"] == 1.0


def test_a_key_of_any_length_is_written_so_that_it_can_be_read():
    long = 'x"' * 3000
    assert load_yaml(flow({long: {"a": 1, long: [1]}})) == {long: {"a": 1, long: [1]}}
    text = f"a:\n{entry(long, 'b: #', '  ')}  # why\n{entry('y', {long: 2}, '  ')}\n"
    assert load_yaml(text) == {"a": {long: "b: #", "y": {long: 2}}}
