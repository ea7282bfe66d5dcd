"""Macro-F1 from counts by class is torchmetrics' own, and takes memory of N + K."""

from __future__ import annotations

import pytest
import torch
from torchmetrics.classification import MulticlassF1Score

from bioautoml_nni.training.counts import MacroF1


@pytest.mark.parametrize("classes", [2, 3, 40])
def test_macro_f1_is_that_of_torchmetrics_bit_for_bit(classes):
    generator = torch.Generator().manual_seed(classes)
    own, theirs = MacroF1(classes), MulticlassF1Score(classes, average="macro")
    for rows in (7, 1, 30):
        logits = torch.randn(rows, classes, generator=generator).round(decimals=1)  # with ties
        target = torch.randint(max(2, classes // 2), (rows,), generator=generator)  # some classes never occur
        own.update(logits, target)
        theirs.update(logits, target)
    assert torch.equal(own.compute(), theirs.compute())
    for name in ("tp", "fp", "tn", "fn"):
        assert torch.equal(getattr(own, name), getattr(theirs, name)), name


def test_many_classes_take_no_memory_of_their_square():
    metric = MacroF1(200_000)  # squared, 320 GB
    logits = torch.zeros(2, 200_000)
    logits[0, 7] = logits[1, 9] = 1
    metric.update(logits, torch.tensor([7, 8]))
    assert metric.compute() == pytest.approx(1 / 3)
