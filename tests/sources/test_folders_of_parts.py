"""Folders, values and labels that are called a little otherwise than expected."""

import unicodedata

import numpy as np
import pandas as pd
import pytest
from conftest import in_process
from PIL import Image

from bioautoml_nni.config.data_sections import DataConfig, SplitConfig
from bioautoml_nni.data.labels import named_settings
from bioautoml_nni.data.manifest import LABEL, Manifest
from bioautoml_nni.data.splits import TEST, assign, official_split, part_of
from bioautoml_nni.sources.guess import guess
from bioautoml_nni.sources.imagefolder import ImageFolderSource


def folders(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(root / name / "1.png")
    return root


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (("Trainingsdaten", "Testdaten"), {"train": ["trainingsdaten"], "test": ["testdaten"]}),
        (("train_set", "dev", "test-images"), {"train": ["train_set"], "validation": ["dev"], "test": ["test-images"]}),
        (("Entrenamiento", "Validación", "Prueba"), None),
        (("Train", "eval"), {"train": ["train"], "test": ["eval"]}),
    ],
)
def test_folders_of_parts_in_other_words_are_no_classes(tmp_path, names, split):
    folders(tmp_path, *(f"{part}/{label}" for part in names for label in ("ant", "bee")))
    manifest = ImageFolderSource(tmp_path).load()
    assert set(manifest.table[LABEL]) == {"ant", "bee"} and not manifest.notes
    found = guess(tmp_path).values["split"]
    assert found["method"] == "official" and (split is None or found == {"method": "official", **split})


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("train/ant", "train/bee", "test/ant", "extra/bee"), "though test, train is called like a part"),
        (("north/ant", "north/bee", "south/ant", "south/bee"), "hold folders of the same names (ant, bee)"),
        (("ant/1", "ant/2", "bee/3"), ""),
        (("ant", "bee"), ""),
        (("ant/left", "bee/left"), ""),
    ],
)
def test_classes_that_look_like_parts_are_said(tmp_path, names, said):
    notes = " ".join(ImageFolderSource(folders(tmp_path, *names)).load().notes)
    assert said in notes and bool(said) == bool(notes)


def test_brackets_in_names_are_shown_and_no_style(tmp_path, capsys):
    folder = folders(tmp_path / "Fotos [2019]", "ant [worker]", "bee")
    for number in range(2, 9):
        for label, grey in (("ant [worker]", 0), ("bee", 255)):
            pixels = np.full((4, 4, 3), abs(grey - 9 * number), np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    code, said = in_process(capsys, "init", folder)
    assert code == 0 and f"bioautoml check {folder}/experiment.yml" in said
    code, said = in_process(capsys, "check", folder / "experiment.yml", "--output", folder / "audit.json")
    assert "ant [worker]" in said and f"in detail: {folder}/audit.json" in said
    assert f"bioautoml run {folder}/experiment.yml" in said or code == 2


def test_what_is_no_part_is_none():
    assert [part_of(name) for name in ("trap", "trainee", "set", "images", "valley", "tests2")] == [None] * 6
    assert official_split(["train", "trap"]) is None


def test_values_of_parts_and_labels_are_known_in_either_unicode_form_and_with_spaces():
    apart = unicodedata.normalize("NFD", "Prüfung")
    table = pd.DataFrame({"part": ["Übung ", apart] * 4, LABEL: ["ant", unicodedata.normalize("NFD", "Käfer")] * 4})
    settings = SplitConfig(method="column", column="part", train=["Übung "], test=["Prüfung"])
    assert (assign(table, settings, 0) == TEST).tolist() == [False, True] * 4
    data = DataConfig(source="csv", hold_out=["Käfer"])
    assert named_settings(data, Manifest(table, ".", {}, "label")).hold_out == [table[LABEL][1]]
