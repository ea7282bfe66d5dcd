"""What a student learns from a teacher. Hinton et al., arXiv 1503.02531."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..config.schema import DistillationConfig
from ..data.metadata import EncodedMetadata
from .mixing import Mix

LOGITS, ROW = "teacher", "teacher_row"
"""What a batch has for a teacher: its answers, or the rows about which it is asked."""


class Teacher(Protocol):
    """Gives logits under the training prior of the specimens that a student learns from."""

    def batch(self, rows: np.ndarray, view: int) -> dict[str, Tensor]:
        """Return what a batch of rows (n,), in one view of their stored features, needs for `logits`."""
        ...

    def logits(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, bool]:
        """Return logits under the training prior (n, K) for the student's inputs, and whether these are mixed."""
        ...


@dataclass(frozen=True)
class KnownLogits:
    """A teacher that was asked before.

    Attributes:
        values: logits under the training prior (V, N, K) of all rows, for the plain image (V = 1) or every stored view.
    """

    values: np.ndarray

    def batch(self, rows: np.ndarray, view: int) -> dict[str, Tensor]:
        return {LOGITS: torch.from_numpy(self.values[view if len(self.values) > 1 else 0, rows])}

    def logits(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, bool]:
        return inputs[LOGITS], False


class LiveTeacher:
    """A teacher that sees the very images that the student sees, changed at random and mixed (arXiv 2106.05237).

    It is not a module, so that neither optimisers nor checkpoints of the student know it.

    Args:
        network: maps a batch with ``image``, pixels (n, 3, S, S) in [0, 1], and encoded metadata to logits under the
            training prior.
        size: edge S of its images.
        mean, std: that normalise the student's images.
        metadata: as the teacher reads it, of all rows.
    """

    def __init__(
        self,
        network: nn.Module,
        size: int,
        mean: Sequence[float],
        std: Sequence[float],
        metadata: EncodedMetadata,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.size = size
        self.mean, self.std = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
        self.metadata = metadata

    def batch(self, rows: np.ndarray, view: int) -> dict[str, Tensor]:
        return {ROW: torch.from_numpy(rows)}

    @torch.no_grad()
    def logits(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, bool]:
        images = inputs["image"]
        rows = inputs[ROW].cpu().numpy()
        pixels = (images.float() * self.std.to(images) + self.mean.to(images)).clamp(0, 1)
        if pixels.shape[-1] != self.size:
            pixels = functional.interpolate(pixels, (self.size, self.size), mode="bilinear", antialias=True)
        fields = ("numeric", "categorical", "mask")
        known = {name: torch.from_numpy(getattr(self.metadata, name)[rows]).to(images.device) for name in fields}
        return self.network.to(images.device)({"image": pixels, **known}), True


class Distillation:
    """Adds to the loss of labels what a teacher says, for batches that have something for it.

    Args:
        settings: weight and temperature.
        prior_logits: of the student's loss, so that both are compared under the training distribution.
    """

    def __init__(
        self, settings: DistillationConfig, teacher: Teacher, prior_logits: Callable[[Tensor], Tensor]
    ) -> None:
        self.settings = settings
        self.teacher = teacher
        self.prior_logits = prior_logits

    def __call__(self, loss: Tensor, logits: Tensor, inputs: Mapping[str, Tensor], mix: Mix | None = None) -> Tensor:
        """Return the loss of both.

        Args:
            loss: of the labels.
            logits: the student's (N, K).
            inputs: the student's, images as it saw them.
            mix: how they were mixed.
        """
        if LOGITS not in inputs and ROW not in inputs:
            return loss
        answers, of_mixed = self.teacher.logits(inputs)
        own = self.prior_logits(logits)

        def divergence(wanted: Tensor) -> Tensor:
            return distillation_loss(own, wanted.to(own), self.settings.temperature)

        taught = divergence(answers) if mix is None or of_mixed else mix.blend(divergence, answers)
        return (1 - self.settings.weight) * loss + self.settings.weight * taught


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
