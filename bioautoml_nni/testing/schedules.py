"""The suite of schedules."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ._base import kind_of, name_of, require_class, require_methods, suite, tried

FORMS = ("alternate", "pairs", "same")


class _Module:
    """Stands for the search's Lightning module: counts the updates that a schedule asks for, on one weight of each."""

    def __init__(self, searching: bool) -> None:
        self.searching = searching
        self.alpha, self.weight = (nn.Parameter(torch.ones(3)) for _ in range(2))
        self.counts = {"alpha": 0, "weights": 0}

    def architecture_step(self, batch: Any) -> Tensor:
        self._count("alpha", batch)
        return torch.zeros(())

    def weights_step(self, batch: Any, index: int) -> Tensor:
        self._count("weights", batch)
        return torch.zeros(())

    def joint_step(self, batch: Any, index: int) -> Tensor:
        self._count("weights", batch)
        self.counts["alpha"] += self.searching
        return torch.zeros(())

    def apply_architecture_gradients(self, gradients: Any, loss: Tensor) -> None:
        self.counts["alpha"] += 1

    def loss_of(self, batch: Any) -> Tensor:
        assert batch is not None, "was given no batch: None stands for the group that this step has no data of"
        return (self.alpha.sum() * self.weight).sum() + batch["image"].mean()

    def arch_parameters(self) -> list[nn.Parameter]:
        return [self.alpha]

    def parameters(self) -> list[nn.Parameter]:
        return [self.weight, self.alpha]

    def weight_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([self.weight], 0.1, momentum=0.9)

    def unfrozen(self) -> AbstractContextManager[None]:
        return nullcontext()

    def frozen_batch_norm(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _count(self, group: str, batch: Any) -> None:
        assert batch is not None, f"updates {group} on None: this step has no batch of theirs"
        self.counts[group] += 1


@suite
def check_schedule(schedule: Callable[..., Any], **arguments: Any) -> None:
    """Check a schedule: both groups are updated, the architecture not in warm-up, each on a batch of its own."""
    name, contract = name_of(schedule), "Schedule(...)"
    require_class(name, schedule, contract)
    part = tried(f"{name}: must be built as {contract}", schedule, **arguments)
    require_methods(name, part, "step(module, batch, index)")
    form = getattr(part, "form", None)
    assert form in FORMS, f"{name}: form must be one of {', '.join(FORMS)}, not {form!r}"
    for searching in (False, True):
        module = _Module(searching)
        for index, batch in enumerate(_batches(form)):
            what = f"{name}: must have step(module, batch, index), which updates what a batch is for"
            value = tried(what, part.step, module, batch, index)
            right = value is None or (isinstance(value, Tensor) and value.shape == ())
            assert right, f"{name}: step() must return a scalar loss or None, not {kind_of(value)}"
        assert module.counts["weights"], f"{name}: never updates the weights{'' if searching else ' in warm-up'}"
        early = "updates the architecture in warm-up (module.searching is false), in which only weights are trained"
        assert searching or not module.counts["alpha"], f"{name}: {early}"
        assert not searching or module.counts["alpha"], f"{name}: never updates the architecture"


class _Batch(NamedTuple):
    """As the search's own: a batch for the architecture, one for the weights, or both."""

    alpha: Any | None
    weights: Any | None


def _batches(form: str) -> list[_Batch]:
    """Return the steps of a short search in a form."""
    images = [{"image": torch.full((2, 3, 4, 4), float(number))} for number in range(12)]
    if form == "same":
        return [_Batch(None, batch) for batch in images]
    if form == "pairs":
        return [_Batch(*pair) for pair in zip(images[::2], images[1::2], strict=True)]
    return [_Batch(batch, None) if not number % 2 else _Batch(None, batch) for number, batch in enumerate(images)]
