"""Charts are read back from their SVG: the numbers on the axes tell what each point stands for."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup

from bioautoml_nni.report.charts import Axis, Series, line_chart, matrix_chart

SVG = "{http://www.w3.org/2000/svg}"


def parsed(chart: Markup | None) -> ElementTree.Element:
    assert chart is not None
    return ElementTree.fromstring(str(chart))


def number_at(root: ElementTree.Element, axis: str, scale: Callable = float) -> Callable[[float], float]:
    """Return what a place on an axis stands for, by the places of its numbers."""
    texts = [text for text in root.iter(f"{SVG}text") if text.get("class") == axis]
    places = [float(str(text.get(axis))) for text in texts]
    slope, offset = np.polyfit(places, [scale(float(str(text.text))) for text in texts], 1)
    return lambda place: slope * place + offset


def points(root: ElementTree.Element, number: int) -> list[tuple[float, float]]:
    """Return the places of a series' line; a pen that is lifted starts a gap."""
    group = next(one for one in root.iter(f"{SVG}g") if one.get("data-series") == str(number))
    steps = re.findall(r"[ML]([\d.]+) ([\d.]+)", str(group.find(f"{SVG}path").get("d")))
    x, y = number_at(root, "x"), number_at(root, "y")
    return [(x(float(across)), y(float(up))) for across, up in steps]


def test_a_line_lies_where_its_numbers_are():
    first = Series("training", [1, 2, 3, 4], [2.0, 1.5, 0.75, 0.5])
    second = Series("validation", [1, 2, 3, 4], [2.2, 1.4, 1.3, 1.6])
    root = parsed(line_chart([first, second], Axis("epoch", whole=True), Axis("loss"), "Losses"))
    for number, series in enumerate((first, second)):
        np.testing.assert_allclose(points(root, number), list(zip(series.x, series.y, strict=True)), atol=0.01)
    tips = [one.get("data-tip") for one in root.iter() if one.get("class") == "column"]
    assert tips[2] == "epoch 3\ntraining: 0.750\nvalidation: 1.300" and len(tips) == 4
    assert [entry.get("data-series") for entry in root.iter("li")] == ["0", "1"]


def test_a_gap_is_left_open_and_a_long_line_is_thinned_to_its_ends():
    gap = Series("a", [1, 2, 3, 4, 5], [0.1, 0.2, float("nan"), 0.4, 0.5])
    root = parsed(line_chart([gap], Axis("x", 0, 5), Axis("y", 0, 1), "Gap"))
    group = next(one for one in root.iter(f"{SVG}g") if one.get("data-series") == "0")
    assert str(group.find(f"{SVG}path").get("d")).count("M") == 2 and len(points(root, 0)) == 4
    many = np.linspace(0, 1, 5000)
    found = points(parsed(line_chart([Series("a", many, many**2)], Axis("x", 0, 1), Axis("y", 0, 1), "Long")), 0)
    assert len(found) <= 241
    np.testing.assert_allclose(found[-1], (1, 1), atol=0.01)


def test_marks_say_their_numbers_and_a_logarithmic_axis_is_one():
    series = [Series("probe", [2.0], [0.5], points=True, spread=[0.1]), Series("net", [200.0], [0.7], points=True)]
    root = parsed(line_chart(series, Axis("ms", log=True), Axis("score", 0, 1), "Cost"))
    marks = list(root.iter(f"{SVG}circle"))
    x, y = number_at(root, "x", np.log), number_at(root, "y")
    np.testing.assert_allclose([np.exp(x(float(one.get("cx")))) for one in marks], [2, 200], rtol=0.02)
    np.testing.assert_allclose([y(float(one.get("cy"))) for one in marks], [0.5, 0.7], atol=0.01)
    assert marks[0].get("data-tip") == "probe: 0.500 ± 0.100 at 2"


@pytest.mark.parametrize("values", [[], [float("nan")] * 2])
def test_nothing_gives_no_chart(values):
    assert line_chart([Series("a", list(range(len(values))), values)], Axis("x"), Axis("y"), "Nothing") is None


def test_a_matrix_has_its_counts_where_they_belong_and_names_are_escaped():
    counts = np.array([[5, 1, 0], [2, 0, 0], [0, 0, 7]])
    names = ["<b>ant</b>", 'bee "x"', "cicada"]
    root = parsed(matrix_chart(counts, names, "Confusion"))
    cells = list(root.iter(f"{SVG}g"))
    found = np.zeros((3, 3), dtype=int)
    for cell in cells:
        place = names.index(str(cell.get("data-true"))), names.index(str(cell.get("data-predicted")))
        found[place] = int(str(cell.find(f"{SVG}text").text))
        assert str(cell.get("data-count")) == str(found[place])
    np.testing.assert_array_equal(found, counts)
    corners = {(cell.get("data-true"), cell.get("data-predicted")): cell.find(f"{SVG}rect") for cell in cells}
    first, second = corners[names[0], names[0]], corners[names[0], names[1]]
    assert float(second.get("x")) > float(first.get("x")) and second.get("y") == first.get("y")
    assert cells[1].get("data-tip") == '<b>ant</b> taken for bee "x": 1 of 6 (17%)'
