"""The greedy average of several epochs' weights. Wortsman et al., Model soups, arXiv 2203.05482, recipe 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor


def greedy_average(
    states: Sequence[Mapping[str, Tensor]], score: Callable[[Mapping[str, Tensor]], float]
) -> tuple[dict[str, Tensor], list[int]]:
    """Return the average of those weights that each make it better, or no worse, and their positions.

    Args:
        states: weights of one network at several moments, the best first; it is part of the average.
        score: of weights; more is better.
    """
    chosen, best = [0], score(states[0])
    for position in range(1, len(states)):
        found = score(mean([states[index] for index in [*chosen, position]]))
        if found >= best:
            chosen, best = [*chosen, position], found
    return mean([states[index] for index in chosen]), chosen


def mean(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of weights, that of statistics of norms included; whole numbers, which count, are the first's.

    Example:
        >>> import torch
        >>> mean([{'w': torch.tensor([1.0])}, {'w': torch.tensor([3.0])}])
        {'w': tensor([2.])}
    """
    first = states[0]
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value.clone()
        for name, value in first.items()
    }
