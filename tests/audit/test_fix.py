"""Every remark that a line of experiment.yml answers ends with that line; what needs no judgement is written."""

import json

import pandas as pd
from conftest import in_process

from bioautoml_nni.utils.yaml_files import load_yaml

FILE = """\
# Bees   (keep me)
name: bees
data:
  source: csv      # the table
  root: data
  image_size: 16
  split: {group: event, method: group}
"""


def audited(capsys, folder, *options):
    code, said = in_process(capsys, "check", folder / "experiment.yml", "--output", folder / "audit.json", *options)
    return code, said, json.loads((folder / "audit.json").read_text())["remarks"]


def test_fix_writes_what_needs_no_judgement_and_then_it_is_answered(table_root, tmp_path, capsys):
    table = pd.read_csv(table_root / "metadata.csv")
    table["genus"] = table["label"].str.upper()
    table.loc[::6, "label"] = table["label"].str.upper()
    table.loc[0, "label"] = "wasp"
    table.to_csv(table_root / "metadata.csv", index=False)
    (tmp_path / "experiment.yml").write_text(FILE)
    code, said, remarks = audited(capsys, tmp_path, "--fix")
    assert code == 2 and "Wrote into" in said and "experiment.yml.before" in said
    assert "data.labels: {merge: [case]}" in said and "data.columns: {genus: taxonomy}" in said
    assert "data.rare_labels: drop" not in said.partition("Wrote into")[2]  # that needs judgement
    assert (tmp_path / "experiment.yml.before").read_text() == FILE
    text = (tmp_path / "experiment.yml").read_text()
    assert all(line in text.splitlines() for line in FILE.splitlines())
    content = load_yaml(text)["data"]
    assert content["labels"] == {"merge": ["case"]} and content["columns"]["genus"] == "taxonomy"
    for remark in remarks:
        if "line" in remark:
            assert remark["text"].endswith(f"Write {remark['line']}.")
            key, _, value = remark["line"].partition(": ")
            assert key.startswith("data.") and load_yaml(f"x: {value}")["x"] is not None
    again, said, remarks = audited(capsys, tmp_path, "--fix", "--set", "data.rare_labels=drop")
    assert again == 1 and "nothing was written" in said
    assert not any(remark.get("sure") for remark in remarks if remark["level"] != "note")
    assert (tmp_path / "experiment.yml").read_text() == text
