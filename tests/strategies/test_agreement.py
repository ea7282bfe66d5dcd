"""A supernet with open layers is compared with what is derived from it before the first update."""

import random

import nni
import pytest
import torch
from nni.nas.experiment import NasExperiment
from nni.nas.nn.pytorch import InputChoice, MutableConv2d
from test_own_spaces import Own, evaluator_of, require_same
from torch import nn
from tutorial_spaces import SPACES, UNMIXED, WIDTH

from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.agreement import require_agreement
from bioautoml_nni.strategies.random_paths import RandomPaths
from bioautoml_nni.utils.errors import PluginError

BOTH = [AlternatingDARTS, RandomPaths]


PARAMETERS = [
    pytest.param(name, strategy, marks=[pytest.mark.nightly] if (number + (strategy is RandomPaths)) % 2 else [])
    for number, name in enumerate(SPACES)
    for strategy in BOTH
]


@pytest.mark.parametrize(("name", "strategy"), PARAMETERS)
def test_what_is_frozen_of_a_tutorial_s_space_is_what_was_searched(name, strategy):
    require_same(lambda: Own(SPACES[name]), strategy)


@pytest.mark.parametrize("name", UNMIXED)
def test_what_a_path_samples_is_what_is_frozen_of_it(name):
    require_same(lambda: Own(UNMIXED[name]), RandomPaths)


@pytest.mark.parametrize("name", [name for name in UNMIXED if name != "open_before_fixed"])
def test_what_cannot_be_mixed_is_refused_with_the_supernet(name):
    label = next(iter(Own(UNMIXED[name]).simplify()))
    with pytest.raises(PluginError, match=f"choice '{label}'.* can be sampled .random_paths., and mixed|but not mixed"):
        AlternatingDARTS().mutate_model(Own(UNMIXED[name]))


def test_a_label_that_torch_keeps_for_itself_is_refused():
    def keys(p):
        p.a = MutableConv2d(WIDTH, WIDTH, nni.choice("keys", [1, 3]), padding="same")
        return lambda p, x: p.a(x)

    with pytest.raises(PluginError, match="choice 'keys' .* torch keeps this name for itself .* another label"):
        AlternatingDARTS().mutate_model(Own(keys))


def norm_of_another_width(p):
    width = nni.choice("width", [4, 8])
    p.a, p.n, p.b = MutableConv2d(WIDTH, width, 1), nn.BatchNorm2d(8), MutableConv2d(width, WIDTH, 1)
    p.other = MutableConv2d(WIDTH, WIDTH, nni.choice("kernel", [1, 3]), padding="same")
    return lambda p, x: p.other(p.b(p.n(p.a(x))))


def first_channels_by_hand(p):
    """Code of the user's own that reads an open width from its end."""
    width = nni.choice("width", [4, 8])
    p.a, p.b = MutableConv2d(WIDTH, width, 1), MutableConv2d(width, WIDTH, 1)
    return lambda p, x: p.b(p.a(x).flip(1))


WRONG = [
    (
        UNMIXED["open_before_fixed"],
        AlternatingDARTS,
        r"choice 'growth' \(2\) .* MutableConv2d at parts.b reads an open",
    ),
    (norm_of_another_width, AlternatingDARTS, r"choice 'width' \(4\) .* derived with it fails .* MutableBatchNorm2d"),
    (first_channels_by_hand, AlternatingDARTS, r"choice 'width' \(4\) .* computes something else than the supernet"),
]


@pytest.mark.parametrize(("make", "strategy", "sentence"), WRONG)
def test_what_cannot_be_derived_is_refused_before_the_first_update(make, strategy, sentence, tmp_path):
    space, evaluator = Own(make), evaluator_of()
    before = space.stem.weight.clone()
    experiment = NasExperiment(space, evaluator, strategy())
    experiment.config.experiment_working_directory = str(tmp_path)
    with pytest.raises(PluginError, match=sentence):
        experiment.run()
    experiment.stop()
    assert evaluator.trainer.global_step == 0
    assert torch.equal(space.stem.weight, before)


class Answers(nn.Module):
    """An evaluator's module whose training step calls the model, after something random."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def training_step(self, batch, index):
        return self.model(batch + torch.rand(()) * random.random()).sum()


def test_nothing_is_left_of_the_comparison():
    def made(p):
        p.i = InputChoice(2, n_chosen=1, label="i")
        inner = SPACES["inverted_in_a_choice"](p)
        return lambda p, x: p.i([x, inner(p, x)])

    space = Own(made)
    choices = {str(label): choice for label, choice in space.simplify().items()}
    model = AlternatingDARTS(relaxation="gumbel_hard").mutate_model(space).train()
    model.stem.eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    relaxations = [module.relaxation for module in model.modules() if hasattr(module, "relaxation")]
    images = torch.randn(2, 3, 8, 8)
    generators = random.getstate(), torch.get_rng_state()
    require_agreement(Answers(model), model, images, choices, None)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in named_architecture_parameters(model).values())
    assert model.parts.training and not model.stem.training
    assert [module.relaxation for module in model.modules() if hasattr(module, "relaxation")] == relaxations
    assert random.getstate() == generators[0]
    assert torch.equal(torch.get_rng_state(), generators[1])


class Fresh(Own):
    """A space whose frozen networks have weights of their own, as those of NNI's hub."""

    def freeze(self, sample):
        return Own(first_channels_by_hand)


def noisy(p):
    use = first_channels_by_hand(p)
    return lambda p, x: use(p, x + torch.randn_like(x))


@pytest.mark.parametrize("make", [lambda: Own(noisy), lambda: Fresh(first_channels_by_hand)])
def test_what_is_random_in_evaluation_or_frozen_anew_is_not_compared(make):
    space = make()
    choices = {str(label): choice for label, choice in space.simplify().items()}
    model = AlternatingDARTS().mutate_model(space)
    require_agreement(Answers(model), model, torch.randn(2, 3, 8, 8), choices, None)
