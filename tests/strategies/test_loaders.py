"""Loaders of others, kind by kind: which specimens each group is given, and what is refused before the search."""

from collections import Counter

import nni
import pytest
import torch
from nni.nas.evaluator.pytorch import DataLoader
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
)
from torch.utils.data import DataLoader as Plain

from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.nni_darts import NNIDarts
from bioautoml_nni.strategies.random_paths import RandomPaths

ROWS = 24
NUMBERS = TensorDataset(torch.arange(ROWS))


def drawn(loader, epochs=1, **options):
    """What the weights and the architecture are given in some epochs, as lists of the numbers of specimens."""
    strategy = AlternatingDARTS(**options)
    joined = strategy.train_dataloader(lambda: loader, lambda: Plain(NUMBERS, 4))
    found = ([], [])
    for epoch in range(epochs):
        torch.manual_seed(epoch)
        joined.set_epoch(epoch)
        batches = list(joined)
        assert len(batches) == len(joined)
        for batch in batches:
            group, rows = (1, batch.alpha) if batch.weights is None else (0, batch.weights)
            found[group].extend(rows_of(rows))
    return found


def rows_of(batch):
    batch = batch[0] if isinstance(batch, list | tuple) else batch
    return [int(number) for number in torch.as_tensor(batch).flatten()]


class Evens(Sampler):
    """A sampler of somebody else, of which every epoch has an order of its own."""

    def __init__(self):
        self.epochs = []

    def __len__(self):
        return ROWS // 2

    def __iter__(self):
        return iter(range(0, ROWS, 2))


class Turning(Evens):
    def set_epoch(self, epoch):
        self.epochs.append(epoch)
        self.epoch = epoch

    def __iter__(self):
        turned = (self.epoch if self.epochs else 0) * 4
        return (2 * ((position + turned) % 12) for position in range(12))


class Own(Plain):
    """A loader of somebody else, that does something to each batch and has an attribute."""

    colour = "red"

    def __iter__(self):
        return ([batch[0] + 100] for batch in super().__iter__())


WEIGHTS = torch.tensor([1.0] * 6 + [0.0] * 18)
EVENS = set(range(0, ROWS, 2))
ALL = set(range(ROWS))
KINDS = {
    "weighted": (lambda: Plain(NUMBERS, 4, sampler=WeightedRandomSampler(WEIGHTS, 30)), set(range(6))),
    "weighted, few draws": (lambda: Plain(NUMBERS, 1, sampler=WeightedRandomSampler(WEIGHTS, 2)), set(range(6))),
    "weighted, without replacement": (
        lambda: Plain(NUMBERS, 2, sampler=WeightedRandomSampler(WEIGHTS, 6, replacement=False)),
        set(range(6)),
    ),
    "subset": (lambda: Plain(NUMBERS, 4, sampler=SubsetRandomSampler(sorted(EVENS))), EVENS),
    "with replacement": (lambda: Plain(NUMBERS, 4, sampler=RandomSampler(NUMBERS, True, 60)), ALL),
    "some in each epoch": (lambda: Plain(NUMBERS, 1, sampler=RandomSampler(NUMBERS, num_samples=13)), ALL),
    "of the first alone": (lambda: Plain(NUMBERS, 4, sampler=RandomSampler(range(6), num_samples=24)), set(range(6))),
    "own": (lambda: Plain(NUMBERS, 4, sampler=Evens()), EVENS),
    "own with set_epoch": (lambda: Plain(NUMBERS, 4, sampler=Turning()), EVENS),
    "list": (lambda: Plain(NUMBERS, 4, sampler=sorted(EVENS)), EVENS),
    "tensor": (lambda: Plain(NUMBERS, 4, sampler=torch.arange(0, ROWS, 2)), EVENS),
    "distributed": (lambda: Plain(NUMBERS, 4, sampler=DistributedSampler(NUMBERS, 1, 0)), ALL),
    "batch_sampler": (lambda: Plain(NUMBERS, batch_sampler=BatchSampler(SequentialSampler(NUMBERS), 5, False)), ALL),
    "batches as sampler": (
        lambda: Plain(NUMBERS, batch_size=None, sampler=BatchSampler(RandomSampler(NUMBERS), 4, False)),
        ALL,
    ),
    "no batches": (lambda: Plain(NUMBERS, batch_size=None, shuffle=True), ALL),
    "drop_last": (lambda: Plain(NUMBERS, 5, shuffle=True, drop_last=True), ALL),
    "subset of the data": (lambda: Plain(Subset(NUMBERS, range(6)), 2, shuffle=True), set(range(6))),
    "concatenated": (lambda: Plain(ConcatDataset([Subset(NUMBERS, range(6)), Subset(NUMBERS, range(12, 18))]), 2), {
        *range(6), *range(12, 18)
    }),
    "NNI's": (lambda: DataLoader(NUMBERS, 4, shuffle=True), ALL),
    "traced": (lambda: nni.trace(Plain)(NUMBERS, 4, sampler=SubsetRandomSampler(sorted(EVENS))), EVENS),
    "own loader": (lambda: Own(NUMBERS, 4, shuffle=True), {number + 100 for number in ALL}),
    "own loader, own sampler": (lambda: Own(NUMBERS, 4, sampler=Evens()), {number + 100 for number in EVENS}),
}  # fmt: skip
"""Loaders, and what each of them draws."""


@pytest.mark.parametrize("kind", KINDS)
def test_both_halves_together_are_what_the_loader_draws_and_share_nothing(kind):
    make, expected = KINDS[kind]
    weights, alpha = drawn(make(), epochs=30 if kind == "weighted, few draws" else 12)
    assert weights and alpha
    assert not set(weights) & set(alpha)
    assert set(weights) | set(alpha) == expected
    assert drawn(make(), epochs=2) == drawn(make(), epochs=2), "an epoch follows from the seed and its number"


@pytest.mark.parametrize("alpha_data", ["shared", "validation"])
@pytest.mark.parametrize("kind", KINDS)
def test_whole_loaders_are_taken_as_they_are(kind, alpha_data):
    make, expected = KINDS[kind]
    weights, alpha = drawn(make(), epochs=30 if kind == "weighted, few draws" else 6, alpha_data=alpha_data)
    assert set(weights + alpha if alpha_data == "shared" else weights) == expected
    assert alpha_data == "shared" or set(alpha) <= ALL


@pytest.mark.parametrize("alpha_data", ["disjoint", "shared", "validation"])
def test_samplers_are_told_the_epoch(alpha_data):
    """Lightning tells those of a `DataLoader` of its own; without it a distributed sampler repeats one order."""
    orders = []
    for epochs in (1, 2):
        sampler = DistributedSampler(NUMBERS, 1, 0, seed=3)
        found = drawn(Plain(NUMBERS, 4, sampler=sampler), epochs=epochs, alpha_data=alpha_data)[0]
        orders.append(found[len(found) // epochs * (epochs - 1) :])
    assert orders[0] != orders[1]
    if alpha_data != "disjoint":
        sampler = Turning()
        drawn(Plain(NUMBERS, 4, sampler=sampler), epochs=3, alpha_data=alpha_data)
        assert sampler.epochs == [0, 1, 2]


def test_a_share_of_a_distributed_sampler_stays_a_share():
    """Two processes of four draw different specimens, and none of what is weights data to one is alpha's to another."""
    found = [drawn(Plain(NUMBERS, 3, sampler=DistributedSampler(NUMBERS, 4, rank)), epochs=5) for rank in (0, 1)]
    weights, alpha = (set(found[0][group]) | set(found[1][group]) for group in (0, 1))
    assert not weights & alpha
    once = [drawn(Plain(NUMBERS, 3, sampler=DistributedSampler(NUMBERS, 4, rank)))[0] for rank in (0, 1)]
    assert len(once[0]) == 3 and not set(once[0]) & set(once[1])


def test_a_loader_of_somebody_s_own_class_stays_one():
    joined = AlternatingDARTS().train_dataloader(lambda: Own(NUMBERS, 4), lambda: None)
    assert type(joined.weights) is type(joined.architecture) is Own and joined.weights.dataset is NUMBERS


def test_one_loader_for_training_and_validation_is_read_twice():
    loader = Plain(NUMBERS, 4, shuffle=True)
    joined = AlternatingDARTS(alpha_data="validation").train_dataloader(lambda: loader, lambda: loader)
    batches = list(joined)
    assert len(batches) == 12
    for part in ([b.weights for b in batches if b.weights], [b.alpha for b in batches if b.alpha]):
        assert Counter(number for batch in part for number in rows_of(batch)) == Counter(range(ROWS))


class Stream(IterableDataset):
    """Rows that cannot be picked; each worker gives its share."""

    def __iter__(self):
        worker = get_worker_info()
        return iter(range(*((0, ROWS) if worker is None else (worker.id, ROWS, worker.num_workers))))


class SizedStream(Stream):
    def __len__(self):
        return ROWS


class Opened(Dataset):
    """Data that worker_init_fn opens in each worker, as with HDF5."""

    file = None

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        return self.file[index]


def open_file(worker):
    get_worker_info().dataset.file = list(range(ROWS))


def test_a_worker_finds_the_data_set_that_was_given():
    weights, alpha = drawn(
        Plain(
            Opened(), 4, shuffle=True, num_workers=1, worker_init_fn=open_file, persistent_workers=True, timeout=60,
            prefetch_factor=1, multiprocessing_context="fork", generator=torch.Generator().manual_seed(5),
        ),
        epochs=2,
    )  # fmt: skip
    assert set(weights) | set(alpha) == ALL and not set(weights) & set(alpha)


@pytest.mark.parametrize("stream", [Stream, SizedStream])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("alpha_data", ["shared", "validation"])
def test_streams_are_read_whole(stream, workers, alpha_data):
    joined = AlternatingDARTS(alpha_data=alpha_data).train_dataloader(
        lambda: Plain(stream(), 4, num_workers=workers, persistent_workers=bool(workers)), lambda: Plain(NUMBERS, 4)
    )
    for epoch in range(2):
        joined.set_epoch(epoch)
        batches = list(joined)
        given = [b.weights for b in batches if b.weights is not None]
        given += [b.alpha for b in batches if b.alpha is not None and alpha_data == "shared"]
        assert sorted(number for batch in given for number in rows_of(batch)) == sorted(ALL)


class Batches(Sampler):
    """A batch_sampler of somebody's own."""

    def __iter__(self):
        return iter([[0, 1], [2, 3]])

    def __len__(self):
        return 2


class Unsized(Sampler):
    def __iter__(self):
        return iter([0, 1])


class Longer(Plain):
    def __len__(self):
        return 1000


ONE = Plain(NUMBERS, 4)
REFUSED = {
    "own batch_sampler": (Plain(NUMBERS, batch_sampler=Batches()), "disjoint", "batch_sampler Batches makes; pass"),
    "stream": (Plain(SizedStream(), 4), "disjoint", "data set with a length, whose halves SizedStream has not; pass"),
    "no length": (Plain(NUMBERS, 4, sampler=Unsized()), "disjoint", "sampler Unsized draws .__len__.; pass"),
    "own length": (Longer(NUMBERS, 4), "disjoint", "the loader Longer, whose __len__ is not .*; pass"),
    "one specimen": (Plain(Subset(NUMBERS, [1]), 4), "disjoint", "SequentialSampler draws 1 specimen, too few.*; pass"),
    "one draw": (Plain(NUMBERS, sampler=RandomSampler(NUMBERS, num_samples=1)), "disjoint", "draws 1 specimen, too"),
    "one weight": (
        Plain(NUMBERS, sampler=WeightedRandomSampler([1.0, *[0.0] * 23], 9)),
        "disjoint",
        "the sampler WeightedRandomSampler draws 1 specimen, too few for two halves; pass",
    ),
    "no loader": ([[1], [2]], "disjoint", "needs a DataLoader to halve, not a list; pass"),
    "one batch": (Plain(NUMBERS, ROWS), "shared", "no batch of architecture data; lower the batch size"),
    "nothing": (Plain(NUMBERS, 99, drop_last=True), "validation", "no batch of weights data; lower the batch size"),
    "same for both": ({"weights": ONE, "alpha": ONE}, "disjoint", "weights and alpha are one and the same"),
    "named, shared": ({"weights": ONE, "alpha": Plain(NUMBERS)}, "shared", "'shared' takes one training loader, not"),
    "named, validation": ({"weights": ONE, "alpha": Plain(NUMBERS)}, "validation", "takes one training loader, not"),
    "named otherwise": ({"a": ONE, "b": Plain(NUMBERS)}, "disjoint", "must be named weights and alpha, not a, b"),
    "a list of loaders": ([ONE, ONE], "shared", "training loaders come as a list of 2; give one DataLoader"),
    "an iterator": (iter(ONE), "validation", "which can be read once only; give a DataLoader"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_kept_is_refused_at_the_start(case):
    loader, alpha_data, sentence = REFUSED[case]
    with pytest.raises((TypeError, ValueError), match=sentence):
        AlternatingDARTS(alpha_data=alpha_data).train_dataloader(lambda: loader, lambda: ONE)


@pytest.mark.parametrize(
    ("given", "what"), [(None, "missing"), ([ONE, ONE], "list of 2"), ({"v": ONE}, "dictionary of")]
)
def test_validation_loaders_that_train_the_architecture_are_asked_first(given, what):
    with pytest.raises(TypeError, match=f"validation .*{what}"):
        AlternatingDARTS(alpha_data="validation").train_dataloader(lambda: ONE, lambda: given)


@pytest.mark.parametrize("strategy", [RandomPaths, NNIDarts, lambda: AlternatingDARTS("single_level")])
def test_other_strategies_take_one_loader(strategy):
    with pytest.raises((TypeError, ValueError), match="one DataLoader|one training loader"):
        strategy().train_dataloader(lambda: {"weights": ONE, "alpha": ONE}, lambda: ONE)


def test_a_stream_without_a_pair_of_batches_says_so():
    joined = AlternatingDARTS(alpha_data="shared").train_dataloader(lambda: Plain(Stream(), ROWS), lambda: None)
    with pytest.raises(ValueError, match="no batch of weights data"):
        list(joined)  # of which one batch alone has none for the architecture


# Several processes, each as if by itself.


def in_process(monkeypatch, rank, loader):
    """What one of two processes is given in an epoch: (weights, alpha)."""
    from bioautoml_nni.strategies import data, distributed

    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(data, "world_size", lambda: 2)
    monkeypatch.setattr(distributed.distributed, "get_rank", lambda: rank)
    return drawn(loader)


@pytest.mark.parametrize(
    "make",
    [
        lambda rank: Plain(NUMBERS, 3, shuffle=True),
        lambda rank: Own(NUMBERS, 3, shuffle=True),
        lambda rank: Plain(NUMBERS, 3, sampler=DistributedSampler(NUMBERS, 2, rank)),
        lambda rank: Plain(NUMBERS, batch_size=None, sampler=BatchSampler(RandomSampler(NUMBERS), 3, False)),
    ],
    ids=["shuffled", "own loader", "distributed", "batches as sampler"],
)
def test_two_processes_share_every_specimen_out(make, monkeypatch):
    found = [in_process(monkeypatch, rank, make(rank)) for rank in (0, 1)]
    for group in (0, 1):
        one, other = found[0][group], found[1][group]
        assert len(one) == len(other) == ROWS // 4 and not set(one) & set(other)
    assert not set(found[0][0] + found[1][0]) & set(found[0][1] + found[1][1])


def test_a_distributed_sampler_of_another_number_of_processes_is_refused(monkeypatch):
    with pytest.raises(TypeError, match="DistributedSampler of 3 shares"):
        in_process(monkeypatch, 0, Plain(NUMBERS, 3, sampler=DistributedSampler(NUMBERS, 3, 0)))
