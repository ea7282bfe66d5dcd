"""What later stages need from the prepared data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from ..architecture import Topology, topology_of
from ..artifacts.preprocessing import ImageInput
from ..audit.names import RANKS
from ..data import splits
from ..data.dataset import Features, SpecimenDataset, Teaching
from ..data.image_store import ImageStore, Pixels
from ..data.joining import read_by_id
from ..data.load import image_store
from ..data.manifest import ID, IMAGE, LABEL
from ..data.metadata import EncodedMetadata, MetadataPreprocessor
from ..features.request import FeatureRequest
from ..registry import get
from ..training.augment import FeatureTransform, ImageTransform
from ..utils.errors import DataError, RunDirectoryError
from ..utils.own_files import reading
from ..utils.remote import place
from ..utils.shard import Shard
from .directory import RunDirectory
from .places import moved, require_same_images, same_place
from .pooled_features import fill_features, pooled_features
from .taxonomy import coarser_taxa
from .trunk_features import trunk_features

NORMALISATION_REVISION = 2
"""From 2 on, a pretrained timm network sees images as it was trained; runs prepared before keep what they learned."""

NO_CLASS = -1
"""Target of specimens whose label is not a class."""


@dataclass
class PreparedData:
    """The prepared data of a run, loaded.

    Attributes:
        reads_images: whether a dataset gives the images although there are stored features.
        searching: whether stored features are those that the supernet reads, not the network that is trained.
    """

    run: RunDirectory
    table: pd.DataFrame
    part: pd.Series
    classes: list[str]
    rank: str
    image: ImageInput
    image_root: Path
    brand: str
    preprocessor: MetadataPreprocessor
    metadata: EncodedMetadata
    targets: np.ndarray
    reads_images: bool = False
    searching: bool = False

    @classmethod
    def load(cls, run: RunDirectory) -> PreparedData:
        """Read the files of stage `prepare`.

        Raises:
            RunDirectoryError: if it is not done.
            DataError: if splits.csv does not fit the manifest, id by id.
        """
        run.require("prepare")
        way_out = f"restore it; or remove it, and `bioautoml run {run.path}` repeats every stage"
        with reading(run / "manifest.parquet", way_out):
            table = pd.read_parquet(run / "manifest.parquet")
        part = read_by_id(run / "splits.csv", table[ID], way_out)["part"]
        state = run.preprocessing(way_out)
        if state.image_root is None:
            raise RunDirectoryError(f"{run / 'preprocessing.json'}: states no image_root; {way_out}.")
        preprocessor = MetadataPreprocessor.from_dict(state.metadata)
        image_root = moved(place(state.image_root), run.first_root, run.experiment.data.root)
        index = {name: position for position, name in enumerate(state.classes)}
        targets = table[LABEL].map(index).fillna(NO_CLASS).to_numpy(dtype=np.int64)
        image = state.image.model_copy(update=_own_normalisation(run, state.image))
        return cls(
            run, table, part, state.classes, state.rank, image, image_root, state.brand, preprocessor,
            preprocessor.transform(table), targets,
        )  # fmt: skip

    @property
    def uses_images(self) -> bool:
        """Whether images are among the modalities."""
        return "image" in self.run.experiment.data.modalities

    @property
    def image_size(self) -> int | None:
        """Edge of the decoded squares in pixels, None where images are not used."""
        return self.image.edge if self.uses_images else None

    @property
    def metadata_columns(self) -> list[str]:
        """Metadata columns that the network sees."""
        return list(self.preprocessor.roles) if "metadata" in self.run.experiment.data.modalities else []

    def image_store(self) -> ImageStore:
        """Return the image cache that holds this run's images."""
        return image_store(self.run.experiment, self.image_root, self.image.edge)

    @cached_property
    def pixels(self) -> Pixels | None:
        """Pixels of all specimens, from the cache; what is missing in it is decoded again, once a process.

        Raises:
            DataError: if an image that could be read before cannot be read any more.
        """
        if not self.uses_images:
            return None
        store = self.image_store()
        facts = store.verified(self.table[IMAGE].tolist())
        failed = facts[facts["failure"].notna()]
        if len(failed):
            first = failed.iloc[0]
            raise DataError(
                f"{self.image_root / first['reference']}: was readable when the data were prepared and is not now "
                f"({first['failure']}); bring it back, say where the data lie now with --set data.root=FOLDER, or "
                "start a new run."
            )
        if not same_place(self.run.first_root, self.run.experiment.data.root):
            require_same_images(facts, self.run.provenance(), self.image_root)
        return store.pixels(facts)

    def with_metadata(self, metadata: EncodedMetadata) -> PreparedData:
        """Return the same specimens with other metadata; they share what is known of the images."""
        other = dataclasses.replace(self, metadata=metadata)
        vars(other).update({"pixels": self.pixels, "features": self.features})  # where cached properties keep values
        return other

    @cached_property
    def features(self) -> Features | None:
        """What a trunk's frozen stages make of all images, which then stands in their place; None without any.

        Raises:
            DataError: if it cannot be computed or kept.
        """
        request = self._feature_request()
        if request is None:
            return None
        assert self.pixels is not None  # images are used
        digests = self.image_store().verified(self.table[IMAGE].tolist())["digest"].tolist()
        ask = pooled_features if request.pooled else trunk_features
        return ask(request, self.run.experiment, self.pixels, digests, self.image.edge, Console())

    def fill_features(self, shard: Shard) -> None:
        """Compute a share of what `features` will need, beside other processes with theirs; it takes all over.

        Raises:
            DataError: if it cannot be computed or kept.
        """
        request = self._feature_request()
        if request is None:
            return
        images = self.image_store()
        facts = images.verified(self.table[IMAGE].tolist())
        fill_features(request, self.run.experiment, images, facts, self.image.edge, shard)

    def _feature_request(self) -> FeatureRequest | None:
        """Return what stands in place of images; None if they stand for themselves."""
        own = self.run.experiment.space.arguments if self.searching else self.run.experiment.network_arguments()
        request: FeatureRequest | None = _hook(self.run, "frozen_features", own)
        unused = self.reads_images or not self.uses_images or not self.run.experiment.cache.max_gb
        return None if unused else request

    def as_images(self) -> PreparedData:
        """Return the same data, of which a dataset gives the images, not what a frozen trunk makes of them."""
        return dataclasses.replace(self, reads_images=True)

    def as_searched(self) -> PreparedData:
        """Return the same data as the supernet sees them, where `retrain.trunk` lets the final network see others."""
        return dataclasses.replace(self, searching=True)

    def dataset(self, parts: Sequence[str], teacher: Teaching | None = None, views: bool = False) -> SpecimenDataset:
        """Return the specimens of one or several parts.

        Args:
            teacher: gives what a batch has for a teacher, or None.
            views: whether stored features of a frozen trunk may be those of augmented views.
        """
        positions = np.flatnonzero(splits.mask(self.part, *parts))
        return SpecimenDataset(self.pixels, self.metadata, self.targets, positions, teacher, self.features, views)

    def mask_of(self, split: str) -> np.ndarray:
        """Whether each row belongs to a split (N,)."""
        return splits.mask(self.part, split)

    def targets_of(self, split: str) -> np.ndarray:
        """Return the class indices of a split's rows, in the order of the table."""
        return self.targets[self.mask_of(split)]

    def sizes(self) -> dict[str, int]:
        """Return the number of specimens of each split."""
        return {split: int(self.mask_of(split).sum()) for split in splits.PARTS}

    @property
    def in_training(self) -> np.ndarray:
        """Whether each row is one that the final network is trained on (N,)."""
        return splits.mask(self.part, *splits.TRAINING)

    def class_counts(self) -> list[int]:
        """Number of training specimens of each class; the prior of the loss."""
        return np.bincount(self.targets[self.in_training], minlength=len(self.classes)).tolist()

    def space_inputs(self) -> dict[str, Any]:
        """Arguments that every search space gets from the engine."""
        modalities = list(self.run.experiment.data.modalities)
        specification = self.preprocessor.specification() if "metadata" in modalities else None
        return {"num_classes": len(self.classes), "metadata": specification, "modalities": modalities}

    def search_space(self) -> Any:
        """Return the experiment's search space for this data, with everything open."""
        section = self.run.experiment.space
        return get("search_spaces", section.name).target(**self.space_inputs(), **section.arguments)

    def topology(self, trained: bool = False) -> Topology:
        """Return what the experiment's search space leaves open for this data; nothing of it is built.

        Args:
            trained: with the arguments of the network that is trained, not with those of the search.
        """
        experiment = self.run.experiment
        own = experiment.network_arguments() if trained else experiment.space.arguments
        return topology_of(get("search_spaces", experiment.space.name).target, {**self.space_inputs(), **own})

    def taxa(self) -> dict[str, list[str]]:
        """Return the taxon of every class by coarser rank, as the training split states them."""
        return coarser_taxa(self.table[self.in_training], self.classes, self.rank)

    def loss(self) -> Any:
        """Return the configured loss.

        Raises:
            DataError: if it learns from coarser ranks and the table states none.
        """
        section = self.run.experiment.loss
        loss = get("losses", section.name).target(self.class_counts(), **section.arguments)
        if "taxonomy" in getattr(loss, "capabilities", ()):
            taxa = self.taxa()
            if not taxa:
                raise DataError(
                    f"loss: {section.name}: no column states a rank above the label for every class (genus, family, "
                    "order, ...); give them the role taxonomy under data.columns, or choose another loss."
                )
            loss.set_taxonomy({rank: taxa[rank] for rank in reversed(RANKS) if rank in taxa})
        return loss

    @property
    def supernet_image_size(self) -> int | None:
        """Edge of the images at the end of the search, None where it is that of the decoded ones."""
        settings = self.run.experiment.search
        return settings.image_size_at(settings.epochs - 1)

    def image_transform(self, augmentation: Any, size: int | None = None) -> ImageTransform | FeatureTransform | None:
        """Return normalisation and augmentation, to another size if one is given, or None without images."""
        if not self.uses_images:
            return None
        if self.features is not None:
            return FeatureTransform(augmentation, turns=not self.features.views)
        transform = ImageTransform(*self.image.normalisation, augmentation)
        transform.size = size
        return transform


def _hook(run: RunDirectory, name: str, arguments: Mapping[str, Any] | None = None) -> Any:
    """Return what a space says of arguments, its own by default, by an optional function; None if it has none."""
    section = run.experiment.space
    function = getattr(get("search_spaces", section.name).target, name, None)
    return None if function is None else function(**(section.arguments if arguments is None else arguments))


def _own_normalisation(run: RunDirectory, image: ImageInput) -> dict[str, Any]:
    """Return mean and standard deviation of the pixels that the space's encoder was trained with, if it has one."""
    since = getattr(get("search_spaces", run.experiment.space.name).target, "normalises_since", 1)
    if image.revision < since:
        return {}
    found = _hook(run, "image_normalisation") if "image" in run.experiment.data.modalities else None
    return {} if found is None else {"mean": list(found[0]), "std": list(found[1])}
