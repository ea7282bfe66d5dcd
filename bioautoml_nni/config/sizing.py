"""Lengths of search and training that suit the number of specimens, for `bioautoml init --table`."""

from __future__ import annotations

import math

MEASURED = 3000
"""Specimens of the data set on which the lengths below were chosen (examples/pitfall); the sample has a quarter."""


def sized(specimens: int) -> dict[str, float]:
    """Return dotted keys of an experiment with values for about `specimens` training specimens.

    Specimens of a smaller data set are seen more often, though it takes less time: epochs go with one over the square
    root of its size, between 10 and 120. Batches grow with it, and the moving average of the weights reaches over two
    epochs.

    Raises:
        ValueError: for less than one specimen.
    """
    if specimens < 1:
        raise ValueError(f"specimens must be at least 1, not {specimens}")
    factor = math.sqrt(MEASURED / specimens)
    batch = next((size for most, size in ((2_000, 32), (20_000, 64), (200_000, 128)) if specimens < most), 256)
    steps = math.ceil(specimens / batch)
    return {
        "search.epochs": round(min(max(12 * factor, 5), 30)),
        "search.batch_size": min(batch, 64),
        "training.epochs": round(min(max(60 * factor, 10), 120)),
        "training.batch_size": batch,
        "training.ema_decay": round(1 - 1 / min(max(2 * steps, 20), 5000), 4),
    }
