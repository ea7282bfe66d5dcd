import pytest
import timm
import torch

from bioautoml_nni.architecture import Architecture, topology_of
from bioautoml_nni.architecture.schema import SpaceRecord
from bioautoml_nni.search_spaces.timm_network import TimmSpace
from bioautoml_nni.utils.errors import ConfigError, EncoderError

METADATA = {"numeric_fields": [0, 0], "categories": [4], "category_fields": [1], "fields": 2}
NOTHING = Architecture(space=SpaceRecord(name="timm"), cells={})


def batch(size: int = 64) -> dict:
    return {
        "image": torch.randn(2, 3, size, size),
        "numeric": torch.randn(2, 2),
        "categorical": torch.tensor([[1], [2]]),
        "mask": torch.ones(2, 2),
    }


@pytest.mark.parametrize("encoder", ["test_resnet", "test_vit", "mobilenetv3_small_050", "convnext_atto"])
def test_networks_of_all_families_are_fused_with_metadata(encoder):
    assert topology_of(TimmSpace, {"num_classes": 3, "metadata": METADATA, "encoder": encoder}).empty
    network = TimmSpace.build(NOTHING, num_classes=3, metadata=METADATA, encoder=encoder).eval()
    inputs = batch()
    logits = network(inputs)
    assert logits.shape == (2, 3)
    other = network({**inputs, "numeric": inputs["numeric"] + 1})
    assert not torch.allclose(logits, other)
    alone = TimmSpace.build(NOTHING, num_classes=3, modalities=["image"], encoder=encoder)
    assert alone.eval()(inputs["image"]).shape == (2, 3)


def test_weights_of_a_file_are_loaded_and_stay_frozen(tmp_path):
    torch.manual_seed(1)
    trained = timm.create_model("test_resnet", num_classes=10)
    torch.save(trained.state_dict(), tmp_path / "weights.pth")
    arguments = {"num_classes": 3, "modalities": ["image"], "encoder": "test_resnet", "frozen": True}
    network = TimmSpace.build(NOTHING, **arguments, weights=str(tmp_path / "weights.pth"))
    TimmSpace.load_pretrained(network)
    state = network.image_encoder.body.state_dict()
    assert len(state) > 10 and all(torch.equal(trained.state_dict()[name], value) for name, value in state.items())
    network.train()
    network(batch()["image"]).sum().backward()
    assert all(p.grad is None for p in network.image_encoder.parameters()) and network.classifier[1].weight.grad.any()
    assert all(
        torch.equal(trained.state_dict()[name], value)
        for name, value in network.image_encoder.body.state_dict().items()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": "resnet81"}, "did you mean 'resnet"),
        ({"modalities": ["metadata"]}, "needs images"),
        ({"frozen": True}, "would stay random"),
        ({"weights": "nowhere.pth"}, "no such file"),
    ],
)
def test_mistakes_get_a_sentence(arguments, message):
    with pytest.raises(ConfigError, match=message):
        TimmSpace(3, METADATA, **arguments)
    with pytest.raises(ConfigError, match=message):
        topology_of(TimmSpace, {"num_classes": 3, "metadata": METADATA, **arguments})


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"something": torch.zeros(3)}, tmp_path / "other.pth")
    network = TimmSpace.build(
        NOTHING, num_classes=3, modalities=["image"], encoder="test_resnet", weights=str(tmp_path / "other.pth")
    )
    with pytest.raises(EncoderError, match="other.pth: holds the weights of another network: .* arrays of test_resnet"):
        TimmSpace.load_pretrained(network)
