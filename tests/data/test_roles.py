import numpy as np
import pandas as pd
import pytest

from bioautoml_nni.data.roles import infer_role

RNG = np.random.default_rng(0)
ROWS = 400
LABEL = pd.Series(RNG.choice(["Diptera", "Coleoptera", "Araneae"], ROWS))


@pytest.mark.parametrize(
    ("name", "values", "role"),
    [
        ("body_length_mm", RNG.lognormal(1, 1, ROWS), "size"),
        ("temperature", RNG.normal(0, 5, ROWS), "numeric"),
        ("decimalLatitude", RNG.uniform(-60, 60, ROWS), "latitude"),
        ("coord-lon", RNG.uniform(-170, 170, ROWS), "longitude"),
        ("eventDate", pd.Series(pd.date_range("2020-01-01", periods=ROWS)).dt.strftime("%Y-%m-%d"), "date"),
        ("habitat", RNG.choice(["wood", "meadow", "bog"], ROWS), "categorical"),
        ("family", RNG.choice(["x", "y"], ROWS), "ignored"),
        ("scientificName", RNG.choice(["x", "y"], ROWS), "ignored"),
        ("constant", ["same"] * ROWS, "ignored"),
        ("number", np.arange(ROWS), "ignored"),
        ("remarks", [f"note {row}" for row in range(ROWS)], "ignored"),
    ],
)
def test_roles_by_name_and_content(name, values, role):
    assert infer_role(name, pd.Series(values), LABEL)[0] == role


def test_a_renamed_label_is_found_by_its_values():
    codes = LABEL.map({"Diptera": "k1", "Coleoptera": "k2", "Araneae": "k3"})
    role, reason = infer_role("remark_code", codes, LABEL)
    assert role == "ignored"
    assert "name the label" in reason
    finer = codes + RNG.choice(["-a", "-b", "-c"], ROWS)
    assert infer_role("remark_code", finer, LABEL)[0] == "ignored"


def test_an_uninformative_column_is_not_taken_for_the_label():
    assert infer_role("trap_colour", pd.Series(RNG.choice(["red", "blue"], ROWS)), LABEL)[0] == "categorical"
