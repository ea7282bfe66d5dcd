"""Supernet passes as CUDA graphs: thousands of small launches, recorded once and replayed as one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn

from ._callback import SearchCallback
from .relaxations._base import Relaxation
from .supernet import MixedOperation

logger = logging.getLogger(__name__)

WARM_UP = 3
"""Passes before recording, in which libraries choose their algorithms and take their memory."""


def obstacle(model: nn.Module, relaxation: Relaxation) -> str | None:
    """Return why a supernet's passes cannot be recorded, or None if they can.

    A recording repeats the same kernels with the same numbers from the host. So nothing that the host decides or
    computes may change from step to step.
    """
    if not relaxation.static:
        return f"the relaxation {type(relaxation).__name__} changes from step to step"
    if any(module.skip_dropout for module in model.modules() if isinstance(module, MixedOperation)):
        return "skip dropout changes from step to step"
    if any(module._forward_pre_hooks for module in model.modules()):  # a replay does not call them
        return "the input of one of its modules is read, such as the features that a teacher compares"
    return None


class GraphedForward:
    """A supernet's forward pass that replays a recorded graph, and another one when its backward pass runs.

    One recording belongs to one kind of step and one shape of batch; whatever else comes runs as it is, and so does
    everything after a recording that failed.

    Args:
        model: the supernet; a batch is a dictionary of tensors or one tensor.

    Attributes:
        failure: why nothing is recorded, if nothing is.
    """

    device_type = "cuda"

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.eager = model.forward
        self.recorded: dict[Any, _Recording] = {}
        self.seen: set[Any] = set()
        self.used: set[Any] = set()
        self.failure: str | None = None

    def start_epoch(self) -> None:
        """Forget what the last epoch had no use for, such as passes over smaller images; each holds memory."""
        self.recorded = {key: made for key, made in self.recorded.items() if key in self.used}
        self.used.clear()

    def __call__(self, batch: Tensor | Mapping[str, Tensor], kind: str | None) -> Tensor:
        """Return the supernet's output for a training batch.

        Args:
            batch: the supernet's input.
            kind: names the group of parameters that gets gradients; None runs the pass as it is.
        """
        inputs = {"": batch} if isinstance(batch, Tensor) else dict(batch)
        if kind is None or self.failure or not self.model.training or not torch.is_grad_enabled():
            return self.eager(batch)
        if any(value.device.type != self.device_type for value in inputs.values()):
            return self.eager(batch)
        key = kind, tuple((name, tuple(value.shape), value.dtype) for name, value in inputs.items())
        if key not in self.seen:  # a shape that never comes again is not worth a recording
            self.seen.add(key)
            return self.eager(batch)
        self.used.add(key)
        if key not in self.recorded:
            try:
                self.recorded[key] = _Recording(self.model, self.eager, inputs)
            except RuntimeError as error:
                self.failure = str(error).splitlines()[0]
                logger.warning("search steps run without CUDA graphs: %s", self.failure)
                return self.eager(batch)
        return self.recorded[key](inputs)


def record_passes(model: nn.Module, relaxation: Relaxation, kind: Callable[[], str | None]) -> GraphedForward:
    """Replace a supernet's forward pass by one that is recorded and replayed, where that can be.

    The supernet's own `forward` is replaced, and not the supernet by a wrapper: the evaluator's module calls its model
    itself, NNI asks that model to be a `ModelSpace`, and a wrapper would rename all parameters of its checkpoints.

    Args:
        kind: the present kind of step, see `GraphedForward`.
    """
    graphs = GraphedForward(model)
    graphs.failure = obstacle(model, relaxation)
    if graphs.failure is None:
        model.forward = lambda batch: graphs(batch, kind())
    else:
        logger.info("search steps run without CUDA graphs: %s", graphs.failure)
    return graphs


class RecordedPasses(SearchCallback):
    """Records the passes of a search's steps from the first one on, if they run on a GPU.

    It comes after what compares the supernet with frozen networks, which would take the recorded pass along, and after
    what tells regularisers how far the search is, for what these then do to the supernet may be an obstacle.
    """

    def __init__(self) -> None:
        self.graphs: GraphedForward | None = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Forget what the last epoch had no use for."""
        if self.graphs is not None:
            self.graphs.start_epoch()

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Begin to record, see `record_passes`."""
        if self.graphs is None and pl_module.device.type == GraphedForward.device_type:
            self.graphs = record_passes(pl_module.model, pl_module.relaxation, lambda: pl_module.groups.active)


class _Recording:
    def __init__(self, model: nn.Module, eager: Any, inputs: Mapping[str, Tensor]) -> None:
        names = list(inputs)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        state = {name: buffer.clone() for name, buffer in model.named_buffers()}
        autocast = torch.is_autocast_enabled("cuda")
        dtype = torch.get_autocast_dtype("cuda")

        class Flat(nn.Module):
            """The same pass with tensors as arguments, which is what can be recorded."""

            def __init__(self) -> None:
                super().__init__()
                self.trained = nn.ParameterList(trained)

            def forward(self, *values: Tensor) -> Tensor:
                with torch.autocast("cuda", dtype=dtype, enabled=autocast, cache_enabled=False):
                    return eager(values[0] if names == [""] else dict(zip(names, values, strict=True)))

        sample = tuple(value.detach().clone() for value in inputs.values())
        with torch.autocast("cuda", enabled=False), torch.random.fork_rng():
            self.replay = torch.cuda.make_graphed_callables(
                Flat(), sample, num_warmup_iters=WARM_UP, allow_unused_input=True
            )
        with torch.no_grad():  # recording has passed the sample through the batch norms
            for name, buffer in model.named_buffers():
                buffer.copy_(state[name])

    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensor:
        replay: Any = self.replay
        result: Tensor = replay(*inputs.values())
        return result
