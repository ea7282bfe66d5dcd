"""Two disjoint halves of what a loader of somebody else draws, each with that loader's own settings."""

from __future__ import annotations

import copy
import operator
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    WeightedRandomSampler,
)

from bioautoml_nni.utils.seeding import derive_seed

from .distributed import DerivedSampler, loader_like, sampler_of

WAYS_OUT = "pass loaders named weights and alpha, or choose alpha_data='shared' or 'validation'"
"""What a user can do whose loader cannot be halved."""
PATIENCE = 1000
"""Draws that a sampler may make in a row, beyond three rounds, without one of a half."""


class PickedSampler(DerivedSampler):
    """Those of some indices whose positions another sampler draws.

    Args:
        sampler: draws positions in `indices`.
        indices: of the data set.
    """

    def __init__(self, sampler: Any, indices: Sequence[int]) -> None:
        super().__init__(sampler)
        self.indices = indices

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[int]:
        return (self.indices[position] for position in self.sampler)


class HalvedSampler(DerivedSampler):
    """What another sampler draws of one half of the data, in its order and with its odds.

    The other sampler goes round until the half has its number of draws.

    Args:
        sampler: gives indices of the whole data set.
        half: indices of the half.
        length: number of draws of an epoch.
    """

    def __init__(self, sampler: Any, half: Collection[int], length: int) -> None:
        super().__init__(copy.copy(sampler))
        if isinstance(getattr(self.sampler, "generator", None), torch.Generator):
            self.sampler.generator = torch.Generator()  # of its own, to be seeded in every epoch
        self.half = frozenset(half)
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        left, in_vain = self.length, 0
        patience = PATIENCE + 3 * self.length
        while left:
            before = in_vain
            for index in self.sampler:
                if operator.index(index) not in self.half:
                    in_vain += 1
                    continue
                in_vain = before = 0
                yield index
                left -= 1
                if not left:
                    return
            if in_vain > patience or in_vain == before:
                name = type(self.sampler).__name__
                raise ValueError(f"the sampler {name} drew nothing of one half of the data in {in_vain} draws")


def disjoint_halves(loader: DataLoader, seed: int) -> tuple[DataLoader, DataLoader]:
    """Split a map-style loader's data into two disjoint random halves: (weights, architecture).

    The loader's class, data set and other settings hold for both. A sampler is obeyed: what it can draw is halved, and
    each half is drawn in its order and with its odds. A loader without one (`shuffle` true or false) draws each half in
    a new order every epoch.

    Raises:
        TypeError: if the loader's data set has no length, or its batches or indices cannot be split.
    """
    dataset: Any = loader.dataset
    if isinstance(dataset, IterableDataset) or _length(dataset) is None:
        kind = type(dataset).__name__
        raise TypeError(
            f"alpha_data='disjoint' needs a data set with a length, whose halves {kind} has not; {WAYS_OUT}"
        )
    if loader.batch_sampler is not None and type(loader.batch_sampler) is not BatchSampler:
        kind = type(loader.batch_sampler).__name__
        raise TypeError(
            f"alpha_data='disjoint' cannot halve the batches that the batch_sampler {kind} makes; {WAYS_OUT}"
        )
    weights, architecture = (loader_like(loader, half) for half in halved(sampler_of(loader), len(dataset), seed))
    for half in (weights, architecture):
        if len(half) != len(half._index_sampler):
            kind = type(loader).__name__
            raise TypeError(
                f"alpha_data='disjoint' cannot halve the loader {kind}, whose __len__ is not that of what its "
                f"sampler draws; {WAYS_OUT}"
            )
    return weights, architecture


def halved(sampler: Any, size: int, seed: int) -> tuple[Sampler[int], Sampler[int]]:
    """Return samplers of two disjoint halves of what a sampler draws of `size` specimens.

    Raises:
        TypeError: if it cannot be split; the text names the sampler.
    """
    order = torch.randperm(size, generator=torch.Generator().manual_seed(derive_seed(seed, "halves"))).tolist()
    count, name = _length(sampler), type(sampler).__name__
    if count is None:
        raise TypeError(f"alpha_data='disjoint' needs to know how much the sampler {name} draws (__len__); {WAYS_OUT}")
    if _of_all(sampler, size):
        _enough(min(size, count), name)
        middle = size // 2
        return _part(sampler, order[:middle], 0), _part(sampler, order[middle:], 1)
    drawn = _drawn(sampler, size, seed)
    shown, hidden = ([index for index in order if (index in drawn) == wanted] for wanted in (True, False))
    _enough(min(len(shown), count), name)
    lengths = (count // 2, count - count // 2)
    if len(shown) == count:  # each once, as most samplers do: exactly those of the half
        lengths = (len(shown[0::2]), len(shown[1::2]))
    if type(sampler) is WeightedRandomSampler:
        return _weighted(sampler, shown[0::2], lengths[0]), _weighted(sampler, shown[1::2], lengths[1])
    first, second = (HalvedSampler(sampler, shown[k::2] + hidden[k::2], lengths[k]) for k in range(2))
    return first, second


def _enough(count: int, name: str) -> None:
    if count < 2:
        what = "1 specimen" if count == 1 else f"{count} specimens"
        raise TypeError(f"alpha_data='disjoint': the sampler {name} draws {what}, too few for two halves; {WAYS_OUT}")


def _of_all(sampler: Any, size: int) -> bool:
    """Whether a sampler of torch's draws from all of the data alike, so that its like can draw from a half."""
    if type(sampler) in (RandomSampler, SequentialSampler):
        return _length(sampler.data_source) == size
    return type(sampler) is DistributedSampler and _length(sampler.dataset) == size


def _part(sampler: Any, half: Sequence[int], number: int) -> PickedSampler:
    """Return the like of a sampler of torch's for one of two halves."""
    if isinstance(sampler, DistributedSampler):
        positions: Any = half  # of which it asks the length alone
        given = sampler.num_replicas, sampler.rank, sampler.shuffle, sampler.seed, sampler.drop_last
        return PickedSampler(DistributedSampler(positions, *given), half)
    whole, draws = len(sampler.data_source), len(sampler)
    wanted = None if draws == whole else (draws + number) // 2
    replaces = bool(getattr(sampler, "replacement", False))
    return PickedSampler(RandomSampler(half, replaces, wanted, torch.Generator()), half)


def _weighted(sampler: WeightedRandomSampler, half: Sequence[int], length: int) -> WeightedRandomSampler:
    """Return the same odds within a half, without draws in vain."""
    weights = torch.zeros_like(sampler.weights)
    weights[list(half)] = sampler.weights[list(half)]
    length = length if sampler.replacement else min(length, len(half))
    odds: Any = weights
    return WeightedRandomSampler(odds, length, sampler.replacement, torch.Generator())


def _length(sized: Any) -> int | None:
    try:
        return len(sized)
    except (TypeError, NotImplementedError):
        return None


def _drawn(sampler: Any, size: int, seed: int) -> frozenset[int]:
    """Return what a sampler draws in one round, and may be expected to draw."""
    if isinstance(sampler, WeightedRandomSampler):
        return frozenset(index for index, weight in enumerate(sampler.weights.tolist()) if weight > 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "draw"))
        indices = list(islice(HalvedSampler(sampler, (), 0).sampler, len(sampler)))
    try:
        numbers = frozenset(map(operator.index, indices))
    except TypeError:
        numbers = frozenset({-1})
    if not all(0 <= index < size for index in numbers):
        name = type(sampler).__name__
        raise TypeError(f"alpha_data='disjoint' cannot halve what the sampler {name} draws: no indices; {WAYS_OUT}")
    return numbers
