"""Cross-entropy at every rank: a wrong species of the right family costs less than one of another order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..utils.numbers import NonNegative
from ._base import PriorAdjusted


class Hierarchical(PriorAdjusted):
    """Cross-entropy of the label and of each coarser taxon, whose probability is the sum over its classes.

    The loss is the mean of -log p(taxon of the label) over ranks, the label's own with weight 1, the next coarser one
    with `coarse_weight`, the one after with its square. Ranks are those that the table states for every class. It
    needs memory in proportion to specimens times classes, as cross-entropy does.

    Args:
        class_counts: number of training specimens of each class.
        coarse_weight: 0 is plain cross-entropy; 1 counts every rank the same.
        tau: strength of logit adjustment, as in `logit_adjusted`; 0 keeps the training prior.
    """

    capabilities = ("imbalance", "taxonomy")

    def __init__(self, class_counts: Sequence[int], coarse_weight: NonNegative = 0.5, tau: NonNegative = 1.0) -> None:
        super().__init__(class_counts, tau)
        self.coarse_weight = coarse_weight
        self.ranks = 0

    def set_taxonomy(self, taxa: Mapping[str, Sequence[str]]) -> None:
        """Say to which taxon each class belongs.

        Args:
            taxa: taxa of the classes (K,) by rank, the finest first.
        """
        for number, names in enumerate(taxa.values()):
            places = {name: place for place, name in enumerate(dict.fromkeys(names))}
            member = torch.tensor([places[name] for name in names])
            self.register_buffer(f"member_{number}", member.to(self.adjustment.device), persistent=False)
        self.ranks = len(taxa)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        log = functional.log_softmax(self.prior_logits(logits), dim=1)
        total = functional.nll_loss(log, target)
        weights = [self.coarse_weight ** (number + 1) for number in range(self.ranks)]
        for number, weight in enumerate(weights):
            member: Tensor = getattr(self, f"member_{number}")
            outside = member != member[target].unsqueeze(1)
            total = total - weight * log.masked_fill(outside, -torch.inf).logsumexp(dim=1).mean()
        return total / (1 + sum(weights))
