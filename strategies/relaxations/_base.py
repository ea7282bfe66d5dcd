"""The contract of a relaxation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bioautoml_nni.utils.renamed import accept_former_name


class Relaxation:
    """Turns the architecture parameters of one edge into mixing weights, and into probabilities.

    Attributes:
        hard: whether one candidate alone has a weight that is not zero, so that the others need not be computed.
        static: whether weights follow from the parameters alone, by the same kernels in every step, so that a step can
            be recorded and replayed on a GPU.
        progress: share of the search that is done, from 0 to 1; annealed settings follow it.
    """

    capabilities: tuple[str, ...] = ()
    hard = False
    static = False

    def __init__(self) -> None:
        self.progress = 0.0
        self._noise: dict[str, Tensor] = {}

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        accept_former_name(cls, "shares", "probabilities")

    def start_step(self, progress: float) -> None:
        """Forget the noise of the last step; all modules with one label share the noise of the next."""
        self.progress = progress
        self._noise.clear()

    def weights(self, label: str, alpha: Tensor, training: bool) -> Tensor:
        """Return mixing weights (O,) for parameters `alpha` (O,); outside of training there is no noise."""
        raise NotImplementedError(f"{type(self).__name__} does not define weights")

    def probabilities(self, alpha: Tensor) -> Tensor:
        """Return architecture weights (O,) that sum to one, from which the architecture is derived."""
        return torch.softmax(alpha, -1)

    def shares(self, alpha: Tensor) -> Tensor:
        """Return `probabilities`, by the name that they had until 0.2."""
        return self.probabilities(alpha)

    def gumbel(self, label: str, alpha: Tensor) -> Tensor:
        """Return this step's standard Gumbel noise of a label (O,)."""
        if label not in self._noise:
            uniform = torch.rand(alpha.shape, device=alpha.device, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
            self._noise[label] = (-torch.log(-torch.log(uniform))).to(alpha.dtype)
        return self._noise[label]


def annealed(start: float, end: float, progress: float) -> float:
    """Return the value between `start` and `end` that falls by the same factor in equal times.

    Example:
        >>> round(annealed(1.0, 0.01, 0.5), 6)
        0.1
    """
    return float(start * (end / start) ** min(1.0, max(0.0, progress)))
