"""What all suites need: plug-ins that are tried, and sentences that say what is wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import wraps
from traceback import walk_tb
from typing import Any, ParamSpec

import torch
from torch import Tensor, nn

from ..config import Experiment
from ..registry import get, own_plugins, suggestion
from ..utils.errors import in_one_line

SPACE: str = Experiment.model_fields["space"].default.name
"""The space in which strategies and their parts are tried."""


SMALL: Mapping[str, Any] = {"num_classes": 3, "modalities": ("image",), "channels": 4, "cells": 2}
"""Its arguments."""


Given = ParamSpec("Given")


def suite(check: Callable[Given, None]) -> Callable[Given, None]:
    """Make a suite whose answers are sentences that start with the plug-in's name, whatever the plug-in does.

    What a step of the suite expects stands in its own words (`tried`); this is for all the other ways to fail.
    """

    @wraps(check)
    def answering(*args: Given.args, **kwargs: Given.kwargs) -> None:
        part = args[0] if args else next(iter(kwargs.values()))
        name = name_of(part)
        try:
            check(*args, **kwargs)
        except AssertionError as error:
            if str(error).startswith(name):
                raise
            raise AssertionError(
                f"{name}: {_method(part, error)} fails an assertion of its own: {in_one_line(error)}"
            ) from error
        except (Exception, SystemExit) as error:
            kind = type(error).__name__
            raise AssertionError(f"{name}: {_method(part, error)} raises {kind}: {in_one_line(error)}") from error

    return answering


def _method(part: Any, error: BaseException) -> str:
    """Return the innermost method of the plug-in's own module that an error came through, or what was asked of it."""
    module = getattr(part, "__module__", None)
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    own = [frame for frame in frames if frame.f_globals.get("__name__") == module and module != __name__]
    if own:
        return f"{own[-1].f_code.co_name}()"
    asked = [frame for frame in frames if frame.f_globals.get("__name__", "").startswith(__package__)]
    lines = inspect.getframeinfo(asked[-1]).code_context if asked else None
    return f"what the suite asks of it ({lines[0].strip()})" if lines else "what the suite asks of it"


def check_capabilities(name: str, part: Any, known: frozenset[str]) -> None:
    """Assert that capabilities are a tuple of texts, none of which is nearly one that the engine knows."""
    capabilities = getattr(part, "capabilities", ())
    texts = isinstance(capabilities, tuple | list | set | frozenset) and all(
        isinstance(own, str) for own in capabilities
    )
    assert texts, f"{name}: capabilities must be a tuple such as ('skip',), not {capabilities!r}"
    for own in capabilities:
        meant = suggestion(own, list(known)) if own not in known else ""
        assert not meant, f"{name}: capabilities name {own!r}, which nothing knows{meant}"


def unchanged(what: str, *tensors: Tensor) -> Callable[[], None]:
    """Return what asserts that tensors are as they are now; others read them too."""
    before = [tensor.detach().clone() for tensor in tensors]

    def compare() -> None:
        same = all(torch.equal(own.detach(), old) for own, old in zip(tensors, before, strict=True))
        assert same, f"{what} in place, which others read too; work on a copy of it"

    return compare


def tried(what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return function(*args, **kwargs); an error of the plug-in becomes a sentence that starts with `what`."""
    try:
        return function(*args, **kwargs)
    except AssertionError as error:
        text = str(error).partition("\n")[0] or "without a text"
        raise AssertionError(f"{what}, but fails an assertion of its own: {text[:300]}") from error
    except (Exception, SystemExit) as error:
        raise AssertionError(f"{what}, but {type(error).__name__}: {in_one_line(error)}") from error


def built_module(name: str, part: Any, contract: str, *args: Any) -> Any:
    """Build a plug-in that has to be a module."""
    require_class(name, part, contract)
    module = tried(f"{name}: must be built as {contract}", part, *args)
    assert isinstance(module, nn.Module), f"{name}: must be a torch.nn.Module, {contract}, not {kind_of(module)}"
    assert "_modules" in vars(module), f"{name}: __init__() must call super().__init__() before anything else"
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


def check_untouched(module: nn.Module, given: Any, what: str, where: str) -> None:
    """Assert that a module neither changes what it is given, nor keeps from it what cannot be copied.

    Args:
        what: as for `tried`.
        given: a tensor or a tuple of them.
    """
    tensors = given if isinstance(given, tuple) else (given,)
    compare = unchanged(f"{where}: changes what it is given", *tensors)
    with torch.no_grad():
        tried(what, module, given)
    compare()
    tried(
        f"{where}: must survive copy.deepcopy, which the final training and the export make of networks",
        deepcopy,
        module,
    )


def check_rows_apart(module: nn.Module, features: Tensor, where: str) -> None:
    mode = module.training
    what = f"{where}: must work in evaluation, as in training"
    with torch.no_grad():
        whole = tried(what, module.eval(), features)
        assert torch.equal(whole, module(features)), (
            f"{where}: gives something else the second time outside of training"
        )
        alone = tried(f"{where}: must take a single row", module, features[:1])
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


def small_arguments() -> dict[str, Any]:
    """Return `SMALL` with this package's operations: those of other packages are not on trial."""
    return {**SMALL, "operations": [plugin.name for plugin in own_plugins("operations")]}


def small_space() -> Any:
    return get("search_spaces", SPACE).target(**small_arguments())
