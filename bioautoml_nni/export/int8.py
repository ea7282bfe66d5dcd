"""Static quantisation to eight bits by onnxruntime, with the layers left in floating point that would cost accuracy."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

STEP = 4
"""Specimens whose activations are in memory at one time."""
SENSED = 64
"""Specimens that the sensitivity of single layers is measured on; there is a measurement for each layer."""
MAX_FLOATS = 0.75
"""Share of the convolutions that may stay in floating point; a model with more of them is not one of eight bits."""


@dataclass(frozen=True)
class Quality:
    """What quantisation costs.

    Attributes:
        loss: of the score that counts, macro-F1 of the validation split.
        disagreement: share of specimens with another answer than in single precision.
        distance: root mean square difference of the logits.
    """

    loss: float
    disagreement: float
    distance: float

    def within(self, limit: float) -> bool:
        """Whether neither the score nor more than that share of the answers is lost."""
        return self.loss <= limit and self.disagreement <= limit


@dataclass(frozen=True)
class Quantised:
    """How a model was quantised: with which ranges, which layers stayed in floating point, and at what cost."""

    ranges: str
    floats: tuple[str, ...]
    quality: Quality


def write_int8(
    source: Path,
    target: Path,
    inputs: Mapping[str, Tensor],
    judge: Callable[[Path], Quality],
    goal: float,
    sense: Callable[[Path], float] | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Quantised:
    """Quantise the convolutions of an ONNX file, weights per channel; all but the first.

    The first one sees single pixels, where steps of eight bits cost most and there is least to save; the head's few
    products stay as they are too. Ranges of activations are their extremes, or all but the rarest 0.01 %, whichever
    comes nearer to single precision. While the cost is above `goal`, the layers whose own quantisation moves the logits
    most stay in floating point: one, two, four and so on.

    Args:
        source: the file in single precision.
        target: the new file.
        inputs: specimens (N, ...) by input, from which the ranges of activations are taken.
        judge: measures a quantised file, on specimens that are not among `inputs`.
        goal: cost that is small enough; see `Quality.within`.
        sense: measures `Quality.distance` of a quantised file on about `SENSED` specimens; by default `judge` does.
        advance: called with the number of layers that were measured one by one, and of all of them.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _quietly():
        prepared, trial = Path(folder) / "prepared.onnx", Path(folder) / "trial.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        layers = [node.name for node in onnx.load(str(prepared)).graph.node if node.op_type == "Conv"]
        found: list[tuple[Quantised, bytes]] = []

        def attempt(ranges: str, floats: Sequence[str]) -> Quality:
            _quantise(prepared, trial, inputs, [*layers[:1], *floats], ranges)
            found.append((Quantised(ranges, tuple(floats), judge(trial)), trial.read_bytes()))
            return found[-1][0].quality

        ranges = min(("extremes", "percentile"), key=lambda name: attempt(name, ()).distance)
        if not any(result.quality.within(goal) for result, _ in found):
            measure = sense or (lambda path: judge(path).distance)
            order = _by_sensitivity(prepared, trial, inputs, layers, ranges, measure, advance)
            count = 1
            while count <= MAX_FLOATS * len(layers) and not attempt(ranges, order[:count]).within(goal):
                count *= 2
        best, content = min(
            found, key=lambda entry: (not entry[0].quality.within(goal), max(entry[0].quality.loss, 0.0),
                                      entry[0].quality.distance)
        )  # fmt: skip
        target.write_bytes(content)
        return best


def _by_sensitivity(
    prepared: Path, trial: Path, inputs: Mapping[str, Tensor], layers: Sequence[str], ranges: str,
    sense: Callable[[Path], float], advance: Callable[[int, int], None],
) -> list[str]:  # fmt: skip
    """Return layers by how far the logits move when they alone are quantised, the farthest first."""
    few = {name: value[:SENSED] for name, value in inputs.items()}
    distances = {}
    for done, layer in enumerate(layers[1:], start=1):
        _quantise(prepared, trial, few, [other for other in layers if other != layer], ranges)
        distances[layer] = sense(trial)
        advance(done, len(layers) - 1)
    return sorted(distances, key=lambda layer: -distances[layer])


def _quantise(source: Path, target: Path, inputs: Mapping[str, Tensor], floats: Collection[str], ranges: str) -> None:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    quantize_static(
        str(source),
        str(target),
        _reader(inputs),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        nodes_to_exclude=list(floats),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.Percentile if ranges == "percentile" else CalibrationMethod.MinMax,
        extra_options={
            "CalibStridedMinMax": 1,  # one batch's activations in memory, not all
            **({"CalibPercentile": 99.99} if ranges == "percentile" else {}),
        },
    )


def _reader(inputs: Mapping[str, Tensor]) -> Any:
    """Return what gives onnxruntime's calibration the inputs in batches."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            count = len(next(iter(inputs.values())))
            self.step = min(STEP, count)  # histograms need batches of one size
            self.starts = range(0, count - self.step + 1, self.step)
            self.left = iter(self.starts)

        def __len__(self) -> int:
            return len(self.starts)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.left = iter(self.starts[start_index:end_index])

        def get_next(self) -> Any:
            start = next(self.left, None)
            if start is None:
                return None
            return {name: value[start : start + self.step].numpy() for name, value in inputs.items()}

    return Reader()


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what onnxruntime prints and logs of its calibration to itself."""
    import contextlib
    import io

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)
