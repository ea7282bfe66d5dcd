import numpy as np
import pandas as pd
import pytest
from damage import tries
from hypothesis import given
from hypothesis import strategies as st

from bioautoml_nni.data.numerals import NumberForm, parse_number, restore_number_form
from bioautoml_nni.data.typed import with_types


def typed(values, role=None):
    result = with_types(pd.DataFrame({"x": pd.Series(values, dtype="str")}), roles={"x": role} if role else {})
    return result.table["x"], result.forms.get("x"), " ".join(result.notes)


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1", "20", "-3"], [1, 20, -3]),
        (["1.5", "2", None], [1.5, 2, np.nan]),
        (["1,5", "2,25"], [1.5, 2.25]),
        (["1.234,5", "12"], [1234.5, 12]),
        (["1,234.5", "12"], [1234.5, 12]),
        (["1 234", "1 234 567"], [1234, 1234567]),
        (["1'234", "7"], [1234, 7]),
        (["−3", "4"], [-3, 4]),
        (["1e-05", "2.0"], [1e-5, 2]),
        (["NA", "1.5", "n/a", "2"], [np.nan, 1.5, np.nan, 2]),
        (["inf", "2"], [np.inf, 2]),
        (["12 mm", "7,5mm", "1.234,5 mm", None], [12, 7.5, 1234.5, np.nan]),
        (["3 µm", "4 μm", "5 um.", "6"], [3, 4, 5, 6]),
        (["-4 °C", "n/a", "1.5e1 °C"], [-4, np.nan, 15]),
        (["20 mm²", "3 mm2"], [20, 3]),
        (["12 mm", "1.2 cm", "3 mm", "0"], [12, 12, 3, 0]),
        (["1 Zoll", "1 in"], None),
        (["1 inch", "2 Inches", "25.4 mm"], [1, 2, 1]),
        (["100 m a.s.l.", "1,5 km", "20 m ü. NN"], [100, 1500, 20]),
        (["50 °F", "10 deg C", "32 ºF"], [50, 50, 32]),
        (["3 Millimeter", "4 MM", "5 millimetres"], [3, 4, 5]),
        (["2 ml", "3 cm3", "1 cc"], [2, 3, 1]),
        (["35 %", "7,5%", "40 Prozent", "0"], [35, 7.5, 40, 0]),
    ],
)
def test_numbers_as_people_write_them(texts, numbers):
    column, _, _ = typed(texts)
    if numbers is None:
        assert column.tolist() == texts
    else:
        np.testing.assert_allclose(column.to_numpy(float), numbers, rtol=1e-15)


@pytest.mark.parametrize(
    "texts",
    [
        ["007", "12"], ["1E3", "2E4"], ["12345678901234567", "3"], ["NA", "DE"], ["True", "False"], ["0x10", "1"],
        ["12 mm", "1 mg"], ["12 mm", "mm"], ["5 m", "pond"], ["35 %", "40"], ["12-14 mm", "3 mm"], ["007 m", "8 m"],
        ["12 mm", "1 cm", "7"], ["1 mg", "1 Mg"], ["12A", "13A"],
    ],
)  # fmt: skip
def test_identifiers_and_words_stay_text(texts):
    column, _, _ = typed(texts)
    assert column.tolist() == texts


def test_a_declared_role_decides():
    assert typed(["007", "12"], "numeric")[0].tolist() == [7, 12]
    assert typed(["1", "2"], "categorical")[0].tolist() == ["1", "2"]
    assert typed(["1", "1.0"], "group")[0].tolist() == ["1", "1.0"]


def test_what_is_decided_is_said():
    assert "NA" in typed(["NA", "1.5"])[2] and "count as missing" in typed(["NA", "1.5"])[2]
    assert "data.missing: [NA]" in typed(["NA", "DE"])[2]
    assert "2 values such as 1,234" in typed(["1,234", "2,345"])[2]
    assert typed(["1,234", "2,5"])[2] == ""
    assert "2 dates such as 03/04/2016" in typed(["03/04/2016", "05/06/2016"])[2]
    assert typed(["03/04/2016", "15/06/2016"])[1:] == ({"order": "day_first", "serial": ""}, "")
    assert "count as missing" in typed(["03/04/2016", "15/06/2016", "06/15/2016"])[2]
    assert "dots are read month first" in typed(["03.04.2016", "06.15.2016"])[2]


def test_a_unit_is_read_where_it_is_one_and_said():
    column, form, said = typed(["12 mm", "7 mm", "9"], "size")
    assert column.tolist() == [12, 7, 9] and form == {"decimal": ".", "thousands": "", "unit": "mm"}
    assert said == (
        "Column 'x': 2 values such as '12 mm' are read as numbers in mm; 1 without a unit are taken to be in mm, too."
    )
    restored = restore_number_form(form)
    assert [parse_number(text, restored) for text in ("3 mm", "3", "3,5mm", 4)] == [3, 3, 3.5, 4]
    assert parse_number("0.3 cm", restored) == 3 and np.isnan(parse_number("3 mg", restored))
    assert np.isnan(parse_number("3 %", restored)) and np.isnan(parse_number("3 mm", NumberForm()))
    for broken in (
        {**form, "unit": "parsec"},
        {**form, "unit": ["mm"]},
        {**form, "unit": None},
        {**form, "decimal": ""},
    ):
        with pytest.raises(ValueError, match="form of numbers"):
            restore_number_form(broken)


def test_units_that_cannot_be_told_apart_are_said():
    assert "are read as numbers in mm; 1 in cm are converted." in typed(["12 mm", "1.2 cm", "3 mm"])[2]
    assert "units of different kinds" in typed(["12 mm", "1 mg"])[2]
    assert "1 values without a unit stand beside" in typed(["12 mm", "1.2 cm", "3 mm", "4"], "size")[2]
    column, form, said = typed(["35 %", "7,5 %", "0.4"], "fraction")
    np.testing.assert_allclose(column, [0.35, 0.075, 0.4])
    assert said == "Column 'x': 2 values such as '35 %' are read as shares from 0 to 1."
    assert typed(["35 %", "7.5 %", "0.4"], "fraction")[2].endswith("to 1; 1 without a % are taken as shares.")
    assert parse_number("35 %", restore_number_form(form)) == 0.35
    assert "could be per cent or shares" in typed(["35 %", "40 %", "38 %", "35 %", "7"])[2]
    for bare in ("40", "1,5", "1e2"):
        assert "could be per cent or shares" in typed(["35 %", "50 %", bare, "12 %"], "fraction")[2]
    assert "0 and" not in typed(["0", "12 mm", "1 cm"])[2] and typed(["0", "12 mm", "1 cm"])[0].tolist() == [0, 12, 10]
    assert "1 values without a unit stand beside" in typed(["0", "32 °F", "10 °C"], "numeric")[2]


@tries(200)
@given(st.sampled_from([("mm", "cm"), ("m", "km"), ("g", "mg"), ("°C", "°F"), ("l", "ml"), ("ha", "m2")]), st.data())
def test_a_value_is_the_same_quantity_in_any_unit_of_its_kind(pair, data):
    """Oracle: the factors written once more, by hand."""
    factors = {"mm": 1, "cm": 10, "m": 1, "km": 1000, "g": 1000, "mg": 1, "l": 1000, "ml": 1, "ha": 1e4, "m2": 1}
    number = data.draw(st.decimals(-1000, 1000, places=3))
    one, other = pair
    ratio = 9 / 5 if one == "°C" else factors[one] / factors[other]
    expected = float(number) * ratio + (32 if one == "°C" else 0)
    form = NumberForm(unit=other)
    assert parse_number(f"{number} {one}", form) == pytest.approx(expected, rel=1e-12, abs=1e-9)
    assert parse_number(f"{number} {other}", form) == float(number)


def test_another_form_is_read_where_it_has_one_meaning():
    plain, comma = NumberForm(), NumberForm(",")
    assert parse_number("3,5", plain) == 3.5 and parse_number("3.5", comma) == 3.5
    assert np.isnan(parse_number("1,234", plain)) and parse_number("1,234", comma) == 1.234
    assert parse_number("0,125", plain) == 0.125 and np.isnan(parse_number("35 %", plain))


def test_a_source_that_has_no_key_for_an_answer_says_the_facts_alone():
    table = pd.DataFrame({"day": ["03/04/2016", "05/06/2016"], "zeit": ["930", "1045"]}, dtype="str")
    result = with_types(table, roles={"day": "date", "zeit": "hour"})
    assert all("write data." in note for note in result.notes)
    assert [fact.count("write data.") for fact in result.facts] == [0, 0]
    assert "they are read day first." in result.facts[0] and "they are read as hours." in result.facts[1]
