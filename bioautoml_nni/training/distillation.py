"""What a student learns from a teacher. Hinton et al., arXiv 1503.02531."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..config.schema import DistillationConfig
from ..data.metadata import EncodedMetadata
from .mixing import Mix
from .teacher_features import FEATURES, KnownFeatures, Standard, feature_loss

LOGITS, ROW = "teacher", "teacher_row"
"""What a batch has for a teacher: its answers, or the rows about which it is asked."""


class Answer(NamedTuple):
    """What a teacher says of a batch.

    Attributes:
        logits: under the training prior (n, K).
        features: standardised (n, D), or None.
        of_mixed: whether it says it of the student's images as they are mixed.
    """

    logits: Tensor
    features: Tensor | None
    of_mixed: bool


class Teacher(Protocol):
    """Gives logits under the training prior, and features, of the specimens that a student learns from."""

    @property
    def feature_width(self) -> int | None:
        """How many features it gives, None if it gives none."""
        ...

    def batch(self, rows: np.ndarray, view: int) -> dict[str, Tensor]:
        """Return what a batch of rows (n,), in one view of their stored features, needs for `answer`."""
        ...

    def answer(self, inputs: Mapping[str, Tensor]) -> Answer:
        """Return what it says of the student's inputs."""
        ...


class AskedBefore:
    """A teacher that was asked before.

    Attributes:
        features: what it gave beside its logits, if it was asked for that.
    """

    features: KnownFeatures | None

    @property
    def feature_width(self) -> int | None:
        return None if self.features is None else int(self.features.values.shape[-1])

    def batch(self, rows: np.ndarray, view: int) -> dict[str, Tensor]:
        features = {} if self.features is None else self.features.batch(rows, view)
        return {LOGITS: self.logits(rows, view), **features}

    def logits(self, rows: np.ndarray, view: int) -> Tensor:
        """Return logits under the training prior (n, K) of rows (n,)."""
        raise NotImplementedError

    def answer(self, inputs: Mapping[str, Tensor]) -> Answer:
        return Answer(inputs[LOGITS], inputs.get(FEATURES), of_mixed=False)


@dataclass(frozen=True)
class KnownLogits(AskedBefore):
    """A teacher that was asked before, all of whose logits are kept.

    Attributes:
        values: logits under the training prior (V, N, K) of all rows, for the plain image (V = 1) or every stored view.
        features: see `AskedBefore`.
    """

    values: np.ndarray
    features: KnownFeatures | None = None

    def logits(self, rows: np.ndarray, view: int) -> Tensor:
        return torch.from_numpy(self.values[view if len(self.values) > 1 else 0, rows])


class LiveTeacher:
    """A teacher that sees the very images that the student sees, changed at random and mixed (arXiv 2106.05237).

    It is not a module, so that neither optimisers nor checkpoints of the student know it.

    Args:
        network: maps a batch with ``image``, pixels (n, 3, S, S) in [0, 1], and encoded metadata to logits under the
            training prior (n, K) and features (n, D).
        size: edge S of its images.
        mean, std: that normalise the student's images.
        metadata: as the teacher reads it, of all rows.
        standard: of its features, if the student learns these.
    """

    def __init__(
        self,
        network: nn.Module,
        size: int,
        mean: Sequence[float],
        std: Sequence[float],
        metadata: EncodedMetadata,
        standard: Standard | None = None,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.size = size
        self.mean, self.std = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
        self.metadata = metadata
        self.standard = standard

    @property
    def feature_width(self) -> int | None:
        return None if self.standard is None else len(self.standard.mean)

    def batch(self, rows: np.ndarray, view: int) -> dict[str, Tensor]:
        return {ROW: torch.from_numpy(rows)}

    @torch.no_grad()
    def answer(self, inputs: Mapping[str, Tensor]) -> Answer:
        images = inputs["image"]
        rows = inputs[ROW].cpu().numpy()
        pixels = (images.float() * self.std.to(images) + self.mean.to(images)).clamp(0, 1)
        if pixels.shape[-1] != self.size:
            pixels = functional.interpolate(pixels, (self.size, self.size), mode="bilinear", antialias=True)
        fields = ("numeric", "categorical", "mask")
        known = {name: torch.from_numpy(getattr(self.metadata, name)[rows]).to(images.device) for name in fields}
        logits, features = self.network.to(images.device)({"image": pixels, **known})
        return Answer(logits, None if self.standard is None else self.standard(features), of_mixed=True)


class Distillation:
    """Adds to the loss of labels what a teacher says, for batches that have something for it.

    Args:
        settings: weights and temperature.
        prior_logits: of the student's loss, so that both are compared under the training distribution.
    """

    def __init__(
        self, settings: DistillationConfig, teacher: Teacher, prior_logits: Callable[[Tensor], Tensor]
    ) -> None:
        self.settings = settings
        self.teacher = teacher
        self.prior_logits = prior_logits

    @property
    def feature_width(self) -> int | None:
        """How many features of the teacher the student learns to give, None for none."""
        return self.teacher.feature_width if self.settings.features else None

    def __call__(
        self,
        loss: Tensor,
        logits: Tensor,
        inputs: Mapping[str, Tensor],
        mix: Mix | None = None,
        projected: Callable[[], Tensor] | None = None,
    ) -> Tensor:
        """Return the loss of all that is learned.

        Args:
            loss: of the labels.
            logits: the student's (N, K).
            inputs: the student's, images as it saw them.
            mix: how they were mixed.
            projected: gives what a projection makes of the student's features (N, D), where the teacher gives some.
        """
        if LOGITS not in inputs and ROW not in inputs:
            return loss
        answer = self.teacher.answer(inputs)
        own = self.prior_logits(logits)

        def blended(of: Callable[[Tensor], Tensor], wanted: Tensor) -> Tensor:
            return of(wanted) if mix is None or answer.of_mixed else mix.blend(of, wanted)

        def divergence(wanted: Tensor) -> Tensor:
            return distillation_loss(own, wanted.to(own), self.settings.temperature)

        total = (1 - self.settings.weight) * loss + self.settings.weight * blended(divergence, answer.logits)
        if projected is None or answer.features is None:
            return total
        found = projected()
        return total + self.settings.features * blended(lambda wanted: feature_loss(found, wanted), answer.features)


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T^2 times the mean Kullback-Leibler divergence of the student's classes from the teacher's.

    Args:
        student, teacher: logits (N, K).
        temperature: T, which divides both first; the factor keeps the gradient's size.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
        >>> float(distillation_loss(logits, logits, 4.0))
        0.0
    """
    log_student = functional.log_softmax(student / temperature, dim=1)
    log_teacher = functional.log_softmax(teacher / temperature, dim=1)
    return temperature**2 * functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
