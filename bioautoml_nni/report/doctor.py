"""What happened in a search, in plain words: converged or not, collapsed or sound, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from ..architecture.topology import only_edges
from ..architecture.weights import entropy, skip_counts

History = Sequence[Mapping[str, Any]]
ArchWeights = Mapping[str, Mapping[str, float]]

STILL = 0.02
"""Mean change of a share per epoch (total variation) above which the architecture is still moving."""
UNDECIDED = 1.5
"""Ratio of an edge's largest architecture weight to a uniform one, averaged, below which nothing was decided."""
SHARPER = 4.0
"""Growth of the dominant eigenvalue of the alpha Hessian that is worth a warning."""
MAX_SKIPS = 2
FEW_STEPS = 50


@dataclass(frozen=True)
class Diagnosis:
    """One finding: `level` "ok", "warning" or "error", what was seen, and what helps."""

    level: Literal["ok", "warning", "error"]
    title: str
    seen: str
    remedy: str = ""


def diagnose(
    history: History,
    *,
    skips: frozenset[str],
    zeros: frozenset[str],
    warmup_epochs: int = 0,
    alpha_specimens: int | None = None,
    batch_size: int | None = None,
    outcome: Mapping[str, Any] | None = None,
    derived_score: float | None = None,
    has_preferences: bool = True,
    candidate_scores: Sequence[float] = (),
) -> list[Diagnosis]:
    """Return findings, the worst first.

    Args:
        history: the search's epochs, each with the architecture weights (``shares``) of all choices.
        skips, zeros: names of skip connections and of the zero operation.
        warmup_epochs: epochs in which the architecture stood still on purpose.
        alpha_specimens, batch_size: how much data moved the architecture.
        outcome: outcome.json of the search.
        derived_score: best validation macro-F1 of the retrained network.
        has_preferences: whether the strategy prefers some candidates; otherwise the weights say nothing.
        candidate_scores: validation macro-F1 with the supernet's weights of what evolution tried, in that order.
    """
    if not history:
        return [Diagnosis("error", "no history", "The search has not finished an epoch.", "Let it run on.")]
    edges = [only_edges(entry["shares"]) for entry in history]
    found = [
        *(_skips(edges, skips) if has_preferences else ()),
        *(_zero(edges, zeros) if has_preferences else ()),
        *(_movement(edges, history, warmup_epochs) if has_preferences else ()),
        *_candidates(candidate_scores, derived_score),
        *(_data(history, warmup_epochs, alpha_specimens, batch_size) if has_preferences else ()),
        *_gap(history, derived_score),
        *_curvature(history),
        *_stability(outcome or {}),
    ]
    order = {"error": 0, "warning": 1, "ok": 2}
    return sorted(found, key=lambda finding: order[finding.level])


def _skips(epochs: Sequence[ArchWeights], skips: frozenset[str]) -> list[Diagnosis]:
    def worst(edges: ArchWeights) -> tuple[int, str]:
        return max(((count, kind) for kind, count in skip_counts(edges, skips).items()), default=(0, ""))

    count, kind = worst(epochs[-1])
    if count > MAX_SKIPS:
        since = len(epochs)
        while since > 1 and worst(epochs[since - 2])[0] > MAX_SKIPS:
            since -= 1
        return [
            Diagnosis(
                "error",
                "collapsed to skip connections",
                f"Since epoch {since}, {count} edges of the {kind} cell prefer a skip connection.",
                "Add the regulariser skip_dropout or beta_decay, lengthen strategy.warmup_epochs, or set "
                "strategy.max_skips: 2, which keeps the last architecture before the collapse.",
            )
        ]
    seen = "No edge prefers a skip connection."
    if count:
        edges = "edge of a cell prefers" if count == 1 else "edges of a cell prefer"
        seen = f"At most {count} {edges} a skip connection."
    return [Diagnosis("ok", "skip connections", seen)]


def _zero(epochs: Sequence[ArchWeights], zeros: frozenset[str]) -> list[Diagnosis]:
    values = [own[name] for own in epochs[-1].values() for name in own if name in zeros]
    if not values:
        return []
    mean, gone = sum(values) / len(values), sum(value > 0.5 for value in values)
    seen = f"Zero has {mean:.0%} of an edge's weight on average, and removes {gone} of {len(values)} edges."
    if gone == len(values):
        return [
            Diagnosis(
                "error",
                "collapsed to zero",
                seen,
                "Lower strategy.alpha_learning_rate, lengthen strategy.warmup_epochs, or leave zero out of "
                "space.operations; only the strongest edge was put back.",
            )
        ]
    return [Diagnosis("warning" if mean > 0.5 else "ok", "zero", seen)]


def _movement(epochs: Sequence[ArchWeights], history: History, warmup: int) -> list[Diagnosis]:
    last = epochs[-1]
    strength = [max(own.values()) * len(own) for own in last.values() if len(own) > 1]
    openness = [entropy(own) / math.log(len(own)) for own in last.values() if len(own) > 1]
    decided = sum(strength) / max(1, len(strength))
    seen = (
        f"On average the strongest operation of an edge has {decided:.1f} times a uniform weight; the "
        f"entropy of the architecture weights is {sum(openness) / max(1, len(openness)):.0%} of its maximum."
    )
    if len(history) <= warmup or decided < 1.02:
        return [
            Diagnosis(
                "error",
                "the architecture never moved",
                seen,
                "All operations are as good as equal: the derived network is a matter of chance. Raise "
                "strategy.alpha_learning_rate or search.epochs; warm-up must be shorter than the search.",
            )
        ]
    change = _change(epochs[-2], last) if len(epochs) > 1 else 1.0
    if change > STILL:
        state = Diagnosis(
            "warning",
            "still moving",
            f"{seen} In the last epoch {change:.1%} of the share changed hands.",
            "Raise search.epochs, or let the architecture settle with the regulariser entropy.",
        )
    elif decided < UNDECIDED:
        state = Diagnosis(
            "warning",
            "settled without a decision",
            seen,
            "Raise strategy.alpha_learning_rate, or derive with `bioautoml derive RUN --set "
            "derivation.method=perturbation`, which asks the supernet and not the architecture weights.",
        )
    else:
        state = Diagnosis("ok", "converged", f"{seen} In the last epoch {change:.1%} of the share changed hands.")
    return [state]


def _change(before: ArchWeights, after: ArchWeights) -> float:
    """Mean total variation distance between the architecture weights of two epochs."""
    moved = [sum(abs(own[name] - before[label][name]) for name in own) / 2 for label, own in after.items()]
    return sum(moved) / max(1, len(moved))


def _data(history: History, warmup: int, specimens: int | None, batch_size: int | None) -> list[Diagnosis]:
    found = []
    if specimens is not None and batch_size:
        steps = max(0, len(history) - warmup) * max(1, specimens // batch_size)
        if steps < FEW_STEPS:
            found.append(
                Diagnosis(
                    "warning",
                    "few architecture steps",
                    f"The architecture took about {steps} steps on {specimens} specimens.",
                    "Lower search.batch_size, raise search.epochs, or add data; a random architecture "
                    "(derivation.method=random) may be as good.",
                )
            )
        if batch_size < 32:
            text = f"Batches of {batch_size} give noisy architecture gradients, which favour skip connections."
            found.append(
                Diagnosis("warning", "small batches", text, "Use search.batch_size: 32 or more if memory allows.")
            )
    scores = [entry["val_macro_f1"] for entry in history if "val_macro_f1" in entry]
    if len(scores) >= 6:
        steps_down = [abs(b - a) for a, b in zip(scores[-6:], scores[-5:], strict=False)]
        noise = sum(steps_down) / len(steps_down)
        if noise > 0.05:
            text = f"The validation macro-F1 jumps by {noise:.2f} from epoch to epoch."
            found.append(Diagnosis("warning", "noisy validation", text, "Enlarge data.split.validation_fraction."))
    return found


def _gap(history: History, derived: float | None) -> list[Diagnosis]:
    final = history[-1].get("val_macro_f1")
    if final is None or derived is None:
        return []
    inherited = history[-1].get("derived_macro_f1")
    between = "" if inherited is None else f"what the architecture weights derive with its weights {inherited:.3f}, "
    seen = f"Validation macro-F1: supernet {final:.3f}, {between}derived and retrained network {derived:.3f}."
    if derived < final - 0.05:
        return [
            Diagnosis(
                "error",
                "discretisation gap",
                seen,
                "The supernet's mixture does not carry over. Anneal towards a decision (regulariser entropy, "
                "relaxation gumbel), or derive by perturbation.",
            )
        ]
    return [Diagnosis("ok", "derivation", seen)]


def _candidates(scores: Sequence[float], derived: float | None) -> list[Diagnosis]:
    if not scores:
        return []
    seen = (
        f"With the supernet's weights {len(scores)} candidates have a validation macro-F1 of {min(scores):.3f} to "
        f"{max(scores):.3f}, half of them above {median(scores):.3f}"
        + ("." if derived is None else f"; the chosen one has {derived:.3f} after its own training.")
    )
    if max(scores) - median(scores) < 0.02:
        remedy = "The supernet hardly tells them apart: raise search.epochs, or train some (successive_halving)."
        return [Diagnosis("warning", "candidates score alike", seen, remedy)]
    return [Diagnosis("ok", "candidates", seen)]


def _curvature(history: History) -> list[Diagnosis]:
    values = [entry["alpha_hessian_eigenvalue"] for entry in history if "alpha_hessian_eigenvalue" in entry]
    if len(values) < 4:
        return []
    lowest, last = min(values[:-1], key=abs), values[-1]
    seen = f"The dominant eigenvalue of the architecture's Hessian went from {lowest:.3g} to {last:.3g}."
    if abs(last) > SHARPER * abs(lowest):
        return [
            Diagnosis(
                "warning",
                "the minimum gets sharper",
                f"{seen} A derived network often loses much then (arXiv 1909.09656).",
                "Stop earlier (search.epochs), raise strategy.alpha_weight_decay or search.weight_decay, or derive by "
                "perturbation.",
            )
        ]
    return [Diagnosis("ok", "curvature", seen)]


def _stability(outcome: Mapping[str, Any]) -> list[Diagnosis]:
    found = []
    if outcome.get("stopped"):
        found.append(Diagnosis("warning", "stopped by a guard", f"The search stopped {outcome['stopped']}."))
    factor = outcome.get("rate_factor", 1.0)
    if factor < 1:
        text = f"The loss was not finite; the search went on with {factor:g} times the learning rate."
        found.append(Diagnosis("warning", "diverged", text, "Lower search.learning_rate by that factor."))
    return found
