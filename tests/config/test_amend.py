"""What is written into somebody's experiment.yml stands there, and all else stays."""

import pytest
import yaml
from damage import scalars, tries
from hypothesis import assume, given
from hypothesis import strategies as st

from bioautoml_nni.config.amend import amend
from bioautoml_nni.utils.errors import ConfigError
from bioautoml_nni.utils.yaml_files import flow, load_yaml

FILE = """\
# Moths of 2016
name: moths   # the first try
data:
  source: csv                # a table
  label: no                  # the column is called so
  columns: {length: size, "007": ignored}   # more to come
  hold_out: [no, 007, 1e3, 0x10, 1_000, 12:30, 2024-01-01]
  # rare ones
  rare_labels: error

training:
  epochs: 12
"""


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_lines_are_written_and_all_else_stays(tmp_path, ends):
    path = tmp_path / "experiment.yml"
    path.write_bytes(FILE.replace("\n", ends).encode())
    changes = [
        ("data.rare_labels", "drop"),
        ("data.columns", {"site no. 1": "ignored", "on": "size"}),
        ("data.labels", {"merge": ["case", "spaces"]}),
        ("data.hold_out", ["no", "NA"]),
    ]
    backup = amend(path, changes)
    assert backup.read_bytes() == FILE.replace("\n", ends).encode() and backup.name == "experiment.yml.before"
    text = path.read_bytes().decode()
    assert (text.count("\r\n") == text.count("\n")) == (ends == "\r\n")
    content = load_yaml(text)["data"]
    assert content["columns"] == {"length": "size", "007": "ignored", "site no. 1": "ignored", "on": "size"}
    assert content["labels"] == {"merge": ["case", "spaces"]} and content["rare_labels"] == "drop"
    assert content["hold_out"] == ["no", "007", "1e3", "0x10", "1_000", "12:30", "2024-01-01", "NA"]
    was, now = FILE.splitlines(), text.splitlines()
    assert [line for line in was if line not in now] == [
        line for line in was if line.strip().startswith(("columns", "hold_out", "rare_labels"))
    ]
    assert all(comment in text for comment in ("# Moths of 2016", "# the first try", "# more to come", "# rare ones"))
    assert amend(path, [("data.labels", {"merge": ["authors"]})]).name == "experiment.yml.before1"
    assert load_yaml(path.read_text())["data"]["labels"]["merge"] == ["case", "spaces", "authors"]


def test_a_file_that_would_say_something_else_stays_as_it_is(tmp_path):
    path = tmp_path / "experiment.yml"
    path.write_text("data: &d\n  columns: &c {a: size}\nother: {<<: *c}\n")
    with pytest.raises(ConfigError, match="write them yourself"):
        amend(path, [("data.columns", {"b": "size"})])
    assert list(tmp_path.iterdir()) == [path] and "&c {a: size}\n" in path.read_text()


@tries(100)
@given(scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=6), scalars, max_size=3))
def test_a_value_on_one_line_is_the_same_value_to_every_reader(value):
    text = flow(value)
    assume(".nan" not in text)
    assert "\n" not in text and load_yaml(f"a: {text}")["a"] == value == yaml.safe_load(f"a: {text}")["a"]
