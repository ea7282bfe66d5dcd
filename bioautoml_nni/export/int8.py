"""Static quantisation to eight bits by onnxruntime."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

STEP = 32


def write_int8(source: Path, target: Path, inputs: Mapping[str, Tensor]) -> None:
    """Quantise the convolutions of an ONNX file, weights per channel; all but the first.

    The first one sees single pixels, where steps of eight bits cost most and there is least to save; the head's few
    products stay as they are too.

    Args:
        source: the file in single precision.
        target: the new file.
        inputs: specimens (N, ...) by input, from which the ranges of activations are taken.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            count = len(next(iter(inputs.values())))
            self.batches = iter(
                {name: value[start : start + STEP].numpy() for name, value in inputs.items()}
                for start in range(0, count, STEP)
            )

        def get_next(self) -> Any:
            return next(self.batches, None)

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        convolutions = [node.name for node in onnx.load(str(prepared)).graph.node if node.op_type == "Conv"]
        quantize_static(
            str(prepared),
            str(target),
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=convolutions[:1],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
