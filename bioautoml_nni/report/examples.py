"""Images of a report: right, wrong and unsure answers, and examples for the cells of the confusion matrix."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from ..data import splits
from ..data.joining import read_by_id
from ..data.manifest import ID
from ..evaluation.explanations import grad_cam, has_feature_map
from ..runs.directory import RunDirectory
from ..runs.networks import load_model
from ..runs.prepared import PreparedData
from ..runtime.overlay import overlay
from ..training.inference import Inference

KINDS = ("right", "wrong", "unsure")
EDGE = 128
"""Side of a thumbnail in pixels."""
MAX_BYTES = 1_800_000
"""Of all thumbnails of the cells together, so that the page can be sent by mail."""


@dataclass(frozen=True)
class Example:
    """One answer with its image.

    Attributes:
        image, looked: data URLs; `looked` shows what spoke for the answer, None without it.
        kind: right, wrong, unsure, or "" for one that stands for a cell of the confusion matrix.
    """

    id: str
    label: str
    predicted: str
    confidence: float
    kind: str
    image: str
    looked: str | None

    @property
    def right(self) -> bool:
        """Whether the answer is right."""
        return self.label == self.predicted


def read_answers(run: RunDirectory, data: PreparedData) -> pd.DataFrame:
    """Return predictions.csv with ``row`` in the manifest, ``kind`` and ``right``.

    Unsure are those among the third of least confidence; ``kind`` right and wrong are not.

    Raises:
        DataError: if predictions.csv does not fit the test split, id by id.
    """
    tested = np.flatnonzero(data.mask_of(splits.TEST))
    table = read_by_id(
        run / "evaluation/predictions.csv", data.table[ID].iloc[tested],
        f"remove it, and `bioautoml evaluate {run.path}` rewrites it",
    )  # fmt: skip
    table["confidence"] = table["confidence"].astype(float)
    table["row"] = tested
    doubtful = table["confidence"].rank(pct=True, method="first") <= 1 / 3
    right = table["label"] == table["predicted"]
    table["kind"] = np.select([doubtful, right], ["unsure", "right"], "wrong")
    table["right"] = right
    return table


def choose_examples(answers: pd.DataFrame, wanted: int) -> pd.DataFrame:
    """Return rows of `answers` for each kind, the surest first, of unsure ones the least sure, and classes in turn."""
    chosen = []
    for kind in KINDS:
        upwards = kind == "unsure"
        pool = answers[answers["kind"] == kind].sort_values("confidence", ascending=upwards)
        pool = pool.assign(turn=pool.groupby("label").cumcount())
        ordered = pool.sort_values(["turn", "confidence"], ascending=[True, upwards])
        chosen.append(ordered.head(-(-wanted // len(KINDS))))
    return pd.concat(chosen, ignore_index=True)


def choose_for_cells(answers: pd.DataFrame, wanted: int) -> pd.DataFrame:
    """Return rows of `answers` as examples of the confusion matrix's cells.

    Every cell off the diagonal gets one before any other gets its second, the fullest cells first; a cell on the
    diagonal comes after all errors of its turn. Within a cell the surest come first.
    """
    pool = answers.sort_values("confidence", ascending=False, kind="stable")
    cells = pool.groupby(["label", "predicted"])
    pool = pool.assign(turn=cells.cumcount(), size=cells["label"].transform("size"))
    order = pool.sort_values(["turn", "right", "size"], ascending=[True, True, False], kind="stable")
    return order.head(wanted).drop(columns=["turn", "size"]).reset_index(drop=True)


def gallery(run: RunDirectory, data: PreparedData, answers: pd.DataFrame) -> list[Example]:
    """Return example answers with what spoke for them; none without images."""
    pixels, wanted = data.pixels, run.experiment.evaluation.examples
    if pixels is None or wanted == 0:
        return []
    chosen = choose_examples(answers, wanted)
    images = pixels.batch(chosen["row"].to_numpy())
    maps = _maps(run, data, chosen)
    return [
        _example(entry, images[number], None if maps is None else overlay(images[number], maps[number]))
        for number, entry in enumerate(chosen.to_dict("records"))
    ]


def of_cells(run: RunDirectory, data: PreparedData, answers: pd.DataFrame) -> list[Example]:
    """Return examples of the confusion matrix's cells, no more than the page can carry; none without images."""
    pixels, settings = data.pixels, run.experiment.evaluation
    if pixels is None or settings.examples == 0 or settings.confusion_examples == 0:
        return []
    chosen = choose_for_cells(answers, settings.confusion_examples)
    images = pixels.batch(chosen["row"].to_numpy())
    found: list[Example] = []
    room = MAX_BYTES
    for number, entry in enumerate(chosen.to_dict("records")):
        example = _example({**entry, "kind": ""}, images[number], None)
        room -= len(example.image)
        if room < 0:
            break
        found.append(example)
    return found


def _example(entry: dict[Any, Any], image: np.ndarray, looked: np.ndarray | None) -> Example:
    return Example(
        str(entry["id"]), str(entry["label"]), str(entry["predicted"]), float(entry["confidence"]), str(entry["kind"]),
        _jpeg(image), None if looked is None else _jpeg(looked),
    )  # fmt: skip


def _maps(run: RunDirectory, data: PreparedData, chosen: pd.DataFrame) -> np.ndarray | None:
    """Return Grad-CAM (N, h, w) for the class that was predicted, or None for a network without feature maps."""
    network = load_model(run, data)
    if not has_feature_map(getattr(network, "image_encoder", None)):
        return None
    test = np.flatnonzero(data.mask_of(splits.TEST))
    data = data.as_images()
    batch = data.dataset([splits.TEST]).__getitems__(np.searchsorted(test, chosen["row"]).tolist())
    transform = data.image_transform(run.experiment.training.augmentation)
    index = {name: position for position, name in enumerate(data.classes)}
    classes = torch.tensor([index[name] for name in chosen["predicted"]])
    inference = Inference.on_this_machine()
    with inference.hosting(network):
        return grad_cam(network, inference.inputs(batch, transform), classes).cpu().numpy()


def _jpeg(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((EDGE, EDGE), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
