"""Reading what training wrote: tensors and plain values only (`weights_only`), and one sentence if it is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..utils.errors import RunDirectoryError


def load_weights(path: Path) -> dict[str, Tensor]:
    """Return a state dict, on the CPU.

    Raises:
        RunDirectoryError: if the file is damaged or holds something else.
    """
    weights = _load(path)
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()):
        raise _damaged(path, "it holds something other than weights")
    return weights


def restore(network: nn.Module, path: Path) -> None:
    """Load the weights of a file into the network that they belong to.

    Raises:
        RunDirectoryError: if the file is damaged or belongs to another network.
    """
    try:
        network.load_state_dict(load_weights(path))
    except RuntimeError as error:
        raise _damaged(path, "it belongs to another network") from error


def checkpoint_to_resume(path: Path) -> Path | None:
    """Return the path of a checkpoint of Lightning, None if there is none.

    Raises:
        RunDirectoryError: if it is damaged.
    """
    if not path.is_file():
        return None
    missing = {"state_dict", "epoch", "optimizer_states", "callbacks", "loops"} - set(_load(path))
    if missing:
        raise _damaged(path, f"it lacks {', '.join(sorted(missing))}")
    return path


def _load(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # what torch's reader raises of damaged files has no common base
        raise _damaged(path, " ".join(str(error).split())[:200]) from error
    if not isinstance(content, dict):
        raise _damaged(path, f"it holds a {type(content).__name__}")
    return content


def _damaged(path: Path, reason: str) -> RunDirectoryError:
    return RunDirectoryError(f"{path}: is damaged ({reason}); remove it and give the same command again.")
