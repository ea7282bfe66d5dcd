import numpy as np
import pandas as pd
import pytest

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
    ],
)
def test_numbers_as_people_write_them(texts, numbers):
    column, _, _ = typed(texts)
    np.testing.assert_array_equal(column.to_numpy(float), numbers)


@pytest.mark.parametrize(
    "texts",
    [
        ["007", "12"], ["1E3", "2E4"], ["12345678901234567", "3"], ["NA", "DE"], ["True", "False"], ["0x10", "1"],
        ["12 mm", "1 cm"], ["12 mm", "mm"], ["5 m", "pond"], ["35 %", "40 %"], ["12-14 mm", "3 mm"], ["007 m", "8 m"],
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
    assert np.isnan(parse_number("3 cm", restored)) and np.isnan(parse_number("3 mm", NumberForm()))
    for broken in ({**form, "unit": "parsec"}, {**form, "unit": None}, {**form, "decimal": ""}):
        with pytest.raises(ValueError, match="form of numbers"):
            restore_number_form(broken)
    several = with_types(pd.DataFrame({"x": ["12 mm", "1.2 cm", "3 mm"]}, dtype="str"), roles={"x": "size"})
    assert several.unread["x"].count == 3


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
