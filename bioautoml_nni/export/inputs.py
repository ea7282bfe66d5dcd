"""What an exported model is given: inputs of specimens of a run, by name."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..runs.prepared import PreparedData
from .deployable import METADATA_INPUTS


def model_inputs(data: PreparedData, part: str, most: int, spread: bool = False) -> dict[str, Tensor]:
    """Return the inputs of an exported model for the first specimens of a part, or for some spread over all of it."""
    dataset = data.dataset([part])
    count = min(most, len(dataset))
    rows = np.linspace(0, len(dataset) - 1, count).astype(int).tolist() if spread else list(range(count))
    batch = dataset.__getitems__(rows)
    names = [*(["image"] if data.uses_images else []), *(METADATA_INPUTS if data.metadata_columns else [])]
    return {name: batch[name].contiguous() for name in names}
