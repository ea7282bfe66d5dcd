"""Every cell of benchmarks/nni_spaces.py that works for our strategies, and what is refused, with which sentence."""

import importlib.util
from itertools import combinations
from pathlib import Path

import nni
import pytest
import torch
from nni.mutable import ExpressionConstraint
from nni.nas.nn.pytorch import InputChoice, LayerChoice, ModelSpace, MutableConv2d, MutableDropout
from nni.nas.strategy import DARTS, TPE, PolicyBasedRL
from test_alternating import make_evaluator, run
from torch import nn

from bioautoml_nni.architecture import topology_of
from bioautoml_nni.architecture.weights import with_positions
from bioautoml_nni.nni_engine import evolve, named_architecture_parameters
from bioautoml_nni.search_spaces import MultimodalSpace
from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.nni_darts import NNIEnas
from bioautoml_nni.strategies.random_paths import RandomPaths
from bioautoml_nni.strategies.supermodules import MixedConv2d
from bioautoml_nni.strategies.supernet import MixedInput, slot_weights, weighted
from bioautoml_nni.utils.errors import PluginError

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "nni_spaces.py"
spec = importlib.util.spec_from_file_location("nni_spaces", SCRIPT)
nni_spaces = importlib.util.module_from_spec(spec)
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(SCRIPT.parent))  # as where a script is started
    spec.loader.exec_module(nni_spaces)
    import spaces_of_nni

REFUSED = {
    ("input_choice_as_list", "alternating_darts"): "choice 'i' .InputChoice at parts.i. cannot be searched: .* a list",
    ("input_choice_as_list", "random_paths"): "choice 'i' .InputChoice at parts.i. cannot be searched: .* a list",
    ("input_choice_any_sum", "random_paths"): "choice 'i' .InputChoice at parts.i. cannot be searched: n_chosen=None",
    ("kernels_as_tuples", "alternating_darts"): "choice 'kernel', 'padding' .* outputs of different sizes",
    ("open_stride", "alternating_darts"): "choice 'stride' .*its stride can be sampled .random_paths. but not mixed",
    ("continuous", "alternating_darts"): "choice 'momentum' cannot be searched: .* is a range of numbers",
    ("continuous", "random_paths"): "choice 'momentum' cannot be searched: .* is a range of numbers",
}
"""What our strategies do not search, with the sentence before the first batch."""
LARGE = [name for name in spaces_of_nni.HUB if name != "hub NasBench201"]
"""Spaces that take seconds each: every day one is searched by one of our strategies, every night by both."""
MIXED = (
    "hub NasBench101", "hub ENAS", "hub DARTS", "hub MobileNetV3Space", "hub ShuffleNetSpace, open channels",
)  # fmt: skip
"""Those whose candidates are mixed by day; of the others, paths are sampled."""
HARD = "alternating_darts, gumbel_hard"


def nightly(name, strategy):
    """Whether a large space is left to the other strategy by day."""
    return name in LARGE and (strategy == "random_paths") == (name in MIXED)


CELLS = [
    pytest.param(name, strategy, marks=[pytest.mark.nightly] if nightly(name, strategy) else [])
    for name in spaces_of_nni.SPACES
    for strategy in nni_spaces.OURS
    if (name, strategy.partition(",")[0]) not in REFUSED and not (strategy == HARD and name in LARGE)
]


@pytest.mark.parametrize(("name", "strategy"), CELLS)
def test_a_space_is_searched_frozen_and_built_anew(name, strategy, tmp_path):
    assert nni_spaces.attempt(name, strategy, tmp_path) == "yes"


@pytest.mark.parametrize(("name", "strategy"), list(REFUSED))
def test_what_cannot_be_searched_is_refused_before_the_first_batch_by_its_label(name, strategy):
    with pytest.raises(PluginError, match=REFUSED[name, strategy]):
        nni_spaces.STRATEGIES[strategy]().mutate_model(spaces_of_nni.SPACES[name]())


def test_a_condition_of_somebody_s_own_is_refused_by_its_label():
    class Conditional(spaces_of_nni.Small):
        def __init__(self):
            super().__init__(spaces_of_nni.open_channels)
            first, second = nni.choice("first", [1, 2]), nni.choice("second", [1, 2])
            self.add_mutable(ExpressionConstraint(first + second < 4, label="not_both"))

    for strategy in (AlternatingDARTS(), RandomPaths()):
        with pytest.raises(PluginError, match="choice 'not_both' cannot be searched: .* a condition between choices"):
            strategy.mutate_model(Conditional())


# Choices of inputs.


class Inputs(ModelSpace):
    """Three inputs, of which some are chosen."""

    def __init__(self, chosen, reduction):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3, 4, 1) for _ in range(3)])
        self.choice = InputChoice(3, n_chosen=chosen, reduction=reduction, label="i")

    def forward(self, images):
        return self.choice([layer(images) for layer in self.layers])


def decided(model, chosen):
    """Set the alphas so that these inputs are equally strong and the others are out."""
    with torch.no_grad():
        alpha = named_architecture_parameters(model)["i"]
        alpha.fill_(-40.0)
        alpha[list(chosen)] = 0.0
    return model.eval()


@pytest.mark.parametrize("reduction", ["sum", "mean", "concat"])
@pytest.mark.parametrize("chosen", [1, 2, 3])
def test_a_decided_supernet_equals_its_frozen_network(chosen, reduction):
    """NNI's gives half of a frozen sum of two inputs."""
    for inputs in combinations(range(3), chosen):
        torch.manual_seed(0)
        model = decided(AlternatingDARTS().mutate_model(Inputs(chosen, reduction)).double(), inputs)
        images = torch.randn(2, 3, 5, 5, dtype=torch.float64)
        frozen = model.freeze({"i": list(inputs)})
        torch.testing.assert_close(model(images), frozen(images), rtol=1e-6, atol=1e-9)
    if (chosen, reduction) == (2, "sum"):
        theirs = decided(DARTS().mutate_model(Inputs(2, "sum")).double(), (0, 1))
        ratio = theirs.freeze({"i": [0, 1]})(images) / theirs(images)
        torch.testing.assert_close(ratio, torch.full_like(ratio, 2.0))


def test_slots_against_all_sets_written_out():
    weights = torch.softmax(torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), 0)
    for count in (1, 2, 3, 5):
        expected, total = torch.zeros(count, 5, dtype=torch.float64), 0.0
        for some in combinations(range(5), count):
            odds = weights[list(some)].prod()
            total += odds
            for slot, position in enumerate(some):
                expected[slot, position] += odds
        torch.testing.assert_close(slot_weights(weights, count), expected / total)


def test_kernels_as_tuples_are_mixed_as_one_kernel():
    """The sum of the convolutions of each size, each with its share, is what one masked kernel computes."""
    sizes = [(1, 3), (3, 1), (3, 3)]

    class Tuples(ModelSpace):
        def __init__(self):
            super().__init__()
            self.layer = MutableConv2d(2, 4, nni.choice("k", sizes), padding="same")

        def forward(self, images):
            return self.layer(images)

    model = AlternatingDARTS().mutate_model(Tuples()).double()
    layer, images = model.layer, torch.randn(2, 2, 6, 6, dtype=torch.float64)
    assert isinstance(layer, MixedConv2d) and layer.kernel_size == (3, 3)
    weights = torch.softmax(named_architecture_parameters(model)["k"], 0)
    total = layer.bias.view(1, -1, 1, 1).expand(2, 4, 6, 6)
    for share, (a, b) in zip(weights, sizes, strict=True):
        top, left = (3 - a) // 2, (3 - b) // 2
        kernel = layer.weight[:, :, top : top + a, left : left + b]
        total = total + share * nn.functional.conv2d(images, kernel, padding=(a // 2, b // 2))
    torch.testing.assert_close(model(images), total)
    frozen = model.freeze({"k": (1, 3)})
    assert frozen.layer.weight.shape == (4, 2, 1, 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([torch.ones(2, 3), torch.ones(2, 1)], r"here give \(2, 3\), \(2, 1\); a weighted sum needs the same"),
        ([torch.ones(2), (torch.ones(2),)], r"here give \(2,\), tuple"),
        ([{"a": torch.ones(1)}, {"b": torch.ones(1)}], "dictionaries with other keys"),
        ([(torch.ones(1),), (torch.ones(1), torch.ones(1))], "sequences of other kinds or lengths"),
        ([{"a": [torch.ones(1)]}, {"a": [torch.ones(2)]}], r"here \['a'\] \[0\] give \(1,\), \(2,\)"),
        (["a", "b"], "give str, which a weighted sum cannot take"),
    ],
)
def test_outputs_that_cannot_be_summed_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        weighted(values, [torch.tensor(0.5)] * 2, "here")


def test_a_wrong_shape_names_the_choice(tmp_path):
    class Wrong(ModelSpace):
        def __init__(self):
            super().__init__()
            self.a = LayerChoice({"c": nn.Conv2d(3, 3, 1), "p": nn.AdaptiveAvgPool2d(1)}, label="a")

        def forward(self, images):
            return self.a(images)

    model = AlternatingDARTS().mutate_model(Wrong())
    with pytest.raises(ValueError, match="LayerChoice 'a': candidates c, p give"):
        model(torch.randn(2, 3, 8, 8))


def test_depth_zero_is_sampled_and_mixed_as_the_input():
    """NNI's RandomOneShot fails at it, and its DARTS leaves it out of the sum."""
    sampled = RandomPaths().mutate_model(spaces_of_nni.SPACES["repeat_from_zero"]())
    features = torch.randn(1, spaces_of_nni.WIDTH, 4, 4)
    sampled.parts.r.resample({"depth": 0})
    assert sampled.parts.r(features) is features
    mixed = AlternatingDARTS().mutate_model(spaces_of_nni.SPACES["repeat_from_zero"]())
    with torch.no_grad():
        named_architecture_parameters(mixed)["depth"].copy_(torch.tensor([40.0, 0, 0]))
    torch.testing.assert_close(mixed.parts.r(features), features)


# Our own space under strategies that stop at choices of several inputs.


def sets_space(**changes):
    torch.manual_seed(0)
    return MultimodalSpace(3, modalities=["image"], channels=4, cells=2, nodes=3, node_inputs="sets", **changes)


def test_nodes_declared_as_sets_are_one_choice_of_all_sets():
    choices = {str(label): mutable.values for label, mutable in sets_space().simplify().items() if "_node_" in label}
    assert choices["reduction_node_1"] == ["0"] and choices["reduction_node_2"] == ["0+1"]
    assert choices["reduction_node_3"] == ["0+1", "0+2", "1+2"]
    assert {type(m).__name__ for m in sets_space().simplify().values()} == {"Categorical"}


def test_a_set_gives_what_the_choice_of_several_gives():
    pairs = sets_space(dropout=0.0).eval()
    torch.manual_seed(0)
    several = MultimodalSpace(3, modalities=["image"], channels=4, cells=2, nodes=3, dropout=0.0).eval()
    several.load_state_dict(pairs.state_dict())
    images, rng = torch.randn(2, 3, 16, 16), torch.Generator().manual_seed(1)
    sample = {}
    for label, mutable in pairs.simplify().items():
        sample[label] = mutable.values[int(torch.randint(len(mutable.values), (), generator=rng))]
    other = {k: [int(i) for i in v.split("+")] if "_node_" in k else v for k, v in sample.items()}
    torch.testing.assert_close(pairs.freeze(sample)(images), several.freeze(other)(images))


def test_shares_of_sets_become_shares_of_inputs():
    topology = topology_of(MultimodalSpace, {"num_classes": 3, "modalities": ["image"], "cells": 2, "nodes": 3})
    weights = {"reduction_node_3": {"0+1": 0.5, "0+2": 0.3, "1+2": 0.2}, "reduction_edge_0_1": {"zero": 1.0}}
    found = with_positions(weights, topology)
    assert found["reduction_node_3"] == pytest.approx({0: 0.4, 1: 0.35, 2: 0.25})
    assert found["reduction_edge_0_1"] == {"zero": 1.0}
    plain = {"reduction_node_3": {"0": 0.5, "1": 0.3, "2": 0.2}}
    assert with_positions(plain, topology)["reduction_node_3"] == {0: 0.5, 1: 0.3, 2: 0.2}


@pytest.mark.parametrize("strategy", [AlternatingDARTS, RandomPaths, DARTS])
def test_sets_are_searched_by_ours_and_nni_s(strategy, tmp_path):
    experiment = run(strategy(), make_evaluator(), sets_space(), tmp_path)
    assert set(experiment.export_top_models(formatter="dict")[0]) == set(sets_space().simplify())


def test_nni_s_tpe_takes_sets(tmp_path):
    seen = []

    def score(choices):
        seen.append(dict(choices))
        return float(len(seen))

    evolve(sets_space(), score, TPE(), 3, tmp_path)
    assert len(seen) == 3 and all(set(map(str, choices)) == set(sets_space().simplify()) for choices in seen)


def test_nni_s_enas_is_told_what_a_batch_is_for():
    """Under Lightning 2.6 NNI takes the second part of a pair (images, classes) for the source of the batch."""
    loaders = {"train": [("images", "classes")] * 2, "val": [("images", "classes")]}
    strategy = object.__new__(NNIEnas)  # its constructor needs tianshou
    found = strategy.train_dataloader(lambda: loaders["train"], lambda: loaders["val"])
    assert len(found) == 3 and [source for _, source in found] == ["train", "train", "val"] == [s for _, s in found]


@pytest.mark.parametrize("name", ["ENAS", "PolicyBasedRL"])
def test_nni_s_reinforcement_learning_takes_sets(name, tmp_path):
    pytest.importorskip("tianshou", reason="NNI's ENAS and PolicyBasedRL need tianshou")
    if name == "ENAS":
        strategy = NNIEnas(reward_metric_name="val_acc", batches_per_update=2)
        experiment = run(strategy, make_evaluator(), sets_space(), tmp_path)
        assert set(experiment.export_top_models(formatter="dict")[0]) == set(sets_space().simplify())
        return
    seen = []
    evolve(sets_space(), lambda choices: seen.append(dict(choices)) or float(len(seen)), PolicyBasedRL(), 3, tmp_path)
    assert len(seen) == 3


def test_inputs_of_our_supernet_are_ours():
    model = AlternatingDARTS().mutate_model(Inputs(2, "sum"))
    assert isinstance(model.choice, MixedInput) and float(model.choice.input_weights().detach().sum()) == pytest.approx(
        2
    )


# Spaces that are refused by label and reason, and what a path alone can do.


class Inside(spaces_of_nni.Small):
    """A space whose body is a choice of two candidates."""

    def __init__(self, first):
        def make(parts):
            parts.a = LayerChoice({"first": first, "second": spaces_of_nni.conv()}, label="a")
            return lambda parts, features: parts.a(features) if parts.a(features) is not None else features

        super().__init__(make)


class Nothing(nn.Module):
    def forward(self, features):
        return None


IMAGES = torch.randn(2, 3, 8, 8)


@pytest.mark.parametrize(
    ("first", "sentence"),
    [
        (nn.Sequential(nn.ReLU(inplace=True), spaces_of_nni.conv()), "candidates first changes its input in place"),
        (Nothing(), "LayerChoice 'a': candidates first, second give NoneType, which a weighted sum cannot take"),
    ],
)
def test_a_candidate_that_a_sum_cannot_take_is_named_and_can_be_sampled(first, sentence):
    mixed = AlternatingDARTS().mutate_model(Inside(first))
    with pytest.raises(PluginError, match=sentence):
        mixed(IMAGES)
    sampled = RandomPaths().mutate_model(Inside(first))
    for _ in range(4):
        for module in sampled.modules():
            if hasattr(module, "resample"):
                module.resample({})
        assert sampled(IMAGES).shape == (2, spaces_of_nni.CLASSES)


class OpenGroups(spaces_of_nni.Small):
    def __init__(self):
        def make(parts):
            parts.a = MutableConv2d(spaces_of_nni.WIDTH, spaces_of_nni.WIDTH, 1, groups=nni.choice("groups", [1, 2]))
            return lambda parts, features: parts.a(features)

        super().__init__(make)


class OfItself(spaces_of_nni.Small):
    def __init__(self):
        super().__init__(spaces_of_nni.layer_choice)
        self.scale = nni.choice("scale", [1.0, 2.0])
        self.add_mutable(self.scale)


class OpenDropout(spaces_of_nni.Small):
    def __init__(self):
        def make(parts):
            parts.a = MutableDropout(nni.choice("rate", [0.1, 0.5]))
            return lambda parts, features: parts.a(features)

        super().__init__(make)


@pytest.mark.parametrize(
    ("space", "strategies", "sentence"),
    [
        (
            OpenGroups,
            [AlternatingDARTS],
            "choice 'groups' .*its groups can be sampled .random_paths., and mixed only where",
        ),
        (
            OfItself,
            [AlternatingDARTS, RandomPaths],
            "choice 'scale' cannot be searched: it is the space's own .add_mutable",
        ),
        (
            OpenDropout,
            [AlternatingDARTS, RandomPaths],
            "choice 'rate' .*no part of a supernet stands for its open argum",
        ),
    ],
)
def test_open_arguments_that_nothing_stands_for_are_refused_before_the_first_batch(space, strategies, sentence):
    for strategy in strategies:
        with pytest.raises(PluginError, match=sentence):
            strategy().mutate_model(space())
