import pandas as pd
import pytest

from bioautoml_nni.data.manifest import ID, IMAGE, LABEL, Manifest
from bioautoml_nni.data.misfits import misfit_remarks
from bioautoml_nni.data.typed import with_types


def remarks(values, role, declared=True):
    raw = pd.DataFrame({"x": pd.Series(values, dtype="str")})
    typed = with_types(raw, roles={"x": role})
    table = typed.table.assign(**{ID: "1", IMAGE: "a", LABEL: "b"})
    names = frozenset({"x"}) if declared else frozenset()
    manifest = Manifest(table, ".", {"x": role}, "label", names, forms=typed.forms, unread=typed.unread)
    return misfit_remarks(manifest, table)


@pytest.mark.parametrize(
    ("role", "wrong"),
    [
        ("latitude", ["5820000", "5830000", "5840000"]), ("longitude", ["512000"]), ("fraction", ["35", "2"]),
        ("fraction", ["1.35", "-0.02"]), ("size", ["-3.5"]), ("numeric", ["inf"]), ("numeric", ["3 mm", "1 mg"]),
        ("hour", ["2175", "9930"]), ("date", ["soon", "31/02/2016"]),
    ],
)  # fmt: skip
def test_a_role_that_does_not_fit_is_refused_with_values(role, wrong):
    (remark,) = remarks(wrong * 10, role)
    assert remark.level == "refused" and wrong[0] in remark.text and f"{len(wrong) * 10} of its" in remark.text
    (undeclared,) = remarks(wrong * 10, role, declared=False)
    assert undeclared.level == "warning" and "count as missing" in undeclared.text


@pytest.mark.parametrize(
    ("role", "right"),
    [
        ("latitude", ["-90", "52,5"]), ("longitude", ["359.9", "-180"]), ("fraction", ["0", "1", "0,5"]),
        ("size", ["0", "1.5"]), ("size", ["3 mm", "4"]), ("hour", ["24", "23:30", "6 pm"]), ("hour", ["2100", "2230"]),
        ("date", ["2016-06-13", "13.6.16"]),
        ("categorical", ["x"]),
    ],
)  # fmt: skip
def test_values_that_fit_are_not_spoken_of(role, right):
    assert not remarks(right, role)


def test_a_few_are_a_note():
    (remark,) = remarks(["1"] * 99 + ["many"], "size")
    assert remark.level == "note" and "1 of its 100 values (many)" in remark.text


def test_places_that_nobody_knows_are_counted():
    roles = {"lat": "latitude", "lon": "longitude"}
    table = pd.DataFrame({"lat": [0.0, 0.0, 52.5], "lon": [0.0, 13.4, 0.0]})
    told = [remark.text for remark in misfit_remarks(Manifest(table, ".", roles, "label"), table)]
    assert told == [
        "The place of 1 specimens is (0, 0), as programs write one that nobody knows; it counts as missing."
    ]
