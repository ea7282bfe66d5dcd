"""A network of the timm collection as image encoder, with the same metadata encoder, fusion and classifier as ours.

Nothing is open in this space, so a run skips the search and trains it at once: the baseline of every searched network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from nni.nas.nn.pytorch import ModelSpace
from torch import Tensor, nn

from bioautoml_nni.architecture import Architecture, Topology
from bioautoml_nni.architecture.schema import TrunkRecord
from bioautoml_nni.features.encoder import Encoder, load_encoder
from bioautoml_nni.registry import get, suggestion
from bioautoml_nni.utils.errors import ConfigError
from bioautoml_nni.utils.numbers import Count, Rate, Share
from bioautoml_nni.utils.signatures import constructor_values

from .encoders._network import create_network
from .forward import MultimodalForward
from .image_and_metadata import MetadataEncoder


class TimmSpace(ModelSpace):
    """A fixed network of timm as image encoder, from scratch or pretrained, fused with metadata; nothing is searched.

    Args:
        num_classes: number of classes.
        metadata: what the metadata encoder gets (see `MetadataEncoder`), or None without metadata.
        modalities: must name "image".
        encoder: name of a timm model, such as resnet18.
        pretrained: start from timm's published weights, which timm downloads or finds in its cache.
        weights: start from this file of weights instead.
        frozen: keep the encoder as it starts; only what stands on it is trained (a linear probe).
        drop_path: rate of stochastic depth, for encoders that have it.
        fusion: name of the fusion.
        metadata_features: width of the metadata embedding.
        fusion_features: width of the joint embedding.
        dropout: dropout before the classifier.
        metadata_dropout: share of training specimens whose metadata is hidden.
        field_dropout: share of single metadata fields that are hidden in training.

    Raises:
        ConfigError: for an encoder that timm does not have, or without images.
    """

    capabilities = ("needs_image",)
    normalises_since = 2
    """Revision of preprocessing.json from which on pretrained networks get images as they were trained."""

    def __init__(
        self,
        num_classes: int,
        metadata: dict[str, Any] | None = None,
        modalities: Sequence[Literal["image", "metadata"]] = ("image", "metadata"),
        encoder: str = "resnet18",
        pretrained: bool = False,
        weights: str | None = None,
        frozen: bool = False,
        drop_path: Rate = 0.0,
        fusion: str = "concatenation",
        metadata_features: Count = 32,
        fusion_features: Count = 128,
        dropout: Rate = 0.1,
        metadata_dropout: Share = 0.1,
        field_dropout: Share = 0.05,
    ) -> None:
        super().__init__()
        TimmSpace.topology(modalities, encoder, pretrained, weights, frozen)

    @classmethod
    def topology(
        cls, modalities: Sequence[str], encoder: str, pretrained: bool, weights: str | None, frozen: bool
    ) -> Topology:
        """Return that nothing is open.

        Raises:
            ConfigError: see the class.
        """
        problems = []
        if not timm.is_model(encoder):
            problems.append(f"space.encoder: timm has no model {encoder!r}{suggestion(encoder, timm.list_models())}.")
        if "image" not in modalities:
            problems.append("space.name: a timm network needs images; add image to data.modalities.")
        if weights and not Path(weights).is_file():
            problems.append(f"space.weights: {weights}: there is no such file.")
        if frozen and not (pretrained or weights):
            problems.append("space.frozen: an encoder without pretrained weights would stay random; train it.")
        if problems:
            raise ConfigError(problems, "experiment")
        return Topology({}, (), None, {})

    @staticmethod
    def image_normalisation(
        encoder: str = "resnet18", pretrained: bool = False, weights: str | None = None, **arguments: Any
    ) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Return mean and standard deviation of the pixels that a pretrained network was trained with."""
        configuration = timm.get_pretrained_cfg(encoder) if pretrained or weights else None
        return None if configuration is None else (tuple(configuration.mean), tuple(configuration.std))

    @staticmethod
    def trunk_record(
        architecture: Architecture,
        encoder: str = "resnet18",
        pretrained: bool = False,
        weights: str | None = None,
        frozen: bool = False,
        **arguments: Any,
    ) -> TrunkRecord | None:
        """Return what an architecture file says of pretrained weights; None without."""
        sources = _starting(encoder, pretrained, weights)
        if not sources:
            return None
        found = sources[0]
        return TrunkRecord(
            encoder=f"timm:{encoder}", stages=(), embedding=True, frozen=frozen, weights="", licence=found.licence,
            origin=found.origin,
        )  # fmt: skip

    @staticmethod
    def native_size(encoder: str = "resnet18", **arguments: Any) -> int | None:
        """Return the edge in pixels of the images that timm's weights of a network were trained with."""
        configuration = timm.get_pretrained_cfg(encoder) if timm.is_model(encoder) else None
        return None if configuration is None else int(configuration.input_size[-1])

    @staticmethod
    def build(architecture: Architecture, **arguments: Any) -> TimmNetwork:
        """Return the network, without pretrained weights; there is only one architecture."""
        return TimmNetwork(TimmArguments(**constructor_values(TimmSpace, arguments)))

    @staticmethod
    def load_pretrained(network: TimmNetwork) -> None:
        """Give the encoder of a fresh network the weights that it starts from, if the arguments name any.

        Raises:
            EncoderError: if they cannot be had or do not fit.
        """
        network.load_pretrained()

    @staticmethod
    def pretrained_encoders(
        encoder: str = "resnet18", pretrained: bool = False, weights: str | None = None, **arguments: Any
    ) -> list[Encoder]:
        """Return the encoder whose weights the network starts from; none if it starts from scratch."""
        return _starting(encoder, pretrained, weights)


@dataclass(frozen=True)
class TimmArguments:
    """The arguments of a `TimmSpace`, whose constructor has their meaning and their defaults.

    The constructor itself keeps plain parameters, as that of `MultimodalSpace` does.
    """

    num_classes: int
    metadata: dict[str, Any] | None
    modalities: Sequence[str]
    encoder: str
    pretrained: bool
    weights: str | None
    frozen: bool
    drop_path: float
    fusion: str
    metadata_features: int
    fusion_features: int
    dropout: float
    metadata_dropout: float
    field_dropout: float


class TimmNetwork(MultimodalForward):
    """The network of a `TimmSpace`, with its arguments."""

    def __init__(self, own: TimmArguments) -> None:
        super().__init__()
        self.pretrained, self.weights = own.pretrained, own.weights
        self.image_encoder: TimmEncoder = TimmEncoder(own.encoder, own.drop_path, own.frozen)
        self.metadata_encoder = self.fusion = None
        features = self.image_encoder.features
        if "metadata" in own.modalities:
            assert own.metadata is not None  # the engine gives it with the modality
            width = own.metadata_features
            self.metadata_encoder = MetadataEncoder(own.metadata, width, own.metadata_dropout, own.field_dropout)
            self.fusion = get("fusions", own.fusion).target(features, width, own.fusion_features)
            features = own.fusion_features
        self.classifier = nn.Sequential(nn.Dropout(own.dropout), nn.Linear(features, own.num_classes))

    def load_pretrained(self) -> None:
        """Load the weights that the arguments name into the encoder; see `TimmSpace.load_pretrained`."""
        for encoder in _starting(self.image_encoder.name, self.pretrained, self.weights):
            source: Any = self.image_encoder  # whose body is that of the encoder's own trunk
            encoder.load(source)


def _starting(name: str, pretrained: bool, weights: str | None) -> list[Encoder]:
    """Return the encoder whose weights a network of timm starts from; none if it starts from scratch."""
    if weights:
        return [load_encoder(f"timm:{name}@{weights}", "space.weights")]
    return [load_encoder(f"timm:{name}", "space.pretrained")] if pretrained else []


class TimmEncoder(nn.Module):
    """A timm model without its classifier.

    Args:
        name: the model's name.
        drop_path: rate of stochastic depth; ignored by models that have none.
        frozen: keep weights and running statistics as they are.
    """

    def __init__(self, name: str, drop_path: float, frozen: bool) -> None:
        super().__init__()
        self.name = name
        self.frozen = frozen
        body: Any = create_network(name, drop_path)
        self.body = body
        self.body.requires_grad_(not frozen)
        with torch.no_grad():  # some models widen their features after `num_features`, so one pass tells
            last = body.eval().forward_features(torch.zeros(1, 3, 64, 64))
            self.features = int(body.forward_head(last).shape[1])
        self.has_feature_map = last.dim() == 4 and last.shape[1] == self.body.num_features  # neither tokens nor NHWC
        self.train()

    def train(self, mode: bool = True) -> TimmEncoder:
        """Set the mode; a frozen body stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.body.eval()
        return self

    def feature_map(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to the last features: (N, C, h, w) if `has_feature_map`."""
        return self.body.forward_features(images.contiguous(memory_format=torch.channels_last))

    def pool(self, features: Tensor) -> Tensor:
        """Map the last features to embeddings (N, features)."""
        return self.body.forward_head(features)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to embeddings (N, features)."""
        return self.pool(self.feature_map(images))
