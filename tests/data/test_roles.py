import numpy as np
import pandas as pd
import pytest

from bioautoml_nni.data.roles import infer_role, pair_places

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


def test_places_come_in_pairs():
    roles = {"a": "latitude", "b": "latitude", "c": "longitude"}
    pair_places(roles)
    assert roles == {"a": "latitude", "b": "ignored", "c": "longitude"}
    alone = {"a": "latitude", "x": "numeric"}
    pair_places(alone)
    assert alone == {"a": "ignored", "x": "numeric"}
