"""A schedule."""

from torch import Tensor

from bioautoml_nni.strategies.data import SearchBatch
from bioautoml_nni.strategies.schedules._base import Schedule, SearchModule
from bioautoml_nni.utils.numbers import Count


class Seldom(Schedule):
    """The architecture is updated in one of several steps, the weights in all."""

    form = "pairs"

    def __init__(self, every: Count = 2) -> None:
        self.every = every

    def step(self, module: SearchModule, batch: SearchBatch, index: int) -> Tensor | None:
        if module.searching and index % self.every == 0:
            module.architecture_step(batch.alpha)
        return module.weights_step(batch.weights, index)
