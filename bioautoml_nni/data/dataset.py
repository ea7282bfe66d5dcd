"""The data set of a run: images from the cache, encoded metadata and targets, fetched a batch at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler, Sampler, SequentialSampler, WeightedRandomSampler

from .image_store import Pixels
from .metadata import EncodedMetadata


class Features(Protocol):
    """Gives what a frozen trunk makes of images, by their position, in half precision.

    Attributes:
        views: augmented views beside the plain one.
    """

    @property
    def views(self) -> int: ...

    def batch(self, positions: np.ndarray, view: int = 0) -> dict[str, Tensor]:
        """Return features by name, (N, ...); view 0 is the image as it is."""
        ...


class Teaching(Protocol):
    """Gives what a batch has for a teacher."""

    def batch(self, rows: np.ndarray, view: int) -> dict[str, Tensor]:
        """Return tensors by name for rows (n,) whose features, if these are stored, are those of one view."""
        ...


class SpecimenDataset(Dataset[dict[str, Tensor]]):
    """Specimens by position in a run's manifest.

    An item is a dictionary with ``image`` (3, S, S) uint8, ``numeric`` (n,), ``categorical`` (k,), ``mask`` (f,) and
    ``target`` (); a list of positions gives the batch at once.

    Args:
        images: pixels of all N rows, or None when images are not used.
        metadata: encoded metadata of all N rows.
        targets: class index of all N rows.
        positions: rows of this part.
        teacher: gives what a batch has for a teacher, or None.
        features: of a frozen trunk for all N rows, which a batch has in place of images, or None.
        views: whether a batch may have augmented views of the features, one drawn for each batch.
    """

    def __init__(
        self,
        images: Pixels | None,
        metadata: EncodedMetadata,
        targets: np.ndarray,
        positions: np.ndarray,
        teacher: Teaching | None = None,
        features: Features | None = None,
        views: bool = False,
    ) -> None:
        self.images = images
        self.metadata = metadata
        self.targets = targets
        self.positions = positions
        self.teacher = teacher
        self.features = features
        self.views = views

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: value[0] for name, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        rows = self.positions[np.asarray(indices)]
        batch = {
            "numeric": torch.from_numpy(self.metadata.numeric[rows]),
            "categorical": torch.from_numpy(self.metadata.categorical[rows]),
            "mask": torch.from_numpy(self.metadata.mask[rows]),
            "target": torch.from_numpy(self.targets[rows]),
        }
        view = 0
        if self.features is not None:
            view = int(torch.randint(1 + self.features.views, ())) if self.views and self.features.views else 0
            batch.update(self.features.batch(rows, view))
        elif self.images is not None:
            batch["image"] = torch.from_numpy(self.images.batch(rows)).permute(0, 3, 1, 2)
        if self.teacher is not None:
            batch.update(self.teacher.batch(rows, view))
        return batch


class ShareOfBatches(Sampler[int]):
    """What one of several processes draws of every batch: each n-th specimen, in the order of a single process.

    All processes draw the whole order alike, from generators with the same seed, so that their shares of a batch
    together are the batch of a single process.

    Args:
        whole: draws the whole order.
        batch_size: of all processes together.
        rank, processes: which share of how many.
        drop_last: whether a last incomplete batch is left out, as a single process leaves it out.
    """

    def __init__(self, whole: Any, batch_size: int, rank: int, processes: int, drop_last: bool) -> None:
        self.whole = whole
        self.batch_size = batch_size
        self.rank, self.processes = rank, processes
        self.drop_last = drop_last

    @property
    def generator(self) -> Any:
        """The generator that decides the whole order, None where it is fixed."""
        return getattr(self.whole, "generator", None)

    @property
    def drawn(self) -> int:
        """How many specimens all processes draw together."""
        count = len(self.whole)
        return count - count % self.batch_size if self.drop_last else count

    def __len__(self) -> int:
        return len(range(self.rank, self.drawn, self.processes))

    def __iter__(self) -> Iterator[int]:
        return islice(iter(self.whole), self.rank, self.drawn, self.processes)


def whole_batch(batch: Any) -> Any:
    """Collate function for data sets that already return batches."""
    return batch


def end_quietly(worker: int) -> None:
    """Keep a reading process from printing a traceback when the main process, which it hands its batches to, is gone.

    The main process has said by then why it ended; torch's threads that share memory would add a broken pipe to that.

    Args:
        worker: number of the process, as torch's loader gives it.
    """
    sys.excepthook = _unless_disconnected


def _unless_disconnected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)


def make_loader(
    dataset: SpecimenDataset,
    batch_size: int,
    shuffle: bool,
    balance: float = 0.0,
    share: tuple[int, int] = (0, 1),
) -> Any:
    """Return a loader; with `shuffle` its sampler has a generator of its own, and it drops a last incomplete batch.

    Pixels from the cache are fetched in the main process, those that must be decoded in worker processes.

    Args:
        balance: with `shuffle`, specimens are drawn with replacement, each with a probability that is proportional to
            its class's size to the power of -balance: 1 makes all classes alike; 0 draws each specimen once.
        share: number of this process and of all processes that share every batch; they divide `batch_size`.
    """
    # The loader draws a number whenever it is iterated, at moments that differ after a resume. With a generator of its
    # own this disturbs neither the sampler's order nor the global generator.
    sampler: Any = SequentialSampler(dataset)
    if shuffle and balance:
        targets = dataset.targets[dataset.positions]
        weights = np.bincount(targets).astype(float)[targets] ** -balance
        sampler = WeightedRandomSampler(weights.tolist(), len(dataset), generator=torch.Generator())
    elif shuffle:
        sampler = RandomSampler(dataset, generator=torch.Generator())
    drop_last = shuffle and len(dataset) >= batch_size
    rank, processes = share
    if processes > 1:
        sampler = ShareOfBatches(sampler, batch_size, rank, processes, drop_last)
    workers = dataset.images.workers if dataset.images is not None and dataset.features is None else 0
    return DataLoader(
        dataset,
        batch_size=batch_size // processes,
        sampler=sampler,
        collate_fn=whole_batch,
        drop_last=drop_last,
        generator=torch.Generator(),
        num_workers=workers,
        worker_init_fn=end_quietly,
        persistent_workers=workers > 0,
    )
