"""Several ONNX files as one whose logits are the logarithm of their weighted mean probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.atomic import replacing
from .ensemble import MIN_PROBABILITY
from .shared_graph import Fingerprint, SharedGraph, fingerprint

OPSET = 18
"""Whose ``Resize`` filters what it makes smaller."""


@dataclass(frozen=True)
class Member:
    """One model of an ensemble.

    Attributes:
        file: with an output ``logits``; inputs of one name are one input.
        temperature: that divides its logits.
        weight: of its probabilities; all sum to one.
        image_size: edge of the images that the ensemble gets and this model reads smaller; None for as they are.
    """

    file: Path
    temperature: float
    weight: float
    image_size: int | None = None

    def model(self) -> Any:
        """Return the graph without functions, images made smaller in it where they have to be."""
        import onnx
        from onnx import inliner

        found = onnx.load(str(self.file))
        if found.functions:
            found = inliner.inline_local_functions(found)
        return found if self.image_size is None else _with_resize(found, self.image_size)


def member_fingerprint(member: Member) -> Fingerprint:
    """Return what a member computes."""
    return fingerprint(member.model())


def write_ensemble(members: Sequence[Member], path: Path) -> None:
    """Write one file that computes log(sum of weight * softmax(logits / temperature)) as ``logits`` (N, K).

    What several members compute alike, such as a frozen encoder, is there once.
    """
    import onnx
    from onnx import helper, numpy_helper

    shared, inputs, opsets, classes = SharedGraph(), dict[str, Any](), dict[str, int](), 0
    added = []
    for number, member in enumerate(members):
        model, prefix = member.model(), f"member_{number}/"
        inputs |= {entry.name: entry for entry in model.graph.input}
        classes = model.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
        for opset in model.opset_import:
            opsets[opset.domain] = max(opset.version, opsets.get(opset.domain, 0))
        logits = shared.add(model, prefix)["logits"]
        shared.constants += [
            numpy_helper.from_array(np.array(member.temperature, np.float32), f"{prefix}joined/temperature"),
            numpy_helper.from_array(np.array(member.weight, np.float32), f"{prefix}joined/weight"),
        ]
        shared.nodes += [
            helper.make_node("Div", [logits, f"{prefix}joined/temperature"], [f"{prefix}joined/scaled"]),
            helper.make_node("Softmax", [f"{prefix}joined/scaled"], [f"{prefix}joined/probabilities"], axis=1),
            helper.make_node(
                "Mul", [f"{prefix}joined/probabilities", f"{prefix}joined/weight"], [f"{prefix}joined/share"]
            ),
        ]
        added.append(f"{prefix}joined/share")
    shared.constants.append(numpy_helper.from_array(np.array(MIN_PROBABILITY, np.float32), "least"))
    shared.nodes += [
        helper.make_node("Sum", added, ["mean"]),
        helper.make_node("Max", ["mean", "least"], ["positive"]),
        helper.make_node("Log", ["positive"], ["logits"]),
    ]
    output = helper.make_tensor_value_info("logits", helper.TensorProto.FLOAT, ["batch", classes])
    graph = helper.make_graph(shared.nodes, "ensemble", list(inputs.values()), [output], shared.constants)
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    joined = helper.make_model(graph, opset_imports=imports, ir_version=10)
    onnx.checker.check_model(joined, full_check=True)
    with replacing(path) as temporary:
        onnx.save(joined, str(temporary))


def write_member(member: Member, path: Path) -> None:
    """Write a member alone, as it is in the ensemble."""
    import onnx

    with replacing(path) as temporary:
        onnx.save(member.model(), str(temporary))


def _with_resize(model: Any, size: int) -> Any:
    """Let a model read images of `size` pixels, which it makes as small as those that it was trained on."""
    from onnx import compose, helper, numpy_helper

    model = compose.add_prefix(model, "own/", rename_inputs=True, rename_outputs=False)
    for entry in model.graph.input:
        own, entry.name = entry.name, entry.name.removeprefix("own/")
        if entry.name != "image":
            _replace_input(model, own, entry.name)
            continue
        dims = entry.type.tensor_type.shape.dim
        smaller = np.array([dims[2].dim_value, dims[3].dim_value], np.int64)
        dims[2].dim_value = dims[3].dim_value = size
        model.graph.initializer.append(numpy_helper.from_array(smaller, "resized/edges"))
        model.graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), "resized/black"))
        model.graph.initializer.append(numpy_helper.from_array(np.array(255, np.float32), "resized/white"))
        steps = [
            helper.make_node("Cast", ["image"], ["resized/float"], to=helper.TensorProto.FLOAT),
            helper.make_node(
                "Resize", ["resized/float", "", "", "resized/edges"], ["resized/smaller"],
                mode="linear", antialias=1, axes=[2, 3],
            ),
            helper.make_node("Round", ["resized/smaller"], ["resized/round"]),
            helper.make_node("Clip", ["resized/round", "resized/black", "resized/white"], ["resized/clipped"]),
            helper.make_node("Cast", ["resized/clipped"], [own], to=helper.TensorProto.UINT8),
        ]  # fmt: skip
        for place, step in enumerate(steps):
            model.graph.node.insert(place, step)
    for opset in model.opset_import:
        opset.version = max(opset.version, OPSET) if not opset.domain else opset.version
    return model


def _replace_input(model: Any, old: str, new: str) -> None:
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = new if name == old else name
