"""Work that several candidates do on the same feature map, done once."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Shared:
    """A function of a feature map that remembers its last result.

    All edges that leave one state of a cell are computed one after the other on the very same tensor, so that one place
    of memory is enough. It is found by identity; only a weak reference to the feature map is kept.

    To hand the result on explicitly, a cell would have to know which of its candidates want it, and their contract is
    forward(features). Each thread has a memory of its own, since replicas of a network may run in threads.
    """

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        self.function = function
        self.memory = threading.local()

    def __call__(self, features: Tensor) -> Any:
        version = None if features.is_inference() else features._version  # changes when it is written to
        memory, mode = self.memory, (torch.is_grad_enabled(), version)
        source = getattr(memory, "source", None)
        if source is None or source() is not features or memory.mode != mode:
            memory.value = self.function(features)
            memory.source, memory.mode = weakref.ref(features), mode
        return memory.value


def _every_second(features: Tensor) -> Tensor:
    return features[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)


_subsampled = Shared(_every_second)


def subsampled(features: Tensor, stride: int) -> Tensor:
    """Return every pixel, or at stride 2 every second one of every second row (N, C, ceil(H / 2), ceil(W / 2))."""
    return features if stride == 1 else _subsampled(features)
