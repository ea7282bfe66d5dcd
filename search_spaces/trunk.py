"""A pretrained encoder in place of stem and early cells: what cells read of it, and the image encoder on it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioautoml_nni.architecture import Architecture
from bioautoml_nni.features.encoder import Encoder, load_encoder
from bioautoml_nni.features.trunk_settings import WITH, TrunkSettings, reading_name
from bioautoml_nni.utils.seeding import isolate_rng

from .cell import of_several

STAGE_LABEL, EMBEDDING_LABEL = "stage", "embedding"


class TrunkPlan:
    """What a space with a trunk may read, and the sizes of it, found by one pass of the encoder.

    Args:
        settings: the trunk's.
        cells: whether cells stand on the trunk.

    Attributes:
        readings: candidates of stages, by name.
        embeddings: candidates of the path from the embedding.
        channels: C of every stage that a candidate reads.
        factors: by how much a stage's map is pooled so that all have the size of the smallest.
        features: width E of the embedding.

    Raises:
        ValueError: for settings that contradict each other.
        EncoderError: for a stage that the encoder does not have.
    """

    @isolate_rng()  # a plan is made once a process: what is drawn after it must not depend on that
    def __init__(self, settings: TrunkSettings, cells: bool) -> None:
        self.settings = settings
        self._built: dict[tuple[int | None, bool], nn.Module] = {}
        self.encoder: Encoder = load_encoder(settings.encoder, "space.trunk.encoder")
        whole = self.encoder.build().eval()
        readings = settings.readings
        if not readings and (cells or not settings.embedding):
            readings = ((whole.count_stages() - 1,),)
        if not cells and len(readings) > 1:
            raise ValueError("space.trunk.stage: without cells there is nothing that could choose; name one stage")
        if not cells and settings.embedding == "open":
            raise ValueError("space.trunk.embedding: without cells it cannot be open; say true or false")
        self.readings = {reading_name(stages): stages for stages in readings}
        self.embeddings = settings.embeddings
        used = sorted({stage for stages in readings for stage in stages})
        with torch.no_grad():
            embedding, maps = whole.with_stages(torch.zeros(1, 3, 64, 64), used)
        self.features = int(embedding.shape[1])
        self.channels = {stage: int(found.shape[1]) for stage, found in zip(used, maps, strict=True)}
        edges = {stage: int(found.shape[2]) for stage, found in zip(used, maps, strict=True)}
        self.factors = {stage: edges[stage] // min(edges.values()) for stage in used}
        self._check_frozen_stages(whole)

    def _check_frozen_stages(self, whole: Any) -> None:
        kept, last = self.settings.frozen_stages, whole.count_stages() - 1
        if not self.settings.embedding:
            last = max(self.channels)
        if kept is None:
            return
        if not whole.can_continue:
            raise ValueError(
                f"space.trunk.frozen_stages: {self.settings.encoder} cannot be entered at a stage; remove it, and the "
                "whole encoder is trained"
            )
        if kept >= last:
            raise ValueError(
                f"space.trunk.frozen_stages: {kept} leaves nothing of stages 0 to {last} to train; give a smaller one, "
                "or set frozen: true"
            )

    def chosen(self, architecture: Architecture) -> tuple[tuple[int, ...], bool]:
        """Return the stages that an architecture reads, and whether it reads the embedding."""
        choices = {label: record.choice for label, record in architecture.choices.items()}
        stages: tuple[int, ...] = ()
        if self.readings:
            stages = self.readings[choices.get(STAGE_LABEL, next(iter(self.readings)))]
        return stages, choices.get(EMBEDDING_LABEL, self.embeddings[0]) == WITH

    @isolate_rng()
    def trunk_of(self, stages: Sequence[int], embedding: bool, pretrained: bool) -> nn.Module:
        """Return the part of the encoder that stages and embedding need."""
        key = None if embedding else max(stages), pretrained
        if key not in self._built:  # many networks of one plan are built where a budget is to be met
            self._built[key] = (self.encoder.trunk if pretrained else self.encoder.build)(key[0])
        return copy.deepcopy(self._built[key])


class StageReader(nn.Module):
    """1x1 convolutions from the maps of stages to one map of the cells' width: a candidate of what cells read.

    Args:
        stages: whose maps are read.
        given: stages whose maps come as arguments, in this order.
        channels, factors: of every stage; see `TrunkPlan`.
        width: C of the result.
    """

    def __init__(
        self,
        stages: Sequence[int],
        given: Sequence[int],
        channels: Mapping[int, int],
        factors: Mapping[int, int],
        width: int,
    ) -> None:
        super().__init__()
        self.places = {stage: list(given).index(stage) for stage in stages}
        self.factors = {stage: factors[stage] for stage in stages}
        self.projections = nn.ModuleDict(
            {
                str(stage): nn.Sequential(nn.Conv2d(channels[stage], width, 1, bias=False), nn.BatchNorm2d(width))
                for stage in stages
            }
        )

    def forward(self, *maps: Tensor) -> Tensor:
        """Map (N, C_s, h_s, w_s) of the given stages to (N, width, h, w)."""
        total: Tensor | None = None
        for stage, factor in self.factors.items():
            found = maps[self.places[stage]]
            if factor > 1:
                found = functional.avg_pool2d(found, factor, ceil_mode=True, count_include_pad=False)
            value = self.projections[str(stage)](found)
            total = value if total is None else total + value
        assert total is not None  # a candidate names a stage
        return torch.relu(total / len(self.factors) if len(self.factors) > 1 else total)


class TrunkEncoder(nn.Module):
    """An image encoder that stands on a trunk: what is read, a stack of cells, and beside it the trunk's embedding.

    Takes images, or the stored features of a frozen trunk: in a batch ``stage{S}`` (N, C, h, w) of every stage that
    is read and ``embedding`` (N, E). Of a trunk whose first stages alone are frozen that is the map of the last frozen
    stage, and those of earlier stages that are read.

    Args:
        trunk: the encoder up to the last stage that is read, or whole.
        stages: whose maps are read.
        read: from the maps of `stages` to the cells' input; None without cells.
        cells: modules that map feature maps to feature maps.
        width: of the last cell's output.
        path: what becomes of the pooled features that pass the cells by, their width `path_features`; None without.
        has_embedding: whether the embedding is among these.
        frozen: keep the trunk as it is.
        frozen_stages: last stage of a trained trunk that is kept as it is; None trains all of it.
        constant: frozen weights are no parameters at all, which a search must not set free.
    """

    def __init__(
        self,
        trunk: Any,
        stages: Sequence[int],
        read: nn.Module | None,
        cells: Sequence[nn.Module],
        width: int,
        path: nn.Module | None,
        path_features: int,
        has_embedding: bool,
        frozen: bool,
        frozen_stages: int | None,
        constant: bool,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.stages = tuple(stages)
        self.read = read
        self.cells = nn.ModuleList(cells)
        self.path = path
        self.has_embedding = has_embedding
        self.frozen_stages = frozen_stages
        self.frozen = frozen
        self.width = width if read is not None else 0
        self.features = self.width + path_features
        self.has_feature_map = self._maps_agree()
        for module in self._frozen_modules():
            freeze(module, constant)
        self.train()

    def train(self, mode: bool = True) -> TrunkEncoder:
        """Set the mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        return self

    def _frozen_modules(self) -> list[nn.Module]:
        if self.frozen:
            return [self.trunk]
        found: list[nn.Module] = [] if self.frozen_stages is None else self.trunk.until(self.frozen_stages)
        return found

    def feature_map(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to maps (N, C, h, w): of the last cell, then those that pass it by."""
        last, maps = self._of_trunk(images)
        found = [] if self.read is None else [self._through_cells(maps)]
        if self.path is not None:
            found += [] if last is None else [last]
            found += [maps[stage] for stage in self.stages] if self.read is None else []
        return torch.cat(found, dim=1) if len(found) > 1 else found[0]

    def pool(self, features: Tensor) -> Tensor:
        """Map the maps of `feature_map` to embeddings (N, features)."""
        if self.path is None:
            return features.mean((2, 3))
        split = self.width
        passing = features[:, split:]
        pooled = self.trunk.pool(passing) if self.has_embedding and not self._pools_stages else passing.mean((2, 3))
        return self._joined(features[:, :split].mean((2, 3)) if split else None, pooled)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to embeddings (N, features)."""
        if self.has_feature_map:
            return self.pool(self.feature_map(images))
        last, maps = self._of_trunk(images)
        return self._embedding(maps, None if last is None else self.trunk.pool(last))

    def of_features(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Map stored features of the frozen trunk to embeddings (N, features); see the class for their names."""
        if self.frozen_stages is None:
            maps = {stage: batch[f"stage{stage}"] for stage in self.stages}
            return self._embedding(maps, batch["embedding"] if self.has_embedding else None)
        kept = self.frozen_stages
        later = [stage for stage in self.stages if stage > kept]
        last, found = self.trunk.continue_from(kept, batch[f"stage{kept}"], later)
        maps = {stage: batch[f"stage{stage}"] for stage in self.stages if stage <= kept}
        maps |= dict(zip(later, found, strict=True))
        return self._embedding(maps, self.trunk.pool(last) if self.has_embedding else None)

    @property
    def _pools_stages(self) -> bool:
        return self.read is None and bool(self.stages)

    def _of_trunk(self, images: Tensor) -> tuple[Tensor | None, dict[int, Tensor]]:
        """Return the trunk's last features, where the embedding is wanted, and the maps by stage."""
        if not self.has_embedding:
            maps = self.trunk.feature_maps(images, self.stages)
            return None, dict(zip(self.stages, maps, strict=True))
        last, maps = self.trunk.features_with_stages(images, self.stages)
        return last, dict(zip(self.stages, maps, strict=True))

    def _through_cells(self, maps: Mapping[int, Tensor]) -> Tensor:
        assert self.read is not None
        features = of_several(self.read, *(maps[stage] for stage in self.stages))
        for cell in self.cells:
            features = cell(features)
        return features

    def _embedding(self, maps: Mapping[int, Tensor], embedding: Tensor | None) -> Tensor:
        cells = None if self.read is None else self._through_cells(maps).mean((2, 3))
        passing = [] if embedding is None else [embedding]
        passing += [maps[stage].mean((2, 3)) for stage in self.stages] if self.read is None else []
        return self._joined(cells, torch.cat(passing, dim=1) if passing else None)

    def _joined(self, cells: Tensor | None, passing: Tensor | None) -> Tensor:
        parts = [] if cells is None else [cells]
        if passing is not None and self.path is not None:
            parts.append(self.path(passing))
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    @torch.no_grad()
    def _maps_agree(self) -> bool:
        """Whether all maps have one size, so that one map can say where the network looks."""
        if self.path is None:
            return True
        if self.has_embedding and not self.trunk.has_feature_map:
            return False
        if self.has_embedding and self._pools_stages:
            return False
        self.eval()
        last, maps = self._of_trunk(torch.zeros(1, 3, 64, 64))
        read = list(maps.values()) if self.read is None else [of_several(self.read, *maps.values())]
        sizes = {found.shape[2:] for found in [*read, *([] if last is None else [last])]}
        return len(sizes) == 1


def freeze(trunk: nn.Module, constant: bool) -> None:
    """Keep a trunk as it is.

    Args:
        constant: turn its parameters into buffers, which no optimiser and no strategy sees; names stay.
    """
    trunk.requires_grad_(False).eval()
    for module in trunk.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.keeps_statistics = True  # type: ignore[assignment]
        if constant:
            for name, parameter in list(module._parameters.items()):
                if parameter is not None:
                    del module._parameters[name]
                    module.register_buffer(name, parameter.detach())
