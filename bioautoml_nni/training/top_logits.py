"""What a teacher of many classes said before: of each answer the largest logits, and one for all other classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..config.schema import DistillationConfig
from ..utils.errors import DataError
from .distillation import AskedBefore, KnownLogits
from .teacher_features import KnownFeatures, Standard

FEW, TOP = 1000, 64
"""Up to so many classes all logits are kept by default, from there on so many of each answer."""


@dataclass(frozen=True)
class TopLogits(AskedBefore):
    """A teacher that was asked before, of whose answers the k largest logits are kept.

    All other classes share one logit, such that at the temperature of the distillation the k classes have the
    probabilities that they had, and the rest of the mass is spread evenly: the target stays a distribution.

    An answer takes 8 k + 4 bytes where all logits take 4 K: with 34,000 classes and k = 64 that is 516 bytes in place
    of 136,000, and 155 MB in place of 41 GB for 300,000 rows. Batches (n, K) are put together as they are asked for.

    Attributes:
        values: logits under the training prior (V, N, k) float32, NaN in rows that were not asked about.
        classes: to which they belong (V, N, k) int32.
        rest: the logit of every other class (V, N) float32.
        count: number K of all classes.
        features: see `AskedBefore`.
    """

    values: np.ndarray
    classes: np.ndarray
    rest: np.ndarray
    count: int
    features: KnownFeatures | None = None

    def logits(self, rows: np.ndarray, view: int) -> Tensor:
        return torch.from_numpy(self.whole(rows, view if len(self.values) > 1 else 0))

    def whole(self, rows: np.ndarray, view: int = 0) -> np.ndarray:
        """Return logits (n, K) of some rows."""
        found = np.repeat(self.rest[view, rows][:, None], self.count, axis=1)
        np.put_along_axis(found, self.classes[view, rows].astype(np.int64), self.values[view, rows], axis=1)
        return found


def top_of(logits: Tensor, k: int, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the k largest of logits (N, K), their classes, both (N, k), and the logit of every other class (N,)."""
    values, classes = logits.topk(k, dim=1)
    others = torch.logsumexp(logits.scatter(1, classes, -torch.inf) / temperature, dim=1)
    return values, classes, temperature * (others - math.log(logits.shape[1] - k))


def kept(settings: DistillationConfig, classes: int) -> int | None:
    """Return how many logits of each answer are kept, None for all."""
    wanted = settings.top_k or (classes if classes <= FEW else TOP)
    return None if wanted >= classes else wanted


class Answers:
    """A teacher's answers as they come, block by block.

    Args:
        views, rows, classes: how many.
        top_k: of each answer, None for all.
        temperature: of the distillation.
        learned: which rows are the training split, by whose features all are standardised.
    """

    def __init__(
        self, views: int, rows: int, classes: int, top_k: int | None, temperature: float, learned: np.ndarray
    ) -> None:
        self.top_k, self.temperature, self.count, self.learned = top_k, temperature, classes, learned
        self.features: np.ndarray | None = None
        self.values = np.full((views, rows, top_k or classes), np.nan, np.float32)
        self.classes = np.tile(np.arange(top_k or 0, dtype=np.int32), (views, rows, 1))
        self.rest = np.full((views, rows), np.nan, np.float32)

    def put(self, view: int, rows: np.ndarray, logits: np.ndarray) -> None:
        """Keep answers (n, K) about rows, by their positions or a mask."""
        if self.top_k is None:
            self.values[view, rows] = logits
        else:
            self.put_top(view, rows, *top_of(torch.from_numpy(logits), self.top_k, self.temperature))

    def put_top(self, view: int, rows: np.ndarray, values: Tensor, classes: Tensor, rest: Tensor) -> None:
        """Keep what `top_of` makes of answers."""
        self.values[view, rows], self.classes[view, rows] = values.numpy(), classes.numpy()
        self.rest[view, rows] = rest.numpy()

    def put_features(self, view: int, rows: np.ndarray, features: np.ndarray) -> None:
        """Keep features (n, D) of rows, by their positions or a mask, in half precision.

        Raises:
            DataError: if some are not finite, or too large for that.
        """
        if self.features is None:
            self.features = np.full((*self.rest.shape, features.shape[1]), np.nan, np.float16)
        with np.errstate(over="ignore"):
            half = features.astype(np.float16)
        if not np.isfinite(half).all():
            raise DataError(
                "distillation.features: the teacher has features that are not finite, or larger than 65,504; set "
                "features to 0."
            )
        self.features[view, rows] = half

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what is to be stored, by name."""
        found: dict[str, np.ndarray] = {"logits": self.values}
        if self.top_k is not None:
            found |= {"classes": self.classes, "rest": self.rest}
        if self.features is not None:
            found["features"] = self.features
        return found

    def teacher(self) -> KnownLogits | TopLogits:
        """Return the teacher that gives these answers."""
        return teacher_of(self.arrays(), self.count, self.learned)


def teacher_of(arrays: Mapping[str, np.ndarray], classes: int, learned: np.ndarray) -> KnownLogits | TopLogits:
    """Return the teacher that gives stored answers.

    Args:
        arrays: see `Answers.arrays`.
        classes: number of all classes.
        learned: which rows are the training split (N,).
    """
    features = None
    if "features" in arrays:
        features = KnownFeatures(arrays["features"], Standard.of(arrays["features"][0, learned].astype(np.float32)))
    if "rest" not in arrays:
        return KnownLogits(arrays["logits"], features)
    return TopLogits(arrays["logits"], arrays["classes"], arrays["rest"], classes, features)
