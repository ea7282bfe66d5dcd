"""Image encoder (stem, stages of cells, pooling) and metadata encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class ImageEncoder(nn.Module):
    """A 3x3 stem, a stack of cells and global average pooling.

    Args:
        stem_channels: width after the stem.
        stem_stride: 1 or 2.
        cells: modules that map feature maps to feature maps.
        features: width of the last cell's output.
    """

    has_feature_map = True

    def __init__(self, stem_channels: int, stem_stride: int, cells: Sequence[nn.Module], features: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem_channels, 3, stem_stride, 1, bias=False), nn.BatchNorm2d(stem_channels), nn.ReLU()
        )
        self.cells = nn.ModuleList(cells)
        self.features = features

    def feature_map(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to the last cell's output (N, features, h, w)."""
        features = self.stem(images.contiguous(memory_format=torch.channels_last))
        for cell in self.cells:
            features = cell(features)
        return features

    def pool(self, features: Tensor) -> Tensor:
        """Map the last cell's output (N, features, h, w) to embeddings (N, features)."""
        return features.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to embeddings (N, features)."""
        return self.pool(self.feature_map(images))


class MetadataEncoder(nn.Module):
    """Numeric values, embedded categories and the mask of present fields, through two linear layers.

    A missing number is replaced by a learned one, a missing category has an embedding of its own.

    Args:
        specification: ``numeric_fields``: for each numeric input the position of its field in the mask;
            ``categories``: number of values of each categorical field (index 0 is "missing", 1 is "unknown");
            ``category_fields``: their positions in the mask; ``fields``: number of mask bits.
        features: width D of the embedding.
        dropout: probability with which a specimen's whole metadata is hidden during training, so that the network
            also answers without metadata.
        field_dropout: probability with which each single field is hidden.
    """

    numeric_fields: Tensor
    category_fields: Tensor

    def __init__(
        self, specification: Mapping[str, Any], features: int, dropout: float, field_dropout: float = 0.0
    ) -> None:
        super().__init__()
        cardinalities = list(specification["categories"])
        widths = [min(16, (cardinality + 1) // 2) for cardinality in cardinalities]
        self.embeddings = nn.ModuleList(
            nn.Embedding(size, width) for size, width in zip(cardinalities, widths, strict=True)
        )
        for name in ("numeric_fields", "category_fields"):
            self.register_buffer(name, torch.tensor(specification[name], dtype=torch.long), persistent=False)
        self.missing = nn.Parameter(torch.zeros(len(specification["numeric_fields"])))
        inputs = len(specification["numeric_fields"]) + sum(widths) + specification["fields"]
        self.layers = nn.Sequential(
            nn.Linear(inputs, 2 * features), nn.ReLU(), nn.Linear(2 * features, features), nn.ReLU()
        )
        self.features = features
        self.dropout = dropout
        self.field_dropout = field_dropout

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Map numeric (N, n), categorical (N, k) and mask (N, f) of a batch to embeddings (N, features)."""
        mask = batch["mask"]
        if self.training and self.dropout + self.field_dropout > 0:
            whole = torch.rand(len(mask), 1, device=mask.device) >= self.dropout
            single = torch.rand(mask.shape, device=mask.device) >= self.field_dropout
            mask = mask * (whole & single).to(mask.dtype)
        present = mask[:, self.numeric_fields]
        numeric = batch["numeric"] * present + self.missing * (1 - present)
        categorical = batch["categorical"] * mask[:, self.category_fields].long()
        embedded = [embedding(categorical[:, column]) for column, embedding in enumerate(self.embeddings)]
        return self.layers(torch.cat([numeric, *embedded, mask], dim=1))
