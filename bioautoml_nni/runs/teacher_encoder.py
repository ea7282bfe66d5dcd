"""A teacher that is a pretrained encoder: a head is fitted on its features, once, and its answers are kept."""

from __future__ import annotations

import json

import numpy as np
from rich.console import Console

from ..data.load import image_store
from ..data.manifest import IMAGE
from ..data.sizing import natural_size
from ..features.encoder import load_encoder
from ..features.request import FeatureRequest
from ..utils.atomic import write_array, write_json
from ..utils.errors import DataError
from .directory import RunDirectory
from .pooled_features import pooled_features
from .prepared import PreparedData
from .teacher_table import head_logits

FOLDER = "teacher"


def encoder_logits(reference: str, key: str, run: RunDirectory, data: PreparedData, console: Console) -> np.ndarray:
    """Return natural logits (N, K) of the training part, NaN elsewhere.

    The encoder looks at images of its own size, as far as they hold it, with all its stages' means beside the embedding,
    and the head reads the encoded metadata too, where the experiment uses them.

    Raises:
        DataError: for an experiment without images.
        EncoderError: if the encoder cannot be had.
    """
    if not data.uses_images:
        raise DataError(f"{key}: {reference} looks at images, which data.modalities does not name; choose a run.")
    encoder = load_encoder(reference, key)
    training = data.in_training
    references = data.table[IMAGE][training].tolist()
    facts = data.image_store().verified(references)
    size = natural_size(encoder.image_size, facts[["width", "height"]].max(axis=1).to_numpy(float))
    wanted = {
        "encoder": reference, "weights": encoder.weights_digest, "size": size, "modalities": data.metadata_columns,
        "prepared": run.key("prepare"), "data": run.provenance().get("data_sha256"),
    }  # fmt: skip
    folder = run / FOLDER
    known = (
        json.loads((folder / "teacher.json").read_text(encoding="utf-8")) if (folder / "teacher.json").is_file() else {}
    )
    if known == wanted and (folder / "logits.npy").is_file():
        kept: np.ndarray = np.load(folder / "logits.npy", allow_pickle=False)
        return kept
    store = image_store(run.experiment, data.image_root, size)
    facts = store.verified(references)
    stages = tuple(range(encoder.build().count_stages()))
    request = FeatureRequest(encoder, stages, embedding=True, pooled=True)
    found = pooled_features(request, run.experiment, store.pixels(facts), facts["digest"].tolist(), size, console)
    features = [found.values.astype(np.float32)]
    if data.metadata_columns:
        features += [data.metadata.numeric[training], data.metadata.mask[training]]
    logits = np.full((len(data.table), len(data.classes)), np.nan, np.float32)
    logits[training] = head_logits(np.hstack(features), data)
    folder.mkdir(exist_ok=True)
    write_array(folder / "logits.npy", logits)
    write_json(folder / "teacher.json", wanted)
    return logits
