"""What a search in several processes (DDP) needs: shares of the data, and means over all processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import Any

import torch
from torch import Tensor, distributed
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, Sampler


def world_size() -> int:
    """Return the number of processes that search together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def average(tensors: Sequence[Tensor]) -> None:
    """Replace tensors by their mean over all processes, in one message; nothing happens where there is one."""
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= world_size()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.detach().copy_(mean.view_as(tensor))


def average_gradients(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Average the gradients of parameters; one without a gradient here may have one in another process."""
    if world_size() == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    average([parameter.grad for parameter in parameters if parameter.grad is not None])


def all_ranks(holds: Tensor) -> bool:
    """Return whether something holds in all processes."""
    if world_size() > 1:
        lowest = holds.to(torch.uint8)
        distributed.all_reduce(lowest, distributed.ReduceOp.MIN)
        holds = lowest.bool()
    return bool(holds)


class ProcessSampler(Sampler[int]):
    """Every W-th index of another sampler, beginning with this process's rank; all processes get equally many."""

    def __init__(self, sampler: Any, rank: int, processes: int) -> None:
        self.sampler = sampler
        self.rank = rank
        self.processes = processes

    @property
    def generator(self) -> torch.Generator | None:
        """The other sampler's generator, to be seeded alike in all processes."""
        return getattr(self.sampler, "generator", None)

    def __len__(self) -> int:
        return len(self.sampler) // self.processes

    def __iter__(self) -> Iterator[int]:
        indices = list(self.sampler)
        yield from indices[self.rank : len(self) * self.processes : self.processes]


def shard(loader: Any) -> DataLoader:
    """Return a loader over this process's share of another loader's data.

    Raises:
        TypeError: if it is not a map-style `DataLoader` with a sampler of known length.
    """
    if not isinstance(loader, DataLoader) or not isinstance(loader.sampler, Sized):
        raise TypeError("a search in several processes needs DataLoaders over data sets with a length")
    if loader.batch_sampler is not None and type(loader.batch_sampler) is not BatchSampler:
        kind = type(loader.batch_sampler).__name__
        raise TypeError(f"a search in several processes cannot share out the batches of the batch_sampler {kind}")
    sampler: Any = loader.sampler if loader.batch_sampler is None else loader.batch_sampler.sampler
    if isinstance(sampler, RandomSampler) and sampler.generator is None:  # to be seeded alike in all processes
        sampler = RandomSampler(sampler.data_source, generator=torch.Generator())
    return loader_like(loader, loader.dataset, ProcessSampler(sampler, distributed.get_rank(), world_size()))


def loader_like(loader: DataLoader, dataset: Any, sampler: Sampler[int]) -> DataLoader:
    """Return a loader with the settings of another one, also those of a plain `BatchSampler`; seeded by its generator.

    A last batch that is not full is dropped where the other loader drops it, and there is a full one.
    """
    batches: Any = loader.batch_sampler
    size = loader.batch_size if batches is None else batches.batch_size
    drop_last = loader.drop_last if batches is None else batches.drop_last
    workers = {
        "prefetch_factor": loader.prefetch_factor,
        "persistent_workers": loader.persistent_workers,
        "multiprocessing_context": loader.multiprocessing_context,
        "timeout": loader.timeout,
        "in_order": loader.in_order,
    }
    return DataLoader(
        dataset,
        batch_size=size,
        sampler=sampler,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        drop_last=drop_last and len(sampler) >= (size or 1),  # type: ignore[arg-type]
        pin_memory=loader.pin_memory,
        worker_init_fn=loader.worker_init_fn,
        generator=torch.Generator(),
        **(workers if loader.num_workers else {}),
    )
