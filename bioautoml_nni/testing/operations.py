"""The suite of candidate operations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..kernels.mixture import Mixture
from ._base import (
    built_module,
    check_capabilities,
    check_rows_apart,
    check_state,
    check_untouched,
    name_of,
    random_tensor,
    require_tensor,
    suite,
    tried,
)


@suite
def check_operation(operation: type[nn.Module]) -> None:
    """Check a candidate operation: shapes, gradients, and that its faster forms compute what `forward` computes."""
    name, contract = name_of(operation), "Operation(channels, stride)"
    check_capabilities(name, operation, frozenset({"parameter_free", "skip", "zero"}))
    zero = "zero" in getattr(operation, "capabilities", ())
    for stride in (1, 2):
        for channels, height, width in ((8, 16, 16), (6, 7, 5)):
            module = built_module(name, operation, contract, channels, stride).double()
            where = f"{name}({channels}, stride={stride}) on {height}x{width}"
            features = random_tensor(3, channels, height, width).requires_grad_()
            check_untouched(module, features.detach(), f"{where}: must map a feature map", where)
            result = require_tensor(where, tried(f"{where}: must map a feature map", module, features))
            wanted = (3, channels, -(-height // stride), -(-width // stride))
            assert result.shape == wanted, f"{where}: gives shape {tuple(result.shape)}, not {wanted}"
            assert result.dtype == features.dtype, f"{where}: gives {result.dtype} for {features.dtype}"
            assert torch.isfinite(result).all(), f"{where}: gives values that are not finite"
            if zero:
                assert not result.any(), f"{where}: declares 'zero' and gives something else than zeros"
            else:
                assert result.requires_grad, f"{where}: lets no gradient through"
                result.square().sum().backward()
                assert features.grad is not None, f"{where}: lets no gradient through"
                assert torch.isfinite(features.grad).all(), f"{where}: its gradient is not finite"
            check_rows_apart(module, features.detach(), where)
            _check_faster_forms(module, features.detach(), where)
            layout = features.detach().contiguous(memory_format=torch.channels_last)
            what = f"{where}: must take features in channels_last too, where reshape works and view does not"
            same = torch.allclose(tried(what, module, layout), module(features.detach()))
            assert same, f"{where}: gives something else in channels_last"
    check_state(lambda: operation(8, 1), random_tensor(2, 8, 6, 6).float(), name)
    try:
        operation(8, 3)
    except ValueError:
        return
    except Exception as error:
        wrong = type(error).__name__
        raise AssertionError(f"{name}: must refuse a stride other than 1 or 2 with ValueError, not {wrong}") from error
    raise AssertionError(f"{name}: must refuse a stride other than 1 or 2 with ValueError")


def _check_faster_forms(module: Any, features: Tensor, where: str) -> None:
    if not hasattr(module, "add_to"):
        return
    weight, expected = torch.tensor(0.37, dtype=features.dtype), module(features)
    mixture = Mixture(features.clone())
    mixture.add(torch.ones_like(expected))
    tried(f"{where}: add_to(mixture, weight) must add to the mixture", module.add_to, mixture, weight)
    difference = (mixture.result() - 1 - weight * expected).abs().max()
    assert difference < 1e-9, f"{where}: add_to() adds something else than weight * forward(), by {difference:.2g}"
