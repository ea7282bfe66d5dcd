"""The suite of losses."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ._base import built_module, name_of, random_tensor, require_methods, require_tensor, suite, tried, unchanged


@suite
def check_loss(loss: type[nn.Module]) -> None:
    """Check a loss: a finite scalar mean, also for classes without training specimens, that falls with the truth."""
    name, counts = name_of(loss), [30, 0, 9]
    module: Any = built_module(name, loss, "Loss(class_counts)", counts)
    logits, target = (3 * random_tensor(6, 3)).requires_grad_(), torch.tensor([0, 1, 2, 2, 0, 0])
    what = f"{name}: must give the mean loss, forward(logits, target)"
    compare = unchanged(f"{name}: changes logits or target", logits, target)
    with torch.no_grad():
        tried(what, module, logits.detach(), target)
    compare()
    value = require_tensor(name, tried(what, module, logits, target))
    assert value.shape == (), f"{name}: gives shape {tuple(value.shape)}, not a scalar"
    assert torch.isfinite(value), f"{name}: is not finite where a class has no training specimen"
    assert value.requires_grad, f"{name}: lets no gradient through to the logits"
    value.backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all(), f"{name}: its gradient is not finite"
    again = module(logits.detach(), target)
    assert torch.allclose(again, value.detach()), f"{name}: gives something else the second time for one batch"
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    moved = module(logits.detach()[order], target[order])
    assert torch.allclose(moved, value.detach()), f"{name}: depends on the order of the batch"
    twice = module(logits.detach().repeat(2, 1), target.repeat(2))
    assert torch.allclose(twice, value.detach()), f"{name}: must be the mean over a batch, and grows with its size"
    if "taxonomy" in getattr(module, "capabilities", ()):
        require_methods(name, module, "set_taxonomy(taxa), since its capabilities name 'taxonomy'")
    for truth in range(3):
        right = 8 * torch.nn.functional.one_hot(torch.tensor([truth]), 3).double()
        wrong = right.roll(1)
        one = torch.tensor([truth])
        tried(f"{name}: must take a batch of one specimen", module, right, one)
        assert module(right, one) < module(wrong, one), f"{name}: does not prefer the right answer for class {truth}"
    far = module(torch.tensor([[-200.0, 0.0, 200.0]]), torch.tensor([0]))
    assert torch.isfinite(far), f"{name}: is not finite for logits of 200 in float32"
    wanted = "prior_logits(logits), as the base class bioautoml_nni.losses._base.Loss has"
    assert hasattr(module, "prior_logits"), f"{name}: must have {wanted}"
    start = getattr(module, "start_epoch", None)
    if start is not None:
        tried(f"{name}: start_epoch(progress) must take a number from 0 to 1", start, 0.5)
    prior = require_tensor(name, tried(f"{name}: must give {wanted}", module.prior_logits, logits.detach()))
    assert prior.shape == logits.shape, f"{name}: prior_logits changes the shape"
    assert not prior.isnan().any(), f"{name}: prior_logits are not numbers"
