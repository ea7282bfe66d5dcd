"""What cannot be searched, refused before the first batch by a choice's label and the reason."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from nni.mutable import Categorical, CategoricalMultiple
from nni.mutable.annotation import Constraint
from nni.nas.hub.pytorch.modules.nasbench101 import NasBench101CellConstraint
from nni.nas.nn.pytorch import ModelSpace
from nni.nas.oneshot.pytorch.supermodule.base import BaseSuperNetModule
from torch import nn

from bioautoml_nni.utils.errors import PluginError


def only_categorical(model: ModelSpace) -> None:
    """Refuse a space with choices that no supernet can hold.

    Raises:
        PluginError: naming them all: ranges of numbers, conditions between choices, and choices of no layer.
    """
    problems = []
    frozen_by_nni = type(model).freeze.__module__.startswith("nni.nas.nn.")  # which knows layers only
    own = set(labels_of(model)) if frozen_by_nni else set()
    for label, mutable in model.simplify().items():
        if isinstance(mutable, NasBench101CellConstraint):
            continue
        if isinstance(mutable, Constraint):
            reason = f"{type(mutable).__name__} is a condition between choices, which a supernet's parts do not know"
        elif not isinstance(mutable, Categorical | CategoricalMultiple):
            reason = f"{type(mutable).__name__} is a range of numbers; give a list of values"
        elif str(label) in own:
            reason = "it is the space's own (add_mutable), and no layer's, so that nothing stands for it in a supernet"
        else:
            continue
        problems.append(f"choice {str(label)!r} cannot be searched: {reason}.")
    if problems:
        raise PluginError(" ".join(problems))


def labels_of(module: Any) -> list[str]:
    """Return the labels of a module's own choices."""
    found: list[str] = []
    for mutable in getattr(module, "mutables", []):
        found += [str(label) for label in mutable.simplify() if str(label) not in found]
    return found


def refused(module: Any, name: str, reason: str) -> str:
    """Return the sentence that refuses a module of a space: its choice's label and the reason."""
    labels = labels_of(module)
    what = f"choice {', '.join(map(repr, labels))} " if labels else ""
    if reason.endswith("not found in memo"):
        reason = (
            "the supernet of a cell has it on every edge, and the space itself does not; name it by the node alone, as "
            "a factory's first argument"
        )
    if "dangling mutables" in reason:
        reason = (
            "no part of a supernet stands for its open arguments; open are those of two-dimensional convolutions and "
            "batch norms, of linear layers, layer norms and attention, all else is a LayerChoice of whole layers"
        )
    if reason.startswith("attribute ") and reason.endswith("already exists"):
        reason = f"torch keeps this name for itself ({reason}); give the choice another label"
    if reason.startswith("Unsupported mutable argument"):
        reason = f"its {reason.rpartition(': ')[2]} cannot be open; make a LayerChoice of whole layers"
    return f"{what}({type(module).__name__} at {name}) cannot be searched: {reason}."


def named_hook(run: Callable[[], Any], module: nn.Module, name: str) -> Any:
    """Run one mutation hook; what it cannot do becomes a sentence with the choice's label.

    Raises:
        PluginError: naming the choice.
    """
    try:
        return run()
    except PluginError:
        raise
    except (AssertionError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise PluginError(refused(module, name, str(error).strip("\"'.") or type(error).__name__)) from error


def only_known(supernet: nn.Module, labels: Collection[str]) -> None:
    """Refuse a supernet with choices that the space does not have, as cells with choices within operations may.

    Raises:
        PluginError: naming them.
    """
    for name, module in supernet.named_modules():
        if isinstance(module, BaseSuperNetModule):
            unknown = [label for label in labels_of(module) if label not in labels]
            if unknown:
                raise PluginError(refused(module, name, f"{type(module).__name__} {unknown[0]} not found in memo"))
