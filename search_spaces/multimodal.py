"""The multimodal model space: image encoder of stacked cells, metadata encoder, fusion, classifier.

What the paper (arXiv 2510.05888) leaves open and what stands here instead: reduction cells at one and two thirds of
the depth, each doubling the width; the number of cells and the width are arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from torch import Tensor, nn

from bioautoml_nni.architecture import Architecture, CellTopology, Topology
from bioautoml_nni.architecture.schema import TrunkRecord
from bioautoml_nni.features.encoder import Encoder, load_encoder
from bioautoml_nni.features.request import FeatureRequest
from bioautoml_nni.features.trunk_settings import WITH, TrunkSettings, reading_name
from bioautoml_nni.registry import get, usable
from bioautoml_nni.utils.numbers import Count, Rate, Share, WholeNumber
from bioautoml_nni.utils.signatures import constructor_values

from .assembly import (
    assemble,
    fixed_trunk_encoder,
    kind_of,
    open_trunk_encoder,
    operation_classes,
    reduction_positions,
    trunk_plan,
)
from .cell import FixedCell, SearchCell, cell_topology
from .forward import MultimodalForward
from .image_and_metadata import ImageEncoder
from .inheritance import inherited_state
from .trunk import EMBEDDING_LABEL, STAGE_LABEL, TrunkEncoder, TrunkPlan

FUSION_LABEL = "fusion"


@dataclass(frozen=True)
class SpaceArguments:
    """The arguments of a `MultimodalSpace`, whose constructor has their meaning and their defaults.

    The constructor itself keeps plain parameters: NNI records them, `utils/declared.py` reads names, types and defaults
    from the source, and architecture.json holds them by name.
    """

    num_classes: int
    metadata: dict[str, Any] | None
    modalities: Sequence[str]
    channels: int
    cells: int
    nodes: int
    inputs_per_node: int
    cell_sharing: str
    stem_stride: int
    operations: list[str] | None
    fusions: list[str] | None
    metadata_features: int
    fusion_features: int
    dropout: float
    metadata_dropout: float
    field_dropout: float
    node_inputs: Literal["multiple", "sets"]
    trunk: TrunkSettings | None
    classifier_rank: int | None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> SpaceArguments:
        """Return arguments with the space's defaults filled in."""
        return cls(**constructor_values(MultimodalSpace, arguments))

    @property
    def candidates(self) -> list[str]:
        """Names of the candidate operations."""
        return self.operations or list(usable("operations"))

    def topology(self) -> Topology:
        """Return what the space leaves open."""
        return MultimodalSpace.topology(
            self.modalities, self.cells, self.nodes, self.inputs_per_node, self.cell_sharing, self.operations,
            self.fusions, self.trunk,
        )  # fmt: skip

    def open_fusion(self, image: int, meta: int) -> nn.Module:
        """Return the choice among the candidate fusions of image features and a metadata embedding."""
        names = self.fusions or list(usable("fusions"))
        candidates = {name: get("fusions", name).target(image, meta, self.fusion_features) for name in names}
        return LayerChoice(candidates, label=FUSION_LABEL)

    def plan(self) -> TrunkPlan | None:
        """Return what the space's trunk may be read at, None without a trunk."""
        return trunk_plan(self.trunk, self.cells, self.modalities)


_NAMES = frozenset(field.name for field in fields(SpaceArguments))


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
        trunk: a pretrained encoder whose first stages stand in place of stem and early cells; see `TrunkSettings`.
            Its cells all keep their map's size and width; without cells (`cells: 0`) its pooled features go
            straight into the classifier.
        node_inputs: how the inputs of a node are declared to NNI. "multiple" is a choice of several; "sets" one choice
            from all sets of as many, such as 0+2, for NNI's strategies ENAS, TPE and PolicyBasedRL, which stop at
            choices of several.
        classifier_rank: of the classifier's matrix: two linear layers with so many features between them in place of
            one, which saves parameters where there are thousands of classes. None is one full layer.

    Raises:
        ValueError: for arguments that contradict each other.

    Example:
        >>> import torch
        >>> space = MultimodalSpace(num_classes=3, modalities=["image"], channels=4, cells=2, nodes=2)
        >>> network = space.random()  # one of its architectures
        >>> network(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 3])
    """

    capabilities = ("auxiliary", "drop_path")

    def __init__(
        self,
        num_classes: int,
        metadata: dict[str, Any] | None = None,
        modalities: Sequence[Literal["image", "metadata"]] = ("image", "metadata"),
        channels: Count = 16,
        cells: WholeNumber = 6,
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
        trunk: TrunkSettings | None = None,
        classifier_rank: Count | None = None,
    ) -> None:
        own = SpaceArguments(**{name: value for name, value in locals().items() if name in _NAMES})
        super().__init__()
        if "metadata" in modalities and metadata is None:
            raise ValueError("modalities name 'metadata', but no metadata specification is given")
        classes = operation_classes(own.candidates)
        plan, whole = own.plan(), own.topology()

        def make_cell(index: int, reduction: bool, width: int, out: int) -> nn.Module:
            cell = whole.cells[kind_of(index, reduction, cell_sharing)]
            return SearchCell(cell, width, out, 2 if reduction else 1, classes, node_inputs)

        def make_encoder(stack: list[nn.Module]) -> TrunkEncoder:
            assert plan is not None
            return open_trunk_encoder(plan, stack, channels)

        assemble(self, make_cell, own.open_fusion, make_encoder, own, plan)

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
        trunk: TrunkSettings | Mapping[str, Any] | None = None,
    ) -> Topology:
        """Return what a space with these constructor arguments leaves open; `topology_of` asks."""
        names, fusion_names = operations or list(usable("operations")), fusions or list(usable("fusions"))
        kinds: dict[str, CellTopology] = {}
        if "image" in modalities:
            for index in range(cells):
                kind = kind_of(index, trunk is None and index in reduction_positions(cells), cell_sharing)
                kinds[kind] = cell_topology(kind, nodes, inputs_per_node)
        choices = {FUSION_LABEL: tuple(fusion_names)} if {"image", "metadata"} <= set(modalities) else {}
        if trunk is not None:
            settings = TrunkSettings.model_validate(trunk)
            readings = tuple(map(reading_name, settings.readings))
            choices = choices if cells else {}
            choices |= {STAGE_LABEL: readings} if len(readings) > 1 else {}
            choices |= {EMBEDDING_LABEL: settings.embeddings} if len(settings.embeddings) > 1 else {}
        zeros = [name for name in names if "zero" in get("operations", name).capabilities]
        return Topology(kinds, tuple(names), zeros[0] if zeros else None, choices)

    @staticmethod
    def image_normalisation(**arguments: Any) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Return mean and standard deviation of the pixels that the trunk was trained with; None without a trunk."""
        if arguments.get("trunk") is None:
            return None
        encoder = load_encoder(TrunkSettings.model_validate(arguments["trunk"]).encoder, "space.trunk.encoder")
        return encoder.mean, encoder.std

    @staticmethod
    def native_size(**arguments: Any) -> int | None:
        """Return the edge in pixels of the images that the trunk was trained with; None without a trunk."""
        if arguments.get("trunk") is None:
            return None
        return load_encoder(TrunkSettings.model_validate(arguments["trunk"]).encoder, "space.trunk.encoder").image_size

    @staticmethod
    def frozen_features(**arguments: Any) -> FeatureRequest | None:
        """Return what a frozen trunk is asked for, whatever the search decides; None where none is frozen."""
        plan = trunk_plan(arguments.get("trunk"), arguments.get("cells", 6), ("image",))
        if plan is None or not plan.settings.stores_features:
            return None
        kept = plan.settings.frozen_stages
        if kept is not None:
            stages = tuple(sorted({kept, *(stage for stage in plan.channels if stage < kept)}))
            return FeatureRequest(plan.encoder, stages, embedding=False, views=plan.settings.views)
        return FeatureRequest(plan.encoder, tuple(sorted(plan.channels)), WITH in plan.embeddings, plan.settings.views)

    @staticmethod
    def pretrained_encoders(**arguments: Any) -> list[Encoder]:
        """Return the encoder whose weights the trunk starts from; none without a trunk."""
        plan = trunk_plan(arguments.get("trunk"), arguments.get("cells", 6), arguments.get("modalities", ("image",)))
        return [] if plan is None else [plan.encoder]

    @staticmethod
    def trunk_record(architecture: Architecture, **arguments: Any) -> TrunkRecord | None:
        """Return what an architecture file says of the trunk; None without one."""
        plan = trunk_plan(arguments.get("trunk"), arguments.get("cells", 6), ("image",))
        if plan is None:
            return None
        stages, embedding = plan.chosen(architecture)
        encoder = plan.encoder
        return TrunkRecord(
            encoder=plan.settings.encoder, stages=stages, embedding=embedding, frozen=plan.settings.frozen,
            weights=encoder.weights_digest, licence=encoder.licence, origin=encoder.origin,
        )  # fmt: skip

    @staticmethod
    def build(architecture: Architecture, **arguments: Any) -> FixedNetwork:
        """Return the network of `architecture`, freshly initialised.

        Args:
            arguments: constructor arguments of the space; `cells` and `channels` may differ from the search's.
        """
        return FixedNetwork(architecture, SpaceArguments.of(arguments))

    @staticmethod
    def load_pretrained(network: FixedNetwork) -> None:
        """Give the trunk of a fresh network, if there is one, its pretrained weights.

        Raises:
            EncoderError: if they cannot be had.
        """
        network.load_pretrained()

    @staticmethod
    def inherit(network: FixedNetwork, supernet_state: Mapping[str, Tensor]) -> list[str]:
        """Copy a supernet's weights into `network` by name; return the names that found no match."""
        state, missing = inherited_state(network, supernet_state)
        network.load_state_dict(state, strict=False)
        return missing


class FixedNetwork(MultimodalForward):
    """An ordinary network made from an architecture; it holds nothing of the alternatives.

    Args:
        own: the arguments of its space, of which `node_inputs` counts in the search alone.

    Raises:
        ArchitectureError: if the architecture does not fit the space.
    """

    def __init__(self, architecture: Architecture, own: SpaceArguments) -> None:
        super().__init__()
        plan = own.plan()
        architecture.check(own.topology())
        classes = operation_classes(own.candidates)
        self.architecture = architecture
        self.trunk_reference = "" if plan is None else plan.settings.encoder

        def make_cell(index: int, reduction: bool, width: int, out: int) -> nn.Module:
            cell = architecture.cells[kind_of(index, reduction, own.cell_sharing)]
            return FixedCell(cell, width, out, 2 if reduction else 1, classes)

        def make_fusion(image: int, meta: int) -> nn.Module:
            return get("fusions", architecture.choices[FUSION_LABEL].choice).target(image, meta, own.fusion_features)

        def make_encoder(stack: list[nn.Module]) -> TrunkEncoder:
            assert plan is not None
            return fixed_trunk_encoder(plan, architecture, stack, own.channels)

        assemble(self, make_cell, make_fusion, make_encoder, own, plan)

    def load_pretrained(self) -> None:
        """Give the trunk the weights that its encoder has; nothing without a trunk.

        Raises:
            EncoderError: if they cannot be had.
        """
        if isinstance(self.image_encoder, TrunkEncoder):
            load_encoder(self.trunk_reference, "space.trunk.encoder").load(self.image_encoder.trunk)

    def set_drop_path(self, rate: float) -> None:
        """Set the probability with which a training specimen goes without an edge; see `FixedCell`."""
        for module in self.modules():
            if isinstance(module, FixedCell):
                module.drop_path = rate

    def auxiliary_source(self) -> tuple[nn.Module, int]:
        """Return the cell at two thirds of the depth and its width: where an auxiliary classifier is put."""
        assert isinstance(self.image_encoder, ImageEncoder | TrunkEncoder)  # the configuration asks for images
        cell = self.image_encoder.cells[2 * len(self.image_encoder.cells) // 3]
        assert isinstance(cell, FixedCell)
        return cell, cell.out_channels
