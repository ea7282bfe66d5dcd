"""A linear classifier on features that stay as they are: logistic regression, its strength chosen on validation.

scikit-learn minimises the mean cross-entropy plus the squared norm of the weights divided by 2 C N, on standardised
features; the standardisation then goes into weights and bias, so that what comes out is one linear layer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

STRENGTHS = (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2)
"""Inverse strengths C that are tried, weakest model first; trying ends when the next two are no better."""

ITERATIONS, TOLERANCE = 200, 1e-3
UNSEEN = -30.0
"""Logit, beside those of the others, of a class without a training specimen."""


@dataclass(frozen=True)
class LinearProbe:
    """A fitted linear layer: logits = features @ weight.T + bias.

    Attributes:
        weight: (K, D) float32.
        bias: (K,) float32.
        strength: C that was best on validation.
        losses: mean negative log-likelihood on validation by C.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float
    losses: dict[float, float]

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return (N, K)."""
        return features @ self.weight.T + self.bias


def fit_probe(
    features: np.ndarray,
    target: np.ndarray,
    validation_features: np.ndarray,
    validation_target: np.ndarray,
    classes: int,
    refit: bool = True,
    strengths: Sequence[float] = STRENGTHS,
    advance: Callable[[float, float], None] = lambda strength, loss: None,
) -> LinearProbe:
    """Choose C by the log-likelihood of the validation part, which is steady where it has few groups.

    Args:
        features: (N, D) of the training part.
        target: (N,) class indices.
        validation_features, validation_target: the same of the validation part.
        classes: K.
        refit: fit once more on both parts with the C that was chosen.
        advance: called with each C and its loss.
    """
    losses: dict[float, float] = {}
    best: tuple[np.ndarray, np.ndarray] | None = None
    for strength in strengths:
        weight, bias = _fit(features, target, classes, strength)
        losses[strength] = _loss(validation_features @ weight.T + bias, validation_target)
        advance(strength, losses[strength])
        if losses[strength] == min(losses.values()):
            best = weight, bias
        if list(losses.values()).index(min(losses.values())) < len(losses) - 2:
            break
    chosen = min(losses, key=lambda strength: losses[strength])
    if refit:
        together = np.concatenate([features, validation_features])
        best = _fit(together, np.concatenate([target, validation_target]), classes, chosen)
    assert best is not None  # one strength at least is tried
    return LinearProbe(best[0].astype(np.float32), best[1].astype(np.float32), chosen, losses)


def _fit(features: np.ndarray, target: np.ndarray, classes: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Return weight (K, D) and bias (K,) for features as they come."""
    mean, scale = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    scale[scale < 1e-6] = 1.0  # constant in training, so that it gets no weight
    standard = ((features - mean) / scale).astype(np.float32)
    model = LogisticRegression(C=strength, max_iter=ITERATIONS, tol=TOLERANCE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # far enough: the loss on validation is what counts
        model.fit(standard, target)
    present, own, offset = model.classes_, model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
    if len(present) == 2:  # scikit-learn keeps the logit of the second class alone
        own, offset = np.concatenate([-own, own]) / 2, np.concatenate([-offset, offset]) / 2
    weight, bias = np.zeros((classes, features.shape[1])), np.full(classes, UNSEEN)
    weight[present] = own / scale
    bias[present] = offset - weight[present] @ mean
    return weight, bias


def _loss(logits: np.ndarray, target: np.ndarray) -> float:
    exponential = np.exp(logits - logits.max(1, keepdims=True))
    return float(log_loss(target, exponential / exponential.sum(1, keepdims=True), labels=np.arange(logits.shape[1])))
