"""The suite of pretrained encoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..features.encoder import Encoder, Stage
from ..features.trunk import Trunk, count_parameters, flops
from ..utils.errors import EncoderError
from ._base import kind_of, name_of, suite, tried


@suite
def check_encoder(encoder: Callable[..., Encoder], **arguments: Any) -> None:
    """Check an encoder: its figures, its normalisation, its weights, and every stage it can be cut behind."""
    name = name_of(encoder)
    own = tried(f"{name}: must be built from its arguments", encoder, **arguments)
    what = "must derive from bioautoml_nni.features.encoder.Encoder, and write build(stage, drop_path) and load(trunk)"
    assert isinstance(own, Encoder), f"{name}: {what}, not be {kind_of(own)}"
    for attribute in ("network", "licence", "origin", "citation"):
        assert getattr(own, attribute), f"{name}: says nothing of its {attribute}"
    assert len(own.mean) == len(own.std) == 3 and min(own.std) > 0, f"{name}: mean and std must have three values each"
    scaled = all(0 <= mean <= 1 for mean in own.mean) and max(own.std) <= 1
    assert scaled, f"{name}: mean {own.mean} and std {own.std} must be those of images from 0 to 1"
    _check_figures(own, name)
    _check_embeddings(own, name, lambda: encoder(**arguments))
    stages = _check_stages(own, name)
    _check_refusal(own, name, beyond=stages)


def _check_figures(own: Encoder, name: str) -> None:
    """Check that it builds its network, and that this has the parameters and FLOPs that it declares."""
    what = f"{name}: build(stage, drop_path) must return a bioautoml_nni.features.trunk.Trunk"
    built = tried(what, own.build)
    assert isinstance(built, Trunk), f"{what}, not {kind_of(built)}"
    whole = tried(f"{name}: load(trunk) must give it its weights", own.trunk)
    found = {"parameters": count_parameters(whole), "mflops": flops(whole, own.image_size) / 1e6}
    for attribute, value in found.items():
        declared = getattr(own, attribute)
        same = declared is None or abs(declared - value) < 1e-3 * value
        assert same, f"{name}: declares {attribute} {declared}, its network has {value:.1f}"


def _pixels(own: Encoder) -> Tensor:
    """Return two images of 0 to 255, of a size that it takes."""
    size = _smallest_size(own)
    return torch.randint(256, (2, 3, size, size), generator=torch.Generator().manual_seed(0))


def _check_embeddings(own: Encoder, name: str, another: Callable[[], Encoder]) -> None:
    """Check that an embedding depends on its image alone, and is the same another time."""
    pixels, features = _pixels(own), own.trunk().features
    images, bytes_ = pixels / 255, pixels.to(torch.uint8)
    embeddings = own.embed(images)
    assert embeddings.shape == (2, features), f"{name}: embeds as {tuple(embeddings.shape)}, not (2, {features})"
    assert torch.isfinite(embeddings).all(), f"{name}: its embeddings are not finite"
    assert torch.allclose(own.embed(bytes_), embeddings, atol=1e-4), f"{name}: embeds bytes otherwise than floats"
    assert torch.allclose(own.embed(images[:1]), embeddings[:1], atol=1e-3), (
        f"{name}: rows of a batch influence each other"
    )
    with torch.no_grad():
        other = another().trunk()(own.normalise(images))
    assert torch.allclose(other, embeddings, atol=1e-4), f"{name}: has other weights the second time"


def _check_stages(own: Encoder, name: str) -> int:
    """Check every stage that it can be cut behind; return how many there are."""
    images = _pixels(own) / 255
    stages = own.stages(images.shape[-1])
    together = own.feature_maps(images, [stage.index for stage in stages]) if stages else []
    for stage, features in zip(stages, together, strict=True):
        _check_stage(own, stage, own.normalise(images), features, f"{name}, stage {stage.index}")
    return len(stages)


def _check_refusal(own: Encoder, name: str, beyond: int) -> None:
    """Check that it refuses a stage beyond its last one by the error that the contract names."""
    try:
        own.build(beyond)
    except EncoderError:
        return
    except Exception as error:
        wrong = type(error).__name__
        raise AssertionError(
            f"{name}: must refuse stage {beyond}, which it lacks, with EncoderError, not {wrong}"
        ) from error
    raise AssertionError(f"{name}: must refuse stage {beyond}, which it lacks, with EncoderError")


def _smallest_size(encoder: Encoder) -> int:
    """Return an edge that is quick to compute, or the encoder's own if it takes no other."""
    try:
        encoder.embed(torch.zeros(1, 3, 64, 64))
    except (AssertionError, RuntimeError):
        return encoder.image_size
    return 64


def _check_stage(encoder: Encoder, stage: Stage, images: Tensor, expected: Tensor, where: str) -> None:
    trunk = encoder.trunk(stage.index)
    assert expected.shape[1] == stage.channels == trunk.features, f"{where}: has {expected.shape[1]} channels"
    with torch.no_grad():
        assert torch.allclose(trunk.feature_map(images), expected, atol=1e-3), f"{where}: the cut network differs"
        embedding, (features,) = trunk.with_stages(images, [stage.index])
        assert torch.allclose(features, expected, atol=1e-3), f"{where}: with_stages() gives another map"
        assert torch.allclose(trunk(images), embedding, atol=1e-3), f"{where}: with_stages() gives another embedding"
    assert count_parameters(trunk) == stage.parameters, f"{where}: has other parameters than stages() counts"
    trunk.train()(images).square().sum().backward()
    dead = [key for key, parameter in trunk.named_parameters() if parameter.grad is None]
    assert not dead, f"{where}: holds layers that its map does not depend on, such as {dead[0]}"
