"""Forty mistakes of plug-in authors, each with the sentence that its suite answers; nothing raw comes through."""

import re
from pathlib import Path

import pandas as pd
import pytest
import torch
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from nni.nas.strategy import Random
from torch import nn

from bioautoml_nni import testing
from bioautoml_nni.architecture import Topology
from bioautoml_nni.data.manifest import ID, IMAGE, LABEL, Manifest
from bioautoml_nni.losses._base import Loss
from bioautoml_nni.search_spaces import MultimodalSpace
from bioautoml_nni.search_spaces.fusions._base import Fusion
from bioautoml_nni.search_spaces.operations._base import Operation
from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.regularisers._base import Regulariser
from bioautoml_nni.strategies.relaxations._base import Relaxation


def part(base, name, **members):
    """A class that differs from its base by what is given."""
    return type(name, (base,), members)


def strided(self, features):
    return features[:, :, :: self.stride, :: self.stride]


# Operations.


class NoStride(nn.Module):
    def __init__(self, channels):
        super().__init__()


class Plain:
    def __init__(self, channels, stride):
        self.stride = stride


def asserting(self, features):
    assert features.shape[2] > 100
    return features


class Forgetful(Operation):
    """Keeps what decides its result outside of its state."""

    def __init__(self, channels, stride):
        super().__init__(channels, stride)
        self.factor = torch.rand(())

    def forward(self, features):
        return self.factor * strided(self, features)


class RaisesOther(Operation):
    def __init__(self, channels, stride):
        nn.Module.__init__(self)
        if stride not in (1, 2):
            raise KeyError(stride)
        self.stride = stride

    forward = strided


OPERATIONS = [
    (NoStride, "must be built as Operation(channels, stride), but TypeError"),
    (Plain, "must be a torch.nn.Module, Operation(channels, stride), not a Plain"),
    (nn.Identity(), "the entry point must name the class itself, Operation(channels, stride), not a Identity"),
    (part(Operation, "NoForward"), "must map a feature map, but NotImplementedError"),
    (part(nn.Module, "Bare", __init__=lambda self, c, s: nn.Module.__init__(self)), "must define forward"),
    (part(Operation, "Tuple", forward=lambda self, x: (x, x)), "must give a tensor, not a tuple"),
    (part(Operation, "Wide", forward=lambda self, x: torch.cat([x, x], 1)), r"gives shape (3, 16, 16, 16), not"),
    (part(Operation, "Whole", forward=lambda self, x: x), "gives shape (3, 8, 16, 16), not (3, 8, 8, 8)"),
    (part(Operation, "NaN", forward=lambda self, x: strided(self, x) / 0 * 0), "gives values that are not finite"),
    (part(Operation, "Cut", forward=lambda self, x: strided(self, x).detach()), "lets no gradient through"),
    (part(Operation, "NotZero", capabilities=("zero",), forward=strided), "declares 'zero' and gives something else"),
    (part(Operation, "Text", capabilities="skip", forward=strided), "capabilities must be a tuple"),
    (part(Operation, "Asserts", forward=asserting), "must map a feature map, but fails an assertion of its own"),
    (part(Operation, "AddTo", forward=strided, add_to=lambda self, mixture: None), "add_to(mixture, weight) must add"),
    (Forgetful, "its state_dict does not hold all that decides its result"),
    (RaisesOther, "must refuse a stride other than 1 or 2 with ValueError, not KeyError"),
]


@pytest.mark.parametrize(("broken", "sentence"), OPERATIONS, ids=lambda each: getattr(each, "__name__", None))
def test_operations(broken, sentence):
    assert_says(testing.check_operation, broken, sentence)


# Fusions and losses.

FUSIONS = [
    (part(Fusion, "TwoArguments", forward=lambda self, image, metadata: image), "must map one pair of embeddings"),
    (part(Fusion, "OneWidth", __init__=lambda self, features: None), "must be built as Fusion(image_features, met"),
    (part(Fusion, "Wide", forward=lambda self, pair: torch.cat(pair, 1)), "gives shape (5, 10), not (5, 9)"),
]


@pytest.mark.parametrize(("broken", "sentence"), FUSIONS, ids=lambda each: getattr(each, "__name__", None))
def test_fusions(broken, sentence):
    assert_says(testing.check_fusion, broken, sentence)


LOSSES = [
    (nn.CrossEntropyLoss, "must be built as Loss(class_counts), but"),
    (
        part(Loss, "EachRow", forward=lambda self, x, y: nn.functional.cross_entropy(x, y, reduction="none")),
        "gives shape (6,), not a scalar",
    ),
    (part(Loss, "Number", forward=lambda self, x, y: 1.0), "must give a tensor, not a float"),
    (part(Loss, "Swapped", forward=lambda self, x, y: -nn.functional.cross_entropy(x, y)), "does not prefer the right"),
    (part(Loss, "Fixed", forward=lambda self, x, y: torch.ones(())), "lets no gradient through to the logits"),
]


@pytest.mark.parametrize(("broken", "sentence"), LOSSES, ids=lambda each: getattr(each, "__name__", None))
def test_losses(broken, sentence):
    assert_says(testing.check_loss, broken, sentence)


# Spaces.


class Good(ModelSpace):
    """One open layer on images."""

    def __init__(self, num_classes, metadata=None, modalities=("image",)):
        super().__init__()
        self.layer = LayerChoice({"a": nn.Conv2d(3, 4, 1), "b": nn.Conv2d(3, 4, 3, padding=1)}, label="layer")
        self.head = nn.Linear(4, num_classes)

    def forward(self, batch):
        return self.head(self.layer(batch["image"]).mean((2, 3)))

    @classmethod
    def topology(cls):
        return Topology({}, (), None, {"layer": ("a", "b")})

    @staticmethod
    def build(architecture, **arguments):
        return Fixed(architecture, **arguments)

    @staticmethod
    def inherit(network, supernet_state):
        return list(network.state_dict())  # nothing is taken


class Fixed(nn.Module):
    def __init__(self, architecture, num_classes, metadata=None, modalities=("image",)):
        super().__init__()
        kernel = {"a": 1, "b": 3}[architecture.choices["layer"].choice]
        self.layer, self.head = nn.Conv2d(3, 4, kernel, padding=kernel // 2), nn.Linear(4, num_classes)

    forward = Good.forward


class NoModelSpace(nn.Module):
    topology, build, inherit = Good.topology, Good.build, Good.inherit

    def __init__(self, num_classes, metadata=None, modalities=("image",)):
        super().__init__()


class Bytes(Good):
    """As the documents once said: images as uint8."""

    def forward(self, batch):
        assert batch["image"].dtype is torch.uint8
        return super().forward(batch)


class Tensors(Good):
    """Takes images and not the dictionary that training feeds."""

    def forward(self, images):
        return self.head(self.layer(images).mean((2, 3)))


class NoArguments(Good):
    def __init__(self):
        ModelSpace.__init__(self)


def hidden(name):
    """The space without one of its methods."""
    return type(f"No{name}", (Good,), {name: None})


SPACES = [
    (hidden("topology"), "must have the class method topology(...), which returns"),
    (hidden("build"), "must have build(architecture, **arguments), which returns a network"),
    (hidden("inherit"), "must have inherit(network, supernet_state)"),
    (NoModelSpace, "must derive from nni.nas.nn.pytorch.ModelSpace, not be a NoModelSpace"),
    (part(Good, "Dict", topology=classmethod(lambda cls: {"layer": ["a"]})), "must return a Topology, not a dict"),
    (
        part(Good, "Other", topology=classmethod(lambda cls: Topology({}, (), None, {"layers": ("a", "b")}))),
        "NNI sees the choices ['layer', 'layers'] otherwise than topology()",
    ),
    (
        part(Good, "Fewer", topology=classmethod(lambda cls: Topology({}, (), None, {"layer": ("b", "a")}))),
        "NNI sees the choices ['layer'] otherwise than topology()",
    ),
    (Bytes, "its supernet must take what training feeds, forward({image, target}), but fails an assertion of its own"),
    (Tensors, "its supernet must take what training feeds"),
    (NoArguments, "must be built as Space(num_classes, metadata, modalities, ...), but TypeError"),
    (part(Good, "Missing", inherit=staticmethod(lambda network, state: None)), "inherit() must return the list of"),
]


def test_the_good_space_holds():
    testing.check_space(Good)


@pytest.mark.parametrize(("broken", "sentence"), SPACES, ids=lambda each: getattr(each, "__name__", None))
def test_spaces(broken, sentence):
    assert_says(testing.check_space, broken, sentence)


def test_a_space_for_both_modalities_gets_metadata_and_has_to_use_it():
    class Deaf(Good):
        def forward(self, batch):
            assert {"image", "numeric", "categorical", "mask"} <= set(batch)
            return super().forward(batch)

    with pytest.raises(AssertionError, match="the metadata numeric, categorical have no influence"):
        testing.check_space(Deaf, modalities=("image", "metadata"))


# Strategies and their parts.


class Unrunnable(AlternatingDARTS):
    def configure_oneshot_module(self, training_module):
        raise RuntimeError("no module")


STRATEGIES = [
    (dict, "must be an NNI one-shot strategy, such as a subclass of nni.nas.strategy.DARTS, not a dict"),
    (Random, "is a multi-trial strategy, which trains one network after the other; it must be an NNI one-shot"),
    (Unrunnable, "must search a small space in NNI's engine, but RuntimeError: no module"),
]


@pytest.mark.parametrize(("broken", "sentence"), STRATEGIES, ids=lambda each: getattr(each, "__name__", None))
def test_strategies(broken, sentence):
    assert_says(testing.check_strategy, broken, sentence)


RELAXATIONS = [
    (part(Relaxation, "NoWeights"), "must have weights(label, alpha, training), but NotImplementedError"),
    (part(Relaxation, "Numbers", weights=lambda self, label, alpha, training: [0.5]), "must give a tensor, not a list"),
    (part(object, "Nothing"), "must have start_step(progress)"),
]


@pytest.mark.parametrize(("broken", "sentence"), RELAXATIONS, ids=lambda each: getattr(each, "__name__", None))
def test_relaxations(broken, sentence):
    assert_says(testing.check_relaxation, broken, sentence)


def test_regularisers():
    arguments = part(Regulariser, "Arguments", penalty=lambda self, alphas: 0)
    assert_says(testing.check_regulariser, arguments, "must have penalty(supernet, alphas, relaxation, progress), but")
    number = part(Regulariser, "Number", penalty=lambda *everything: 0.0)
    assert_says(testing.check_regulariser, number, "penalty: must give a tensor, not a float")


# Sources.


def manifest(**changes):
    table = pd.DataFrame({ID: ["a", "b"], IMAGE: ["a.png", "b.png"], LABEL: ["x", "y"]})
    return {"table": table, "image_root": Path("."), "roles": {}, "rank": "label", **changes}


def table_with(**columns):
    return manifest()["table"].assign(**columns)


def source(load):
    return type("Made", (), {"__init__": lambda self, root: setattr(self, "root", root), "load": load})


SOURCES = [
    (source(lambda self: manifest()["table"]), "load() must return a Manifest, not a DataFrame"),
    (source(lambda self: Manifest(**manifest(image_root=self.root))), "2 of its images do not exist below image_root"),
    (source(lambda self: Manifest(**manifest(table=[1]))), "table must be a DataFrame, not a list"),
    (source(lambda self: Manifest(**manifest(roles=["x"]))), "roles must be a mapping from columns to roles"),
    (source(lambda self: Manifest(**manifest(table=table_with(**{ID: "a"})))), "_id is not unique"),
    (source(lambda self: Manifest(**manifest(table=table_with(**{LABEL: [1, 2]})))), "_label must be strings"),
    (source(lambda self: Manifest(**manifest(table=table_with(**{IMAGE: [1, 2]})))), "_image must hold paths below"),
    (source(lambda self: Manifest(**manifest(table=table_with(**{IMAGE: "../a.png"})))), "_image must hold paths"),
    (
        source(lambda self: (self.root / "no such table").read_text()),
        "must read its data, load(), but FileNotFoundError",
    ),
    (type("NoLoad", (), {"__init__": lambda self, root: None}), "must have load()"),
    (type("NoRoot", (), {}), "must be built as Source(root, ...), but TypeError"),
]


@pytest.mark.parametrize(("broken", "sentence"), SOURCES, ids=lambda each: getattr(each, "__name__", None))
def test_sources(broken, sentence, tmp_path):
    assert_says(testing.check_source, broken, sentence, root=tmp_path)


def test_an_image_that_is_there_is_enough(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    testing.check_source(source(lambda self: Manifest(**manifest(image_root=self.root))), root=tmp_path)


def test_an_encoder_of_a_family_says_which_argument_it_lacks():
    class Family:
        def __init__(self, argument):
            self.argument = argument

    assert_says(testing.check_encoder, Family, "must be built from its arguments, but TypeError")


def test_there_are_forty():
    several = [OPERATIONS, FUSIONS, LOSSES, SPACES, STRATEGIES, RELAXATIONS, SOURCES]
    assert sum(map(len, several)) >= 40


def assert_says(suite, broken, sentence, **arguments):
    """The suite answers by one sentence that names the plug-in and holds these words."""
    name = getattr(broken, "__name__", type(broken).__name__)
    with pytest.raises(AssertionError, match=re.escape(sentence)) as error:
        suite(broken, **arguments)
    said = str(error.value)
    assert said.startswith(name) and "\n" not in said


@pytest.mark.parametrize("node_inputs", ["multiple", "sets"])
def test_our_own_space_takes_both_modalities(node_inputs):
    testing.check_space(
        MultimodalSpace, channels=4, cells=2, nodes=3, node_inputs=node_inputs, modalities=("image", "metadata")
    )
