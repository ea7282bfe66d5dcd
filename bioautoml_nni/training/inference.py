"""Everything that asks a network: on which device, in which precision, and in batches of which size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

Outputs = TypeVar("Outputs", Tensor, tuple[Tensor, ...])
"""What a network returns: a tensor, or a tuple of tensors, with one row for each specimen of a batch."""


@dataclass(frozen=True)
class Inference:
    """Where and how networks are asked.

    Networks stay where they are between questions, as a rule on the CPU: `hosting` lends them to the device. Batches
    move one at a time, as bytes where they hold images, and results come back to the CPU at once.

    Attributes:
        device: where networks compute.
        precision: "32-true" is IEEE float32, on GPUs too, whatever precision the network was trained in, so that
            figures of one network agree between machines; "bf16-mixed" is autocast, for features and the like.
        batch_size: specimens that are asked together.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    batch_size: int = 256

    @classmethod
    def on_this_machine(cls) -> Inference:
        """Return the choice for this machine: its accelerator, the current one of several, else the CPU."""
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return cls() if accelerator is None else cls(accelerator)

    @contextmanager
    def hosting(self, *modules: nn.Module | None) -> Iterator[None]:
        """Hold modules, each of which lies on one device, on this one; afterwards they lie where they lay."""
        homes = [(module, home) for module in modules if module is not None and (home := _home(module)) is not None]
        try:
            for module, _ in homes:
                module.to(self.device)
            yield
        finally:
            for module, home in homes:
                module.to(home)

    def inputs(self, batch: Mapping[str, Tensor], images: nn.Module | None = None) -> dict[str, Tensor]:
        """Return a batch on the device, its images as the network sees them.

        Args:
            images: what makes them of ``image`` or of stored features by `of_batch`, such as `ImageTransform`; it is
                held on the device and put into evaluation mode. None leaves them as they are.
        """
        moved = {name: value.to(self.device) for name, value in batch.items()}
        if images is not None:
            with torch.no_grad():
                transform: Any = images.to(self.device).eval()
                moved.update(transform.of_batch(moved))
        return moved

    @torch.no_grad()
    def run(
        self,
        network: Callable[[dict[str, Tensor]], Outputs],
        batches: Iterable[Mapping[str, Tensor]],
        *parts: nn.Module,
        images: nn.Module | None = None,
        advance: Callable[[int], None] = lambda count: None,
    ) -> Outputs:
        """Return what a network makes of all batches: their rows in order, on the CPU, floating point as float32.

        A batch for which the device has no memory is asked in halves, so rows may not depend on each other.

        Args:
            network: a module in the mode in which it is to be asked, or a function of a batch.
            batches: tensors by name, all of one batch with as many rows.
            parts: modules that the function uses.
            images: see `inputs`.
            advance: called with the number of rows after each batch.

        Raises:
            ValueError: without batches.
        """
        own = (network,) if isinstance(network, nn.Module) else ()
        found: list[tuple[Tensor, ...]] = []
        single = True
        with self.hosting(*own, *parts), self._precise():
            for batch in batches:
                for answer in self._answers(network, self.inputs(batch, images)):
                    single = isinstance(answer, Tensor)
                    found.append(tuple(map(_kept, (answer,) if isinstance(answer, Tensor) else answer)))
                advance(len(next(iter(batch.values()))))
        if not found:
            raise ValueError("a network was asked about no batches")
        joined = _joined(found)
        return joined[0] if single else joined  # type: ignore[return-value]

    def _answers(self, network: Callable[[dict[str, Tensor]], Outputs], batch: dict[str, Tensor]) -> Iterator[Outputs]:
        rows = len(next(iter(batch.values())))
        try:
            answer = network(dict(batch))
        except torch.OutOfMemoryError:
            if rows < 2:
                raise
        else:
            yield answer
            return
        half = rows // 2  # outside of the exception, whose frames hold what did not fit
        for part in (slice(half), slice(half, None)):
            yield from self._answers(network, {name: value[part] for name, value in batch.items()})

    def _precise(self) -> AbstractContextManager[object]:
        if self.precision == "bf16-mixed":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext() if self.device.type != "cuda" else _without_tf32()


def _home(module: nn.Module) -> torch.device | None:
    """Return the device of a module, None if it holds nothing."""
    first = next(chain(module.parameters(), module.buffers()), None)
    return None if first is None else first.device


def _kept(output: Tensor) -> Tensor:
    """Return a result as it is kept: on the CPU, floating point as float32."""
    return output.to("cpu", torch.float32 if output.is_floating_point() else output.dtype)


def _joined(found: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Return the rows of all batches, which are taken from the list one by one: of many classes two copies are many."""
    rows = sum(len(columns[0]) for columns in found)
    if len(found) == 1:
        return found.pop()
    whole = tuple(column.new_empty((rows, *column.shape[1:])) for column in found[0])
    found.reverse()
    end = 0
    while found:
        columns = found.pop()
        end += len(columns[0])
        for joined, column in zip(whole, columns, strict=True):
            joined[end - len(column) : end] = column
    return whole


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Let convolutions and matrix products of NVIDIA GPUs compute in float32; by default TF32 keeps ten bits."""
    cudnn: Any = torch.backends.cudnn  # whose attributes mypy does not see
    backends = (cudnn.conv, torch.backends.cuda.matmul)
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
