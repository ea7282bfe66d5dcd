"""The result in plain words."""

from __future__ import annotations

from typing import Any

import pandas as pd


def summary_sentences(metrics: dict[str, Any], per_class: pd.DataFrame) -> list[str]:
    """Return a few sentences that say what was found and how far it can be trusted."""
    sizes, majority = metrics["split"]["sizes"], metrics["majority_baseline"]
    sentences = [
        f"Of {sizes['test']} test specimens that were never used in training, {metrics['accuracy']:.1%} were named "
        f"correctly; always answering {majority['class']} would have been right for {majority['accuracy']:.1%}.",
        f"Averaged so that every one of the {metrics['classes_in_test']} classes counts the same, recall is "
        f"{metrics['balanced_accuracy']:.1%} and the macro-F1 score {metrics['macro']['f1']:.3f} (majority answer: "
        f"{majority['macro_f1']:.3f}).",
    ]
    scored = per_class[per_class["test"] >= 10].sort_values("f1")
    if len(scored) >= 2:
        best, worst = scored.iloc[-1], scored.iloc[0]
        sentences.append(
            f"Among classes with at least ten test specimens, {best['class']} is recognised best (F1 {best['f1']:.2f}) "
            f"and {worst['class']} worst (F1 {worst['f1']:.2f}, {int(worst['train'])} training specimens)."
        )
    thin = per_class[per_class["test"] < 10]["class"].tolist()
    if thin:
        names = ", ".join(map(str, thin[:6])) + (" and others" if len(thin) > 6 else "")
        sentences.append(f"For {names} the test part holds fewer than ten specimens; their scores are rough.")
    group = metrics["split"]["group"]
    if group:
        sentences.append(f"Test specimens come from values of '{group}' that training never saw.")
    elif metrics["split"]["method"] == "stratified":
        sentences.append(
            "The test specimens were drawn at random: if several pictures show one specimen, trap or site, expect "
            "lower scores on new ones, and set data.split.group."
        )
    return sentences
