"""What is guessed of a table, and with which reason."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import write_table
from PIL import Image

from bioautoml_nni.auto.guess import guess
from bioautoml_nni.auto.written import experiment_text
from bioautoml_nni.config import parse_experiment
from bioautoml_nni.data.load import load_manifest
from bioautoml_nni.data.manifest import LABEL
from bioautoml_nni.utils.errors import DataError


def table_with(root: Path, **columns: object) -> Path:
    write_table(root, rows=24, size=8)
    path = root / "metadata.csv"
    pd.read_csv(path).assign(**columns).to_csv(path, index=False)
    return path


def test_image_label_and_group_are_guessed_with_a_reason(tmp_path):
    found = guess(table_with(tmp_path))
    data = found.values["data"]
    assert (data["source"], data["image"], data["image_root"], data["label"]) == ("csv", "image", ".", "label")
    assert data["split"] == {"method": "group", "group": "event"}
    assert "100%" in found.reasons["data.image"] and "event" in found.reasons["data.split"]
    assert parse_experiment(found.values).data.source == "csv"
    assert any(sentence.startswith("data.label = label: by its name") for sentence in found.sentences())


def test_images_are_found_by_their_files_in_a_folder_below(tmp_path):
    path = table_with(tmp_path)
    table = pd.read_csv(path).rename(columns={"image": "file"})
    table.assign(file=table["file"].str.removeprefix("images/")).to_csv(path, index=False)
    data = guess(path).values["data"]
    assert (data["image"], data["image_root"]) == ("file", "images")


def test_what_is_given_is_taken(tmp_path):
    data = guess(table_with(tmp_path), label="site", group="none").values["data"]
    assert data["label"] == "site" and data["split"] == {"method": "stratified"}


def test_a_column_that_names_the_parts_is_the_split(tmp_path):
    parts = ["train"] * 16 + ["val"] * 4 + ["test"] * 4
    split = guess(table_with(tmp_path, part=parts)).values["data"]["split"]
    assert split == {"method": "column", "column": "part", "train": ["train"], "validation": ["val"], "test": ["test"]}


def test_a_folder_of_folders_and_a_folder_with_a_table(tmp_path):
    for name in ("ant", "bee"):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / name / "1.png")
    found = guess(tmp_path / "images")
    assert found.values["data"]["source"] == "imagefolder" and found.values["data"]["modalities"] == ["image"]
    (tmp_path / "table").mkdir()
    table_with(tmp_path / "table")
    assert guess(tmp_path / "table").values["data"]["table"] == "metadata.csv"


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({}, {"label": "lable"}, "--label lable: there is no such column .did you mean 'label'"),
        ({"image": "x.png"}, {}, "no value of any column is an image file"),
        ({"image": "x.png"}, {"image": "image"}, "no value of column 'image' is an image file"),
    ],
)
def test_what_cannot_be_guessed_is_said_in_one_sentence(tmp_path, change, options, words):
    with pytest.raises(DataError, match=words):
        guess(table_with(tmp_path, **change), **options)


def test_a_label_that_could_be_several_columns_is_asked_for(tmp_path):
    path = table_with(tmp_path)
    table = pd.read_csv(path).rename(columns={"label": "colour"})
    table.assign(shape=table["colour"].str[0]).to_csv(path, index=False)
    with pytest.raises(DataError, match="it could be colour, shape.*--label"):
        guess(path)


def test_the_file_holds_every_value_and_the_reason_above_it(tmp_path):
    found = guess(table_with(tmp_path))
    text = experiment_text(found.values, found.reasons, "bioautoml auto metadata.csv")
    assert yaml.safe_load(text) == found.values
    lines = text.splitlines()
    assert lines[lines.index("  label: label") - 1] == "  # by its name; 3 different values"


def test_a_strangers_table_is_understood_as_init_understands_it(tmp_path):
    names = {"image": "Bilddatei", "label": "Art", "event": "Fallen_ID", "length_mm": "Körperlänge_mm"}
    path = table_with(tmp_path)
    table = pd.read_csv(path).rename(columns=names)
    path.unlink()
    path = tmp_path / "Sammlung.csv"
    table.to_csv(path, sep=";", decimal=",", index=False, encoding="cp1252")
    found = guess(path)
    data = found.values["data"]
    assert (data["image"], data["label"]) == ("Bilddatei", "Art") and found.values["name"] == "Sammlung"
    assert data["split"] == {"method": "group", "group": "Fallen_ID"}
    assert data["columns"]["Körperlänge_mm"] == "size"
    assert load_manifest(parse_experiment(found.values)).table[LABEL].nunique() == table["Art"].nunique()


def test_several_tables_in_a_folder_are_asked_about(tmp_path):
    path = table_with(tmp_path)
    path.with_name("other.csv").write_bytes(path.read_bytes())
    with pytest.raises(DataError, match=r"holds 2 tables \(metadata.csv, other.csv\); name the one"):
        guess(tmp_path)
