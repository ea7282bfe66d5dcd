"""A frozen encoder with a linear classifier: the quickest use of what an encoder knows, and the bar for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from nni.nas.nn.pytorch import ModelSpace
from torch import Tensor, nn
from torch.nn import functional

from bioautoml_nni.architecture import Architecture, Topology
from bioautoml_nni.architecture.schema import TrunkRecord
from bioautoml_nni.features.encoder import Encoder, load_encoder
from bioautoml_nni.features.request import FeatureRequest
from bioautoml_nni.features.trunk import Trunk
from bioautoml_nni.utils.errors import ConfigError

from .forward import MultimodalForward

DEFAULT = "efficientnet_lite0"


class ProbeSpace(ModelSpace):
    """A frozen encoder and, on its features and the encoded metadata, one linear layer; nothing is searched.

    The layer is a logistic regression: its decay is chosen on validation, and nothing is drawn at random.

    Args:
        num_classes: number of classes.
        metadata: what `EncodedMetadata` gets, or None without metadata.
        modalities: must name "image".
        encoder: name of an encoder (`bioautoml ls encoders`).
        stages: whose maps, averaged over height and width, join the embedding; None are those whose edge is a sixteenth
            of the image's or less.
        refit: fit once more on training and validation together with the decay that validation chose.

    Raises:
        ConfigError: without images.
        EncoderError: for a stage that the encoder does not have.
    """

    capabilities = ("needs_image", "probe")

    def __init__(
        self,
        num_classes: int,
        metadata: dict[str, Any] | None = None,
        modalities: Sequence[Literal["image", "metadata"]] = ("image", "metadata"),
        encoder: str = DEFAULT,
        stages: list[int] | None = None,
        refit: bool = True,
    ) -> None:
        super().__init__()
        ProbeSpace.topology(modalities, encoder, stages)

    @classmethod
    def topology(cls, modalities: Sequence[str], encoder: str, stages: list[int] | None) -> Topology:
        """Return that nothing is open.

        Raises:
            ConfigError, EncoderError: see the class.
        """
        if "image" not in modalities:
            raise ConfigError(["space.name: a probe needs images; add image to data.modalities."], "experiment")
        read_stages(load_encoder(encoder, "space.encoder"), stages)
        return Topology({}, (), None, {})

    @staticmethod
    def build(architecture: Architecture, **arguments: Any) -> ProbeNetwork:
        """Return the network, without pretrained weights; there is only one architecture."""
        return ProbeNetwork(**arguments)

    @staticmethod
    def load_pretrained(network: ProbeNetwork) -> None:
        """Give the encoder of a fresh network its weights.

        Raises:
            EncoderError: if they cannot be had.
        """
        network.image_encoder.source.load(network.image_encoder.trunk)

    @staticmethod
    def image_normalisation(
        encoder: str = DEFAULT, **arguments: Any
    ) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Return mean and standard deviation of the pixels that the encoder was trained with."""
        found = load_encoder(encoder, "space.encoder")
        return found.mean, found.std

    @staticmethod
    def native_size(encoder: str = DEFAULT, **arguments: Any) -> int:
        """Return the edge in pixels of the images that the encoder was trained with."""
        return load_encoder(encoder, "space.encoder").image_size

    @staticmethod
    def frozen_features(encoder: str = DEFAULT, stages: list[int] | None = None, **arguments: Any) -> FeatureRequest:
        """Return what the encoder is asked for, once for every image."""
        found = load_encoder(encoder, "space.encoder")
        return FeatureRequest(found, read_stages(found, stages), embedding=True, pooled=True)

    @staticmethod
    def pretrained_encoders(encoder: str = DEFAULT, **arguments: Any) -> list[Encoder]:
        """Return the encoder, whose weights the network has."""
        return [load_encoder(encoder, "space.encoder")]

    @staticmethod
    def trunk_record(
        architecture: Architecture, encoder: str = DEFAULT, stages: list[int] | None = None, **arguments: Any
    ) -> TrunkRecord:
        """Return what an architecture file says of the encoder."""
        found = load_encoder(encoder, "space.encoder")
        return TrunkRecord(
            encoder=encoder, stages=read_stages(found, stages), embedding=True, frozen=True,
            weights=found.weights_digest, licence=found.licence, origin=found.origin,
        )  # fmt: skip


def read_stages(encoder: Encoder, stages: Sequence[int] | None) -> tuple[int, ...]:
    """Return the stages that a probe reads beside the embedding; see `ProbeSpace`.

    Raises:
        EncoderError: for one that the encoder does not have.
    """
    if stages is None:
        maps = _late_maps(encoder)
        return tuple(maps)
    for stage in stages:
        encoder.build(stage)
    return tuple(stages)


def _late_maps(encoder: Encoder) -> list[int]:
    whole = encoder.build().eval()
    count = whole.count_stages()
    if not count or not whole.has_feature_map:  # all maps of a transformer have one size, and its last one says most
        return []
    with torch.no_grad():
        _, maps = whole.with_stages(torch.zeros(1, 3, 64, 64), range(count))
    return [stage for stage in range(count) if maps[stage].shape[-1] <= 64 // 16]


class ProbeNetwork(MultimodalForward):
    """The network of a `ProbeSpace`, with its arguments; all but the classifier is fixed."""

    image_encoder: PooledEncoder

    def __init__(
        self,
        num_classes: int,
        metadata: dict[str, Any] | None = None,
        modalities: Sequence[Literal["image", "metadata"]] = ("image", "metadata"),
        encoder: str = DEFAULT,
        stages: list[int] | None = None,
        refit: bool = True,
    ) -> None:
        super().__init__()
        source = load_encoder(encoder, "space.encoder")
        self.image_encoder = PooledEncoder(source, read_stages(source, stages))
        self.metadata_encoder = self.fusion = None
        features = self.image_encoder.features
        if "metadata" in modalities:
            assert metadata is not None  # the engine gives it with the modality
            self.metadata_encoder = PlainMetadata(metadata)
            self.fusion = SideBySide()
            features += self.metadata_encoder.features
        self.classifier = nn.Sequential(nn.Linear(features, num_classes))


class PooledEncoder(nn.Module):
    """A frozen encoder whose embedding is that of the network beside the means of some stages' maps.

    Args:
        encoder: whose network it is; its weights come later.
        stages: in the order in which their means stand before the embedding.

    Attributes:
        features: width of all together.
    """

    has_feature_map = False

    def __init__(self, encoder: Encoder, stages: Sequence[int]) -> None:
        super().__init__()
        self.source = encoder
        self.stages = tuple(stages)
        self.trunk: Trunk = encoder.build()
        self.trunk.requires_grad_(False)
        with torch.no_grad():
            self.features = int(self.train(False)(torch.zeros(1, 3, 64, 64)).shape[1])
        self.train()

    def train(self, mode: bool = True) -> PooledEncoder:
        """Set the mode; the trunk stays in evaluation mode."""
        super().train(mode)
        self.trunk.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to features (N, features)."""
        embedding, maps = self.trunk.with_stages(images, self.stages)
        return torch.cat([*(features.mean((2, 3)) for features in maps), embedding], dim=1)

    def of_features(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the stored features (N, features) of a batch, which stand in place of its images."""
        return batch["embedding"]


class PlainMetadata(nn.Module):
    """Encoded metadata as a linear layer takes them: numbers and their squares, categories one by one, the mask.

    Args:
        specification: see `MetadataEncoder`.

    Attributes:
        features: width of all together.
    """

    numeric_fields: Tensor
    category_fields: Tensor

    def __init__(self, specification: Mapping[str, Any]) -> None:
        super().__init__()
        self.categories = list(specification["categories"])
        for name in ("numeric_fields", "category_fields"):
            self.register_buffer(name, torch.tensor(specification[name], dtype=torch.long), persistent=False)
        self.features = 2 * len(specification["numeric_fields"]) + sum(self.categories) + specification["fields"]

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Map numeric (N, n), categorical (N, k) and mask (N, f) of a batch to features (N, features)."""
        mask = batch["mask"]
        numeric = batch["numeric"] * mask[:, self.numeric_fields]
        categorical = batch["categorical"] * mask[:, self.category_fields].long()
        single = [
            functional.one_hot(categorical[:, column], size).to(mask.dtype)
            for column, size in enumerate(self.categories)
        ]
        return torch.cat([numeric, numeric.square(), *single, mask], dim=1)


class SideBySide(nn.Module):
    """Image and metadata features beside each other."""

    def forward(self, embeddings: tuple[Tensor, Tensor]) -> Tensor:
        """Map ((N, D_i), (N, D_m)) to (N, D_i + D_m)."""
        return torch.cat(list(embeddings), dim=1)
