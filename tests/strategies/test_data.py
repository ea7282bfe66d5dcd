"""Loaders of others: what `alpha_data` keeps of them, and what it refuses by name before the search."""

import pytest
import torch
from nni.nas.evaluator.pytorch import DataLoader
from test_alternating import make_data, make_evaluator, run
from torch.utils.data import (
    BatchSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.guards import operation_weights
from bioautoml_nni.strategies.halves import HalvedSampler, disjoint_halves

NUMBERS = TensorDataset(torch.arange(64))


def drawn(loader) -> list[int]:
    return torch.cat([batch[0] for batch in loader]).tolist()


def test_a_weighted_sampler_is_obeyed_in_both_halves():
    weights = torch.zeros(64)
    weights[:10] = torch.tensor([1.0, 1, 1, 1, 1, 1, 1, 1, 1, 9])
    halves = disjoint_halves(DataLoader(NUMBERS, 8, sampler=WeightedRandomSampler(weights, 4000)), seed=0)
    found = [drawn(half) for half in halves]
    assert [len(half) for half in found] == [2000, 2000]
    first, second = (set(half) for half in found)
    assert first | second == set(range(10)) and not first & second
    heavy = next(half for half in found if 9 in half)
    assert heavy.count(9) / len(heavy) == pytest.approx(9 / 13, abs=0.04), "its odds hold within the half"


def test_a_subset_is_halved_exactly_and_its_order_is_new_in_every_epoch():
    loader = DataLoader(NUMBERS, 4, sampler=SubsetRandomSampler(range(20, 31)))
    halves = disjoint_halves(loader, seed=0)
    found = [drawn(half) for half in halves]
    assert sorted(found[0] + found[1]) == list(range(20, 31))
    assert sorted(map(len, found)) == [5, 6]
    assert drawn(halves[0]) != found[0] and sorted(drawn(halves[0])) == sorted(found[0])


class Backwards(Sampler):
    """A sampler of somebody else: no generator, and an order of its own."""

    def __len__(self):
        return 40

    def __iter__(self):
        return iter(range(39, -1, -1))


class Endless(Backwards):
    """A sampler that says a length and never ends."""

    def __iter__(self):
        while True:
            yield from range(39, -1, -1)


@pytest.mark.parametrize("kind", [Backwards, Endless])
def test_samplers_of_others_are_obeyed(kind):
    halves = disjoint_halves(DataLoader(NUMBERS, 8, sampler=kind()), seed=0)
    for half in halves:
        found = drawn(half)
        assert len(found) == 20 and found == sorted(found, reverse=True) and max(found) < 40


def test_a_half_of_which_nothing_is_drawn_is_an_error_and_no_endless_loop():
    with pytest.raises(ValueError, match="SequentialSampler drew nothing of one half"):
        list(HalvedSampler(torch.utils.data.SequentialSampler(NUMBERS), [99], 3))


def collate(rows):
    return torch.utils.data.default_collate(rows)


def start_worker(number):
    torch.manual_seed(number)


def test_the_loader_s_settings_are_kept():
    loader = DataLoader(
        NUMBERS, 6, shuffle=True, drop_last=True, num_workers=2, pin_memory=True, prefetch_factor=5, timeout=7,
        worker_init_fn=start_worker, collate_fn=collate, persistent_workers=True, multiprocessing_context="fork",
    )  # fmt: skip
    kept = [
        "batch_size",
        "drop_last",
        "num_workers",
        "pin_memory",
        "prefetch_factor",
        "timeout",
        "worker_init_fn",
        "collate_fn",
        "persistent_workers",
        "multiprocessing_context",
    ]
    for half in disjoint_halves(loader, seed=0):
        assert {name: getattr(half, name) for name in kept} == {name: getattr(loader, name) for name in kept}


@pytest.mark.parametrize(("drop_last", "batches"), [(True, 3), (False, 4)])
def test_a_last_batch_is_dropped_only_where_the_user_says_so(drop_last, batches):
    for half in disjoint_halves(DataLoader(NUMBERS, 10, drop_last=drop_last), seed=0):
        assert len(half) == len(list(half)) == batches


def test_a_plain_batch_sampler_gives_its_batch_size_and_its_sampler():
    batches = BatchSampler(SubsetRandomSampler(range(12)), 5, drop_last=False)
    for half in disjoint_halves(DataLoader(NUMBERS, batch_sampler=batches), seed=0):
        assert [len(batch[0]) for batch in half] == [5, 1] and set(drawn(half)) <= set(range(12))


class Grouped(BatchSampler):
    """Batches of somebody's own making."""


class Stream(IterableDataset):
    """Rows without a length."""

    def __init__(self, data, start=0):
        self.rows = [data[index] for index in range(start, len(data))]

    def __iter__(self):
        return iter(self.rows)


class SizedStream(Stream):
    """Rows with a length, that cannot be picked."""

    def __len__(self):
        return len(self.rows)


class Names(Sampler):
    """A sampler that gives no indices."""

    def __len__(self):
        return 2

    def __iter__(self):
        return iter(["a", "b"])


class Unsized(Sampler):
    """A sampler that does not say how much it draws."""

    def __iter__(self):
        return iter([0, 1])


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (lambda: DataLoader(NUMBERS, batch_sampler=Grouped(RandomSampler(NUMBERS), 4, False)), "batch_sampler Grouped"),
        (lambda: DataLoader(Stream(NUMBERS), 4), "Stream"),
        (lambda: DataLoader(SizedStream(NUMBERS), 4), "SizedStream"),
        (lambda: DataLoader(NUMBERS, 4, sampler=Names()), "Names draws: no indices"),
        (lambda: DataLoader(NUMBERS, 4, sampler=Unsized()), "Unsized draws"),
    ],
)
def test_what_cannot_be_halved_is_refused_by_name_with_the_ways_out(loader, message):
    with pytest.raises(TypeError, match=message) as error:
        AlternatingDARTS().train_dataloader(loader, lambda: None)
    assert "'shared' or 'validation'" in str(error.value)


@pytest.mark.parametrize("alpha_data", ["shared", "validation"])
def test_iterable_data_are_searched_to_their_end(alpha_data, tmp_path):
    """40 rows in batches of 8: five batches of weights beside validation's, or two pairs and one of weights."""
    evaluator = make_evaluator(epochs=2, train=DataLoader(Stream(make_data(), 8), 8))
    strategy = AlternatingDARTS(alpha_data=alpha_data, alpha_learning_rate=0.01)
    run(strategy, evaluator, tmp_path=tmp_path)
    assert evaluator.trainer.global_step == 2 * (10 if alpha_data == "validation" else 5)


@pytest.mark.parametrize("alpha_data", ["disjoint", "shared", "validation"])
def test_searches_with_samplers_repeat(alpha_data, tmp_path):
    """The order of every epoch follows from the seed, whatever was drawn before."""
    found = []
    for number in range(2):
        torch.manual_seed(number)
        sampler = WeightedRandomSampler(torch.ones(48), 48)
        evaluator = make_evaluator(train=DataLoader(make_data(), batch_sampler=BatchSampler(sampler, 8, True)))
        strategy = AlternatingDARTS(alpha_data=alpha_data, alpha_learning_rate=0.1)
        run(strategy, evaluator, tmp_path=tmp_path / str(number))
        found.append(operation_weights(strategy.supernet))
    assert found[0] == found[1]
