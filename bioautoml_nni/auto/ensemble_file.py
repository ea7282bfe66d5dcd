"""Several ONNX files as one whose logits are the logarithm of their weighted mean probability."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.atomic import replacing

LEAST_PROBABILITY = 1e-12


def write_ensemble(models: Sequence[Path], temperatures: Sequence[float], weights: np.ndarray, path: Path) -> None:
    """Write one file that computes log(sum of weight * softmax(logits / temperature)) as ``logits`` (N, K).

    Args:
        models: files with an output ``logits``; inputs of one name are one input.
        temperatures: of each file.
        weights: of each file; they sum to one.
    """
    import onnx
    from onnx import compose, helper, numpy_helper

    nodes: list[Any] = []
    constants: list[Any] = []
    functions: list[Any] = []
    added: list[str] = []
    inputs: dict[str, Any] = {}
    opsets: dict[str, int] = {}
    for number, (file, temperature, weight) in enumerate(zip(models, temperatures, weights, strict=True)):
        prefix = f"member_{number}/"
        member = _with_own_inputs(compose.add_prefix(onnx.load(str(file)), prefix), prefix)
        nodes += list(member.graph.node)
        constants += list(member.graph.initializer)
        functions += list(member.functions)
        inputs |= {entry.name: entry for entry in member.graph.input}
        for opset in member.opset_import:
            opsets[opset.domain] = max(opset.version, opsets.get(opset.domain, 0))
        constants += [
            numpy_helper.from_array(np.array(temperature, np.float32), f"{prefix}joined/temperature"),
            numpy_helper.from_array(np.array(weight, np.float32), f"{prefix}joined/weight"),
        ]
        nodes += [
            helper.make_node("Div", [f"{prefix}logits", f"{prefix}joined/temperature"], [f"{prefix}joined/scaled"]),
            helper.make_node("Softmax", [f"{prefix}joined/scaled"], [f"{prefix}joined/probabilities"], axis=1),
            helper.make_node(
                "Mul", [f"{prefix}joined/probabilities", f"{prefix}joined/weight"], [f"{prefix}joined/share"]
            ),
        ]
        added.append(f"{prefix}joined/share")
    constants.append(numpy_helper.from_array(np.array(LEAST_PROBABILITY, np.float32), "least"))
    nodes += [
        helper.make_node("Sum", added, ["mean"]),
        helper.make_node("Max", ["mean", "least"], ["positive"]),
        helper.make_node("Log", ["positive"], ["logits"]),
    ]
    classes = onnx.load(str(models[0]), load_external_data=False).graph.output[0].type.tensor_type.shape.dim[-1]
    output = helper.make_tensor_value_info("logits", helper.TensorProto.FLOAT, ["batch", classes.dim_value])
    graph = helper.make_graph(nodes, "ensemble", list(inputs.values()), [output], constants)
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10, functions=functions)
    onnx.checker.check_model(model, full_check=True)
    with replacing(path) as temporary:
        onnx.save(model, str(temporary))


def _with_own_inputs(member: Any, prefix: str) -> Any:
    """Give the inputs of a model whose names were all prefixed their own names back, in place."""
    shared = {entry.name: entry.name.removeprefix(prefix) for entry in member.graph.input}
    for entry in member.graph.input:
        entry.name = shared[entry.name]
    for node in member.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = shared.get(name, name)
    return member
