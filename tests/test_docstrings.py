"""Examples in docstrings give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IN_OTHER_TESTS = {"bioautoml_nni.auto.classifier", "bioautoml_nni.auto.functions"}
"""Examples that need data of their own: tests/auto/test_classifier.py."""


def with_examples():
    """Yield the names of the modules whose source has an example."""
    for folder in ("bioautoml_nni", "search_spaces", "strategies"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if ">>> " in file.read_text(encoding="utf-8"):
                name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
                yield name if folder == "bioautoml_nni" else f"bioautoml_nni.{name}"


@pytest.mark.parametrize("name", sorted({*with_examples()} - IN_OTHER_TESTS))
def test_examples_of_a_module_hold(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted and not found.failed


def test_modules_with_examples_are_found():
    assert {"bioautoml_nni.architecture.topology", "bioautoml_nni.strategies.guards", *IN_OTHER_TESTS} <= {
        *with_examples()
    }
