"""Conformance suites for plug-ins, for the tests of whoever writes one.

    from bioautoml_nni.testing import check
    check("operations", "asymmetric_conv")

Each suite raises `AssertionError` with one sentence that says which part of the contract does not hold, also where the
plug-in itself fails. Networks get what training feeds: a dictionary with normalised images as float32 and, where the
space takes metadata, with `numeric`, `categorical` and `mask`. `check` looks a plug-in up in the registry; the
functions of each kind take the plug-in itself, and arguments where it needs some.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

from ..config.arguments import constructor_arguments
from ..registry import get, own_plugins
from ..utils.errors import PluginError
from ._base import SMALL, SPACE, check_capabilities
from .candidates import check_candidate
from .encoders import check_encoder
from .fusions import check_fusion
from .losses import check_loss
from .methods import check_method
from .one_shot import check_strategy
from .operations import check_operation
from .parts import check_regulariser, check_relaxation
from .schedules import check_schedule
from .sources import check_manifest, check_source
from .spaces import METADATA, check_space, training_batch

__all__ = [
    "METADATA",
    "SMALL",
    "SPACE",
    "check",
    "check_candidate",
    "check_encoder",
    "check_fusion",
    "check_loss",
    "check_manifest",
    "check_method",
    "check_operation",
    "check_regulariser",
    "check_relaxation",
    "check_schedule",
    "check_source",
    "check_space",
    "check_strategy",
    "training_batch",
]


def check(kind: str, name: str, **arguments: Any) -> None:
    """Run the suite of a registered plug-in.

    Args:
        kind: "operations", "fusions", "losses", "search_spaces", "strategies", "schedules", "relaxations",
            "regularisers", "sources", "encoders", "methods" or "candidates".
        arguments: further constructor arguments: of a space or a strategy the choices, of a source where its data lies,
            of an encoder of a family which network, of a method what stands after the colon.

    Raises:
        AssertionError: naming what does not hold.
        ValueError: for a kind without a suite.
        PluginError: if nothing of this name is registered.
    """
    suites: Mapping[str, Callable[..., None]] = {
        "operations": check_operation,
        "fusions": check_fusion,
        "losses": check_loss,
        "search_spaces": check_space,
        "strategies": check_strategy,
        "schedules": check_schedule,
        "relaxations": check_relaxation,
        "regularisers": check_regulariser,
        "sources": check_source,
        "encoders": check_encoder,
        "methods": check_method,
        "candidates": check_candidate,
    }
    if kind not in suites:
        raise ValueError(f"there is no suite for {kind!r}; suites: {', '.join(suites)}")
    plugin = get(kind, name)
    assert plugin.problem is None, plugin.problem
    try:
        constructor_arguments(plugin)
    except PluginError as error:
        raise AssertionError(str(error)) from error
    known = [own.capabilities for own in own_plugins(kind)]
    check_capabilities(name, plugin.target, frozenset(chain(*known)))
    described = len(plugin.description) > 10 and getattr(plugin.target, "__doc__", None)
    assert described, f"{name}: needs a docstring of its own whose first line describes it in `bioautoml ls`"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"nni\.")  # of torch's own parts, which NNI does not know
            suites[kind](plugin.target, **arguments)
    except AssertionError as error:
        if str(error).startswith(name):
            raise
        raise AssertionError(f"{name}: {error}") from error
