"""A linear classifier on features that stay as they are: logistic regression, its decay chosen on validation.

scikit-learn minimises the mean cross-entropy plus decay / 2 times the squared norm of the weights (its C is 1 / (decay
N)), on standardised features; the standardisation then goes into weights and bias, so that one linear layer comes out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

DECAYS = (0.3, 0.15, 0.08, 0.04, 0.02, 0.01, 0.005, 0.002)
"""Decays that are tried, the stiffest model first; trying ends with the first that is not better."""

ITERATIONS, TOLERANCE = 200, 1e-3
UNSEEN = -30.0
"""Logit, beside those of the others, of a class without a training specimen."""


@dataclass(frozen=True)
class LinearProbe:
    """A fitted linear layer: logits = features @ weight.T + bias.

    Attributes:
        weight: (K, D) float32.
        bias: (K,) float32.
        decay: that was best on validation.
        losses: mean negative log-likelihood on validation by decay.
    """

    weight: np.ndarray
    bias: np.ndarray
    decay: float
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
    decays: Sequence[float] = DECAYS,
    advance: Callable[[float, float], None] = lambda decay, loss: None,
) -> LinearProbe:
    """Choose the decay by the log-likelihood of the validation split, which is steady where it has few groups.

    Args:
        features: (N, D) of the training split.
        target: (N,) class indices.
        validation_features, validation_target: the same of the validation split.
        classes: K.
        refit: fit once more on both parts with the decay that was chosen.
        advance: called with each decay and its loss.
    """
    losses: dict[float, float] = {}
    best: tuple[np.ndarray, np.ndarray] | None = None
    regression = _Regression(features, target, classes)
    for decay in decays:
        weight, bias = regression.fit(decay)
        losses[decay] = _loss(validation_features @ weight.T + bias, validation_target)
        advance(decay, losses[decay])
        if losses[decay] > min(losses.values()):
            break
        best = weight, bias
    chosen = min(losses, key=lambda decay: losses[decay])
    if refit:
        together = np.concatenate([features, validation_features])
        best = _Regression(together, np.concatenate([target, validation_target]), classes).fit(chosen)
    assert best is not None  # one decay at least is tried
    return LinearProbe(best[0].astype(np.float32), best[1].astype(np.float32), chosen, losses)


class _Regression:
    """Logistic regressions on one set of features; each starts from the one before, which is near where it ends."""

    def __init__(self, features: np.ndarray, target: np.ndarray, classes: int) -> None:
        self.classes = classes
        self.target = target
        self.mean, self.scale = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
        self.scale[self.scale < 1e-6] = 1.0  # constant in training, so that it gets no weight
        self.standard = ((features - self.mean) / self.scale).astype(np.float32)
        self.model = LogisticRegression(max_iter=ITERATIONS, tol=TOLERANCE, warm_start=True)

    def fit(self, decay: float) -> tuple[np.ndarray, np.ndarray]:
        """Return weight (K, D) and bias (K,) for features as they come."""
        model = self.model.set_params(C=1 / (decay * len(self.target)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # far enough: the loss on validation is what counts
            model.fit(self.standard, self.target)
        present, own, offset = model.classes_, model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
        if len(present) == 2:  # scikit-learn keeps the logit of the second class alone
            own, offset = np.concatenate([-own, own]) / 2, np.concatenate([-offset, offset]) / 2
        weight, bias = np.zeros((self.classes, len(self.mean))), np.full(self.classes, UNSEEN)
        weight[present] = own / self.scale
        bias[present] = offset - weight[present] @ self.mean
        return weight, bias


def _loss(logits: np.ndarray, target: np.ndarray) -> float:
    exponential = np.exp(logits - logits.max(1, keepdims=True))
    return float(log_loss(target, exponential / exponential.sum(1, keepdims=True), labels=np.arange(logits.shape[1])))
