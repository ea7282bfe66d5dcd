"""What a search in several processes (DDP) needs: shares of the data, and means over all processes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence, Sized
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, RandomSampler, Sampler

from ._callback import SearchCallback


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


class SharedUpdates(SearchCallback):
    """Keeps DDP from waiting for gradients of both groups, and averages what no gradient reaches."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Leave the averages to `AlternatingModule.manual_backward`, which knows the group at work."""
        wrapper = trainer.strategy.model
        if isinstance(wrapper, DistributedDataParallel):
            wrapper.require_backward_grad_sync = False  # Lightning switches it on again after every step

    def on_search_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Average the statistics of batch norms."""
        average([buffer for buffer in pl_module.model.buffers() if buffer.is_floating_point()])


class DerivedSampler(Sampler[int]):
    """What another sampler draws, changed; its generator and its epochs are those of the other one.

    Args:
        sampler: the other one.
    """

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler

    @property
    def generator(self) -> torch.Generator | None:
        """The other sampler's generator, which decides this one's order too."""
        return getattr(self.sampler, "generator", None)

    def set_epoch(self, epoch: int) -> None:
        """Tell a sampler that wants to know."""
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)


class ProcessSampler(DerivedSampler):
    """Every W-th index of another sampler, beginning with this process's rank; all processes get equally many."""

    def __init__(self, sampler: Any, rank: int, processes: int) -> None:
        super().__init__(sampler)
        self.rank = rank
        self.processes = processes

    def __len__(self) -> int:
        return len(self.sampler) // self.processes

    def __iter__(self) -> Iterator[int]:
        indices = list(self.sampler)
        yield from indices[self.rank : len(self) * self.processes : self.processes]


def shard(loader: Any) -> DataLoader:
    """Return a loader over this process's share of another loader's data; a `DistributedSampler` gives it already.

    Raises:
        TypeError: if it is not a map-style `DataLoader` with a sampler of known length.
    """
    if not isinstance(loader, DataLoader) or not isinstance(loader.sampler, Sized):
        raise TypeError("a search in several processes needs DataLoaders over data sets with a length")
    if loader.batch_sampler is not None and type(loader.batch_sampler) is not BatchSampler:
        kind = type(loader.batch_sampler).__name__
        raise TypeError(f"a search in several processes cannot share out the batches of the batch_sampler {kind}")
    sampler = sampler_of(loader)
    own = getattr(sampler, "sampler", sampler)
    if isinstance(own, DistributedSampler) and own.num_replicas > 1:
        if own.num_replicas != world_size() or type(own) is not DistributedSampler:
            kind = f"{type(own).__name__} of {own.num_replicas} shares"
            raise TypeError(f"a search in {world_size()} processes cannot share out what the sampler {kind} draws")
        return loader
    if isinstance(sampler, RandomSampler) and sampler.generator is None:  # to be seeded alike in all processes
        sampler = copy.copy(sampler)
        sampler.generator = torch.Generator()
    return loader_like(loader, ProcessSampler(sampler, distributed.get_rank(), world_size()))


def sampler_of(loader: DataLoader) -> Any:
    """Return what draws a loader's specimens, behind a plain `BatchSampler` too, whichever argument it came by."""
    batches: Any = loader.batch_sampler
    sampler: Any = loader.sampler if batches is None else batches.sampler
    return sampler.sampler if batches is None and type(sampler) is BatchSampler else sampler


def loader_like(loader: DataLoader, sampler: Sampler[int]) -> DataLoader:
    """Return a loader of another one's class, data and settings, with a sampler and a generator of its own.

    A last batch that is not full is dropped where the other loader drops it, and there is a full one.
    """
    batches: Any = loader.sampler if type(loader.sampler) is BatchSampler else loader.batch_sampler
    index_sampler: Any = sampler
    if batches is not None:
        full = len(sampler) >= batches.batch_size  # type: ignore[arg-type]
        index_sampler = BatchSampler(sampler, batches.batch_size, batches.drop_last and full)
    made: DataLoader = object.__new__(type(loader))
    made.__dict__.update(vars(loader), _iterator=None, generator=torch.Generator())
    if loader.batch_sampler is None:
        made.__dict__["sampler"] = index_sampler
    else:
        made.__dict__.update(sampler=sampler, batch_sampler=index_sampler)
    return made
