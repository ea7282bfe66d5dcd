"""Ensembles in one file: what members share is there once, and smaller images are made inside."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from bioautoml_nni.auto.ensemble_file import Member, member_fingerprint, write_ensemble
from bioautoml_nni.auto.shared_graph import saved
from bioautoml_nni.export.onnx_files import run_onnx

RNG = np.random.default_rng(0)
COMMON = RNG.normal(size=(3, 5)).astype(np.float32)
CLASSES = 4


def write_model(path, head, size=8, common=COMMON):
    """Write image -> mean of each channel -> common layer -> head, and return its logits as numpy computes them."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "common"], ["features"]),
        helper.make_node("Relu", ["features"], ["active"]),
        helper.make_node("MatMul", ["active", "head"], ["logits"]),
    ]
    constants = {"axes": np.array([2, 3]), "common": common, "head": head}
    graph = helper.make_graph(
        nodes, "model", [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 3, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return lambda images: np.maximum(images.astype(np.float32).mean((2, 3)) @ common, 0) @ head


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def heads(count):
    return [0.01 * RNG.normal(size=(5, CLASSES)).astype(np.float32) for _ in range(count)]


def test_what_members_share_is_in_the_file_once(tmp_path):
    first, second = heads(2)
    one, two = write_model(tmp_path / "a.onnx", first), write_model(tmp_path / "b.onnx", second)
    members = [Member(tmp_path / "a.onnx", 1.0, 0.25), Member(tmp_path / "b.onnx", 2.0, 0.75)]
    write_ensemble(members, tmp_path / "joined.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "joined.onnx").graph.node]
    assert kinds.count("ReduceMean") == 1 and kinds.count("MatMul") == 3
    less = saved([member_fingerprint(member) for member in members])
    assert less.parameters == COMMON.size and less.flops == 2 * COMMON.size
    images = RNG.integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)
    expected = 0.25 * softmax(one(images)) + 0.75 * softmax(two(images) / 2)
    found = run_onnx(tmp_path / "joined.onnx", {"image": images})
    assert np.allclose(np.exp(found), expected, atol=1e-6)


def test_members_that_differ_share_nothing(tmp_path):
    first, second = heads(2)
    write_model(tmp_path / "a.onnx", first)
    write_model(tmp_path / "b.onnx", second, common=COMMON + 1)
    less = saved([member_fingerprint(Member(tmp_path / name, 1.0, 0.5)) for name in ("a.onnx", "b.onnx")])
    assert less.parameters == less.flops == 0


@pytest.mark.parametrize("size", [8, 12])
def test_a_member_that_reads_smaller_images_gets_them_as_pillow_makes_them(tmp_path, size):
    first, second = heads(2)
    small, large = write_model(tmp_path / "a.onnx", first, size), write_model(tmp_path / "b.onnx", second, 16)
    members = [Member(tmp_path / "a.onnx", 1.0, 0.5, 16), Member(tmp_path / "b.onnx", 1.0, 0.5)]
    write_ensemble(members, tmp_path / "joined.onnx")
    images = RNG.integers(0, 256, (3, 3, 16, 16), dtype=np.uint8)
    smaller = [
        Image.fromarray(image.transpose(1, 2, 0)).resize((size, size), Image.Resampling.BILINEAR) for image in images
    ]
    read = np.stack([np.asarray(image).transpose(2, 0, 1) for image in smaller])
    expected = (softmax(small(read)) + softmax(large(images))) / 2
    found = run_onnx(tmp_path / "joined.onnx", {"image": images})
    assert np.allclose(np.exp(found), expected, atol=2e-3)
