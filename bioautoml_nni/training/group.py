"""Processes that torchrun has started, which work on one run together.

Between trainings they talk through torchrun's key-value store, which knows no time limit and needs no device. For a
training they form a process group of torch.distributed (NCCL between GPUs, Gloo between CPUs) and part again, so that
whatever the first process does alone is done as in any single process.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, distributed, nn
from torch.distributed.rendezvous import rendezvous

from ..utils.errors import BioAutoMLError, RunDirectoryError

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
PREFIXES = ("LOCAL_", "GROUP_", "ROLE_", "TORCHELASTIC_")
"""What torchrun tells its processes by environment variables."""

PAUSE = 0.05
"""Seconds between two looks at the store."""

STEP_LIMIT = timedelta(hours=1)
"""How long a process waits for another one in a training, in which all do the same at the same time."""

LAST_WORDS = 10.0
"""Seconds in which a process that failed says why."""

MESSAGE = 2**26
"""Bytes that one process sends another at once."""

LOST = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe", "socket")
"""Words of an error that means that another process is gone."""

FAILED = "failed"


def within_group() -> bool:
    """Whether this process is one of several that train together now."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_rank_zero() -> bool:
    """Whether this process writes files: the only one, or the first of several."""
    return not within_group() or os.environ["RANK"] == "0"


class OtherProcessError(RunDirectoryError):
    """What every process of a group says alike, so that one of each machine is enough."""


class FailedProcessError(OtherProcessError):
    """What another process has failed of, and says itself."""


@dataclass
class Group:
    """The group, as one of its processes sees it.

    Attributes:
        rank: of this process; 0 leads.
        size: number of processes.
        local_rank, local_size: the same on this machine.
        machines: number of machines.
        store: of torchrun.
        environment: what torchrun said, which Lightning may read in a training only.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    machines: int
    store: Any
    environment: Mapping[str, str]
    _round: int = field(default=0, init=False)

    @classmethod
    def join(cls) -> Group:
        """Return the group that torchrun has started this process for; its variables leave the environment.

        Raises:
            RunDirectoryError: if machines take part with different numbers of processes.
        """
        told = {name: value for name, value in os.environ.items() if name in VARIABLES or name.startswith(PREFIXES)}
        found, rank, size = next(rendezvous("env://", timeout=STEP_LIMIT))
        store = distributed.PrefixStore(f"bioautoml/{told.get('TORCHELASTIC_RESTART_COUNT', '0')}", found)
        local, machines = int(told["LOCAL_WORLD_SIZE"]), int(told.get("GROUP_WORLD_SIZE", "1"))
        if local * machines != size:
            raise RunDirectoryError(
                f"torchrun: {size} processes on {machines} machines, {local} of them on {socket.gethostname()}; give "
                "every machine the same --nproc-per-node."
            )
        for name in told:
            del os.environ[name]
        return cls(rank, size, int(told["LOCAL_RANK"]), local, machines, store, told)

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    @property
    def name(self) -> str:
        """How messages call this process."""
        return f"process {self.rank} of {self.size} on {socket.gethostname()}"

    @property
    def device(self) -> str:
        """Where this process trains: "cuda" if there is a GPU of its own, else "cpu"."""
        return "cuda" if torch.cuda.is_available() and self.local_rank < torch.cuda.device_count() else "cpu"

    def fail(self, reason: str) -> bool:
        """Tell the others that this process ends; return whether it is the first to say so."""
        said = json.dumps({"name": self.name, "reason": reason})
        return bool(self.store.compare_set(FAILED, "", said) == said.encode())

    def require_whole(self) -> None:
        """Raise `OtherProcessError` if a process has failed."""
        if self.store.check([FAILED]):
            found = json.loads(self.store.get(FAILED))
            raise FailedProcessError(f"{found['name']} has failed: {found['reason']}")

    def tell(self, value: Any) -> None:
        """Send a value to all others, which `hear` it; of the leading process."""
        self._round += 1
        self.store.set(f"told/{self._round}", json.dumps(value))

    def hear(self) -> Any:
        """Wait for what the leading process tells, however long its own work takes.

        Raises:
            OtherProcessError: if a process has failed meanwhile.
        """
        self._round += 1
        return self._read(f"told/{self._round}")

    def gather(self, value: Any = None) -> list[Any]:
        """Return the values of all processes by rank; none goes on before the last is here.

        Raises:
            OtherProcessError: if a process has failed meanwhile.
        """
        self._round += 1
        self.store.set(f"gathered/{self._round}/{self.rank}", json.dumps(value))
        return [self._read(f"gathered/{self._round}/{rank}") for rank in range(self.size)]

    def _read(self, key: str) -> Any:
        try:
            while not self.store.check([key]):
                self.require_whole()
                time.sleep(PAUSE)
            return json.loads(self.store.get(key))
        except RuntimeError as error:  # errors of torch.distributed are
            raise OtherProcessError(
                "torchrun on the first machine has ended; its output says why. " + RESUMES
            ) from error

    @contextmanager
    def turns(self) -> Iterator[None]:
        """Let the first process of each machine do the block before the others, which find what it has kept."""
        if self.local_rank:
            self.gather()
        yield
        if not self.local_rank:
            self.gather()
        self.gather()

    @contextmanager
    def together(self, by_gloo: bool = False) -> Iterator[None]:
        """Form a process group for the block, in which `current_group` is this one.

        Args:
            by_gloo: between CPUs, whatever the processes compute on.

        Raises:
            OtherProcessError: if another process fails or is gone.
        """
        global _current
        os.environ.update(self.environment)
        if self.device == "cuda":
            torch.cuda.set_device(self.local_rank)
        distributed.init_process_group(
            "nccl" if self.device == "cuda" and not by_gloo else "gloo",
            store=distributed.PrefixStore(f"together/{self._round}", self.store),
            rank=self.rank,
            world_size=self.size,
            timeout=STEP_LIMIT,
        )
        _current = self
        try:
            yield
        except RuntimeError as error:
            raise self._explained(error) from error
        finally:
            _current = None
            for name in self.environment:
                os.environ.pop(name, None)
            distributed.destroy_process_group()

    def _explained(self, error: RuntimeError) -> Exception:
        """Return what ended a training: an error of this process, or that another one has failed or is gone."""
        if not isinstance(error, distributed.DistError) and not any(word in str(error) for word in LOST):
            return error
        until = time.monotonic() + LAST_WORDS
        try:
            while time.monotonic() < until:
                self.require_whole()
                time.sleep(PAUSE)
        except (BioAutoMLError, RuntimeError) as found:
            if isinstance(found, BioAutoMLError):
                return type(found)(f"{found} {RESUMES}")
        return OtherProcessError(
            f"{self.name} has lost another process, which was killed or whose machine is gone. {RESUMES}"
        )

    def join_rows(self, own: Tensor | None) -> Tensor | None:
        """Return the rows of all processes by rank in the leading one, None in the others; over Gloo.

        Args:
            own: rows (n, K) float32 on the CPU of this process; None without any.
        """
        shapes = self.gather(None if own is None else list(own.shape))
        if not self.leads:
            for block in () if own is None else own.contiguous().split(_rows_of_block(own.shape[1])):
                distributed.send(block, 0)
            return None
        joined = torch.empty(sum(shape[0] for shape in shapes if shape), *next(shape[1:] for shape in shapes if shape))
        rest = joined
        for rank, shape in enumerate(shapes):
            if shape is None:
                continue
            theirs, rest = rest[: shape[0]], rest[shape[0] :]
            if rank == 0 and own is not None:
                theirs.copy_(own)
                continue
            for block in theirs.split(_rows_of_block(joined.shape[1])):
                distributed.recv(block, rank)
        return joined

    def join_rows_for_all(self, own: Tensor | None) -> Tensor:
        """Return the rows of all processes by rank in every process; see `join_rows`."""
        joined = self.join_rows(own)
        shape = self.gather(None if joined is None else list(joined.shape))[0]
        whole = torch.empty(*shape) if joined is None else joined
        for block in whole.split(_rows_of_block(whole.shape[1])):
            distributed.broadcast(block, 0)
        return whole

    def trainer_arguments(self, unread: bool = False) -> dict[str, Any]:
        """Return what Lightning's trainer needs to know; data are shared and statistics averaged by this module.

        Args:
            unread: whether the network has parameters that no loss reaches, for which DDP has to look in every step.
        """
        return {
            "accelerator": self.device,
            "devices": self.local_size,
            "num_nodes": self.machines,
            "strategy": DDPStrategy(forward_sync_buffers=False, find_unused_parameters=unread, timeout=STEP_LIMIT),
            "use_distributed_sampler": False,
        }


def _rows_of_block(columns: int) -> int:
    """Return how many rows of float32 are sent at once."""
    return max(1, MESSAGE // max(1, 4 * columns))


RESUMES = "The same command resumes from the last completed epoch."

_current: Group | None = None


def current_group() -> Group | None:
    """Return the group in which this process trains now, None if it works alone."""
    return _current


@contextmanager
def in_turns() -> Iterator[None]:
    """Let the first process of each machine do the block before the others; alone, a process just does it."""
    with nullcontext() if _current is None else _current.turns():
        yield


def require_same_weights(work: str, state: Mapping[str, Tensor]) -> None:
    """Check that all processes have ended with the same weights, bit for bit; alone, there is nothing to check.

    Args:
        work: what they have done, for the message.
        state: parameters and buffers by name.

    Raises:
        OtherProcessError: if they have not.
    """
    if not within_group():
        return
    digests = _from_all(weights_digest(state))
    if len(set(digests)) > 1:
        raise OtherProcessError(
            f"{work}: the processes have ended with different weights ({', '.join(digests)}); remove {work}/ from the "
            "run directory, repeat it in one process (devices: 1, search.devices: 1), and report this with the "
            "experiment.yml."
        )


def _from_all(value: str) -> list[str]:
    """Return what all processes say, those of a search that has started them itself too."""
    if _current is not None:
        return _current.gather(value)
    found: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(found, value)
    return found


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """Return a digest of parameters and buffers by name."""
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


class SharedStatistics(pl.Callback):
    """Averages the running statistics of batch norms over all processes, before anything reads them.

    In training each process normalises by its own share of a batch, and the running means follow these linearly. Their
    mean over processes at the end of an epoch is therefore what averaging at every step would have made of them; the
    same holds for a moving average of the network.
    """

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Average before the validation."""
        average_statistics(pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Average without a validation; what is equal already stays as it is."""
        average_statistics(pl_module)


class EndsAtOnce(pl.Callback):
    """Lets SIGTERM, which torchrun sends when another process has failed, end this process.

    Lightning's own handler broadcasts the signal to all processes first, and waits for those that are gone.
    Nothing is lost: the last completed epoch is on the disk.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take Lightning's handler away."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def average_statistics(module: nn.Module) -> None:
    """Set running means and variances of all batch norms to their means over processes, in double precision."""
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    values: list[Tensor] = [
        value for part in norms for value in (part.running_mean, part.running_var) if value is not None
    ]
    if not values:
        return
    joined = torch.cat([value.double().flatten() for value in values])
    distributed.all_reduce(joined)
    joined /= distributed.get_world_size()
    for value, mean in zip(values, joined.split([value.numel() for value in values]), strict=True):
        value.copy_(mean.view_as(value))
