"""Models of scikit-learn on encoded metadata as ONNX, in operators of the standard: no converter keeps up with both.

Every file reads ``numeric`` (N, n) float32, ``categorical`` (N, k) int64 and ``mask`` (N, f) float32, and gives
``logits`` (N, K); a class that training had no specimen of gets `UNSEEN`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.metadata import EncodedMetadata
from ..utils.atomic import replacing

UNSEEN = -30.0
OPSETS = {"": 18, "ai.onnx.ml": 3}
IR_VERSION = 10
"""Of the files; onnxruntime reads those of every year but the newest."""


def input_widths(encoded: EncodedMetadata) -> dict[str, int]:
    """Return the width of each input."""
    return {name: getattr(encoded, name).shape[1] for name in ("numeric", "categorical", "mask")}


def count_tree_parameters(model: Any) -> int:
    """Return the numbers that the trees of a fitted boosting hold: one for each split and each leaf."""
    return sum(len(tree.nodes) for iteration in model._predictors for tree in iteration)


def write_boosting(model: Any, widths: dict[str, int], classes: int, path: Path) -> None:
    """Write a fitted `HistGradientBoostingClassifier` whose columns are numeric, categorical, mask, in this order."""
    from onnx import helper

    trees = [(tree.nodes, target) for iteration in model._predictors for target, tree in enumerate(iteration)]
    nodes: dict[str, list[Any]] = {key: [] for key in ("treeids", "nodeids", "featureids", "values", "modes")}
    nodes |= {"truenodeids": [], "falsenodeids": []}
    leaves: dict[str, list[Any]] = {key: [] for key in ("treeids", "nodeids", "ids", "weights")}
    for number, (tree, target) in enumerate(trees):
        leaf = tree["is_leaf"].astype(bool)
        nodes["treeids"] += [number] * len(tree)
        nodes["nodeids"] += range(len(tree))
        nodes["featureids"] += np.where(leaf, 0, tree["feature_idx"]).tolist()
        nodes["values"] += np.where(leaf, 0, _below(tree["num_threshold"])).tolist()
        nodes["modes"] += np.where(leaf, "LEAF", "BRANCH_LEQ").tolist()
        nodes["truenodeids"] += np.where(leaf, 0, tree["left"]).tolist()
        nodes["falsenodeids"] += np.where(leaf, 0, tree["right"]).tolist()
        leaves["treeids"] += [number] * int(leaf.sum())
        leaves["nodeids"] += np.flatnonzero(leaf).tolist()
        leaves["ids"] += [target] * int(leaf.sum())
        leaves["weights"] += tree["value"][leaf].tolist()
    outputs = len(model._predictors[0])
    attributes: dict[str, Any] = {f"nodes_{key}": value for key, value in nodes.items()}
    attributes |= {f"target_{key}": value for key, value in leaves.items()}
    body = [
        helper.make_node("Cast", ["categorical"], ["categories"], to=helper.TensorProto.FLOAT),
        helper.make_node("Concat", ["numeric", "categories", "mask"], ["table"], axis=1),
        helper.make_node(
            "TreeEnsembleRegressor", ["table"], ["scores"], domain="ai.onnx.ml", n_targets=outputs,
            aggregate_function="SUM", post_transform="NONE",
            base_values=np.ravel(model._baseline_prediction).astype(np.float64).tolist(), **attributes,
        ),
    ]  # fmt: skip
    _save(body, [], model.classes_, outputs, widths, classes, path)


def write_logistic(
    pipeline: Any, categories: Sequence[np.ndarray], widths: dict[str, int], classes: int, path: Path
) -> None:
    """Write a fitted scaler with a logistic regression whose columns are numeric, mask and one for each category.

    Args:
        categories: values of each categorical column that have a column of their own; others count as none of them.
    """
    from onnx import helper, numpy_helper

    scaler, last = pipeline[0], pipeline[-1]
    weight = last.coef_ / scaler.scale_
    bias = last.intercept_ - weight @ scaler.mean_
    constants = [
        numpy_helper.from_array(weight.T.astype(np.float32), "weight"),
        numpy_helper.from_array(bias.astype(np.float32), "bias"),
    ]
    body, columns = [], ["numeric", "mask"]
    for number, values in enumerate(categories):
        constants += [
            numpy_helper.from_array(np.array([number], np.int64), f"column_{number}"),
            numpy_helper.from_array(np.asarray(values, np.int64)[None], f"values_{number}"),
        ]
        body += [
            helper.make_node("Gather", ["categorical", f"column_{number}"], [f"category_{number}"], axis=1),
            helper.make_node("Equal", [f"category_{number}", f"values_{number}"], [f"equal_{number}"]),
            helper.make_node("Cast", [f"equal_{number}"], [f"single_{number}"], to=helper.TensorProto.FLOAT),
        ]
        columns.append(f"single_{number}")
    body += [
        helper.make_node("Concat", columns, ["table"], axis=1),
        helper.make_node("Gemm", ["table", "weight", "bias"], ["scores"]),
    ]
    _save(body, constants, last.classes_, len(last.coef_), widths, classes, path)


def _below(thresholds: np.ndarray) -> np.ndarray:
    """Return the largest float32 that is not above each threshold: float32 values fall on the same side of both."""
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def _save(
    body: list[Any], constants: list[Any], present: np.ndarray, outputs: int, widths: dict[str, int], classes: int,
    path: Path,
) -> None:  # fmt: skip
    """Write the graph of `body`, whose ``scores`` (N, outputs) become logits of all classes.

    Two classes have a single score, the logit of the second.
    """
    import onnx
    from onnx import helper, numpy_helper

    spread = np.zeros((outputs, classes), np.float32)
    spread[np.arange(outputs), present[-outputs:]] = 1
    offset = np.full(classes, UNSEEN, np.float32)
    offset[present] = 0
    constants = [
        *constants,
        numpy_helper.from_array(spread, "spread"),
        numpy_helper.from_array(offset, "offset"),
    ]
    body = [*body, helper.make_node("Gemm", ["scores", "spread", "offset"], ["logits"])]
    kinds = {"numeric": helper.TensorProto.FLOAT, "categorical": helper.TensorProto.INT64}
    inputs = [
        helper.make_tensor_value_info(name, kinds.get(name, helper.TensorProto.FLOAT), ["batch", width])
        for name, width in widths.items()
    ]
    logits = helper.make_tensor_value_info("logits", helper.TensorProto.FLOAT, ["batch", classes])
    used = {name for node in body for name in node.input}
    graph = helper.make_graph(body, "table", [entry for entry in inputs if entry.name in used], [logits], constants)
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    with replacing(path) as temporary:
        onnx.save(model, str(temporary))
