"""One place that derives and sets random seeds.

Every epoch starts from a seed that depends on the experiment's seed and the epoch's number only. A run that is
killed and resumed at an epoch's start therefore draws the same numbers as one that was never interrupted,
without a random state having to be stored.
"""

from __future__ import annotations

import random
import zlib

import numpy as np


def derive_seed(seed: int, *parts: str | int) -> int:
    """Return a 32-bit seed determined by `seed` and `parts`, stable across processes and platforms."""
    text = "/".join([str(seed), *map(str, parts)])
    return zlib.crc32(text.encode())


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators (CPU and CUDA)."""
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
