"""What candidates together would teach a student, as a table of a distillation: logits under the training prior.

A teacher that had learned from the validation split would give away its labels, so candidates which are fitted once
more with it teach as they were before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..data import splits
from ..data.manifest import ID
from ..evaluation.calibration import calibrated
from ..runs.before_refit import network_before_refit
from ..runs.directory import RunDirectory
from ..runs.networks import predict_logits
from ..runs.prepared import PreparedData
from ..runs.teacher_table import LEARNED, LOGIT
from ..utils.atomic import replacing
from .attempt import candidate_logits, validation_groups, validation_target
from .ensemble import MIN_PROBABILITY, mix, promising, weigh

TEACHER = "teacher.parquet"


def write_teacher(base: PreparedData, folders: Sequence[Path], path: Path) -> dict[str, float]:
    """Write the logits of the ensemble of some candidates, whatever it costs, and return the weight of each.

    Args:
        folders: of candidates that are networks.
    """
    target, groups = validation_target(base), validation_groups(base)
    validation = [calibrated(candidate_logits(folder)[0], 1.0) for folder in folders]
    kept = promising(validation, target, groups)
    weights = weigh([validation[index] for index in kept], target)
    used = {kept[place]: float(weight) for place, weight in enumerate(weights) if weight > 0}
    taught = [_training_probabilities(folders[index]) for index in used]
    together = mix(taught, np.array(list(used.values())))
    rows = np.concatenate([np.flatnonzero(base.mask_of(part)) for part in splits.TRAINING])
    logits = np.log(np.maximum(together, MIN_PROBABILITY))
    table = pd.DataFrame(logits, columns=[f"{LOGIT}{name}" for name in base.classes])
    table.insert(0, "id", base.table[ID].iloc[rows].astype(str).to_numpy())
    table[LEARNED] = True
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)
    return {folders[index].name: weight for index, weight in used.items()}


def is_network(folder: Path) -> bool:
    """Whether a candidate is a network whose training split can be answered again."""
    return (folder / "retrain/model.pt").is_file()


def _training_probabilities(folder: Path) -> np.ndarray:
    """Return probabilities under the training prior (N, K) of both training splits by what has not seen validation."""
    run = RunDirectory.open(folder)
    data = PreparedData.load(run)
    network = network_before_refit(run, data)
    loss = data.loss()
    logits = [loss.prior_logits(predict_logits(data, network, part)[0]).double().numpy() for part in splits.TRAINING]
    return calibrated(np.concatenate(logits), 1.0)
