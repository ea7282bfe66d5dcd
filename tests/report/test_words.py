"""Counts, lists and sentences: singular and plural, and why the derived network is another than the last epoch's."""

from __future__ import annotations

import pytest

from bioautoml_nni.architecture import Architecture
from bioautoml_nni.config.schema import DerivationConfig
from bioautoml_nni.report.words import TERMS, counted, difference, listed, thousands


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [(1, "class", "1 class"), (2, "class", "2 classes"), (0, "image", "0 images"), (1, "test split", "1 test split"),
     (1234567, "training specimen", "1\u202f234\u202f567 training specimens")],
)  # fmt: skip
def test_a_count_has_the_noun_that_fits(count, noun, text):
    assert counted(count, noun) == text and thousands(count) == text.split(" ")[0]


def test_a_long_list_says_how_many_are_left():
    assert listed(["ant"]) == "ant" and listed(["ant", "bee"]) == "ant and bee"
    assert listed(list("abcdefgh")) == "a, b, c, d, e, f and 2 others" and listed(list("abcdefg")).endswith(
        "and 1 other"
    )


def architecture(operation: str, fusion: str = "gated") -> Architecture:
    edge = {"source": 0, "target": 1, "zero_share": 0.1, "input_share": 1.0, "operation_share": 0.4}
    cell = {"nodes": 1, "inputs_per_node": 2, "edges": [{**edge, "operation": operation}]}
    choices = {"fusion": {"choice": fusion, "share": 0.5}}
    return Architecture.model_validate({"space": {"name": "any"}, "cells": {"normal": cell}, "choices": choices})


def test_what_gave_way_to_the_budget_is_named():
    last, limited = architecture("sep_conv_5x5"), DerivationConfig(max_parameters=1000)
    assert difference(last, last, limited) == ""
    said = difference(architecture("skip_connect", "concatenation"), last, limited)
    assert "operations gave way to the limits of derivation" in said
    assert "normal cell, 0 to 1: skip in place of separable 5×5; fusion: concatenation in place of gated." in said
    said = difference(architecture("conv_1x1"), last, DerivationConfig(method="perturbation", max_parameters=1000))
    assert "the removal of each operation" in said and "gave way" not in said


def test_every_term_is_a_sentence():
    assert all(text.endswith(".") and text[0].isupper() for text in TERMS.values())
