"""Weights for timm networks: files of any origin that fit, by name where names agree and by position where not."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from bioautoml_nni.utils.errors import EncoderError

CLASSIFIER_ARRAYS = 2
"""Weight and bias: the most that may be left over behind the arrays that are taken by position."""


def fitting_weights(path: Path, name: str, network: nn.Module) -> tuple[dict[str, Tensor], bool]:
    """Return the arrays of `network` from a file, by its own names, and whether they were taken by position.

    Names are translated by timm's own filters, which know the original repositories of its networks and open_clip.
    Where names still differ, arrays are taken in order, if all their shapes agree with the network's and nothing but a
    classifier is left.

    Args:
        path: a checkpoint of torch without foreign pickles, or .safetensors.
        name: the network's name in timm.
        network: timm network without classifier.

    Raises:
        EncoderError: if the file is damaged, holds more than arrays or numbers that are not finite, or belongs to
            another network.
    """
    arrays = _read(path)
    wanted = network.state_dict()
    for candidate in (arrays, _translated(arrays, network)):
        if _lacking(candidate, wanted) is None:
            return _finite(path, {key: candidate[key] for key in wanted}), False
    found = _by_position(arrays, wanted)
    if found is not None:
        return _finite(path, found), True
    candidate = _translated(arrays, network)
    missing = [key for key, value in wanted.items() if key not in candidate or candidate[key].shape != value.shape]
    raise EncoderError(
        f"{path}: holds the weights of another network: {len(missing)} of {len(wanted)} arrays of {name} are missing "
        f"or have another shape, such as {missing[0]}; name the network that the file belongs to."
    )


def _read(path: Path) -> dict[str, Tensor]:
    """Return all arrays of a file by name."""
    if not path.is_file():
        raise EncoderError(f"{path}: there is no such file of weights.")
    try:
        state: Any = timm.models.load_state_dict(str(path), weights_only=True)
    except Exception as error:  # torch, zipfile and safetensors each have errors of their own
        reason = " ".join(str(error).split())
        if "pickle" in reason or "weights_only" in reason or "allowlisted" in reason:
            raise EncoderError(
                f"{path}: holds pickled objects besides arrays, which could run code; save its state_dict alone."
            ) from error
        raise EncoderError(
            f"{path}: cannot be read as weights, it is truncated or no checkpoint ({reason[:160]})."
        ) from error
    if not isinstance(state, Mapping):
        raise EncoderError(f"{path}: holds no arrays by name; save the network's state_dict.")
    arrays = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    if not arrays:
        raise EncoderError(f"{path}: holds no arrays by name; save the network's state_dict.")
    return arrays


def _finite(path: Path, arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    broken = [key for key, value in arrays.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if broken:
        raise EncoderError(
            f"{path}: {len(broken)} of its arrays, such as {broken[0]}, hold numbers that are not finite; fetch it "
            "again, or save it again."
        )
    return arrays


def _translated(arrays: dict[str, Tensor], network: Any) -> dict[str, Tensor]:
    """Return the arrays under timm's names, as far as timm's filter for this network knows them."""
    translate = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if translate is not None:
        try:
            translated = translate(dict(arrays), network)
        except Exception:  # filters take for granted that the file belongs to the network
            translated = arrays
        if isinstance(translated, dict) and translated is not arrays:
            arrays = translated
    trunk = "visual.trunk."  # open_clip's name for a timm network
    inner = {key.removeprefix(trunk): value for key, value in arrays.items() if key.startswith(trunk)}
    return inner or arrays


def _lacking(arrays: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str | None:
    return next((key for key, value in wanted.items() if key not in arrays or arrays[key].shape != value.shape), None)


def _by_position(arrays: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Return the first arrays under the names of `wanted` if the shapes agree one by one, or None."""
    given = list(arrays.values())
    counters = [key for key in wanted if key.endswith("num_batches_tracked")]  # older files do not hold them
    for keys in (list(wanted), [key for key in wanted if key not in counters]):
        pairs = list(zip(keys, given, strict=False))
        left_over = len(given) - len(keys)
        if 0 <= left_over <= CLASSIFIER_ARRAYS and all(wanted[key].shape == value.shape for key, value in pairs):
            return {**{key: torch.zeros_like(wanted[key]) for key in counters}, **dict(pairs)}
    return None
