"""An accelerator for machines that have none: tensors that say they lie on it, computed on the CPU.

Like a GPU it takes no part in a computation with tensors that were left on the CPU, which is how the tests see that
network and batches have both been moved. Its tensors call their device "meta", the only type besides the CPU that every
build of torch lets pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")


class Remote(Tensor):
    """A tensor on the accelerator."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Remote:
        remote = Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            layout=held.layout, device=DEVICE,
        )  # fmt: skip
        remote.held = held.detach()
        return remote

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        raise AssertionError(f"{function} outside of the accelerator's mode")


class FakeAccelerator(TorchDispatchMode):
    """Runs what is asked of its tensors.

    Attributes:
        moved: number of tensors that came to the device, by shape.
        calls: number of operations on its tensors, by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.moved: Counter[tuple[int, ...]] = Counter()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        given = dict(keywords or {})
        tensors = [leaf for leaf in tree_leaves((arguments, given)) if isinstance(leaf, Tensor)]
        remote = any(isinstance(tensor, Remote) for tensor in tensors)
        wanted = given.get("device")
        name = function.overloadpacket.__name__
        copies = name in ("_to_copy", "copy_")
        if remote and not copies:
            left = [tuple(tensor.shape) for tensor in tensors if not isinstance(tensor, Remote) and tensor.dim()]
            if left:
                raise RuntimeError(f"{name}: tensors of shapes {left} lie on the CPU, others on the accelerator")
            self.calls[name] += 1
        if wanted is not None and torch.device(wanted) == DEVICE:
            given["device"] = torch.device("cpu")
            if name == "_to_copy" and not remote:
                self.moved[tuple(arguments[0].shape)] += 1
        stays = remote if wanted is None else torch.device(wanted) == DEVICE
        if name == "copy_":
            stays = isinstance(arguments[0], Remote)
        before = {id(tensor.held): tensor for tensor in tensors if isinstance(tensor, Remote)}
        result = function(*tree_map(_held, arguments), **tree_map(_held, given))

        def wrapped(value: Any) -> Any:
            if not isinstance(value, Tensor) or not stays:
                return value
            known = before.get(id(value))  # what is changed in place stays the same tensor
            return Remote(value) if known is None else known

        return tree_map(wrapped, result)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, Remote) else value


@contextmanager
def fake_accelerator() -> Iterator[FakeAccelerator]:
    """Let torch find the accelerator, and follow what is moved to it."""
    with pytest.MonkeyPatch.context() as patch, FakeAccelerator() as accelerator:
        patch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: DEVICE)
        patch.setattr(torch, "get_device_module", lambda device=None: _Generators)
        enabled = torch.is_autocast_enabled  # which knows no autocast of this device
        patch.setattr(torch, "is_autocast_enabled", lambda device: device != DEVICE.type and enabled(device))
        yield accelerator


class _Generators:
    """What torch.cuda has for random numbers."""

    state = torch.zeros(1)

    @classmethod
    def get_rng_state(cls) -> Tensor:
        return cls.state

    @classmethod
    def set_rng_state(cls, state: Tensor) -> None:
        cls.state = state
