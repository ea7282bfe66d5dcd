"""One place that derives and sets random seeds.

Every epoch starts from a seed that depends on the experiment's seed and the epoch's number only. A run that is
killed and resumed at an epoch's start therefore draws the same numbers as one that was never interrupted,
without a random state having to be stored.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def derive_seed(seed: int, *parts: str | int) -> int:
    """Return a 32-bit seed determined by `seed` and `parts`, stable across processes and platforms.

    >>> derive_seed(7, "epoch", 3) == derive_seed(7, "epoch", 3) != derive_seed(7, "epoch", 4)
    True
    """
    text = "/".join([str(seed), *map(str, parts)])
    return zlib.crc32(text.encode())


@contextmanager
def isolate_rng() -> Iterator[None]:
    """Leave Python's, NumPy's and torch's global generators as they were, that of this process's GPU included.

    Lightning's function of this name knows accelerators of CUDA only, takes the state of all of them, which starts each
    in every process, and leaves the generators as they are when an error passes.
    """
    import torch

    accelerator = torch.accelerator.current_accelerator(check_available=True)
    module = None if accelerator is None else torch.get_device_module(accelerator)
    python, arrays, tensors = random.getstate(), np.random.get_state(), torch.get_rng_state()
    own = None if module is None else module.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)
        torch.set_rng_state(tensors)
        if module is not None:
            module.set_rng_state(own)


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators (CPU and CUDA)."""
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
