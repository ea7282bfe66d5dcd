"""The operation of CONTRIBUTING.md works as written."""

import re
from pathlib import Path

import torch

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()


def test_the_example_operation_keeps_the_contract():
    [code] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(code.splitlines()) < 40
    scope: dict = {}
    exec(compile(code, "CONTRIBUTING.md", "exec"), scope)
    for stride in (1, 2):
        result = scope["AsymmetricConv"](8, stride)(torch.randn(2, 8, 9, 7))
        assert result.shape == (2, 8, -(-9 // stride), -(-7 // stride))
