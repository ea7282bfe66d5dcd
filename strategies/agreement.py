"""Whether a space's derived networks compute what its supernet computes, asked before the first update.

Layers with open arguments are sliced by NNI and by us; what a space's own code does between them, such as a fixed norm
after an open width or a concatenation, nobody can read off the layers. So a supernet with such layers is left a few
choices alone and compared with the network that is frozen from it, on the input of the first batch.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from nni.mutable import Categorical, CategoricalMultiple
from nni.nas.oneshot.pytorch.supermodule.operation import MixedOperation as OpenLayer
from pytorch_lightning import Trainer
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.utils.errors import PluginError, in_one_line
from bioautoml_nni.utils.seeding import isolate_rng, seed_everything

from ._callback import SearchCallback
from .concatenations import reads_open_and_fixed
from .data import SearchBatch
from .refusals import labels_of
from .relaxations.softmax import Softmax
from .supernet import MixedOperation

TOLERANCE = 1e-3
"""Part of the largest output by which both may differ: single precision, in another order of additions."""
OUT = -60.0
"""An architecture parameter beside 0 whose softmax weight is nothing."""
Sample = dict[str, Any]


class _Seen(Exception):
    """Carries what a model is called with."""

    def __init__(self, args: Any, kwargs: Any) -> None:
        super().__init__()
        self.args_of_call, self.kwargs_of_call = args, kwargs


def require_agreement(
    training_module: Any, model: Any, batch: Any, choices: Mapping[str, Any], decide: Callable[[Sample], None] | None
) -> None:
    """Compare a supernet with open arguments with networks frozen from it; everything is left as it was.

    Args:
        training_module: the evaluator's module, whose training step calls the model.
        model: the supernet.
        batch: one of its batches.
        choices: the space's choices by label.
        decide: leaves the supernet one choice of each label; None sets its architecture parameters.

    Raises:
        PluginError: naming the choices with which both differ, and why.
    """
    layers = [module for module in model.modules() if isinstance(module, OpenLayer)]
    known = all(isinstance(choice, Categorical | CategoricalMultiple) for choice in choices.values())
    partial = any(isinstance(module, MixedOperation) and module.partial_channels > 1 for module in model.modules())
    if decide is None:
        known = known and set(named_architecture_parameters(model)) == set(choices)  # a cell of NNI's has its own
    own = type(model).freeze.__module__.startswith("nni.nas.nn.")  # others may build a fresh network, as NNI's hub does
    if not layers or not known or not own or partial or any(map(is_lazy, model.parameters())):
        return
    with isolate_rng(), torch.no_grad(), _decidable(model):
        call = _call_of(training_module, model, batch)
        if call is None:
            return
        compared = _Compared(model, call, choices, decide)
        if not compared.can_be_repeated():
            return
        samples = [compared.at(0), compared.at(-1), compared.drawn()]
        faults = [(sample, fault) for sample in samples if (fault := compared.fault(sample))]
        if faults:
            suspects = list(dict.fromkeys(label for layer in layers for label in labels_of(layer)))
            raise PluginError(_sentence(compared, samples, *faults[0], suspects))


class Agreement(SearchCallback):
    """Compares supernet and frozen networks on the first batch, before the first update.

    Args:
        choices: the space's choices by label.
    """

    def __init__(self, choices: Mapping[str, Any]) -> None:
        self.choices: Mapping[str, Any] | None = choices

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: SearchBatch, batch_idx: int) -> None:
        """Compare them once.

        Raises:
            PluginError: if they differ, naming the choice.
        """
        if self.choices is None:
            return
        first = batch.weights if batch.weights is not None else batch.alpha
        with trainer.precision_plugin.train_step_context():
            require_agreement(pl_module.training_module, pl_module.model, first, self.choices, None)
        self.choices = None


def _sentence(compared: _Compared, samples: list[Sample], wrong: Sample, fault: str, suspects: list[str]) -> str:
    """Return which choices are to blame: those that, set as in a wrong sample, spoil a right one."""
    right = next((sample for sample in samples if not compared.fault(sample)), wrong)
    blamed = {}
    for label in suspects:
        if wrong[label] != right[label] and (own := compared.fault({**right, label: wrong[label]})):
            blamed[label] = own
    labels = list(blamed) or suspects
    fault = next(iter(blamed.values()), fault)
    values = ", ".join(f"{label!r} ({wrong[label]!r})" for label in labels)
    place = reads_open_and_fixed(compared.model, labels)
    reason = (
        f" {place} reads an open and a fixed width side by side, and a supernet keeps what lies behind an open width "
        "at another place; concatenate the fixed one first, or let random_paths sample."
        if place
        else " What stands between layers with open arguments has to follow them, such as a MutableBatchNorm2d."
    )
    return f"choice {values} cannot be searched: {fault}.{reason}"


class _Compared:
    """A supernet and the networks frozen from it, on one input."""

    def __init__(
        self, model: Any, call: tuple[Any, Any], choices: Mapping[str, Any], decide: Callable[[Sample], None] | None
    ) -> None:
        self.model, self.call, self.choices = model, call, choices
        self.decide = decide or self._by_parameters

    def at(self, position: int) -> Sample:
        """Return the first or the last value of every choice."""
        return {label: self._value(choice, list(choice.values), position) for label, choice in self.choices.items()}

    def drawn(self) -> Sample:
        """Return a value of every choice at random, the same every time."""
        rng = random.Random(0)
        found = {}
        for label, choice in self.choices.items():
            values = list(choice.values)
            found[label] = self._value(choice, rng.sample(values, len(values)), 0)
        return found

    @staticmethod
    def _value(choice: Any, values: list[Any], position: int) -> Any:
        if isinstance(choice, CategoricalMultiple):
            count = choice.n_chosen or 1
            return sorted(values[:count] if position == 0 else values[-count:])
        return values[position]

    def _by_parameters(self, sample: Sample) -> None:
        for label, alpha in named_architecture_parameters(self.model).items():
            values, chosen = list(self.choices[label].values), sample[label]
            weights = alpha.new_full(alpha.shape, OUT)
            weights[[values.index(value) for value in (chosen if isinstance(chosen, list) else [chosen])]] = 0.0
            alpha.copy_(weights)

    def can_be_repeated(self) -> bool:
        """Whether the supernet answers alike twice; what is random in evaluation too cannot be compared."""
        self.decide(self.at(-1))
        seed_everything(0)
        first = self._answer(self.model)
        seed_everything(1)
        return _far(first, self._answer(self.model)) <= TOLERANCE

    def _answer(self, network: nn.Module) -> list[Tensor]:
        with _exact_products():
            found = network(*self.call[0], **self.call[1])
        return [leaf.float() for leaf in tree_leaves(found) if isinstance(leaf, Tensor) and leaf.is_floating_point()]

    def fault(self, sample: Sample) -> str | None:
        """Return why the frozen network is not the supernet of this choice, or None."""
        self.decide(sample)
        searched = self._answer(self.model)
        try:
            derived = self._answer(self.model.freeze(dict(sample)))
        except (AssertionError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            return f"the network that is derived with it fails ({in_one_line(error)})"
        if [each.shape for each in searched] != [each.shape for each in derived]:
            return "the network that is derived with it has an output of another shape than the supernet"
        if _far(searched, derived) > TOLERANCE:
            return "the network that is derived with it computes something else than the supernet that was searched"
        return None


def _far(first: list[Tensor], other: list[Tensor]) -> float:
    """Return the largest difference, as a part of the largest value; not finite values are not compared."""
    parts = [
        float((one - two).abs().max() / one.abs().max().clamp_min(1e-12))
        for one, two in zip(first, other, strict=True)
        if one.numel()
    ]
    return max([part for part in parts if part == part], default=0.0)


def _call_of(training_module: Any, model: nn.Module, batch: Any) -> tuple[Any, Any] | None:
    """Return the arguments with which a training step calls the model, which is not run."""

    def stop(_: nn.Module, args: Any, kwargs: Any) -> None:
        raise _Seen(args, kwargs)

    handle = model.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        training_module.training_step(batch, 0)
    except _Seen as seen:
        return seen.args_of_call, seen.kwargs_of_call
    finally:
        handle.remove()
    return None


@contextmanager
def _decidable(model: nn.Module) -> Iterator[None]:
    """Put a supernet into evaluation with plain softmax weights, and back with its architecture parameters."""
    modes = [(module, module.training) for module in model.modules()]
    mixed = [module for module in model.modules() if isinstance(module, MixedOperation)]
    relaxations = [module.relaxation for module in mixed]
    alphas = {id(alpha): alpha for alpha in named_architecture_parameters(model).values()}.values()
    kept = [(alpha, alpha.detach().clone()) for alpha in alphas]
    for module in mixed:
        module.relaxation = Softmax()
    model.eval()
    try:
        yield
    finally:
        for each, training in modes:
            each.training = training
        for module, relaxation in zip(mixed, relaxations, strict=True):
            module.relaxation = relaxation
        with torch.no_grad():
            for alpha, value in kept:
                alpha.copy_(value)


@contextmanager
def _exact_products() -> Iterator[None]:
    """Compute in single precision as it is, without the shorter forms of a GPU."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    device = torch.accelerator.current_accelerator()
    try:
        with (
            torch.autocast(device.type if device is not None else "cpu", enabled=False),
            torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
