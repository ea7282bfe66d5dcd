"""How the parts of a multimodal network stand together, whether its cells are searchable or fixed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nni.nas.nn.pytorch import LayerChoice
from torch import nn

from bioautoml_nni.architecture import Architecture
from bioautoml_nni.features.trunk_settings import WITH, TrunkSettings
from bioautoml_nni.registry import get

from .image_and_metadata import ImageEncoder, MetadataEncoder
from .paths import ALONE, PathDropout, PathFusion, Silent, Whitened
from .trunk import EMBEDDING_LABEL, STAGE_LABEL, StageReader, TrunkEncoder, TrunkPlan

if TYPE_CHECKING:
    from .multimodal import SpaceArguments


def reduction_positions(cells: int) -> set[int]:
    """Return the indices of reduction cells: at one and at two thirds of the depth.

    Example:
        >>> sorted(reduction_positions(8))
        [2, 5]
    """
    return {cells // 3, 2 * cells // 3} if cells > 1 else set()


def kind_of(index: int, reduction: bool, cell_sharing: str) -> str:
    if cell_sharing == "none":
        return f"cell{index}"
    return "reduction" if reduction else "normal"


def operation_classes(names: Sequence[str]) -> dict[str, type[nn.Module]]:
    return {name: get("operations", name).target for name in names}


def assemble(
    network: Any,
    make_cell: Callable[[int, bool, int, int], nn.Module],
    make_fusion: Callable[[int, int], nn.Module],
    make_encoder: Callable[[list[nn.Module]], TrunkEncoder],
    own: SpaceArguments,
    plan: TrunkPlan | None,
) -> None:
    """Set the parts of `network`; `make_cell` and `make_fusion` decide whether they are searchable or fixed."""
    unknown = set(own.modalities) - {"image", "metadata"}
    if unknown or not own.modalities:
        raise ValueError(f"modalities must name image, metadata or both, not {list(own.modalities)}")
    network.image_encoder = network.metadata_encoder = network.fusion = None
    features = own.metadata_features
    if "image" in own.modalities:
        network.image_encoder = _image_encoder(make_cell, make_encoder, own, plan)
        features = network.image_encoder.features
    if "metadata" in own.modalities:
        assert own.metadata is not None  # checked by the space
        network.metadata_encoder = MetadataEncoder(
            own.metadata, own.metadata_features, own.metadata_dropout, own.field_dropout
        )
    if {"image", "metadata"} <= set(own.modalities):
        if plan is None:
            network.fusion = make_fusion(features, own.metadata_features)
            features = own.fusion_features
        else:
            network.fusion, features = _path_fusion(
                plan, network.image_encoder, make_fusion, own.fusion_features, own.metadata_features
            )
    network.classifier = nn.Sequential(
        nn.Dropout(own.dropout), *_linear(features, own.num_classes, own.classifier_rank)
    )
    if plan is not None:
        encoder = network.image_encoder
        first = own.fusion_features if network.fusion is not None else encoder.width
        paths = bool(encoder.width) and encoder.features > encoder.width
        network.classifier.insert(0, PathDropout(first if paths else features, plan.settings.path_dropout))


def _image_encoder(
    make_cell: Callable[[int, bool, int, int], nn.Module],
    make_encoder: Callable[[list[nn.Module]], TrunkEncoder],
    own: SpaceArguments,
    plan: TrunkPlan | None,
) -> nn.Module:
    """Return stem and cells, each reduction twice as wide as what it gets; or the trunk with its cells."""
    width, stack = own.channels, []
    for index in range(own.cells):
        reduction = plan is None and index in reduction_positions(own.cells)
        out = 2 * width if reduction else width
        stack.append(make_cell(index, reduction, width, out))
        width = out
    return make_encoder(stack) if plan else ImageEncoder(own.channels, own.stem_stride, stack, width)


def _linear(features: int, num_classes: int, rank: int | None) -> list[nn.Module]:
    """Return the layers of a classifier; as one layer where two would not be smaller."""
    if rank is None or rank * (features + num_classes) >= features * num_classes:
        return [nn.Linear(features, num_classes)]
    return [nn.Linear(features, rank, bias=False), nn.Linear(rank, num_classes)]


def trunk_plan(
    trunk: TrunkSettings | Mapping[str, Any] | None, cells: int, modalities: Sequence[str]
) -> TrunkPlan | None:
    """Return what a space with a trunk may read; None without a trunk.

    Raises:
        ValueError: for a trunk without images, or settings that contradict each other.
    """
    if trunk is None:
        if cells < 1:
            raise ValueError("cells: 0 needs a trunk, whose features the classifier then gets")
        return None
    if "image" not in modalities:
        raise ValueError("space.trunk: reads images; add image to data.modalities, or remove the trunk")
    return _plan(TrunkSettings.model_validate(trunk).model_dump_json(), bool(cells))


@lru_cache(maxsize=8)
def _plan(settings: str, cells: bool) -> TrunkPlan:
    """Return a plan; a derivation within a budget builds many networks of one."""
    return TrunkPlan(TrunkSettings.model_validate_json(settings), cells)


def open_trunk_encoder(plan: TrunkPlan, cells: list[nn.Module], width: int) -> TrunkEncoder:
    """Return the encoder of a supernet, its trunk with the pretrained weights."""
    readers: Any = {
        name: StageReader(stages, sorted(plan.channels), plan.channels, plan.factors, width)
        for name, stages in plan.readings.items()
    }
    read = None
    if cells:
        read = LayerChoice(readers, label=STAGE_LABEL) if len(readers) > 1 else next(iter(readers.values()))
    path = _path(plan, width if cells else None, WITH in plan.embeddings)
    if path is not None and len(plan.embeddings) > 1:
        path = LayerChoice({plan.embeddings[0]: Silent(), WITH: path}, label=EMBEDDING_LABEL)
    return _trunk_encoder(plan, sorted(plan.channels), WITH in plan.embeddings, read, cells, width, path, True)


def fixed_trunk_encoder(
    plan: TrunkPlan, architecture: Architecture, cells: list[nn.Module], width: int
) -> TrunkEncoder:
    """Return the encoder of a fixed network; its trunk ends where what is read ends, and has no weights yet."""
    stages, embedding = plan.chosen(architecture)
    read = StageReader(stages, stages, plan.channels, plan.factors, width) if cells else None
    path = _path(plan, width if cells else None, embedding)
    return _trunk_encoder(plan, stages, embedding, read, cells, width, path, False)


def _path(plan: TrunkPlan, width: int | None, embedding: bool) -> nn.Module | None:
    """Return what becomes of the features that pass the cells by: the embedding, and without cells pooled stages.

    Args:
        width: of the cells beside it, None without cells.
    """
    features = _passing(plan, width is not None, embedding)
    if not features:
        return None
    alone = features if plan.settings.frozen else ALONE
    return Whitened(features, alone if width is None else width, plan.settings.embedding_dropout)


def _passing(plan: TrunkPlan, cells: bool, embedding: bool) -> int:
    return plan.features * embedding + (0 if cells else sum(plan.channels.values()))


def _trunk_encoder(
    plan: TrunkPlan,
    stages: Sequence[int],
    embedding: bool,
    read: nn.Module | None,
    cells: list[nn.Module],
    width: int,
    path: nn.Module | None,
    searched: bool,
) -> TrunkEncoder:
    frozen = plan.settings.frozen
    return TrunkEncoder(
        plan.trunk_of(stages, embedding, pretrained=searched), stages, read, cells, width, path,
        _passing(plan, bool(cells), embedding), embedding, frozen, plan.settings.frozen_stages, constant=searched,
    )  # fmt: skip


def _path_fusion(
    plan: TrunkPlan,
    encoder: TrunkEncoder,
    make_fusion: Callable[[int, int], nn.Module],
    fusion_features: int,
    metadata_features: int,
) -> tuple[nn.Module, int]:
    """Return the fusion of a network on a trunk, and the width of what it returns."""
    inner = make_fusion(encoder.width, metadata_features) if encoder.width else None
    linear = inner is None or WITH in plan.embeddings
    features = encoder.features - encoder.width + metadata_features * linear + fusion_features * (inner is not None)
    return PathFusion(encoder.width, inner, linear), features
