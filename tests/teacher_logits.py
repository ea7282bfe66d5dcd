"""What a run's student is taught, as an array."""

import numpy as np
from rich.console import Console

from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.runs.teacher import distillation
from bioautoml_nni.training.distillation import KnownLogits
from bioautoml_nni.training.top_logits import TopLogits


def teacher_logits(run: RunDirectory, data: PreparedData, console: Console) -> np.ndarray | None:
    """Return logits under the training prior (N, K) for the plain images of training rows, NaN elsewhere."""
    found = distillation(run, data, console)
    if found is None:
        return None
    if isinstance(found.teacher, TopLogits):
        return found.teacher.whole(np.arange(len(data.table)))
    assert isinstance(found.teacher, KnownLogits), "a teacher that sees what its student sees is asked in the training"
    return found.teacher.values[0]
