"""The result in plain words: sentences, counts with their nouns, and what the terms mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..architecture import Architecture
from ..architecture.draw import readable
from ..architecture.schema import TrunkRecord
from ..artifacts.network import NetworkRecord
from ..config.schema import DerivationConfig

THIN = "\u202f"
"""A narrow space that does not break a line, between thousands."""
FIRM = "\u00a0"
"""A space that does not break a line, before %."""
PLURALS = {"class": "classes", "taxon": "taxa", "is": "are", "was": "were", "has": "have", "stands": "stand"}
TERMS = {
    "accuracy": "The share of test specimens that were named correctly. Frequent classes count for most of it.",
    "balanced accuracy": "The recall of every class, averaged so that a rare class counts as much as a frequent one.",
    "macro-F1": "F1 of every class, averaged so that each class counts the same. F1 is the harmonic mean of precision "
    "and recall: it is high only if both are. 1 is perfect.",
    "precision": "Of the specimens that were given this name, the share that deserve it.",
    "recall": "Of the specimens of this class, the share that were given its name.",
    "AUC": "How well the class is told from all others, whatever the threshold: the share of pairs, one specimen of it "
    "and one of another class, in which the first gets the higher probability. 0.5 is chance, 1 is perfect.",
    "majority answer": "What a program scores that looks at nothing and always gives the most frequent class.",
    "parameters": "The numbers that training adjusts. They decide how large the model's file is.",
    "FLOPs": "Floating-point operations: additions and multiplications for one specimen, in millions (M). They decide "
    "how long a small device works on it.",
    "interval": "The range of scores to expect from another test split of this size, drawn likewise. Where it is "
    "wide, the score is uncertain.",
    "calibration": "Confidence is calibrated if, of all answers given with 80 % confidence, 80 % are right.",
    "ECE": "Expected calibration error: how far confidence and accuracy lie apart, averaged over answers. 0 is honest.",
    "temperature": "One number that divides the network's outputs so that its confidence becomes honest. Above "
    "1 it was too sure of itself. It changes no answer.",
    "negative log-likelihood": "How surprised the network was by the true names, on average. Lower is better; being "
    "wrong and sure costs most.",
    "prediction set": "Several names in place of one: as many as it takes to hold the truth with the promised "
    "probability (split conformal prediction).",
    "Grad-CAM": "A map of what in the image spoke for the answer, from the gradients at the last feature map.",
    "architecture weight": "How much the search preferred an operation over the other candidates in the same place. "
    "All weights of a place sum to 100 %.",
    "test split": "Specimens that were kept aside from the start and scored once, at the end.",
    "validation split": "Specimens that trained no weights, but chose the epoch and calibrated confidence.",
}
"""What a reader may not know, by the words that the page uses."""


def thousands(value: float) -> str:
    """Return a whole number with narrow spaces between its thousands."""
    return f"{int(value):,}".replace(",", THIN)


def percent(value: float | None) -> str:
    """Return a share as a percentage, – for none.

    Example:
        >>> percent(0.125) == '12.5\\u00a0%'
        True
    """
    return "–" if value is None or pd.isna(value) else f"{100 * value:.1f}{FIRM}%"


def plural(count: float, noun: str) -> str:
    """Return the noun, or verb, that fits a count."""
    return noun if count == 1 else PLURALS.get(noun, f"{noun}s")


def counted(count: float, noun: str) -> str:
    """Return a count with its noun, in the singular or plural: 1 class, 2 classes."""
    *before, last = noun.split(" ")
    return " ".join([thousands(count), *before, plural(count, last)])


def listed(names: list[str], most: int = 6) -> str:
    """Return names as a phrase, the first of many with the number of the others.

    >>> listed(["ant"]), listed(["ant", "bee", "fly"]), listed(["ant", "bee", "fly"], most=1)
    ('ant', 'ant, bee and fly', 'ant and 2 others')
    """
    shown = names[:most] + ([counted(len(names) - most, "other")] if len(names) > most else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def summary_sentences(metrics: dict[str, Any], per_class: pd.DataFrame) -> list[str]:
    """Return a few sentences that say what was found and how far it can be trusted."""
    sizes, majority = metrics["split"]["sizes"], metrics["majority_baseline"]
    tested = sizes["test"]
    sentences = [
        f"Of {counted(tested, 'test specimen')} that {plural(tested, 'was')} never used in training, "
        f"{percent(metrics['accuracy'])} were named correctly; always answering {majority['class']} would have been "
        f"right for {percent(majority['accuracy'])}.",
        f"Averaged so that each of the {counted(metrics['classes_in_test'], 'class')} in the test split counts the "
        f"same, recall is {percent(metrics['balanced_accuracy'])} and the macro-F1 score {metrics['macro']['f1']:.3f} "
        f"(majority answer: {majority['macro_f1']:.3f}).",
    ]
    scored = per_class[per_class["test"] >= 10].sort_values("f1")
    if len(scored) >= 2:
        best, worst = scored.iloc[-1], scored.iloc[0]
        sentences.append(
            f"Among classes with at least ten test specimens, {best['class']} is recognised best (F1 {best['f1']:.2f}) "
            f"and {worst['class']} worst (F1 {worst['f1']:.2f}, {counted(worst['train'], 'training specimen')})."
        )
    sentences += _rough(per_class)
    group = metrics["split"]["group"]
    if group:
        sentences.append(f"No value of '{group}' occurs in both the training and the test split.")
    elif metrics["split"]["method"] == "stratified":
        sentences.append(
            "The test specimens were drawn at random: if several images show one specimen, trap or site, expect "
            "lower scores on new ones, and set data.split.group."
        )
    return sentences


def _rough(per_class: pd.DataFrame) -> list[str]:
    """Return what is said of classes with few test specimens, and of those without any."""
    few = per_class[per_class["test"].between(1, 9)]["class"].map(str).tolist()
    none = per_class[per_class["test"] == 0]["class"].map(str).tolist()
    sentences = []
    if few:
        sentences.append(
            f"The test split holds fewer than ten specimens of {listed(few)}; "
            f"{'its score is' if len(few) == 1 else 'their scores are'} only a rough guide."
        )
    if none:
        sentences.append(
            f"It holds no specimen of {listed(none)}, so nothing is known about {'it' if len(none) == 1 else 'them'}."
        )
    return sentences


def difference(found: Architecture, last: Architecture, derivation: DerivationConfig) -> str:
    """Return what sets the architecture apart from that of the last epoch's largest weights, and why; "" if nothing."""
    changes = []
    for kind, cell in found.cells.items():
        ours, theirs = (
            {(edge.source, edge.target): edge.operation for edge in one.edges} for one in (cell, last.cells[kind])
        )
        for place in sorted(set(ours) | set(theirs)):
            if ours.get(place) != theirs.get(place):
                names = [readable(own[place]) if place in own else "no connection" for own in (ours, theirs)]
                changes.append(f"{kind} cell, {place[0]} to {place[1]}: {names[0]} in place of {names[1]}")
    changes += _other_choices(found, last)
    if not changes:
        return ""
    reason = {
        "perturbation": "the choice was made by what the removal of each operation costs on validation",
        "successive_halving": "several candidates were trained, and the best on validation was kept",
        "evolution": "the choice was made by scores of whole networks with the supernet's weights",
    }.get(derivation.method, "some operations gave way to the limits of derivation" if derivation.budget else "")
    start = f"The largest weights of the last epoch alone would give another network: {reason or 'it was re-derived'}."
    return f"{start} What differs: {'; '.join(changes)}."


def _other_choices(found: Architecture, last: Architecture) -> list[str]:
    pairs: Mapping[str, tuple[str, str]] = {
        label: (record.choice, last.choices[label].choice) for label, record in found.choices.items()
    }
    return [
        f"{label}: {readable(own)} in place of {readable(other)}"
        for label, (own, other) in pairs.items()
        if own != other
    ]


def trunk_training(network: NetworkRecord, record: TrunkRecord | None) -> str:
    """Return what the training of a network did to its pretrained encoder; empty where it has none.

    Args:
        record: of the architecture, which tells it where the space has no settings of a trunk.
    """
    if record is None:
        return ""
    trunk = network.arguments.get("trunk")
    if not isinstance(trunk, Mapping):
        return "kept as it was" if record.frozen else "trained further"
    if trunk.get("frozen", True):
        return "kept as it was"
    stage = trunk.get("frozen_stages")
    return "trained further" if stage is None else f"trained further after its stage {stage}"
