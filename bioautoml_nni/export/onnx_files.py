"""Writing ONNX and torch.export files, and comparing what they compute with the network."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..utils.quiet import quiet

OPSET = 18
TOLERANCE = 1e-4
"""Largest difference of probabilities; of logits, that part of the largest one: single precision rounds by parts."""
BATCH = 32
"""Specimens that onnxruntime is given at once: the activations of a whole encoder take several megabytes each."""


def logit_tolerance(reference: np.ndarray) -> float:
    """Return by how much the logits of a file may differ from the network's own (N, K).

    Example:
        >>> logit_tolerance(np.array([[0.5, -0.2]])), logit_tolerance(np.array([[30.0, -50.0]]))
        (0.0001, 0.005)
    """
    return TOLERANCE * max(1.0, float(np.abs(reference).max()))


def write_onnx(
    module: nn.Module, inputs: Mapping[str, Tensor], outputs: str | Sequence[str], path: Path, batched: bool = True
) -> None:
    """Write a module as one ONNX file, checked by onnx.

    Args:
        inputs: example inputs by name, in the order of the module's arguments.
        outputs: name of the output, or of each.
        batched: whether the first dimension is left open.
    """
    import onnx

    with _without_warnings():
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=[outputs] if isinstance(outputs, str) else list(outputs),
            opset_version=OPSET,
            dynamic_shapes=_dynamic(inputs) if batched else None,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        assert program is not None  # dynamo returns a program
        program.save(str(path), external_data=False)
    onnx.checker.check_model(str(path), full_check=True)


def join_onnx(first: Path, second: Path, name: str, path: Path) -> None:
    """Write one file that feeds the output `name` of the first file into the input of that name of the second."""
    import onnx
    from onnx import compose

    parts = []
    for prefix, file in (("first/", first), ("second/", second)):
        parts.append(compose.add_prefix(onnx.load(str(file)), prefix, rename_inputs=False, rename_outputs=False))
    ends = [output.name for output in parts[1].graph.output]
    joined = compose.merge_models(parts[0], parts[1], io_map=[(name, name)], outputs=ends)
    del joined.opset_import[1:]  # the same one twice, which other tools refuse
    onnx.checker.check_model(joined, full_check=True)
    onnx.save(joined, str(path))


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Hide what the exporters say of themselves; whether the files are right is measured."""
    quiet()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _dynamic(inputs: Mapping[str, Tensor]) -> tuple[dict[int, Any], ...]:
    batch = torch.export.Dim("batch", min=1)
    return tuple({0: batch} for _ in inputs)


def write_exported_program(module: nn.Module, inputs: Mapping[str, Tensor], path: Path) -> None:
    """Write a module with torch.export, first dimension dynamic."""
    with _without_warnings():
        program = torch.export.export(module, tuple(inputs.values()), dynamic_shapes=_dynamic(inputs))
        whole = io.BytesIO()  # torch's own writer of files ends the process where the disk is full
        torch.export.save(program, whole)
    path.write_bytes(whole.getbuffer())


def run_onnx(path: Path, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the only output of an ONNX file in onnxruntime on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    wanted = {entry.name for entry in session.get_inputs()}
    given = {name: value for name, value in inputs.items() if name in wanted}
    found = []
    for start in range(0, max(1, len(next(iter(inputs.values())))), BATCH):
        batch = {name: value[start : start + BATCH] for name, value in given.items()}
        outputs: Sequence[Any] = session.run(None, batch)
        found.append(np.asarray(outputs[0]))
    return np.concatenate(found)
