"""Progressive shrinking: candidates with small shares leave the search, which gets cheaper as it goes on.

Chen et al., Progressive Differentiable Architecture Search, arXiv 1904.12760, section 3.2: search space approximation.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ..registry import named_operations
from .supernet import MixedOperation


def candidates_left(counts: Sequence[int], epoch: int, epochs: int) -> int | None:
    """Return how many candidates an edge keeps, None for all.

    Args:
        counts: of the second, third, ... of equal parts of the search.
        epoch: number of epochs that are done, warm-up left out.
        epochs: of the search without its warm-up.
    """
    part = max(0, epoch) * (len(counts) + 1) // epochs
    return counts[part - 1] if part else None


def shrink(supernet: nn.Module, count: int | None) -> bool:
    """Close all but the `count` candidates with the largest shares on every edge; return whether any was open.

    One candidate that is not zero is kept in any case. Choices of other layers, such as fusions, stay as they are.
    What the parameters say is closed, as after loading them, is known afterwards, whatever `count` is.
    """
    changes = False
    for module in supernet.modules():
        if not isinstance(module, MixedOperation) or not module.on_feature_maps:
            continue
        before = module.closed
        module.find_closed()
        if count is not None:
            module.close(set(module.names) - _strongest(module, count))
        changes = changes or module.closed != before
    return changes


def _strongest(module: MixedOperation, count: int) -> set[str]:
    shares = module.relaxation.shares(module._arch_alpha.detach()).cpu().tolist()
    ranked = [name for _, name in sorted(zip(shares, module.names, strict=True), key=lambda pair: -pair[0])]
    kept, working = set(ranked[:count]), [name for name in ranked if name not in named_operations("zero")]
    if working and kept.isdisjoint(working):
        kept = {*ranked[: count - 1], working[0]}
    return kept
