"""The suite of fusions."""

from __future__ import annotations

import torch
from torch import nn

from ._base import built_module, check_untouched, name_of, random_tensor, require_tensor, suite, tried


@suite
def check_fusion(fusion: type[nn.Module]) -> None:
    """Check a fusion: shape, and that both embeddings matter."""
    name = name_of(fusion)
    module = built_module(name, fusion, "Fusion(image_features, metadata_features, features)", 6, 4, 9)
    image, metadata = random_tensor(5, 6).float().requires_grad_(), random_tensor(5, 4).float().requires_grad_()
    what = f"{name}: must map one pair of embeddings, forward((image, metadata))"
    check_untouched(module, (image.detach(), metadata.detach()), what, name)
    joint = require_tensor(name, tried(what, module, (image, metadata)))
    assert joint.shape == (5, 9), f"{name}: gives shape {tuple(joint.shape)}, not (5, 9)"
    assert joint.dtype == image.dtype, f"{name}: gives {joint.dtype} for {image.dtype}"
    assert torch.isfinite(joint).all(), f"{name}: gives values that are not finite"
    assert joint.requires_grad, f"{name}: lets no gradient through"
    joint.square().sum().backward()
    for embedding, word in ((image, "image"), (metadata, "metadata")):
        reached = embedding.grad is not None and bool(embedding.grad.abs().sum() > 0)
        assert reached, f"{name}: the {word} embedding has no influence"
    module.eval()
    with torch.no_grad():
        alone = tried(f"{name}: must take a single row in evaluation", module, (image[:1], metadata[:1]))
        assert torch.allclose(alone, module((image, metadata))[:1], atol=1e-5), f"{name}: rows influence each other"
