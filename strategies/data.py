"""The data of an alternating search: which batches train architecture parameters, which train weights."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any, Literal, NamedTuple

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    WeightedRandomSampler,
)

from bioautoml_nni.utils.seeding import derive_seed

from .distributed import loader_like, shard, world_size


class SearchBatch(NamedTuple):
    """What one training step gets: a batch for the architecture, one for the weights, or both."""

    alpha: Any | None
    weights: Any | None


class SearchLoader:
    """Joins the batches of both groups, in the form that the schedule asks for.

    An epoch is one pass over the weight batches and ends with one, because epoch-wise schedulers advance on the
    last batch. The architecture loader starts again when it is exhausted before. Every epoch's order depends on the
    seed and the epoch's number only. Where several processes search together, each takes its share of every batch of
    the common order: W processes with batches of N see together what one process with batches of W * N sees.

    Args:
        weights: sized, re-iterable loader for the weights.
        architecture: the same for the architecture parameters. If it is the same object, one loader is shared:
            its batches are used in turn, as the paper (arXiv 2510.05888) can also be read.
        seed: of the epoch-wise shuffling.
        form: "alternate" yields architecture batches at odd positions (the 1st, 3rd, ...) and weight batches at even
            ones; "pairs" yields both at once; "same" yields weight batches alone, meant for both groups.
    """

    def __init__(
        self, weights: Any, architecture: Any, seed: int, form: Literal["alternate", "pairs", "same"] = "alternate"
    ) -> None:
        self._whole = weights, architecture
        self._shares: tuple[Any, Any] | None = None
        self.seed = seed
        self.form = form
        self.epoch = 0
        if _length(weights) is not None and len(self) == 0:
            raise ValueError("the search has no batch of weights data; lower the batch size or give it more data")
        if _length(architecture) == 0:
            raise ValueError("the search has no batch of architecture data; lower the batch size or give it more data")

    @property
    def weights(self) -> Any:
        """The loader of weight batches, this process's share of it where there are several."""
        return self._loaders()[0]

    @property
    def architecture(self) -> Any:
        """The loader of architecture batches, this process's share of it where there are several."""
        return self._loaders()[1]

    def _loaders(self) -> tuple[Any, Any]:
        if world_size() == 1:
            return self._whole
        if self._shares is None:
            weights, architecture = self._whole
            share = shard(weights)
            self._shares = share, share if architecture is weights else shard(architecture)
        return self._shares

    @property
    def shared(self) -> bool:
        """Whether one loader serves both groups in turn."""
        return self.weights is self.architecture

    def set_epoch(self, epoch: int) -> None:
        """Fix the order of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of batches of an epoch.

        Raises:
            TypeError: if the weights' data are iterable only; an epoch then ends with them.
        """
        pairs = len(self.weights) // 2 if self.shared and self.form != "same" else len(self.weights)
        return 2 * pairs if self.form == "alternate" else pairs

    def __iter__(self) -> Iterator[SearchBatch]:
        if self.form == "same":
            self._reseed(self.weights, "weights")
            yield from (SearchBatch(None, batch) for batch in self.weights)
            return
        for alpha, weights in self._shared_pairs() if self.shared else self._pairs():
            if self.form == "pairs":
                yield SearchBatch(alpha, weights)
            else:
                yield SearchBatch(alpha, None)
                yield SearchBatch(None, weights)

    def _shared_pairs(self) -> Iterator[tuple[Any, Any]]:
        self._reseed(self.weights, "shared")
        batches = iter(self.weights)
        for alpha in batches:
            weights = next(batches, None)
            if weights is None:
                return
            yield alpha, weights

    def _pairs(self) -> Iterator[tuple[Any, Any]]:
        self._reseed(self.weights, "weights")
        self._reseed(self.architecture, "architecture")
        architecture = iter(self.architecture)
        for batch in self.weights:
            alpha_batch = next(architecture, None)
            if alpha_batch is None:
                architecture = iter(self.architecture)
                alpha_batch = next(architecture, None)
            if alpha_batch is None:
                raise ValueError("the search has no batch of architecture data")
            yield alpha_batch, batch

    def _reseed(self, loader: Any, role: str) -> None:
        batches = getattr(loader, "batch_sampler", None)
        for owner in (loader, getattr(loader, "sampler", None), batches, getattr(batches, "sampler", None)):
            generator = getattr(owner, "generator", None)
            if isinstance(generator, torch.Generator):
                generator.manual_seed(derive_seed(self.seed, role, self.epoch))


def _length(loader: Any) -> int | None:
    """Return the number of batches of a loader, or None if it does not know."""
    try:
        return len(loader)
    except TypeError:
        return None


class HalvedSampler(Sampler[int]):
    """What another sampler draws of one half of the data, in its order and with its odds.

    The other sampler goes round until the half has its number of draws.

    Args:
        sampler: gives indices of the whole data set.
        half: indices of the half.
        length: number of draws of an epoch.
    """

    def __init__(self, sampler: Any, half: Collection[int], length: int) -> None:
        self.sampler = copy.copy(sampler)
        if hasattr(self.sampler, "generator"):
            self.sampler.generator = torch.Generator()  # of its own, to be seeded in every epoch
        self.half = frozenset(half)
        self.length = length

    @property
    def generator(self) -> torch.Generator | None:
        """The other sampler's generator, which decides this one's order too."""
        return getattr(self.sampler, "generator", None)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        left, last = self.length, -1
        while left and left != last:
            last = left
            for index in self.sampler:
                if index in self.half:
                    yield index
                    left -= 1
                    if not left:
                        return
        if left:
            name = type(self.sampler).__name__
            raise ValueError(f"the sampler {name} drew nothing of one half of the data in a whole round")


def disjoint_halves(loader: DataLoader, seed: int) -> tuple[DataLoader, DataLoader]:
    """Split a map-style loader's data into two disjoint random halves: (weights, architecture).

    The loader's other settings hold for both. A sampler is obeyed: what it can draw is halved, and each half is drawn
    in its order and with its odds. A loader without one (`shuffle` true or false) draws each half in a new order every
    epoch.

    Raises:
        TypeError: if the loader's data set has no length, or its batches or indices cannot be split.
    """
    dataset: Any = loader.dataset
    ways_out = "pass loaders named weights and alpha, or choose alpha_data='shared' or 'validation'"
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        kind = type(dataset).__name__
        raise TypeError(
            f"alpha_data='disjoint' needs a data set with a length, whose halves {kind} has not; {ways_out}"
        )
    batches: Any = loader.batch_sampler
    if batches is not None and type(batches) is not BatchSampler:
        kind = type(batches).__name__
        raise TypeError(
            f"alpha_data='disjoint' cannot halve the batches that the batch_sampler {kind} makes; {ways_out}"
        )
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(derive_seed(seed, "halves"))).tolist()
    sampler: Any = loader.sampler if batches is None else batches.sampler
    if type(sampler) in (RandomSampler, SequentialSampler) and len(sampler) == len(dataset) and not _replaces(sampler):
        middle = len(order) // 2
        halves = [Subset(dataset, order[:middle]), Subset(dataset, order[middle:])]
        weights, architecture = (
            loader_like(loader, half, RandomSampler(half, generator=torch.Generator())) for half in halves
        )
        return weights, architecture
    drawn = _drawn(sampler, len(dataset), ways_out, seed)
    shown, hidden = ([index for index in order if (index in drawn) == wanted] for wanted in (True, False))
    first, second = (shown[k::2] + hidden[k::2] for k in range(2))
    if len(shown) < 2:
        raise TypeError(f"the sampler {type(sampler).__name__} draws {len(shown)} specimens, too few for two halves")
    count = len(sampler)
    lengths = (count // 2, count - count // 2)
    if len(shown) == count:  # each once, as most samplers do: exactly those of the half
        lengths = (len(shown[0::2]), len(shown[1::2]))
    weights, architecture = (
        loader_like(loader, dataset, HalvedSampler(sampler, half, length))
        for half, length in zip((first, second), lengths, strict=True)
    )
    return weights, architecture


def _replaces(sampler: Any) -> bool:
    return bool(getattr(sampler, "replacement", False))


def _drawn(sampler: Any, size: int, ways_out: str, seed: int) -> frozenset[int]:
    """Return what a sampler draws in one round, and may be expected to draw."""
    name = type(sampler).__name__
    if not hasattr(sampler, "__len__"):
        raise TypeError(f"alpha_data='disjoint' needs to know how much the sampler {name} draws (__len__); {ways_out}")
    if isinstance(sampler, WeightedRandomSampler):
        return frozenset(index for index, weight in enumerate(sampler.weights.tolist()) if weight > 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "draw"))
        indices = list(islice(HalvedSampler(sampler, (), 0).sampler, len(sampler)))
    if not all(isinstance(index, int) and 0 <= index < size for index in indices):
        raise TypeError(f"alpha_data='disjoint' cannot halve what the sampler {name} draws: no indices; {ways_out}")
    return frozenset(indices)
