"""The data of an alternating search: which batches train architecture parameters, which train weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch.utils.data import DataLoader, RandomSampler, Subset

from bioautoml_nni.utils.seeding import derive_seed

from .processes import loader_like, process_share, processes


class SearchBatch(NamedTuple):
    """What one training step gets: a batch for the architecture, one for the weights, or both."""

    alpha: Any | None
    weights: Any | None


class SearchLoader:
    """Joins the batches of both groups, in the form that the schedule asks for.

    An epoch is one pass over the weight batches and ends with one, because epoch-wise schedulers advance on the
    last batch. The architecture loader starts anew when it is exhausted before. Every epoch's order depends on the
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
        if len(self) == 0:
            raise ValueError("the search has no batch of weights data; lower the batch size or give it more data")
        if len(self.architecture) == 0:
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
        if processes() == 1:
            return self._whole
        if self._shares is None:
            weights, architecture = self._whole
            share = process_share(weights)
            self._shares = share, share if architecture is weights else process_share(architecture)
        return self._shares

    @property
    def shared(self) -> bool:
        """Whether one loader serves both groups in turn."""
        return self.weights is self.architecture

    def set_epoch(self, epoch: int) -> None:
        """Fix the order of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
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
        for _ in range(len(self.weights) // 2):
            yield next(batches), next(batches)

    def _pairs(self) -> Iterator[tuple[Any, Any]]:
        self._reseed(self.weights, "weights")
        self._reseed(self.architecture, "architecture")
        architecture = iter(self.architecture)
        for batch in self.weights:
            alpha_batch = next(architecture, None)
            if alpha_batch is None:
                architecture = iter(self.architecture)
                alpha_batch = next(architecture)
            yield alpha_batch, batch

    def _reseed(self, loader: Any, role: str) -> None:
        for owner in (loader, getattr(loader, "sampler", None)):
            generator = getattr(owner, "generator", None)
            if isinstance(generator, torch.Generator):
                generator.manual_seed(derive_seed(self.seed, role, self.epoch))


def disjoint_halves(loader: DataLoader, seed: int) -> tuple[DataLoader, DataLoader]:
    """Split a map-style loader's data into two disjoint random halves: (weights, architecture).

    Raises:
        TypeError: if the loader's data set has no length, so that it cannot be split.
    """
    dataset: Any = loader.dataset
    if not hasattr(dataset, "__len__"):
        raise TypeError("alpha_data='disjoint' needs a data set with a length; pass two loaders or choose 'shared'")
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(derive_seed(seed, "halves"))).tolist()
    middle = len(order) // 2

    def half(indices: list[int]) -> DataLoader:
        subset: Subset[Any] = Subset(dataset, indices)
        return loader_like(loader, subset, RandomSampler(subset, generator=torch.Generator()))

    return half(order[:middle]), half(order[middle:])
