"""What a student learns from a teacher. Hinton et al., arXiv 1503.02531."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T^2 times the mean Kullback-Leibler divergence of the student's classes from the teacher's.

    Args:
        student, teacher: logits (N, K).
        temperature: T, by which both are divided first; the factor keeps the gradient's size.
    """
    log_student = functional.log_softmax(student / temperature, dim=1)
    log_teacher = functional.log_softmax(teacher / temperature, dim=1)
    return temperature**2 * functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
