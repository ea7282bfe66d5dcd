"""ONNX graphs that compute the same things: what each part computes, and one graph in which it is computed once.

Two candidates on one frozen encoder hold the same layers twice. A tensor's digest says how it is computed, from the
inputs and constants on; tensors of one digest are one tensor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Cost:
    """What a tensor costs: trained numbers, where it is a constant, or FLOPs of one specimen."""

    parameters: int = 0
    flops: int = 0


@dataclass(frozen=True)
class Fingerprint:
    """Digests of a model's tensors by name, and the cost of each digest."""

    digests: Mapping[str, str]
    costs: Mapping[str, Cost]


def fingerprint(model: Any) -> Fingerprint:
    """Return what a model's tensors compute; nodes with subgraphs are like no other."""
    import onnx
    from onnx import numpy_helper, shape_inference

    shapes = _shapes(shape_inference.infer_shapes(model))
    digests = {entry.name: _digest("input", entry.name, str(shapes.get(entry.name))) for entry in model.graph.input}
    digests[""] = ""
    costs: dict[str, Cost] = {}
    for constant in model.graph.initializer:
        values = numpy_helper.to_array(constant)
        digests[constant.name] = _digest("constant", str(values.dtype), str(values.shape), values.tobytes())
        if np.issubdtype(values.dtype, np.floating) and values.ndim:
            costs[digests[constant.name]] = Cost(parameters=values.size)
    for number, node in enumerate(model.graph.node):
        attributes = sorted((entry.name, entry.SerializeToString(deterministic=True)) for entry in node.attribute)
        unique = any(entry.type == onnx.AttributeProto.GRAPH for entry in node.attribute)
        own = _digest(
            node.domain, node.op_type, repr(attributes), *(digests[name] for name in node.input),
            f"{id(model)} {number}" if unique else "",
        )  # fmt: skip
        for place, name in enumerate(node.output):
            digests[name] = f"{own}{place}"
        costs[f"{own}0"] = Cost(flops=_flops(node, shapes))
    return Fingerprint(digests, costs)


def saved(parts: Iterable[Fingerprint]) -> Cost:
    """Return what models together cost less than each for itself, since what they share is there once."""
    parameters = flops = 0
    seen: set[str] = set()
    for part in parts:
        for digest, cost in part.costs.items():
            if digest in seen:
                parameters, flops = parameters + cost.parameters, flops + cost.flops
        seen |= part.costs.keys()
    return Cost(parameters, flops)


@dataclass
class SharedGraph:
    """Nodes and constants of several models, each tensor once."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def add(self, model: Any, prefix: str) -> dict[str, str]:
        """Add a model without functions, and return the names that its tensors have here.

        Args:
            prefix: of the names of what was not there before; inputs keep theirs.
        """
        digests = fingerprint(model).digests
        here = {entry.name: entry.name for entry in model.graph.input} | {"": ""}
        for constant in model.graph.initializer:
            here[constant.name], new = self._name(digests[constant.name], f"{prefix}{constant.name}")
            if new:
                constant.name = here[constant.name]
                self.constants.append(constant)
        for node in model.graph.node:
            found = [self._name(digests[name], f"{prefix}{name}") if name else ("", False) for name in node.output]
            own = {name: entry[0] for name, entry in zip(node.output, found, strict=True)}
            if any(new for _, new in found) or not node.output:
                _rename(node, here | own, prefix)
                self.nodes.append(node)
            here |= own
        return here

    def _name(self, digest: str, name: str) -> tuple[str, bool]:
        new = digest not in self.names
        return self.names.setdefault(digest, name), new


def _rename(node: Any, here: Mapping[str, str], prefix: str) -> None:
    """Give a node the names of the shared graph, those that its subgraphs take from outside included, in place."""
    node.name = f"{prefix}{node.name}" if node.name else ""
    for names in (node.input, node.output):
        for place, name in enumerate(names):
            names[place] = here.get(name, name)
    for attribute in node.attribute:
        for inner in attribute.g.node:
            _rename(inner, here, prefix)
        for output in attribute.g.output:
            output.name = here.get(output.name, output.name)


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else part.encode()
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()


def _shapes(model: Any) -> dict[str, list[int]]:
    entries = [*model.graph.input, *model.graph.value_info, *model.graph.output]
    known = {entry.name: [dim.dim_value for dim in entry.type.tensor_type.shape.dim] for entry in entries}
    return known | {constant.name: list(constant.dims) for constant in model.graph.initializer}


def _flops(node: Any, shapes: Mapping[str, list[int]]) -> int:
    """Return the FLOPs of one specimen, 0 for what is neither convolution nor product; a multiply-add counts as two."""
    if node.op_type not in ("Conv", "Gemm", "MatMul") or len(node.input) < 2:
        return 0
    weight, output = shapes.get(node.input[1], []), shapes.get(node.output[0], [])
    if node.op_type == "Conv":
        return 2 * prod(weight) * prod(output[2:])
    return 2 * prod(weight) if weight else 0
