"""The base class of a search's own callbacks."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, Trainer


class SearchCallback(Callback):
    """A callback that the search's module brings along (`AlternatingModule.configure_callbacks`).

    The trainer belongs to the evaluator, which its user may train something else with: the callback leaves it at the
    end of the search. State goes into the checkpoint under names of our own and not under Lightning's ``callbacks``.
    """

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Leave the trainer."""
        self._leave(trainer)

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Leave the trainer; Lightning ends a fit that failed without `teardown`."""
        self._leave(trainer)

    def _leave(self, trainer: Trainer) -> None:
        trainer.callbacks = [callback for callback in trainer.callbacks if callback is not self]  # type: ignore[attr-defined]

    def on_search_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Act after the evaluator's own hooks of an epoch's end, and before its checkpoint is written.

        Lightning asks callbacks before modules at the end of an epoch, all but those that write checkpoints.
        """
