"""Latitude and longitude in one column, as people and databases write them."""

import numpy as np
import pandas as pd
import pytest

from bioautoml_nni.data.coordinate_pairs import parse_pair
from bioautoml_nni.data.fields import restore
from bioautoml_nni.data.manifest import Manifest
from bioautoml_nni.data.metadata import MetadataPreprocessor
from bioautoml_nni.data.misfits import misfit_remarks
from bioautoml_nni.data.roles import infer_role, pair_places
from bioautoml_nni.data.typed import with_types

BERLIN = (52.5, 13.4)


@pytest.mark.parametrize(
    "text",
    [
        "52.5, 13.4", "52.5,13.4", "52.5 13.4", "(52.5; 13.4)", "[52.5, 13.4]", "52,5; 13,4", "52,5 13,4", "52,5, 13,4",
        "52.5/13.4", "52\u00b030' N 13\u00b024' E", "N52.5 E13.4", "13\u00b024' E, 52\u00b030' N", "52.5N, 13.4E",
        "52\u00b0 30\u2032 N, 13\u00b0 24\u2032 E", "POINT (13.4 52.5)", "point(13.4 52.5)",
        "SRID=4326;POINT(13.4 52.5)", "POINT Z (13.4 52.5 80)", "52.5\u00b0, 13.4\u00b0",
    ],
)  # fmt: skip
def test_one_place_in_many_spellings(text):
    assert parse_pair(text, "latitude_first") == pytest.approx(BERLIN)


def test_south_and_west_are_negative_and_the_other_order_is_of_plain_numbers_alone():
    assert parse_pair("33\u00b052' S 70\u00b039' W", "longitude_first") == pytest.approx((-33 - 52 / 60, -70.65))
    assert parse_pair("13.4, 52.5", "longitude_first") == pytest.approx(BERLIN)
    assert parse_pair("-33.5,-70.6", "latitude_first") == (-33.5, -70.6)


@pytest.mark.parametrize(
    "text",
    [
        "", "52.5", "52.5, 13.4, 8", "91, 13", "52.5, 361", "52.5 N, 13.4 N", "52.5 N, 13.4", "pond, wood",
        "POINT (a b)",
        "52\u00b030' N 13\u00b024' O", "POLYGON ((1 2, 3 4))", "3-4", "2016-06-01, 13:20",
    ],
)  # fmt: skip
def test_what_is_no_place(text):
    assert np.isnan(parse_pair(text, "latitude_first")).all()


def typed(texts, role=None):
    return with_types(pd.DataFrame({"gps": pd.Series(texts, dtype="str")}), roles={"gps": role} if role else {})


def test_a_column_that_can_be_nothing_else_is_recognised_and_said():
    found = typed(["52.520, 13.405", "48.137, 11.575", None, "52.521, 13.406"])
    assert found.forms == {"gps": {"pair": "latitude_first"}}
    assert found.notes == [
        "Column 'gps': 3 values such as '52.520, 13.405' are read as latitude and longitude, the latitude first, as "
        "usual, since no value says it; else write two columns."
    ]
    assert infer_role("gps", found.table["gps"], found.forms["gps"])[0] == "coordinates"
    first = typed(["151.209, -33.868", "144.963, -37.814"])
    assert first.forms == {"gps": {"pair": "longitude_first"}}
    assert first.notes[0].endswith("are read as longitude and latitude.")


@pytest.mark.parametrize(
    "texts", [["3, 7", "4, 9"], ["1.5, 2.5", "3.5, 4.5"], ["12/2016", "01/2017"], ["52.520, 13.405", "x"]]
)
def test_a_column_that_may_be_something_else_stays_text_unless_it_is_declared(texts):
    found = typed(texts)
    assert "pair" not in found.forms.get("gps", {}) and found.table["gps"].tolist() == texts
    declared = typed(texts, "coordinates")
    assert declared.forms == {"gps": {"pair": "latitude_first"}} and declared.table["gps"].tolist() == texts


def test_the_network_sees_what_it_would_of_two_columns_and_a_file_keeps_it():
    one = pd.DataFrame({"gps": ["151.2, -33.9", "-70.6, -33.4", None, "somewhere"]})
    two = pd.DataFrame({"lat": [-33.9, -33.4, np.nan, np.nan], "lon": [151.2, -70.6, np.nan, np.nan]})
    pair = MetadataPreprocessor({"gps": "coordinates"}, place_resolution_km=500).fit(one)
    own = MetadataPreprocessor({"lat": "latitude", "lon": "longitude"}, place_resolution_km=500).fit(two)
    for name in ("numeric", "mask"):
        np.testing.assert_array_equal(getattr(pair.transform(one), name), getattr(own.transform(two), name))
    again = MetadataPreprocessor.from_dict(pair.to_dict())
    alone = np.concatenate([again.transform(one.iloc[[row]]).numeric for row in range(4)])
    np.testing.assert_array_equal(alone, pair.transform(one).numeric)
    assert again.doubts(one) == [("gps", "cannot be read and count as missing", "somewhere")]
    (state,) = pair.to_dict()["fields"]
    with pytest.raises(ValueError, match="order is 'north'"):
        restore({**state, "order": "north"})


def test_values_that_are_none_are_counted_and_many_of_a_declared_column_are_refused():
    texts = pd.DataFrame({"gps": ["52.5, 13.4"] * 9 + ["95, 400"]})
    decided = typed(texts["gps"].tolist(), "coordinates")
    manifest = Manifest(decided.table, None, {"gps": "coordinates"}, rank="x", forms=decided.forms, declared=["gps"])
    (remark,) = misfit_remarks(manifest, decided.table)
    assert remark.level == "refused"
    assert remark.plain.startswith(
        "Column 'gps' is coordinates, but 1 of its 10 values (95, 400) are no pairs of latitude and longitude"
    )


def test_one_place_is_used():
    roles = {"lat": "latitude", "lon": "longitude", "gps": "coordinates"}
    assert pair_places(roles) == {"gps": "'lat' tells the place, and there can be one"} and roles["gps"] == "ignored"
    roles = {"gps": "coordinates", "gps2": "coordinates", "lat": "latitude"}
    assert sorted(pair_places(roles)) == ["gps2", "lat"] and roles["gps"] == "coordinates"
