"""Grad-CAM against its closed form where pooling and a linear classifier follow: the class activation map."""

import torch
from torch import nn

from bioautoml_nni.evaluation.explanations import grad_cam, has_feature_map
from bioautoml_nni.search_spaces.forward import MultimodalForward
from bioautoml_nni.search_spaces.image_and_metadata import ImageEncoder
from bioautoml_nni.search_spaces.timm_network import TimmEncoder


class Plain(MultimodalForward):
    def __init__(self) -> None:
        super().__init__()
        cell = nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU())
        self.image_encoder = ImageEncoder(6, 1, [cell], 8)
        self.metadata_encoder = self.fusion = None
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 3))


def test_it_equals_the_class_activation_map():
    torch.manual_seed(0)
    network = Plain().eval()
    images, classes = torch.randn(4, 3, 10, 10), torch.tensor([0, 1, 2, 1])
    features = network.image_encoder.feature_map(images)
    weights = network.classifier[-1].weight[classes]  # of the class, by channel
    activation = torch.relu(torch.einsum("nc,nchw->nhw", weights, features)).detach()
    expected = activation / activation.amax((1, 2), keepdim=True)
    assert torch.allclose(grad_cam(network, {"image": images}, classes), expected, atol=1e-5)


def test_a_map_without_any_support_is_zero_and_not_undefined():
    network = Plain().eval()
    nn.init.constant_(network.classifier[-1].weight, -1.0)
    found = grad_cam(network, {"image": torch.randn(2, 3, 8, 8)}, torch.tensor([0, 1]))
    assert (found == 0).all()


def test_it_leaves_no_gradient_behind():
    network = Plain().eval()
    grad_cam(network, {"image": torch.randn(1, 3, 8, 8)}, torch.tensor([0]))
    assert all(parameter.grad is None for parameter in network.parameters())


def test_encoders_say_whether_they_have_maps():
    assert has_feature_map(Plain().image_encoder)
    assert has_feature_map(TimmEncoder("resnet10t", 0.0, False))
    assert has_feature_map(TimmEncoder("mobilenetv3_small_050", 0.0, False))
    assert not has_feature_map(TimmEncoder("vit_tiny_patch16_224", 0.0, False))
    assert not has_feature_map(None)


def test_a_timm_encoder_still_computes_what_timm_does():
    for name in ("mobilenetv3_small_050", "vit_tiny_patch16_224", "convnext_atto"):
        encoder = TimmEncoder(name, 0.0, False).eval()
        images = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            assert torch.equal(encoder(images), encoder.body(images.contiguous(memory_format=torch.channels_last)))
