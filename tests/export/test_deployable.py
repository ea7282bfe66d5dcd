"""The deployed form against the network it came from: every operation at both strides, every fusion."""

import numpy as np
import pytest
import torch

from bioautoml_nni.architecture.budgets import BUDGETS
from bioautoml_nni.architecture.schema import Architecture, CellArchitecture, Choice, Edge, SpaceRecord
from bioautoml_nni.evaluation.explanations import grad_cam
from bioautoml_nni.export.deployable import METADATA_INPUTS, MappedImagePart, deployable
from bioautoml_nni.export.explain import write_gradcam
from bioautoml_nni.export.onnx_files import join_onnx, run_onnx, write_exported_program, write_onnx
from bioautoml_nni.registry import plugins
from bioautoml_nni.search_spaces import MultimodalSpace
from bioautoml_nni.stages.export import _parity
from bioautoml_nni.utils.errors import ExportError

METADATA = {"numeric_fields": [0, 0, 1], "categories": [4, 5], "category_fields": [2, 3], "fields": 4}
OPERATIONS = [name for name, plugin in plugins("operations").items() if "zero" not in plugin.capabilities]
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
PLACES = [(0, 1), (0, 2), (1, 2)]


def network_of_every_operation(fusion: str) -> tuple[torch.nn.Module, set[tuple[str, int]]]:
    """A trained-looking network with nine cells of their own decisions, and which operations it has at which stride."""
    cells, used = {}, set()
    for index in range(9):
        edges = []
        for place, (source, target) in enumerate(PLACES):
            strided = index in (3, 6) and source == 0
            # Strided edges get the operations that have a form of their own at stride 2, the others all in turn.
            special = ["skip_connect", "squeeze_excitation", "avg_pool_3x3", "max_pool_3x3"]
            number = index * len(PLACES) + place
            name = special[(index // 3 - 1) * 2 + place] if strided else OPERATIONS[number % len(OPERATIONS)]
            used.add((name, 2 if strided else 1))
            edges.append(
                Edge(
                    source=source,
                    target=target,
                    operation=name,
                    operation_share=0.5,
                    zero_share=0.1,
                    input_share=0.5,
                )
            )
        cells[f"cell{index}"] = CellArchitecture(nodes=2, inputs_per_node=2, edges=tuple(edges))
    architecture = Architecture(
        space=SpaceRecord(name="multimodal"), cells=cells, choices={"fusion": Choice(choice=fusion, share=1.0)}
    )
    torch.manual_seed(0)
    network = MultimodalSpace.build(
        architecture, num_classes=4, metadata=METADATA, channels=4, cells=9, cell_sharing="none", metadata_features=6,
        fusion_features=8,
    )  # fmt: skip
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    return network.eval(), used


def specimens(rows: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = (torch.rand(rows, 4, generator=generator) > 0.3).float()
    mask[0] = 0  # one specimen without any metadata
    return {
        "image": torch.randint(0, 256, (rows, 3, 52, 52), dtype=torch.uint8, generator=generator),
        "numeric": torch.randn(rows, 3, generator=generator),
        "categorical": torch.randint(0, 4, (rows, 2), generator=generator),
        "mask": mask,
    }


def normalised(inputs):
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return {**inputs, "image": (inputs["image"] / 255 - mean) / std}


def test_the_network_of_the_next_test_has_every_operation():
    _, used = network_of_every_operation("gated")
    assert {name for name, _ in used} == set(OPERATIONS)
    assert {name for name, stride in used if stride == 2} >= {"skip_connect", "squeeze_excitation"}


@torch.no_grad()
def test_onnx_computes_every_operation_as_the_network_does(tmp_path):
    network, _ = network_of_every_operation("gated")
    inputs = specimens(5)
    shift = torch.tensor([0.0, 1.0, -1.0, 2.0])
    expected = network(normalised(inputs)) + shift
    model = deployable(network, MEAN, STD, shift)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())  # the original is left alone
    assert torch.allclose(model(*inputs.values()), expected, atol=1e-5)
    few = {name: value[:2] for name, value in inputs.items()}
    write_onnx(model.image, {"image": few["image"]}, "embedding", tmp_path / "image.onnx")
    head = {"embedding": model.image(few["image"]), **{name: few[name] for name in ("numeric", "categorical", "mask")}}
    write_onnx(model.head, head, "logits", tmp_path / "head.onnx")
    join_onnx(tmp_path / "image.onnx", tmp_path / "head.onnx", "embedding", tmp_path / "whole.onnx")
    found = run_onnx(tmp_path / "whole.onnx", {name: value.numpy() for name, value in inputs.items()})
    assert np.abs(found - expected.numpy()).max() < 1e-4
    write_exported_program(model, few, tmp_path / "model.pt2")
    assert torch.allclose(torch.export.load(tmp_path / "model.pt2").module()(*inputs.values()), expected, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("fusion", list(plugins("fusions")))
def test_onnx_computes_every_fusion_as_the_network_does(tmp_path, fusion):
    network, _ = network_of_every_operation(fusion)
    inputs = specimens(4)
    model = deployable(network, MEAN, STD, torch.zeros(4))
    parts = {"embedding": model.image(inputs["image"]), **{name: inputs[name] for name in list(inputs)[1:]}}
    write_onnx(model.head, {name: value[:2] for name, value in parts.items()}, "logits", tmp_path / "head.onnx")
    found = run_onnx(tmp_path / "head.onnx", {name: value.numpy() for name, value in parts.items()})
    assert np.abs(found - network(normalised(inputs)).numpy()).max() < 1e-4


@pytest.mark.parametrize("fusion", list(plugins("fusions")))
def test_gradcam_in_onnx_is_that_of_the_network(tmp_path, fusion):
    network, _ = network_of_every_operation(fusion)
    inputs = specimens(3)
    classes = torch.tensor([1, 0, 3])
    expected = grad_cam(network, normalised(inputs), classes)
    assert expected.shape == (3, 7, 7) and (expected.amax((1, 2)) == 1).any()  # a class may have no support at all
    model = deployable(network, MEAN, STD, torch.zeros(4))
    described = {name: inputs[name] for name in METADATA_INPUTS}
    with torch.no_grad():
        _, features = MappedImagePart(model.image)(inputs["image"])
    write_gradcam(model, features[:1], {name: value[:1] for name, value in described.items()}, tmp_path / "cam.onnx")
    for number in range(3):
        row = {name: value[number : number + 1].numpy() for name, value in described.items()}
        wanted = np.eye(4, dtype=np.float32)[[int(classes[number])]]
        found = run_onnx(
            tmp_path / "cam.onnx", {"features": features[number : number + 1].numpy(), "wanted": wanted, **row}
        )
        assert np.abs(found[0] / max(found.max(), 1e-30) - expected[number].numpy()).max() < 1e-3


def test_a_network_without_our_parts_is_refused():
    with pytest.raises(ExportError, match="has no part 'image_encoder'"):
        deployable(torch.nn.Linear(2, 2), MEAN, STD, torch.zeros(2))


def test_budgets_name_every_limit_that_is_broken():
    assert BUDGETS["trap"].excess(3_000_000, 600_000_000) == []
    broken = BUDGETS["trap"].excess(3_000_001, 602_000_000)
    assert len(broken) == 2 and "3,000,001 parameters" in broken[0] and "at most 0.3" in broken[1]
    assert BUDGETS["station"].flops > BUDGETS["pi"].flops


@pytest.mark.parametrize("scale", [1.0, 400.0])
def test_logits_may_differ_by_a_part_of_the_largest_as_single_precision_rounds(tmp_path, scale):
    torch.manual_seed(0)
    layer, numeric = torch.nn.Linear(3, 4), {"numeric": torch.randn(16, 3)}
    with torch.no_grad():
        layer.weight.mul_(scale)
        write_onnx(layer, numeric, "logits", tmp_path / "model.onnx")
        logits = layer(numeric["numeric"])
    largest = max(1.0, float(logits.abs().max()))
    found = _parity(tmp_path, ["model.onnx"], numeric, logits + 0.9e-4 * largest)
    assert found["tolerance"] == pytest.approx(1e-4 * largest, rel=1e-3)
    with pytest.raises(ExportError, match="model.onnx: its logits differ"):
        _parity(tmp_path, ["model.onnx"], numeric, logits + 1.2e-4 * largest)
