"""Guards: when a search has to stop, and which architecture it then keeps.

A search that turns towards skip connections rarely comes back (DARTS+, arXiv 1909.06035, stops at two skips per cell).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn

from bioautoml_nni.architecture.topology import only_edges
from bioautoml_nni.architecture.weights import entropy, skip_counts

from ._callback import SearchCallback
from .supernet import MixedOperation, skips_of


@dataclass(frozen=True)
class Guards:
    """Limits of a search; None switches one off.

    Attributes:
        max_skips: edges of one kind of cell that may have a skip connection as their strongest operation; choices of
            the whole space, where it is not made of cells.
        min_entropy: mean entropy of the architecture weights, in nats, below which the architecture counts as decided.

    >>> weights = {"normal_edge_0_1": {"skip": 0.9, "conv": 0.1}}
    >>> Guards(max_skips=0).reason_to_stop(weights, frozenset({"skip"}))
    '1 edges of the normal cell prefer a skip connection, more than max_skips=0'
    """

    max_skips: int | None = None
    min_entropy: float | None = None

    def reason_to_stop(
        self, weights: Mapping[str, Mapping[str, float]], skips: frozenset[str] | Mapping[str, frozenset[str]]
    ) -> str | None:
        """Return in words why to stop at these architecture weights, or None.

        Args:
            weights: of all choices of operations, by label.
            skips: names of skip connections, of all choices or by label.
        """
        if self.max_skips is not None:
            for kind, count in skip_counts(weights, skips).items():
                if count > self.max_skips:
                    limit = f"more than max_skips={self.max_skips}"
                    where = f"edges of the {kind} cell" if kind else "choices of the space"
                    return f"{count} {where} prefer a skip connection, {limit}"
        if self.min_entropy is not None and weights:
            mean = sum(entropy(values) for values in weights.values()) / len(weights)
            if mean < self.min_entropy:
                limit = f"below min_entropy={self.min_entropy}"
                return f"the mean entropy of the architecture weights fell to {mean:.3f}, {limit}"
        return None

    def unsound(
        self, weights: Mapping[str, Mapping[str, float]], skips: frozenset[str] | Mapping[str, frozenset[str]]
    ) -> bool:
        """Whether the architecture itself is what the guard is against, so that an earlier one is kept."""
        limit = self.max_skips
        return limit is not None and any(count > limit for count in skip_counts(weights, skips).values())


def operation_weights(model: nn.Module) -> dict[str, dict[str, float]]:
    """Return the present architecture weights of all choices of operations of a supernet, by label."""
    memo: dict[str, Any] = {}
    for module in model.modules():
        if isinstance(module, MixedOperation):
            memo.update(module.export_probs(memo))
    return {str(label): dict(values) for label, values in memo.items()}


def guarded_weights(module: Any) -> dict[str, dict[str, float]]:
    """Return the weights that guards judge, by label, of the Lightning module of a search.

    In a space made of cells these are the edges; another choice beside them, such as a fusion, is not meant. In any
    other space it is every choice.
    """
    edges = only_edges(operation_weights(module.model))
    return edges or {str(label): dict(own) for label, own in module.export_probs().items()}


STATE = "search_guards"
"""Where a checkpoint keeps what the guards know."""


class GuardedArchitecture(SearchCallback):
    """Asks the guards after every epoch; an unsound architecture gives way to the last sound one.

    Attributes:
        stopped: when and why, None while the search goes on.
    """

    def __init__(self, guards: Guards) -> None:
        self.guards = guards
        self.stopped: str | None = None
        self._sound: dict[str, Tensor] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Do not go on with a search that a guard had stopped before it was killed."""
        if self.stopped is not None:
            trainer.should_stop = True

    def on_search_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Judge the epoch, once warm-up is over."""
        if not pl_module.searching:
            return
        model, parameters = pl_module.model, pl_module.architecture_parameters()
        if not self.end_epoch(trainer.current_epoch, guarded_weights(pl_module), skips_of(model), parameters):
            trainer.should_stop = True

    def end_epoch(
        self,
        epoch: int,
        weights: Mapping[str, Mapping[str, float]],
        skips: Mapping[str, frozenset[str]],
        parameters: Mapping[str, nn.Parameter],
    ) -> bool:
        """Judge an epoch, return to the last sound architecture if need be, and say whether the search goes on.

        Args:
            epoch: counted from 0.
            weights, skips: see `Guards.reason_to_stop`.
            parameters: the architecture parameters by label.
        """
        reason = self.guards.reason_to_stop(weights, skips)
        if not self.guards.unsound(weights, skips):
            self._sound = {label: parameter.detach().clone() for label, parameter in parameters.items()}
        if reason is None:
            return True
        self.stopped = f"after epoch {epoch + 1}: {reason}"
        with torch.no_grad():
            for label, parameter in parameters.items():
                parameter.copy_(self._sound.get(label, parameter))
        return False

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Keep what the guards know."""
        checkpoint[STATE] = {"stopped": self.stopped, "sound": self._sound}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        state = checkpoint.get(STATE, {})
        self.stopped, self._sound = state.get("stopped"), state.get("sound", {})
