"""What all suites need: plug-ins that are tried, and sentences that say what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..config import Experiment
from ..registry import get

SPACE: str = Experiment.model_fields["space"].default.name
"""The space in which strategies and their parts are tried."""


SMALL: Mapping[str, Any] = {"num_classes": 3, "modalities": ("image",), "channels": 4, "cells": 2}
"""Its arguments."""


def tried(what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return function(*args, **kwargs); an error of the plug-in becomes a sentence that starts with `what`."""
    try:
        return function(*args, **kwargs)
    except AssertionError as error:
        text = str(error).partition("\n")[0] or "without a text"
        raise AssertionError(f"{what}, but fails an assertion of its own: {text[:300]}") from error
    except Exception as error:
        text = " ".join(str(error).split()) or "without a text"
        raise AssertionError(f"{what}, but {type(error).__name__}: {text[:300]}") from error


def built_module(name: str, part: Any, contract: str, *args: Any) -> Any:
    """Build a plug-in that has to be a module."""
    require_class(name, part, contract)
    module = tried(f"{name}: must be built as {contract}", part, *args)
    assert isinstance(module, nn.Module), f"{name}: must be a torch.nn.Module, {contract}, not {kind_of(module)}"
    assert defines(module, "forward", nn.Module), f"{name}: must define forward"
    return module


def require_class(name: str, part: Any, contract: str) -> None:
    is_object = isinstance(part, nn.Module) or not callable(part)
    assert not is_object, f"{name}: the entry point must name the class itself, {contract}, not {kind_of(part)}"


def name_of(part: Any) -> str:
    return str(getattr(part, "__name__", type(part).__name__))


def kind_of(value: Any) -> str:
    return f"a {type(value).__name__}" if value is not None else "None"


def defines(module: Any, method: str, base: type) -> bool:
    """Whether a method is there, and not the base's own, which only raises."""
    own = getattr(type(module), method, None)
    return own is not None and own is not getattr(base, method, None)


def require_tensor(what: str, value: Any) -> Tensor:
    assert isinstance(value, Tensor), f"{what}: must give a tensor, not {kind_of(value)}"
    return value


def require_methods(name: str, part: Any, *methods: str) -> None:
    """Ask for methods, each written as it is called."""
    for method in methods:
        own = getattr(part, method.partition("(")[0], None)
        assert callable(own), f"{name}: must have {method}"


def check_rows_apart(module: nn.Module, features: Tensor, where: str) -> None:
    mode = module.training
    with torch.no_grad():
        whole = module.eval()(features)
        alone = module(features[:1])
    module.train(mode)
    assert torch.allclose(alone, whole[:1]), f"{where}: rows of a batch influence each other outside of training"


def check_state(make: Callable[[], nn.Module], example: Tensor, name: str) -> None:
    first, second = make(), make()
    first(example)
    what = f"{name}: its state_dict must load into another one"
    tried(what, second.load_state_dict, first.state_dict())
    with torch.no_grad():
        same = torch.equal(first.eval()(example), second.eval()(example))
    assert same, f"{name}: its state_dict does not hold all that decides its result"


def random_tensor(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def small_space() -> Any:
    return get("search_spaces", SPACE).target(**SMALL)
