import pytest
import torch

from bioautoml_nni.registry import plugins

FUSIONS = plugins("fusions")


@pytest.mark.parametrize("name", FUSIONS)
def test_both_embeddings_matter(name):
    torch.manual_seed(0)
    fusion = FUSIONS[name].target(6, 4, 9)
    image, metadata = torch.randn(3, 6, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    joint = fusion((image, metadata))
    assert joint.shape == (3, 9)
    joint.square().sum().backward()
    for embedding in (image, metadata):
        assert (embedding.grad.abs().sum(0) > 0).all(), "every feature of it"
    with torch.no_grad():
        swapped = fusion((image, metadata.flip(0)))
    assert not torch.allclose(swapped, joint, atol=1e-3), "specimens are not mixed up"


def test_modulation_without_metadata_signal_is_the_image_alone():
    fusion = FUSIONS["modulation"].target(6, 4, 9)
    torch.nn.init.zeros_(fusion.modulation.weight)
    torch.nn.init.zeros_(fusion.modulation.bias)
    image = torch.randn(3, 6)
    torch.testing.assert_close(fusion((image, torch.randn(3, 4))), torch.relu(fusion.image(image)))
