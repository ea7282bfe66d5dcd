"""The multimodal space on a pretrained trunk."""

import copy

import numpy as np
import pytest
import torch
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from pydantic import ValidationError

from bioautoml_nni.architecture import Architecture, derive, topology_of
from bioautoml_nni.architecture.schema import SpaceRecord
from bioautoml_nni.evaluation.explanations import grad_cam
from bioautoml_nni.export.deployable import METADATA_INPUTS, MappedImagePart, deployable
from bioautoml_nni.export.explain import write_gradcam
from bioautoml_nni.export.onnx_files import run_onnx
from bioautoml_nni.features.encoder import load_encoder
from bioautoml_nni.features.trunk_settings import TrunkSettings
from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.search_spaces import MultimodalSpace
from bioautoml_nni.search_spaces.assembly import _plan
from bioautoml_nni.search_spaces.paths import PathDropout, Silent, Whitened
from bioautoml_nni.search_spaces.trunk import EMBEDDING_LABEL
from bioautoml_nni.strategies import AlternatingDARTS, NNIDarts
from bioautoml_nni.strategies.groups import ParameterGroups
from bioautoml_nni.strategies.regularisers.expected_cost import ExpectedCost
from bioautoml_nni.testing import check_space
from bioautoml_nni.training.rates import rate_scales

METADATA = {"numeric_fields": [0, 1], "categories": [4], "category_fields": [2], "fields": 3}
OPEN = {"encoder": "efficientnet_lite0", "stage": [2, 3, "2+3"], "embedding": "open"}
ARGUMENTS = {
    "num_classes": 5, "metadata": METADATA, "channels": 4, "cells": 2, "metadata_features": 6, "fusion_features": 8,
    "operations": ["zero", "skip_connect", "sep_conv_3x3", "max_pool_3x3"],
}  # fmt: skip
ROWS = 3


@pytest.fixture(scope="module")
def space() -> MultimodalSpace:
    torch.manual_seed(0)
    return MultimodalSpace(**ARGUMENTS, trunk=OPEN)


@pytest.fixture(scope="module")
def supernet(space: MultimodalSpace) -> MultimodalSpace:
    return AlternatingDARTS().mutate_model(copy.deepcopy(space))


def make_batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.randn(ROWS, 3, 64, 64, generator=generator),
        "numeric": torch.randn(ROWS, 2, generator=generator),
        "categorical": torch.randint(0, 4, (ROWS, 1), generator=generator),
        "mask": torch.ones(ROWS, 3),
    }


def decided(stage: str, embedding: str, trunk: dict = OPEN) -> Architecture:
    """An architecture that is random but for what it reads of the trunk."""
    topology = topology_of(MultimodalSpace, {**ARGUMENTS, "trunk": trunk})
    generator = torch.Generator().manual_seed(1)
    shares: dict = {}
    for cell in topology.cells.values():
        names = {edge.label: topology.operations for edge in cell.edges}
        names |= {label: tuple(range(node)) for node, label in cell.node_labels.items()}
        for label, candidates in names.items():
            weights = torch.softmax(torch.randn(len(candidates), generator=generator), 0).tolist()
            shares[label] = dict(zip(candidates, weights, strict=True))
    chosen = {"fusion": "gated", "stage": stage, "embedding": embedding}
    for label, names in topology.choices.items():
        shares[label] = {name: float(name == chosen[label]) for name in names}
    return derive(topology, shares, SpaceRecord(name="multimodal"))


def test_what_is_read_of_the_trunk_is_an_nni_mutable(space):
    labels = {module.label for module in space.modules() if type(module) is LayerChoice}
    assert {"stage", "embedding", "fusion"} <= labels
    topology = topology_of(MultimodalSpace, {**ARGUMENTS, "trunk": OPEN})
    assert topology.choices["stage"] == ("2", "3", "2+3")
    assert topology.choices["embedding"] == ("none", "embedding")
    assert set(topology.cells) == {"normal"}
    assert set(space.simplify()) >= set(topology.choices)


@pytest.mark.parametrize("strategy", [AlternatingDARTS, NNIDarts])
def test_every_open_choice_has_a_say_in_what_the_supernet_computes(strategy):
    """What is read of the trunk, and sets of inputs, are choices with several arguments; theirs are learned too."""
    torch.manual_seed(0)
    space = MultimodalSpace(**ARGUMENTS, node_inputs="sets", trunk=OPEN)
    several = {label for label, names in space.simplify().items() if len(names.values) > 1}
    assert {"stage", "embedding", "fusion"} < several
    supernet = strategy().mutate_model(space).train()
    supernet(make_batch()).square().sum().backward()
    learned = {
        label
        for label, parameter in named_architecture_parameters(supernet).items()
        if parameter.grad is not None and parameter.grad.abs().max() > 0
    }
    assert several <= learned


def test_the_expected_cost_knows_the_edges_beside_choices_with_several_arguments(supernet):
    supernet(make_batch())
    table = ExpectedCost(unit="flops", budget=0.1, weight=1.0).table(supernet)
    assert float(table["normal_edge_0_1"].max()) > 0 and "stage" not in table


def test_a_space_on_a_trunk_keeps_the_contract():
    """Each of its choices has an influence on the supernet, those with several arguments among them."""
    own = {name: value for name, value in ARGUMENTS.items() if name not in ("num_classes", "metadata")}
    check_space(MultimodalSpace, modalities=("image", "metadata"), **own, trunk=OPEN)


def test_a_search_cannot_change_a_frozen_trunk(supernet):
    encoder = load_encoder("efficientnet_lite0").trunk().state_dict()
    own = copy.deepcopy(supernet).train()
    names = [name for name, _ in own.named_parameters()]
    assert names and not any("image_encoder.trunk." in name for name in names)
    optimizer = torch.optim.SGD(own.parameters(), 1.0)
    own(make_batch()).square().sum().backward()
    optimizer.step()
    held = own.image_encoder.trunk.state_dict()
    assert held.keys() == encoder.keys()
    assert all(torch.equal(held[name], value) for name, value in encoder.items())


@pytest.mark.parametrize("stage", ["2", "3", "2+3"])
@pytest.mark.parametrize("embedding", ["none", "embedding"])
def test_the_fixed_network_equals_the_frozen_supernet(space, supernet, stage, embedding):
    architecture = decided(stage, embedding)
    fixed = MultimodalSpace.build(architecture, **ARGUMENTS, trunk=OPEN).eval()
    assert MultimodalSpace.inherit(fixed, supernet.state_dict()) == []
    topology = topology_of(MultimodalSpace, {**ARGUMENTS, "trunk": OPEN})
    frozen = supernet.freeze(architecture.sample(topology)).eval()
    batch = make_batch()
    torch.testing.assert_close(fixed(batch), frozen(batch), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("embedding", ["none", "embedding"])
def test_stored_features_stand_for_the_images(embedding):
    torch.manual_seed(0)
    network = MultimodalSpace.build(decided("2+3", embedding), **ARGUMENTS, trunk=OPEN)
    MultimodalSpace.load_pretrained(network)
    batch = make_batch()
    trunk = load_encoder("efficientnet_lite0").trunk()
    with torch.no_grad():
        found, maps = trunk.with_stages(batch["image"], [2, 3])
        expected = network.eval()(batch)
        stored = {name: value for name, value in batch.items() if name != "image"}
        stored |= {"embedding": found, "stage2": maps[0], "stage3": maps[1]}
        torch.testing.assert_close(network(stored), expected, rtol=1e-4, atol=1e-5)


def test_grad_cam_of_cells_beside_the_embedding_is_written_too(tmp_path):
    """Maps of one size are explained together; of those in channels_last ONNX has no gradient."""
    settings = {"encoder": "efficientnet_lite0", "stage": 5, "embedding": True}
    torch.manual_seed(0)
    network = MultimodalSpace.build(decided("5", "embedding", settings), **ARGUMENTS, trunk=settings).eval()
    network = network.to(memory_format=torch.channels_last)
    assert network.image_encoder.has_feature_map
    batch = {**make_batch(), "image": torch.randint(0, 256, (ROWS, 3, 64, 64), dtype=torch.uint8)}
    model = deployable(network, [0.5] * 3, [0.5] * 3, torch.zeros(5))
    with torch.no_grad():
        _, features = MappedImagePart(model.image)(batch["image"])
    metadata = {name: batch[name] for name in METADATA_INPUTS}
    write_gradcam(model, features[:1], {name: value[:1] for name, value in metadata.items()}, tmp_path / "cam.onnx")
    classes = torch.tensor([1, 4, 0])
    inputs = {**batch, "image": (batch["image"].float() / 255 - 0.5) / 0.5}
    expected = grad_cam(network, inputs, classes)
    for row in range(ROWS):
        given = {name: value[row : row + 1].numpy() for name, value in metadata.items()}
        wanted = np.eye(5, dtype=np.float32)[[int(classes[row])]]
        found = run_onnx(
            tmp_path / "cam.onnx", {"features": features[row : row + 1].numpy(), "wanted": wanted, **given}
        )
        np.testing.assert_allclose(found[0] / max(found.max(), 1e-30), expected[row].numpy(), atol=1e-3)


def test_the_trunk_ends_where_what_is_read_ends():
    counts = {}
    for stage, embedding in (("2", "none"), ("3", "none"), ("2", "embedding")):
        network = MultimodalSpace.build(decided(stage, embedding), **ARGUMENTS, trunk=OPEN)
        counts[stage, embedding] = sum(parameter.numel() for parameter in network.image_encoder.trunk.parameters())
        assert not any(parameter.requires_grad for parameter in network.image_encoder.trunk.parameters())
    assert counts["2", "none"] < counts["3", "none"] < counts["2", "embedding"] == 3_371_008


def test_without_cells_the_head_is_linear():
    trunk = {"encoder": "efficientnet_lite0", "embedding": True}
    arguments = {**ARGUMENTS, "cells": 0, "modalities": ["image"], "metadata": None, "trunk": trunk}
    topology = topology_of(MultimodalSpace, arguments)
    assert topology.empty
    network = MultimodalSpace.build(derive(topology, {}, SpaceRecord(name="multimodal")), **arguments)
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == {"classifier.2.weight", "classifier.2.bias"}
    assert network(make_batch()).shape == (ROWS, 5)


def test_a_trunk_that_is_trained_has_smaller_rates_towards_the_image():
    trunk = {"encoder": "efficientnet_lite0", "stage": 2, "frozen": False}
    space = MultimodalSpace(**ARGUMENTS, trunk=trunk)
    scales = rate_scales(space, 0.5, 0.8)
    body = dict(space.image_encoder.trunk.named_parameters())
    assert set(scales) == {id(parameter) for parameter in body.values()}
    stem, *_, last = body.values()
    assert scales[id(stem)] < scales[id(last)] == 0.5


PARTLY = {"encoder": "efficientnet_lite0", "stage": "2+4", "embedding": True, "frozen": False, "frozen_stages": 3}


def partly_frozen(cells: int) -> MultimodalSpace:
    torch.manual_seed(0)
    stage = PARTLY["stage"] if cells else 4
    return MultimodalSpace(**{**ARGUMENTS, "cells": cells}, trunk={**PARTLY, "stage": stage})


def test_the_map_of_the_last_frozen_stage_stands_for_the_images():
    space = AlternatingDARTS().mutate_model(partly_frozen(2)).eval()
    batch = make_batch()
    request = MultimodalSpace.frozen_features(**ARGUMENTS, trunk=PARTLY)
    assert (request.stages, request.embedding) == ((2, 3), False)
    with torch.no_grad():
        maps = load_encoder("efficientnet_lite0").trunk().feature_maps(batch["image"], request.stages)
        stored = {name: value for name, value in batch.items() if name != "image"}
        stored |= {f"stage{stage}": found for stage, found in zip(request.stages, maps, strict=True)}
        torch.testing.assert_close(space(stored), space(batch), rtol=1e-4, atol=1e-5)


def test_what_a_seed_draws_does_not_depend_on_whether_the_process_knows_the_trunk_already():
    _plan.cache_clear()
    first, again = (partly_frozen(2).state_dict() for _ in range(2))
    assert [name for name in first if not torch.equal(first[name], again[name])] == []


@pytest.mark.parametrize("cells", [0, 2])
def test_training_changes_the_stages_after_the_last_frozen_one_alone(cells):
    space = partly_frozen(cells).train()
    before = copy.deepcopy(space.image_encoder.trunk.state_dict())
    optimiser = torch.optim.SGD(space.parameters(), 0.1)
    space(make_batch()).square().sum().backward()
    optimiser.step()
    after = space.image_encoder.trunk.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    blocks = {name.split(".")[2] for name in changed if ".blocks." in f".{name}"}
    assert blocks == {"4", "5", "6"} and not any("conv_stem" in name or "body.bn1" in name for name in changed)
    assert any("conv_head" in name for name in changed)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"frozen": True}, "add frozen: false"),
        ({"frozen_stages": 6}, "leaves nothing of stages 0 to 6"),
        ({"embedding": False, "frozen_stages": 4}, "leaves nothing of stages 0 to 4"),
        ({"encoder": "timm:test_resnet@random", "stage": 4, "frozen_stages": 1}, "cannot be entered at a stage"),
    ],
)
def test_frozen_stages_that_cannot_be_are_refused(changes, message):
    with pytest.raises((ValidationError, ValueError), match=message):
        MultimodalSpace(**ARGUMENTS, trunk={**PARTLY, **changes})


def test_path_dropout_gives_each_specimen_one_path_twice_as_strong():
    torch.manual_seed(0)
    dropout = PathDropout(2, 1.0).train()
    ones = torch.ones(2000, 5)
    found = dropout(ones)
    first, second = found[:, 0], found[:, 4]
    assert set((first + second).tolist()) == {2.0} and set(first.tolist()) == {0.0, 2.0}
    assert abs(float(first.mean()) - 1) < 0.1
    assert torch.equal(found[:, 0], found[:, 1]) and torch.equal(found[:, 2], found[:, 4])
    assert torch.equal(dropout.eval()(ones), ones)


@pytest.mark.parametrize("cells, frozen, squared", [(2, True, 4), (2, False, 4), (0, False, 64), (0, True, 1280)])
def test_an_embedding_counts_as_many_features_as_the_cells_beside_it_have(cells, frozen, squared):
    """Its expected squared norm is what a gradient step moves the logits by; alone on a trained trunk it is fixed."""
    trunk = {"encoder": "efficientnet_lite0", "embedding": True, "embedding_dropout": 0.0, "frozen": frozen}
    own = {"stage": 2} if cells else {}
    encoder = MultimodalSpace(**{**ARGUMENTS, "cells": cells}, trunk={**trunk, **own}).image_encoder
    path = encoder.path.train()
    generator = torch.Generator().manual_seed(0)
    shifted = 3 + 7 * torch.randn(256, 1280, generator=generator)
    assert path(shifted).square().sum(1).mean() == pytest.approx(squared, rel=1e-3)


def test_networks_of_before_keep_the_variance_that_they_were_trained_with():
    own = Whitened(6, as_wide_as=2, dropout=0.0)
    before = {key: value for key, value in own.state_dict().items() if key != "scale"}
    own.load_state_dict(before)
    assert "scale" not in before
    rows = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(own.train()(rows), torch.nn.functional.batch_norm(rows, None, None, training=True))


class EmbeddingOrNot(ModelSpace):
    """Two features, and beside them an embedding or none."""

    def __init__(self, features: int, as_wide_as: int) -> None:
        super().__init__()
        candidates = {"none": Silent(), "embedding": Whitened(features, as_wide_as, dropout=0.5)}
        self.path = LayerChoice(candidates, label=EMBEDDING_LABEL)
        self.classifier = torch.nn.Linear(2 + features, 5)

    def forward(self, few: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.cat([few, self.path(embedding)], dim=1))


def test_a_search_keeps_a_wide_embedding_that_tells_the_classes_apart():
    """At variance 1 its classifier learns the specimens by heart, and the search leaves it out (a weight of 0.17)."""
    generator = torch.Generator().manual_seed(0)
    target = torch.arange(600) % 5
    embedding = torch.randn(600, 1280, generator=generator) + 0.08 * torch.randn(5, 1280, generator=generator)[target]
    few = torch.randn(600, 2, generator=generator)
    supernet = AlternatingDARTS(seed=0).mutate_model(EmbeddingOrNot(1280, as_wide_as=32)).train()
    groups = ParameterGroups(supernet, supernet)
    steps = torch.optim.Adam(groups.of("alpha"), 0.02), torch.optim.SGD(groups.of("weights"), 0.05, momentum=0.9)
    for step in range(120):
        rows = torch.randperm(300, generator=generator)[:64] + 300 * (step % 2 == 0)
        optimizer = steps[step % 2]
        supernet.zero_grad()
        torch.nn.functional.cross_entropy(supernet(few[rows], embedding[rows]), target[rows]).backward()
        optimizer.step()
    none, kept = torch.softmax(groups.architecture[EMBEDDING_LABEL].detach(), 0).tolist()
    assert kept > 2 * none


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"encoder": "efficientnet_lite0", "stage": "4-5"}, "'4-5' is not a stage"),
        ({"encoder": "efficientnet_lite0", "stage": []}, "nothing to choose"),
        ({"encoder": "efficientnet_lite9"}, "efficientnet_lite0"),
        ({"encoder": "efficientnet_lite0", "stages": 4}, "Extra inputs"),
    ],
)
def test_settings_that_name_nothing_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        TrunkSettings.model_validate(settings)


def test_contradictions_are_refused():
    trunk = {"encoder": "efficientnet_lite0", "stage": [2, 3]}
    with pytest.raises(ValueError, match="name one stage"):
        MultimodalSpace(**{**ARGUMENTS, "cells": 0}, trunk=trunk)
    with pytest.raises(ValueError, match="needs a trunk"):
        MultimodalSpace(**{**ARGUMENTS, "cells": 0})
    with pytest.raises(ValueError, match="add image"):
        MultimodalSpace(**{**ARGUMENTS, "modalities": ["metadata"]}, trunk=trunk)
