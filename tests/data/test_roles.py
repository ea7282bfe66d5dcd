from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bioautoml_nni.data.manifest import Manifest
from bioautoml_nni.data.remark import ColumnFinding
from bioautoml_nni.data.roles import MAX_CATEGORIES, NoMetadataError, decide_roles, infer_role, pair_places, plain_name

RNG = np.random.default_rng(0)
ROWS = 400


@pytest.mark.parametrize(
    ("name", "values", "role"),
    [
        ("body_length_mm", RNG.lognormal(1, 1, ROWS), "size"),
        ("temperature", RNG.normal(0, 5, ROWS), "numeric"),
        ("decimalLatitude", RNG.uniform(-60, 60, ROWS), "latitude"),
        ("coord-lon", RNG.uniform(-170, 170, ROWS), "longitude"),
        ("eventDate", pd.Series(pd.date_range("2020-01-01", periods=ROWS)).dt.strftime("%Y-%m-%d"), "date"),
        ("habitat", RNG.choice(["wood", "meadow", "bog"], ROWS), "categorical"),
        ("area_fraction", RNG.uniform(0, 1, ROWS), "fraction"),
        ("collected", ["2016-06-01/2016-06-15", "2017"] * (ROWS // 2), "date"),
        ("constant", ["same"] * ROWS, "ignored"),
        ("number", np.arange(ROWS), "ignored"),
        ("remarks", [f"note {row}" for row in range(ROWS)], "ignored"),
    ],
)
def test_roles_by_name_and_content(name, values, role):
    assert infer_role(name, pd.Series(values))[0] == role


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("x", [1.0, None, 1.0], ("ignored", "it has fewer than two different values")),
        ("x", ["07:15", "23:59", "00:01"] * 2, ("hour", "its values are times of day")),
        ("x", ["2016-06-01", "2016-07-01"], ("date", "its values are dates")),
        ("date", [42522.0, 42552.0, 42583.0], ("date", "its name, and its values count days as spreadsheets do")),
        ("mass", [42522.5, 42552.25, 42583.0], ("size", "its name, and no value is negative")),
        ("lat", [-90.0, 90.0, 0.5], ("latitude", "its name and range")),
        ("lat", [-90.5, 90.0, 0.5], ("numeric", "its values are numbers")),
        ("lat", [-90.0, 90.5, 0.5], ("numeric", "its values are numbers")),
        ("lon", [-180.0, 180.0, 0.5], ("longitude", "its name and range")),
        ("lon", [-180.5, 180.0, 0.5], ("numeric", "its values are numbers")),
        ("lon", [-180.0, 180.5, 0.5], ("numeric", "its values are numbers")),
        ("x", [3, 1, 2], ("ignored", "it numbers the rows")),
        ("x", [3, 1, 1], ("numeric", "its values are numbers")),
        ("x", [3, 1, 1.5], ("numeric", "its values are numbers")),
        ("cover", [0.0, 1.0, 0.5], ("fraction", "its name, and its values lie between 0 and 1")),
        ("cover", [-0.5, 1.0, 0.5], ("numeric", "its values are numbers")),
        ("cover", [0.0, 1.5, 0.5], ("numeric", "its values are numbers")),
        ("mass", [0.0, 1.5, 0.5], ("size", "its name, and no value is negative")),
        ("mass", [-0.5, 1.5, 0.5], ("numeric", "its values are numbers")),
        ("x", [True, False, True, False], ("categorical", "2 different texts")),
        ("x", ["a", "b", "a", "b"], ("categorical", "2 different texts")),
        ("x", ["a", "b", "a"], ("ignored", "2 different texts are an identifier or free text")),
        ("x", [f"t{n % MAX_CATEGORIES}" for n in range(200)], ("categorical", "50 different texts")),
        ("x", [f"t{n % 51}" for n in range(200)], ("ignored", "51 different texts are an identifier or free text")),
    ],
)
def test_a_role_and_its_reason_at_the_border(name, values, expected):
    assert infer_role(name, pd.Series(values)) == expected


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Länge [mm]", "lange_mm"),
        ("eventDate", "event_date"),
        ("site2Name", "site2_name"),
        ("GPSDate", "gpsdate"),
        ("Größe", "grosse"),
        ("GRÖẞE", "grosse"),
        ("  Fläche (cm²) ", "flache_cm2"),
        ("__x__", "x"),
        ("Xa", "xa"),
        ("aX", "a_x"),
    ],
)
def test_plain_names(name, plain):
    assert plain_name(name) == plain


def test_places_come_in_pairs():
    roles = {"a": "latitude", "b": "latitude", "c": "longitude"}
    assert pair_places(roles) == {"b": "'a' is the latitude, and there can be one"}
    assert roles == {"a": "latitude", "b": "ignored", "c": "longitude"}
    alone = {"a": "latitude", "x": "numeric"}
    assert pair_places(alone) == {"a": "a latitude needs a longitude beside it"}
    assert alone == {"a": "ignored", "x": "numeric"}
    others = {"a": "longitude", "b": "longitude", "x": "size"}
    assert set(pair_places(others)) == {"a", "b"} and set(others.values()) == {"ignored", "size"}


TABLE = pd.DataFrame(
    {"mass": [1.5, 2.5, 3.5], "site": ["a", "b", "a"], "lat": [48.5, 47.5, 46.5], "x": [1.5, 0.5, 2.5]}
)


def decide(verdicts, roles=None, *, allow=None, uses_metadata=True, infer=True, kinds=None, table=TABLE):
    """Return what is decided of columns with these verdicts; roles that are given are declared."""
    roles = roles or {}
    manifest = Manifest(table, Path(), roles, rank="order", declared=frozenset(roles), infer=infer)
    findings = [ColumnFinding(name, verdict, (kinds or {}).get(name, ""), "why") for name, verdict in verdicts.items()]
    return decide_roles(manifest, table, findings, allow or {}, uses_metadata)


def test_declared_roles_stand_and_others_are_inferred_with_a_note():
    found = decide({"mass": "pass", "site": "warn", "x": "drop"}, {"site": "group"})
    assert found.manifest.roles == {"mass": "size", "site": "group", "x": "ignored"}
    (remark,) = found.remarks
    assert (remark.level, remark.topic) == ("note", "columns")
    assert remark.plain == "Column 'mass' taken as size: its name, and no value is negative."
    assert remark.answer.line == "data.columns: {mass: size}"
    declared = decide({"mass": "pass", "x": "drop"}, {"mass": "numeric", "x": "numeric"})
    assert declared.manifest.roles == {"mass": "numeric", "x": "numeric"} and not declared.remarks
    with pytest.raises(NoMetadataError, match="no usable metadata column is left"):
        decide({"mass": "pass"}, infer=False)
    assert decide({"mass": "pass"}, infer=False, uses_metadata=False).manifest.roles == {"mass": "ignored"}


def test_what_is_refused_is_used_only_with_a_reason():
    kept = {"site": "categorical"}
    refused = decide({"mass": "refuse", "site": "pass"}, {"mass": "size", **kept})
    assert refused.manifest.roles == {"mass": "ignored", **kept} and not refused.overridden
    (remark,) = refused.remarks
    assert remark.level == "refused" and "data.columns.mass: cannot be a feature for 'order', since why" in remark.text
    assert remark.answer.line == "data.columns: {mass: ignored}" and remark.answer.sure
    assert not decide({"mass": "refuse", "site": "pass"}, kept).remarks  # nobody asked for it
    assert not decide({"mass": "refuse"}, {"mass": "size"}, uses_metadata=False).remarks

    allowed = decide({"mass": "refuse", "site": "pass"}, {"mass": "numeric", **kept}, allow={"mass": "because"})
    assert allowed.manifest.roles == {"mass": "numeric", **kept} and not allowed.remarks
    assert allowed.overridden == {"mass": "because"}
    inferred = decide({"mass": "refuse"}, allow={"mass": "because"})
    assert inferred.manifest.roles == {"mass": "size"} and inferred.overridden == {"mass": "because"}
    assert decide({"mass": "refuse", "site": "pass"}, {"mass": "group", **kept}, allow={"mass": "b"}).overridden == {}
    assert not decide({"mass": "refuse"}, allow={"mass": "because"}, uses_metadata=False).overridden
    (unknown,) = decide({"mass": "pass"}, {"mass": "size"}, allow={"mas": "because"}).remarks
    assert unknown.text == "audit.allow.mas: the table has no such column (did you mean 'mass'?)."


def test_a_refused_taxonomy_stays_one_for_coarser_scores():
    kept = {"mass": "size"}
    declared = decide({"site": "refuse", "mass": "pass"}, {"site": "taxonomy", **kept})
    assert declared.manifest.roles == {"site": "taxonomy", **kept} and not declared.remarks
    found = decide({"site": "refuse", "mass": "pass"}, kept, kinds={"site": "taxonomy"})
    assert found.manifest.roles["site"] == "taxonomy" and not found.remarks
    used = decide({"x": "refuse", "mass": "pass"}, {"x": "taxonomy", **kept}, allow={"x": "because"})
    assert used.manifest.roles["x"] == "numeric" and used.overridden == {"x": "because"}


def test_a_place_that_is_not_used_is_named():
    declared = decide({"lat": "pass", "mass": "pass"}, {"lat": "latitude", "mass": "size"})
    assert declared.manifest.roles["lat"] == "ignored"
    (remark,) = declared.remarks
    assert (remark.level, remark.plain) == (
        "warning", "Column 'lat' is not used: a latitude needs a longitude beside it.",
    )  # fmt: skip
    *_, inferred = decide({"lat": "pass", "mass": "pass"}, {"mass": "size"}).remarks
    assert inferred.level == "note" and inferred.plain == remark.plain


@pytest.mark.parametrize(
    ("texts", "odd"),
    [
        (["3.5 mm", "4,2 mm"], "3.5 mm"), (["~5", "6"], "~5"), (["5,0 %", "6 %"], "5,0 %"),
        (["1.5", "2", "3", "ca. 4"], "ca. 4"),
        (["12a", "13b"], None), (["ja", "nein"], None),
    ],
)  # fmt: skip
def test_numbers_with_something_beside_them_are_said(texts, odd):
    role, reason = infer_role("x", pd.Series(texts * 4))
    assert role == "categorical" and (f"such as {odd!r}: write it alone" in reason if odd else "write it" not in reason)


def test_days_without_signs_between_are_dates_by_their_name():
    days = pd.Series([20160601, 20160602, 20160713] * 2)
    assert infer_role("date", days)[0] == "date" and infer_role("key", days)[0] == "numeric"
    assert infer_role("date", days + 40)[0] == "numeric", "no month has 41 days"


def test_remarks_say_what_they_are_about_and_the_line_that_answers_them():
    *_, place = decide({"lat": "pass", "mass": "pass"}, {"mass": "size"}).remarks
    assert place.topic == "columns" and place.answer.line == "data.columns: {lat: ignored}" and not place.answer.sure
    (unknown,) = decide({"mass": "pass"}, {"mass": "size"}, allow={"mas": "because"}).remarks
    assert (unknown.level, unknown.topic, unknown.answer) == ("refused", "columns", None)
    (refused,) = decide({"mass": "refuse", "site": "pass"}, {"mass": "size", "site": "categorical"}).remarks
    assert refused.topic == "columns"
    with pytest.raises(NoMetadataError) as caught:
        decide({"mass": "pass"}, infer=False)
    assert str(caught.value) == (
        "data.modalities names metadata, but no usable metadata column is left; give roles under data.columns or set "
        "data.modalities to [image]."
    )


def test_a_group_that_gives_the_label_away_is_a_group_all_the_same():
    found = decide({"site": "refuse", "mass": "pass"}, {"site": "group", "mass": "size"})
    assert found.manifest.roles["site"] == "group" and not found.remarks


def test_the_second_longitude_is_not_used():
    roles = {"y": "latitude", "a": "longitude", "b": "longitude"}
    assert pair_places(roles) == {"b": "'a' is the longitude, and there can be one"}
    assert roles == {"y": "latitude", "a": "longitude", "b": "ignored"}
