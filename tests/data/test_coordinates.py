"""Coordinates in degrees, minutes and seconds: each text by itself, its column's letters from all of it."""

import json

import numpy as np
import pandas as pd
import pytest
from damage import tries
from hypothesis import given
from hypothesis import strategies as st

from bioautoml_nni.data.coordinates import parse_angle, parse_degrees
from bioautoml_nni.data.metadata import MetadataPreprocessor
from bioautoml_nni.data.roles import infer_role
from bioautoml_nni.data.typed import with_types

VIENNA = 48 + 12 / 60 + 30 / 3600


@pytest.mark.parametrize(
    "text",
    [
        "48°12'30\"N", "48° 12′ 30″ N", "48º12'30''N", "N 48° 12' 30\"", "48 12 30 N", "48:12:30 N", "48-12-30N",
        "48d12m30s N", "48deg 12min 30sec N", "48°12.5'N", "48 12,5 N", "N48.208333333333336",
        "48,208333333333336° Nord", "n. Br. 48°12'30\"", "+48°12'30”", "48°12’30” n.Br.", "48˚ 12´ 30´´ north",
    ],
)  # fmt: skip
def test_a_latitude_as_people_write_it(text):
    assert parse_degrees(text, "latitude") == pytest.approx(VIENNA)


def test_the_south_and_the_west_are_negative_and_zero_keeps_its_sign():
    assert parse_degrees("33°52′10″S", "latitude") == pytest.approx(-(33 + 52 / 60 + 10 / 3600))
    assert parse_degrees("0°30'W", "longitude") == parse_degrees("-0°30'", "longitude") == -0.5
    assert parse_degrees("33d52m10s", "degrees") == -parse_degrees("33d52m10S", "latitude")


@pytest.mark.parametrize(
    "text",
    ["48°60'10\"N", "48°12'61\"N", "48.5°12'N", "-33°S", "20°C", "48°12'E", "48°12'", "x", "N", "48 123 N", "12 m"],
)  # fmt: skip
def test_what_is_no_latitude_or_two_is_none(text):
    assert np.isnan(parse_degrees(text, "latitude"))


@tries(100)
@given(st.integers(0, 89), st.integers(0, 59), st.integers(0, 59), st.sampled_from("NS"), st.sampled_from("'′’"))
def test_any_whole_seconds_come_back(degrees, minutes, seconds, letter, prime):
    text = f"{degrees}°{minutes:02d}{prime}{seconds:02d}{2 * prime}{letter}"
    told = round(3600 * parse_degrees(text, "latitude"))
    assert told == (3600 * degrees + 60 * minutes + seconds) * (1 if letter == "N" else -1)


@tries(100)
@given(st.text(max_size=12))
def test_any_text_is_an_angle_or_none(text):
    angle = parse_angle(text)
    assert angle is None or np.isfinite(angle.degrees)


def read(role=None, **columns):
    roles = dict.fromkeys(columns, role) if isinstance(role, str) else role
    return with_types(pd.DataFrame(columns, dtype="str"), roles=roles)


def test_a_whole_column_is_read_and_said_and_each_row_by_itself():
    table = {"lat": ["48°12'30\"N", "47,5 N", "46.25", None], "lon": ["16°22'O", "3°W", "10 30 E", "-5.5"]}
    roles = {"lat": "latitude", "lon": "longitude"}
    found = read(roles, **table)
    np.testing.assert_allclose(found.table["lat"], [VIENNA, 47.5, 46.25, np.nan])
    assert (
        "3 values in degrees, minutes and seconds, such as 48°12'30\"N, are read as decimal degrees (48.20833)"
        in " ".join(found.notes)
    )
    assert np.isnan(found.table["lon"][0]), "with E and W beside it, O says nothing"
    fitted = MetadataPreprocessor(roles, forms=found.forms).fit(found.table)
    state = json.loads(json.dumps(fitted.to_dict()))
    raw = pd.DataFrame(table, dtype="str")
    whole = MetadataPreprocessor.from_dict(state).transform(raw)
    for row in range(len(raw)):
        alone = MetadataPreprocessor.from_dict(state).transform(raw.iloc[[row]])
        np.testing.assert_array_equal(alone.numeric[0], whole.numeric[row])
    np.testing.assert_array_equal(whole.numeric, fitted.transform(found.table).numeric)


@pytest.mark.parametrize(
    ("texts", "west"), [(["16°22'O", "3°12'W"], False), (["16°22'O", "3°12'E"], True), (["16°22'O", "3°12'O"], None)]
)
def test_the_letter_o_is_read_where_the_column_says_what_it_means(texts, west):
    found = read("longitude", lon=texts)
    if west is None:
        assert found.table["lon"].isna().all() and found.unread["lon"].count == 2
        assert "the O of 2 values such as 16°22'O can be east (Ost) or west" in " ".join(found.notes)
    else:
        assert (found.table["lon"][0] < 0) == west


def test_codes_and_words_are_no_angles():
    for texts in (["1N", "2S"], ["12E", "3W"], ["12.5 W", "3 W"], ["48 12 30", "47 1 2"], ["North", "South"]):
        found = read(x=texts)
        assert found.table["x"].tolist() == texts and "x" not in found.forms
    assert read(latitude=["48 12 30", "47 1 2"]).table["latitude"].dtype == float, "whose name says it"


def test_letters_tell_the_role_of_a_column_of_any_name():
    found = read(Breite=["48°12'N", "47°1'N"], Wert=["3°", "4,5°"], lat=["16°E", "17°E"])
    roles = {name: infer_role(name, found.table[name], found.forms.get(name))[0] for name in found.table}
    assert roles["Breite"] == "latitude" and roles["Wert"] == "numeric"
    assert roles["lat"] == "ignored", "a latitude in the east contradicts itself"


def test_a_length_in_spanish_is_no_longitude():
    values = pd.Series([3.5, 4.25, 5.0])
    assert infer_role("longitud [mm]", values)[0] == "size" and infer_role("longitud", values)[0] == "longitude"
