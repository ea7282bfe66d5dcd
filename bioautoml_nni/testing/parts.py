"""The suites of a strategy's parts: relaxations and regularisers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ..config import Experiment
from ..nni_engine import named_architecture_parameters
from ..registry import get
from ._base import name_of, random_tensor, require_methods, require_tensor, small_space, suite, tried, unchanged


@suite
def check_relaxation(relaxation: Callable[..., Any], **arguments: Any) -> None:
    """Check a relaxation: weights between zero and one that sum to one, and weights with a gradient."""
    alpha, name = random_tensor(6).float().requires_grad_(), name_of(relaxation)
    part = tried(f"{name}: must be built from its arguments", relaxation, **arguments)
    compare = unchanged(f"{name}: changes the architecture parameters", alpha)
    require_methods(name, part, "start_step(progress)", "weights(label, alpha, training)", "probabilities(alpha)")
    for attribute in ("hard", "static"):
        assert hasattr(part, attribute), f"{name}: must have {attribute}, as the base class of our relaxations has"
    torch.manual_seed(0)
    tried(f"{name}: must have start_step(progress)", part.start_step, 0.5)
    weights = require_tensor(
        f"{name}: probabilities", tried(f"{name}: must have probabilities(alpha)", part.probabilities, alpha)
    )
    assert weights.shape == alpha.shape, f"{name}: weights have shape {tuple(weights.shape)}, not {tuple(alpha.shape)}"
    assert abs(float(weights.detach().sum()) - 1) < 1e-5, f"{name}: weights do not sum to one"
    assert bool((weights >= 0).all()), f"{name}: a share is negative"
    what = f"{name}: must have weights(label, alpha, training)"
    weights = require_tensor(f"{name}: weights", tried(what, part.weights, "edge", alpha, True))
    compare()
    assert weights.shape == alpha.shape, f"{name}: weights have shape {tuple(weights.shape)}"
    assert torch.equal(weights, part.weights("edge", alpha, True)), f"{name}: cells of one label differ within a step"
    if part.hard:
        assert int((weights.detach().abs() > 1e-6).sum()) == 1, f"{name}: is hard and has several weights above zero"
    assert weights.requires_grad, f"{name}: no gradient reaches the architecture parameters"
    (weights * torch.arange(6.0)).sum().backward()
    reached = alpha.grad is not None and bool(alpha.grad.abs().sum() > 0)
    assert reached, f"{name}: no gradient reaches the architecture parameters"
    still = part.weights("edge", alpha, False)
    part.start_step(0.5)
    assert torch.equal(still, part.weights("edge", alpha, False)), f"{name}: is random outside of training"


@suite
def check_regulariser(regulariser: Callable[..., Any], **arguments: Any) -> None:
    """Check a regulariser: a finite scalar for the parameters of a real supernet, at every progress of the search."""
    space = small_space()
    supernet = get("strategies", Experiment.model_fields["strategy"].default.name).target().mutate_model(space)
    supernet({"image": random_tensor(2, 3, 16, 16).float()})
    alphas, name = named_architecture_parameters(supernet), name_of(regulariser)
    part = tried(f"{name}: must be built from its arguments", regulariser, **arguments)
    require_methods(name, part, "start_step(supernet, progress)", "penalty(supernet, alphas, relaxation, progress)")
    compare = unchanged(f"{name}: changes the architecture parameters", *alphas.values())
    relaxation = get("relaxations", "softmax").target()
    for progress in (0.0, 0.5, 1.0):
        relaxation.start_step(progress)
        tried(f"{name}: must have start_step(supernet, progress)", part.start_step, supernet, progress)
        what = f"{name}: must have penalty(supernet, alphas, relaxation, progress)"
        value = require_tensor(f"{name}: penalty", tried(what, part.penalty, supernet, alphas, relaxation, progress))
        compare()
        assert value.shape == (), f"{name}: gives shape {tuple(value.shape)}, not a scalar"
        assert torch.isfinite(value), f"{name}: is not finite at progress {progress}"
        if value:
            assert _reaches(value, alphas.values()), f"{name}: penalty() lets no gradient through to the alphas"


def _reaches(value: Tensor, parameters: Iterable[Tensor]) -> bool:
    if not value.requires_grad:
        return False
    return any(own is not None for own in torch.autograd.grad(value, list(parameters), allow_unused=True))
