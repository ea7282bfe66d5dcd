"""What options ask of a space: which candidates are skip connections, which are zero, which can be made narrower.

A candidate answers itself, or its space answers for it:

- `candidate.capabilities`, a tuple of names, of which "skip" and "zero" count here. A plain `nn.Identity` is a skip.
- `space.candidate_capabilities(label, name)`, optional: the same for candidates of somebody else, as a collection of
  names, or None where the space leaves it to the candidate.
- `candidate.narrowed(k)`, optional: the candidate rebuilt for one k-th of its channels. Operations with `channels` and
  `stride` are rebuilt as `type(candidate)(channels // k, stride)`; of torch's own modules, convolutions, batch norms
  and what has no parameters can be made narrower, also within an `nn.Sequential`.

What a candidate is called counts for nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable
from typing import Any

from nni.nas.nn.pytorch import LayerChoice, MutableModule
from torch import nn


class CannotNarrow(Exception):
    """A candidate that cannot be made for fewer channels; the text says why.

    Attributes:
        torn: of a choice: whether other candidates with weights could be, so that it fits neither way.
    """

    def __init__(self, reason: str, torn: bool = False) -> None:
        super().__init__(reason)
        self.torn = torn


def has_capability(candidate: nn.Module, capability: str, told: Collection[str] | None = None) -> bool:
    """Return whether a candidate is what `capability` names; what its space has told goes first."""
    if told is not None:
        return capability in told
    if capability == "skip" and type(candidate) is nn.Identity:
        return True
    return capability in getattr(candidate, "capabilities", ())


def channels_of(candidate: nn.Module) -> int | None:
    """Return the number of channels that a candidate takes and gives; None where any number passes.

    Raises:
        CannotNarrow: if it takes and gives different numbers, or does not say.
    """
    if hasattr(candidate, "channels"):
        return int(candidate.channels)  # type: ignore[arg-type]
    if isinstance(candidate, LayerChoice):
        return _common(candidate)
    if isinstance(candidate, MutableModule) and candidate.mutables:
        raise CannotNarrow("has arguments that are choices themselves")
    if isinstance(candidate, nn.Conv2d):
        if candidate.in_channels != candidate.out_channels:
            raise CannotNarrow(f"takes {candidate.in_channels} channels and gives {candidate.out_channels}")
        return candidate.in_channels
    if isinstance(candidate, nn.BatchNorm2d):
        return candidate.num_features
    if isinstance(candidate, nn.Sequential):
        return _common(candidate)
    if not any(True for _ in candidate.parameters()) and type(candidate).__module__.startswith("torch.nn"):
        return None
    raise CannotNarrow("offers no narrowed(k)")


def _common(layers: Iterable[nn.Module]) -> int | None:
    found = {channels for channels in map(channels_of, layers) if channels is not None}
    if len(found) > 1:
        raise CannotNarrow(f"has layers of {' and '.join(map(str, sorted(found)))} channels")
    return next(iter(found), None)


def narrowed(candidate: nn.Module, k: int) -> nn.Module:
    """Return a candidate rebuilt for one k-th of its channels.

    Raises:
        CannotNarrow: if it does not offer that.
    """
    if hasattr(candidate, "narrowed"):
        made: nn.Module = candidate.narrowed(k)  # type: ignore[operator]
        return made
    channels = channels_of(candidate)
    if channels is not None and channels % k:
        raise CannotNarrow(f"{k} does not divide the {channels} channels")
    return _built(candidate, k)


def _built(candidate: nn.Module, k: int) -> nn.Module:
    known: Any = candidate
    if isinstance(candidate, LayerChoice):
        for name in candidate.names:
            candidate.add_module(str(name), narrowed(candidate[name], k))
        return candidate
    if hasattr(known, "channels"):
        if not hasattr(known, "stride"):
            raise CannotNarrow("offers no narrowed(k)")
        made: nn.Module = type(known)(known.channels // k, known.stride)
        return made
    if isinstance(candidate, nn.Sequential):
        return nn.Sequential(*[_built(layer, k) for layer in candidate])
    if isinstance(candidate, nn.Conv2d):
        if candidate.groups not in (1, candidate.in_channels):
            raise CannotNarrow(f"has {candidate.groups} groups")
        width = candidate.in_channels // k
        return nn.Conv2d(
            width, width, known.kernel_size, known.stride, known.padding, known.dilation,
            1 if candidate.groups == 1 else width, candidate.bias is not None, candidate.padding_mode,
        )  # fmt: skip
    if isinstance(candidate, nn.BatchNorm2d):
        width = candidate.num_features // k
        return nn.BatchNorm2d(width, known.eps, known.momentum, known.affine, known.track_running_stats)
    return copy.deepcopy(candidate)
