"""Grad-CAM as a graph of its own, so that a model without torch can say where it looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from ..evaluation.explanations import cam, feature_gradient
from .deployable import FusedModel, ImageModel
from .onnx_files import write_onnx


class GradCam(nn.Module):
    """Feature maps (1, C, h, w), encoded metadata and the wanted class (1, K) to a map (1, h, w).

    The gradient is traced once, into a graph that does not differentiate any more.

    Args:
        model: deployed model whose encoder has a feature map.
        features: feature maps of one specimen.
        metadata: its encoded metadata; empty for a model that looks at images alone.
        wanted: 1 for the class to explain, 0 elsewhere.
    """

    def __init__(
        self, model: FusedModel | ImageModel, features: Tensor, metadata: Sequence[Tensor], wanted: Tensor
    ) -> None:
        super().__init__()

        def gradient(leaf: Tensor, wanted: Tensor, *metadata: Tensor) -> Tensor:
            return feature_gradient(lambda maps: model.head(model.image.encoder.pool(maps), *metadata), leaf, wanted)

        decompositions: Any = torch.export.default_decompositions()
        # Of maps in channels_last torch pools by strides, whose gradient ONNX does not know.
        features = features.contiguous(memory_format=torch.contiguous_format)
        self.gradient: Any = make_fx(gradient, decomposition_table=decompositions)(features, wanted, *metadata)

    def forward(self, features: Tensor, wanted: Tensor, *metadata: Tensor) -> Tensor:
        return cam(features, self.gradient(features, wanted, *metadata))


def write_gradcam(model: FusedModel | ImageModel, features: Tensor, metadata: Mapping[str, Tensor], path: Path) -> None:
    """Write gradcam.onnx; inputs as those of `GradCam`, metadata by name, output ``cam``."""
    with torch.no_grad():
        classes = model.head(model.image.encoder.pool(features), *metadata.values()).shape[1]
    wanted = torch.eye(classes)[:1]
    module = GradCam(model, features, tuple(metadata.values()), wanted)
    write_onnx(module, {"features": features, "wanted": wanted, **metadata}, "cam", path, batched=False)
