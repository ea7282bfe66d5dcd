"""The multimodal model space: image encoder of stacked cells, metadata encoder, fusion, classifier.

What the paper (arXiv 2510.05888) leaves open and what stands here instead: reduction cells at one and two thirds of
the depth, each doubling the width; the number of cells and the width are arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from torch import Tensor, nn

from bioautoml_nni.architecture import Architecture, CellTopology, Topology
from bioautoml_nni.registry import get, usable
from bioautoml_nni.utils.numbers import Count, Rate, Share

from .cell import FixedCell, SearchCell, cell_topology
from .encoders import ImageEncoder, MetadataEncoder
from .forward import MultimodalForward
from .inheritance import inherited_state

FUSION_LABEL = "fusion"


class MultimodalSpace(ModelSpace, MultimodalForward):
    """Searchable image cells and a searchable fusion with specimen metadata.

    Args:
        num_classes: number of classes.
        metadata: what the metadata encoder gets (see `MetadataEncoder`), or None without metadata.
        modalities: "image", "metadata" or both.
        channels: width after the stem; every reduction cell doubles it.
        cells: number of cells.
        nodes: intermediate nodes of a cell.
        inputs_per_node: most inputs that a node keeps.
        cell_sharing: "kind" shares decisions among all normal and among all reduction cells, "none" lets every
            cell decide for itself.
        stem_stride: 1 or 2.
        operations: names of the candidate operations, all registered ones by default.
        fusions: names of the candidate fusions, all registered ones by default.
        metadata_features: width of the metadata embedding.
        fusion_features: width of the joint embedding.
        dropout: dropout before the classifier.
        metadata_dropout: share of training specimens whose metadata is hidden.
        field_dropout: share of single metadata fields that are hidden in training.
        node_inputs: how the inputs of a node are declared to NNI. "multiple" is a choice of several; "sets" one choice
            from all sets of as many, such as 0+2, for NNI's strategies ENAS, TPE and PolicyBasedRL, which stop at
            choices of several.

    Raises:
        ValueError: for arguments that contradict each other.
    """

    capabilities = ("auxiliary", "drop_path", "image", "metadata", "multi_trial", "one_shot")

    def __init__(
        self,
        num_classes: int,
        metadata: dict[str, Any] | None = None,
        modalities: Sequence[Literal["image", "metadata"]] = ("image", "metadata"),
        channels: Count = 16,
        cells: Count = 6,
        nodes: Count = 2,
        inputs_per_node: Count = 2,
        cell_sharing: Literal["kind", "none"] = "kind",
        stem_stride: Literal[1, 2] = 2,
        operations: list[str] | None = None,
        fusions: list[str] | None = None,
        metadata_features: Count = 32,
        fusion_features: Count = 128,
        dropout: Rate = 0.1,
        metadata_dropout: Share = 0.1,
        field_dropout: Share = 0.05,
        node_inputs: Literal["multiple", "sets"] = "multiple",
    ) -> None:
        super().__init__()
        if "metadata" in modalities and metadata is None:
            raise ValueError("modalities name 'metadata', but no metadata specification is given")
        names = operations or list(usable("operations"))
        fusion_names = fusions or list(usable("fusions"))
        classes = _operation_classes(names)
        whole = MultimodalSpace.topology(modalities, cells, nodes, inputs_per_node, cell_sharing, names, fusion_names)
        kinds = whole.cells

        def make_cell(index: int, reduction: bool, width: int, out: int) -> nn.Module:
            cell = kinds[_kind(index, reduction, cell_sharing)]
            return SearchCell(cell, width, out, 2 if reduction else 1, classes, node_inputs)

        def make_fusion(image: int, meta: int) -> nn.Module:
            candidates = {name: get("fusions", name).target(image, meta, fusion_features) for name in fusion_names}
            return LayerChoice(candidates, label=FUSION_LABEL)

        _assemble(
            self, make_cell, make_fusion, num_classes, metadata, modalities, channels, cells, stem_stride,
            metadata_features, fusion_features, dropout, metadata_dropout, field_dropout,
        )  # fmt: skip

    @classmethod
    def topology(
        cls,
        modalities: Sequence[str],
        cells: int,
        nodes: int,
        inputs_per_node: int,
        cell_sharing: str,
        operations: list[str] | None,
        fusions: list[str] | None,
    ) -> Topology:
        """Return what a space with these constructor arguments leaves open; `topology_of` asks."""
        names, fusion_names = operations or list(usable("operations")), fusions or list(usable("fusions"))
        kinds: dict[str, CellTopology] = {}
        if "image" in modalities:
            for index in range(cells):
                kind = _kind(index, index in reduction_positions(cells), cell_sharing)
                kinds[kind] = cell_topology(kind, nodes, inputs_per_node)
        choices = {FUSION_LABEL: tuple(fusion_names)} if {"image", "metadata"} <= set(modalities) else {}
        zeros = [name for name in names if "zero" in get("operations", name).capabilities]
        return Topology(kinds, tuple(names), zeros[0] if zeros else None, choices)

    @staticmethod
    def build(architecture: Architecture, **arguments: Any) -> FixedNetwork:
        """Return the network of `architecture`, freshly initialised.

        Args:
            arguments: constructor arguments of the space; `cells` and `channels` may differ from the search's.
        """
        return FixedNetwork(architecture, **arguments)

    @staticmethod
    def inherit(network: FixedNetwork, supernet_state: Mapping[str, Tensor]) -> list[str]:
        """Copy a supernet's weights into `network` by name; return the names that found no match."""
        state, missing = inherited_state(network, supernet_state)
        network.load_state_dict(state, strict=False)
        return missing


class FixedNetwork(MultimodalForward):
    """An ordinary network made from an architecture; it holds nothing of the alternatives.

    Takes the arguments of `MultimodalSpace` after the architecture.

    Raises:
        ArchitectureError: if the architecture does not fit the space.
    """

    def __init__(
        self,
        architecture: Architecture,
        num_classes: int,
        metadata: dict[str, Any] | None = None,
        modalities: Sequence[Literal["image", "metadata"]] = ("image", "metadata"),
        channels: int = 16,
        cells: int = 6,
        nodes: int = 2,
        inputs_per_node: int = 2,
        cell_sharing: Literal["kind", "none"] = "kind",
        stem_stride: int = 2,
        operations: list[str] | None = None,
        fusions: list[str] | None = None,
        metadata_features: int = 32,
        fusion_features: int = 128,
        dropout: float = 0.1,
        metadata_dropout: float = 0.1,
        field_dropout: float = 0.05,
        node_inputs: Literal["multiple", "sets"] = "multiple",  # of the search alone
    ) -> None:
        super().__init__()
        names = operations or list(usable("operations"))
        fusion_names = fusions or list(usable("fusions"))
        architecture.check(
            MultimodalSpace.topology(modalities, cells, nodes, inputs_per_node, cell_sharing, names, fusion_names)
        )
        classes = _operation_classes(names)
        self.architecture = architecture

        def make_cell(index: int, reduction: bool, width: int, out: int) -> nn.Module:
            cell = architecture.cells[_kind(index, reduction, cell_sharing)]
            return FixedCell(cell, width, out, 2 if reduction else 1, classes)

        def make_fusion(image: int, meta: int) -> nn.Module:
            return get("fusions", architecture.choices[FUSION_LABEL].choice).target(image, meta, fusion_features)

        _assemble(
            self, make_cell, make_fusion, num_classes, metadata, modalities, channels, cells, stem_stride,
            metadata_features, fusion_features, dropout, metadata_dropout, field_dropout,
        )  # fmt: skip

    def set_drop_path(self, rate: float) -> None:
        """Set the probability with which a training specimen goes without an edge; see `FixedCell`."""
        for module in self.modules():
            if isinstance(module, FixedCell):
                module.drop_path = rate

    def auxiliary_source(self) -> tuple[nn.Module, int]:
        """Return the cell at two thirds of the depth and its width: where an auxiliary classifier is put."""
        assert isinstance(self.image_encoder, ImageEncoder)  # the configuration asks for images
        cell = self.image_encoder.cells[2 * len(self.image_encoder.cells) // 3]
        assert isinstance(cell, FixedCell)
        return cell, cell.out_channels


def reduction_positions(cells: int) -> set[int]:
    """Return the indices of reduction cells: at one and at two thirds of the depth."""
    return {cells // 3, 2 * cells // 3} if cells > 1 else set()


def _kind(index: int, reduction: bool, cell_sharing: str) -> str:
    if cell_sharing == "none":
        return f"cell{index}"
    return "reduction" if reduction else "normal"


def _operation_classes(names: Sequence[str]) -> dict[str, type[nn.Module]]:
    return {name: get("operations", name).target for name in names}


def _assemble(
    network: Any,
    make_cell: Any,
    make_fusion: Any,
    num_classes: int,
    metadata: Mapping[str, Any] | None,
    modalities: Sequence[str],
    channels: int,
    cells: int,
    stem_stride: int,
    metadata_features: int,
    fusion_features: int,
    dropout: float,
    metadata_dropout: float,
    field_dropout: float,
) -> None:
    """Set the parts of `network`; `make_cell` and `make_fusion` decide whether they are searchable or fixed."""
    unknown = set(modalities) - {"image", "metadata"}
    if unknown or not modalities:
        raise ValueError(f"modalities must name image, metadata or both, not {list(modalities)}")
    network.image_encoder = network.metadata_encoder = network.fusion = None
    features = metadata_features
    if "image" in modalities:
        width, stack = channels, []
        for index in range(cells):
            reduction = index in reduction_positions(cells)
            out = 2 * width if reduction else width
            stack.append(make_cell(index, reduction, width, out))
            width = out
        network.image_encoder = ImageEncoder(channels, stem_stride, stack, width)
        features = width
    if "metadata" in modalities:
        assert metadata is not None  # checked by the space
        network.metadata_encoder = MetadataEncoder(metadata, metadata_features, metadata_dropout, field_dropout)
    if {"image", "metadata"} <= set(modalities):
        network.fusion = make_fusion(features, metadata_features)
        features = fusion_features
    network.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, num_classes))
