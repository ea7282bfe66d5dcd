"""The examples of CONTRIBUTING.md work as written."""

import re
from pathlib import Path

import pytest
import torch

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()


def example(name: str) -> type:
    """Run the example that defines a class and return the class."""
    [code] = [text for text in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if f"class {name}(" in text]
    assert len(code.splitlines()) < 40
    scope: dict = {}
    exec(compile(code, "CONTRIBUTING.md", "exec"), scope)
    return scope[name]


def test_the_example_operation_keeps_the_contract():
    for stride in (1, 2):
        result = example("AsymmetricConv")(8, stride)(torch.randn(2, 8, 9, 7))
        assert result.shape == (2, 8, -(-9 // stride), -(-7 // stride))


def test_the_example_regulariser_keeps_shares_together():
    from bioautoml_nni.registry import get

    relaxation = get("relaxations", "softmax").target()
    penalty = example("EqualShares")(weight=2.0).penalty
    equal, apart = ({"edge": torch.tensor(alpha)} for alpha in ([0.0, 0.0], [20.0, -20.0]))
    assert float(penalty(torch.nn.Identity(), equal, relaxation, 0.5)) == 0
    assert float(penalty(torch.nn.Identity(), apart, relaxation, 0.5)) == pytest.approx(0.5)
