"""A relaxation."""

import torch
from torch import Tensor

from bioautoml_nni.strategies.relaxations._base import Relaxation
from bioautoml_nni.utils.numbers import Positive


class Cold(Relaxation):
    """Weights softmax(alpha / temperature)."""

    def __init__(self, temperature: Positive = 0.5) -> None:
        super().__init__()
        self.temperature = temperature

    def weights(self, label: str, alpha: Tensor, training: bool) -> Tensor:
        return torch.softmax(alpha / self.temperature, -1)

    def probabilities(self, alpha: Tensor) -> Tensor:
        return torch.softmax(alpha / self.temperature, -1)
