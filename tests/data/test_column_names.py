"""Columns are known by their names whatever their spaces and Unicode form."""

import unicodedata

import pandas as pd
import pytest

from bioautoml_nni.data.column_names import same_names, with_names
from bioautoml_nni.sources.csv import CsvSource
from bioautoml_nni.utils.errors import DataError


def test_a_name_is_the_same_in_either_form_with_any_spaces():
    apart = unicodedata.normalize("NFD", "Länge")
    assert same_names(["Länge", "x y"], [apart, "x\u00a0 y", "z"]) == {apart: "Länge", "x\u00a0 y": "x y"}
    assert same_names(["x"], ["X", "x_"]) == {}, "another case is another name"
    assert same_names(["x y"], ["x y", "x  y"]) == {}, "the name itself is there"
    assert same_names(["x y"], ["x\ny", "x  y"]) == {} == same_names(["x y", "x  y"], ["x\ny"]), "which of two?"
    assert list(with_names(pd.DataFrame({apart: [1], "z": [2]}), ["Länge"])) == ["Länge", "z"]


def test_a_table_whose_names_have_other_spaces_is_read_and_that_is_said(tmp_path):
    header = unicodedata.normalize("NFD", "Größe") + ",Art\u00a0(Name),Fund\u00a0Ort"
    (tmp_path / "t.csv").write_text(
        header + "\n" + "".join(f"{n}.5,{'ab'[n % 2]},o\n" for n in range(6)), encoding="utf-8"
    )
    options = {"root": tmp_path, "table": "t.csv", "image": None}
    source = CsvSource(**options, label="Art (Name)", columns={"Größe": "size"})
    source.identifiers = frozenset(["Fund Ort"])
    manifest = source.load()
    assert manifest.table["Größe"].tolist() == [n + 0.5 for n in range(6)] and "Fund Ort" in manifest.table
    assert sum("other spaces or letters' forms" in note for note in manifest.notes) == 3
    with pytest.raises(DataError, match="did you mean 'Fund"):
        CsvSource(**options, label="FundOrt").load()
