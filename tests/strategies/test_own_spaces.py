"""Spaces that others write: a frozen network computes what the supernet computes when it is left that choice alone."""

import random

import nni
import pytest
import torch
from nni.mutable import CategoricalMultiple
from nni.nas.evaluator.pytorch import Classification, DataLoader
from nni.nas.nn.pytorch import Cell, InputChoice, LayerChoice, MutableConv2d
from nni.nas.space import model_context
from own_spaces import SPACES, WIDTH, conv, giving, spaces_of_nni, two
from test_alternating import run
from torch import nn
from torch.utils.data import TensorDataset

from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.random_paths import RandomPaths
from bioautoml_nni.utils.errors import PluginError

MIXED = {"softmax": AlternatingDARTS, "plain": lambda: AlternatingDARTS(mixed_operation="plain")}
WITHOUT_EDGES = ("choices_in_a_cell_of_factories",)
"""Spaces whose cell, as NNI's, has an architecture parameter for each edge and none for a choice of the space."""


def drawn(space, number):
    rng = random.Random(number)
    sample = {}
    for label, choice in space.simplify().items():
        many = isinstance(choice, CategoricalMultiple)
        sample[label] = sorted(rng.sample(list(choice.values), choice.n_chosen)) if many else rng.choice(choice.values)
    return sample


def decide(model, values, sample):
    """Leave a supernet one choice of each label: by a path where it samples, else by its architecture parameters."""
    for module in model.modules():
        if hasattr(module, "resample"):
            module.resample(memo=dict(sample))
    with torch.no_grad():
        for label, alpha in named_architecture_parameters(model).items():
            alpha.fill_(-60.0)
            chosen = sample[label] if isinstance(sample[label], list) else [sample[label]]
            alpha[[list(values[label]).index(value) for value in chosen]] = 0.0


def nightly(number, name, strategy):
    """Whether a pair is left to the night: the plain sum, and every other space by paths."""
    return strategy == "plain" or (strategy == "random_paths" and number % 2 == 1 and name not in WITHOUT_EDGES)


PAIRS = [
    pytest.param(name, strategy, marks=[pytest.mark.nightly] if nightly(number, name, strategy) else [])
    for number, name in enumerate(SPACES)
    for strategy in (*MIXED, "random_paths")
    if not (name in WITHOUT_EDGES and strategy != "random_paths") and not (strategy == "plain" and "inputs" in name)
]


@pytest.mark.parametrize(("name", "strategy"), PAIRS)
def test_a_frozen_network_is_the_supernet_of_one_choice(name, strategy):
    """In double precision, which the frozen network has then too; and a fresh one can be built."""
    require_same(SPACES[name], {**MIXED, "random_paths": RandomPaths}[strategy])


def require_same(build, strategy):
    """Compare the supernet that is left one choice with the network that is frozen of it, for two samples."""
    torch.manual_seed(0)
    space = build()
    values = {str(label): choice.values for label, choice in space.simplify().items()}
    samples = [drawn(space, number) for number in range(2)]
    model = strategy().mutate_model(space)
    images = torch.randn(2, 3, 8, 8)
    decide(model, {}, samples[0]) if strategy is RandomPaths else None
    model.train()(images).sum().backward()
    model.double().eval()
    for sample in samples:
        decide(model, values, {str(label): value for label, value in sample.items()})
        frozen = model.freeze(sample)
        with torch.no_grad():
            torch.testing.assert_close(frozen(images.double()), model(images.double()), rtol=1e-6, atol=1e-8)
    with model_context(samples[0]):
        assert build()(images).shape == (2, spaces_of_nni.CLASSES)


# What cannot be frozen as it was searched is refused first.


class Own(spaces_of_nni.Small):
    """A space of one body."""

    def __init__(self, make):
        super().__init__(make)


def concatenated(p):
    first, second = nni.choice("first", [2, 4]), nni.choice("second", [2, 4])
    p.a, p.b = MutableConv2d(WIDTH, first, 1), MutableConv2d(WIDTH, second, 3, padding=1)
    p.c = MutableConv2d(first + second, WIDTH, 1)
    return lambda p, x: p.c(torch.cat([p.a(x), p.b(x)], 1))


def concatenated_with_itself(p):
    width = nni.choice("width", [2, 4])
    p.a, p.b = MutableConv2d(WIDTH, width, 1), MutableConv2d(WIDTH, width, 3, padding=1)
    p.c = MutableConv2d(width + width, WIDTH, 1)
    return lambda p, x: p.c(torch.cat([p.a(x), p.b(x)], 1))


def any_inputs_concatenated(p):
    p.i = InputChoice(2, n_chosen=None, reduction="concat", label="i")
    return lambda p, x: p.i([x, x])


def even_kernels(p):
    p.a = MutableConv2d(WIDTH, WIDTH, nni.choice("kernel", [2, 4]), padding="same")
    return lambda p, x: p.a(x)


def choices_by_edge(p):
    p.cell = Cell(
        {"a": lambda node, k, source: two(f"in{node}{source}"), "b": lambda *place: conv()}, 2, 1, 1, label="c"
    )
    return lambda p, x: p.cell(x)[:, :WIDTH]


BOTH = [AlternatingDARTS, RandomPaths]


@pytest.mark.parametrize(
    ("make", "strategies", "sentence"),
    [
        (concatenated, [AlternatingDARTS], "choices 'first' and 'second' .*parts.c. cannot .*open widths side by side"),
        (concatenated_with_itself, [AlternatingDARTS], "choice 'width', twice, .*parts.c. cannot .*side by side"),
        (any_inputs_concatenated, [AlternatingDARTS], "choice 'i' .*n_chosen=None leaves the width"),
        (
            even_kernels,
            [AlternatingDARTS],
            "choice 'kernel' .*its even kernel sizes with padding='same' can be sampled",
        ),
        (choices_by_edge, BOTH, r"choice 'c/in\d+' .*supernet of a cell has it on every edge, .*name it by the node"),
    ],
)
def test_what_cannot_be_frozen_is_refused_by_its_label(make, strategies, sentence):
    for strategy in strategies:
        with pytest.raises(PluginError, match=sentence):
            strategy().mutate_model(Own(make))


def test_texts_that_differ_are_named():
    def differing(p):
        p.a = LayerChoice([nn.Sequential(conv(), Told(name)) for name in ("one", "other")], label="a")
        return lambda p, x: p.a(x)[0]

    class Told(nn.Module):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def forward(self, x):
            return x, self.name

    model = AlternatingDARTS().mutate_model(Own(differing))
    with pytest.raises(PluginError, match=r"LayerChoice 'a': candidates 0, 1 \[1\] give str"):
        model(torch.zeros(2, 3, 8, 8))


# What a user has set stays.


def evaluator_of(**trainer):
    loader = DataLoader(TensorDataset(torch.randn(8, 3, 8, 8), torch.arange(8)), 2)
    return Classification(
        num_classes=spaces_of_nni.CLASSES, max_epochs=1, train_dataloaders=loader, val_dataloaders=loader, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, **trainer,
    )  # fmt: skip


def test_a_search_that_ends_within_an_epoch_ends_well(tmp_path):
    """NNI's evaluator asks for the result of a validation that never came."""
    evaluator = evaluator_of(max_steps=3)
    run(AlternatingDARTS(), evaluator, Own(lambda p: (setattr(p, "a", two()), lambda p, x: p.a(x))[1]), tmp_path)
    assert evaluator.trainer.global_step == 3


def test_a_frozen_layer_of_the_user_s_stays_as_it_is(tmp_path):
    space = Own(lambda p: (setattr(p, "a", giving(lambda y: y)), lambda p, x: p.a(x))[1])
    space.stem.requires_grad_(False)
    before = space.stem.weight.clone()
    strategy = AlternatingDARTS()
    run(strategy, evaluator_of(), space, tmp_path)
    assert torch.equal(strategy.supernet.stem.weight, before) and not strategy.supernet.stem.weight.requires_grad
    candidate = strategy.supernet.parts.a[0].layer.weight
    assert candidate.requires_grad and candidate.grad is not None, "gradients of the last step can be looked at"


def test_arguments_by_their_former_names_are_read():
    with pytest.warns(FutureWarning, match="most_skips is now called max_skips"):
        assert AlternatingDARTS(most_skips=1).guards.max_skips == 1
    with pytest.warns(FutureWarning, match="least_entropy is now called min_entropy"):
        assert AlternatingDARTS(least_entropy=0.5).guards.min_entropy == 0.5
    with pytest.raises(TypeError, match="unexpected keyword argument 'most_skip'"):
        AlternatingDARTS(most_skip=1)
