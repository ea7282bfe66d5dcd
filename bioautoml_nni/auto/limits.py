"""What the chosen model may cost on its device."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..architecture.budgets import BUDGETS, Budget
from ..config.schema import DerivationConfig


@dataclass(frozen=True)
class Limits:
    """Hard limits of one specimen's prediction.

    Attributes:
        target: name of a place in `BUDGETS`, None without one.
        budget: parameters and FLOPs, those of the target included.
        latency_ms: in onnxruntime on one CPU thread of this machine, None without a limit.
    """

    target: str | None
    budget: Budget
    latency_ms: float | None = None

    @classmethod
    def of(cls, derivation: DerivationConfig, latency_ms: float | None = None) -> Limits:
        """Return the limits of an experiment's section `derivation`, with one of the latency."""
        return cls(derivation.target, derivation.budget or Budget(None, None), latency_ms)

    def broken(self, parameters: float, flops: float, latency_ms: float | None = None) -> list[str]:
        """Return one phrase for each limit that is broken."""
        phrases = self.budget.excess(int(parameters), int(flops))
        if self.latency_ms is not None and latency_ms is not None and latency_ms > self.latency_ms:
            phrases.append(f"{latency_ms:.2f} ms, at most {self.latency_ms:g}")
        return phrases

    def __str__(self) -> str:
        limits = {
            "{:,.0f} parameters": self.budget.parameters,
            "{:,.0f} MFLOPs": None if self.budget.flops is None else self.budget.flops / 1e6,
            "{:g} ms": self.latency_ms,
        }
        told = ", ".join(text.format(value) for text, value in limits.items() if value is not None)
        name = f"{self.target}: " if self.target else ""
        return f"{name}at most {told}" if told else "no limits"


def all_places() -> str:
    """Return the names of the places that have budgets."""
    return ", ".join(BUDGETS)


def onnx_latency(file: Path, inputs: dict[str, np.ndarray], rounds: int = 30) -> float:
    """Return the median milliseconds in which onnxruntime answers one specimen on one thread, after a warm-up.

    Args:
        inputs: of one specimen, by name; those that the file does not read are left out.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    wanted = {entry.name for entry in session.get_inputs()}
    given = {name: value for name, value in inputs.items() if name in wanted}
    seconds = []
    for number in range(rounds + 5):
        start = time.perf_counter()
        session.run(None, given)
        if number >= 5:
            seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)
