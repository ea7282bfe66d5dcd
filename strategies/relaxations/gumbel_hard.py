"""One sampled candidate per edge. Dong and Yang, GDAS, arXiv 1910.04465."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from .gumbel import GumbelSoftmax


class GumbelHard(GumbelSoftmax):
    """One candidate per edge, sampled by Gumbel noise; its gradient is that of the soft weight (straight-through).

    Only the sampled candidate is computed. Outside of training it is the one with the largest share.
    """

    hard = True

    def weights(self, label: str, alpha: Tensor, training: bool) -> Tensor:
        soft = super().weights(label, alpha, training)
        chosen = functional.one_hot(soft.argmax(-1), alpha.shape[-1]).to(soft.dtype)
        return chosen - soft.detach() + soft
