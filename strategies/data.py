"""The data of an alternating search: which batches train architecture parameters, which train weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch.utils.data import DataLoader

from bioautoml_nni.utils.seeding import derive_seed

from .distributed import shard, world_size

EMPTY = "the search has no batch of {} data; lower the batch size or give it more data"


class SearchBatch(NamedTuple):
    """What one training step gets: a batch for the architecture, one for the weights, or both."""

    alpha: Any | None
    weights: Any | None


class SearchLoader:
    """Joins the batches of both groups, in the form that the schedule asks for.

    An epoch is one pass over the weight batches and ends with one, because epoch-wise schedulers advance on the
    last batch. The architecture loader starts again when it is exhausted before. Every epoch's order depends on the
    seed and the epoch's number only: generators of loaders and samplers are reseeded in every epoch, and what has a
    `set_epoch` is told its number. Where several processes search together, each takes its share of every batch of
    the common order: W processes with batches of N see together what one process with batches of W * N sees.

    Args:
        weights: sized, re-iterable loader for the weights.
        architecture: the same for the architecture parameters. If it is the same object, one loader is shared:
            its batches are used in turn, as the paper (arXiv 2510.05888) can also be read. Of an odd number the last
            one trains weights where the form is "alternate", and is left out of "pairs".
        seed: of the epoch-wise shuffling.
        form: "alternate" yields architecture batches at odd positions (the 1st, 3rd, ...) and weight batches at even
            ones; "pairs" yields both at once; "same" yields weight batches alone, meant for both groups.
    """

    def __init__(
        self, weights: Any, architecture: Any, seed: int, form: Literal["alternate", "pairs", "same"] = "alternate"
    ) -> None:
        self._whole = weights, architecture
        self._shares: tuple[Any, Any] | None = None
        self._in_turn = architecture is weights and form != "same"
        self.seed = seed
        self.form = form
        self.epoch = 0
        if _length(weights) is not None and len(self) == 0:
            raise ValueError(EMPTY.format("weights"))
        if _length(architecture) == (1 if self._in_turn else 0):
            raise ValueError(EMPTY.format("architecture"))

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
        owners = {id(owner): owner for loader in self._loaders() for owner in _owners(loader)}
        for owner in owners.values():
            if callable(getattr(owner, "set_epoch", None)):
                owner.set_epoch(epoch)

    def __len__(self) -> int:
        """Return the number of batches of an epoch.

        Raises:
            TypeError: if the weights' data are iterable only; an epoch then ends with them.
        """
        batches = len(self.weights)
        if self.form == "alternate":
            return batches if self.shared else 2 * batches
        return batches // 2 if self.shared and self.form == "pairs" else batches

    def __iter__(self) -> Iterator[SearchBatch]:
        found = 0
        for batch in self._batches():
            found += 1
            yield batch
        if not found:  # which a loader without a length does not say before
            raise ValueError(EMPTY.format("weights"))

    def _batches(self) -> Iterator[SearchBatch]:
        if self.form == "same":
            self._reseed(self.weights, "weights")
            yield from (SearchBatch(None, batch) for batch in self.weights)
            return
        for alpha, weights in self._shared_pairs() if self.shared else self._pairs():
            if self.form == "pairs":
                yield SearchBatch(alpha, weights)
                continue
            if alpha is not None:
                yield SearchBatch(alpha, None)
            yield SearchBatch(None, weights)

    def _shared_pairs(self) -> Iterator[tuple[Any, Any]]:
        self._reseed(self.weights, "shared")
        batches = iter(self.weights)
        first = True
        for alpha in batches:
            weights = next(batches, None)
            if weights is not None:
                yield alpha, weights
            elif self.form == "alternate" and not first:
                yield None, alpha
            first = False

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
                raise ValueError(EMPTY.format("architecture"))
            yield alpha_batch, batch

    def _reseed(self, loader: Any, role: str) -> None:
        for owner in _owners(loader):
            generator = getattr(owner, "generator", None)
            if isinstance(generator, torch.Generator):
                generator.manual_seed(derive_seed(self.seed, role, self.epoch))


def one_loader(loader: Any, role: str) -> Any:
    """Return a loader that can be read in every epoch.

    Raises:
        TypeError: if there is none, if there are several, or if it can be read once only; the text says which.
    """
    several = list(loader.values()) if isinstance(loader, Mapping) else loader
    if isinstance(several, list | tuple) and any(isinstance(one, DataLoader) for one in several):
        named = "a dictionary" if isinstance(loader, Mapping) else f"a {type(loader).__name__}"
        raise TypeError(f"the {role} loaders come as {named} of {len(several)}; give one DataLoader")
    if isinstance(loader, Mapping) or not hasattr(loader, "__iter__"):
        raise TypeError(f"the {role} data are {_what(loader)}; give a DataLoader")
    if isinstance(loader, Iterator):
        raise TypeError(
            f"the {role} loader is a {type(loader).__name__}, which can be read once only; give a DataLoader, which "
            "starts again in every epoch"
        )
    return loader


def _what(loader: Any) -> str:
    return "missing" if loader is None else f"a {type(loader).__name__}"


def another(loader: Any) -> Any:
    """Return a loader of the same data that can be read beside it."""
    if not isinstance(loader, DataLoader):
        return copy.copy(loader)
    made: DataLoader = object.__new__(type(loader))
    made.__dict__.update(vars(loader), _iterator=None)  # which persistent workers keep
    return made


def _owners(loader: Any) -> list[Any]:
    """Return what may decide a loader's order."""
    batches = getattr(loader, "batch_sampler", None)
    samplers = [getattr(loader, "sampler", None), batches, getattr(batches, "sampler", None)]
    return [loader, *samplers, getattr(loader, "dataset", None)]


def _length(loader: Any) -> int | None:
    """Return the number of batches of a loader, or None if it does not know."""
    try:
        return len(loader)
    except TypeError:
        return None
