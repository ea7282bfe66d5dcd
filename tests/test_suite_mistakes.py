"""Parts of others with a mistake: their suites answer in one sentence each."""

import pytest
import torch
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from nni.nas.space import model_context
from nni.nas.strategy import DARTS
from torch import nn

from bioautoml_nni import testing
from bioautoml_nni.architecture import Topology
from bioautoml_nni.auto._base import Candidate
from bioautoml_nni.features.encoder import Encoder
from bioautoml_nni.losses._base import Loss
from bioautoml_nni.search_spaces.encoders.timm_collection import TimmEncoder
from bioautoml_nni.search_spaces.fusions._base import Fusion
from bioautoml_nni.search_spaces.operations._base import Operation
from bioautoml_nni.strategies.regularisers._base import Regulariser
from bioautoml_nni.strategies.relaxations._base import Relaxation
from bioautoml_nni.strategies.schedules._base import Schedule


def part(base, **members):
    """A class that differs from its base by what is given."""
    return type("Odd", (base,), members)


def strided(self, features):
    return features[:, :, :: self.stride, :: self.stride]


def in_place(self, features):
    with torch.no_grad():
        features.mul_(0.5)
    return strided(self, features)


def counting(self, features):
    self.calls = getattr(self, "calls", 0) + 1
    return self.calls * strided(self, features)


def only_training(self, features):
    if not self.training:
        raise LookupError("nothing in evaluation")
    return strided(self, features)


def with_generator(self, channels, stride):
    Operation.__init__(self, channels, stride)
    self.numbers = (number for number in range(3))


def forgetful(self, logits, target):
    self.seen = getattr(self, "seen", 0) + 1
    return self.seen * nn.functional.cross_entropy(logits, target)


def clamped(self, logits, target):
    return nn.functional.cross_entropy(logits, target.clamp_(max=1))


def first_only(self, logits, target):
    if len(logits) == 1:
        raise IndexError("several are needed")
    return nn.functional.cross_entropy(logits, target)


def both(self, pair):
    pair[0].data.add_(1)
    return torch.cat([*pair], 1)[:, :9]


def moved(self, label, alpha, training):
    return alpha.data.sub_(1).softmax(-1)


def ending(self, *given):
    raise SystemExit(3)


class Speechless(Exception):
    def __str__(self):
        raise RuntimeError("not even a text")


def speechless(self, *given):
    raise Speechless


def unregistered(self, channels, stride):
    Operation.__init__(self, channels, stride)
    self.scale = torch.rand(1)


def in_thousands(self):
    TimmEncoder.__init__(self, "test_resnet@random")
    self.mean = (123.7, 116.3, 103.5)


def entropy_of(logits, target, **options):
    return nn.functional.cross_entropy(logits, target, **options)


def constant(self, supernet, alphas, relaxation, progress):
    return sum(alpha.detach().square().sum() for alpha in alphas.values())


def by_hand(self, logits, target):
    odds = logits.exp()
    return -(odds[torch.arange(len(target)), target] / odds.sum(1)).log().mean()


def both_steps(self, module, batch, index):
    module.architecture_step(batch.alpha)
    return module.weights_step(batch.weights, index)


OPERATIONS = [
    (part(Operation, forward=in_place), "changes what it is given in place, which others read too"),
    (part(Operation, forward=lambda self, x: strided(self, x).float()), "gives torch.float32 for torch.float64"),
    (part(Operation, forward=counting), "gives something else the second time outside of training"),
    (part(Operation, forward=only_training), "must work in evaluation, as in training, but LookupError: nothing in"),
    (part(Operation, forward=strided, __init__=with_generator), "must survive copy.deepcopy"),
    (part(Operation, forward=ending), "must map a feature map, but SystemExit: 3"),
    (part(Operation, forward=speechless), "must map a feature map, but Speechless: without a text"),
    (part(Operation, forward=strided, __init__=lambda *given: None), "__init__() must call super().__init__()"),
    (
        part(Operation, __init__=unregistered, forward=lambda self, x: strided(self, x) * self.scale),
        "its state_dict does not hold all that decides its result",
    ),
    (part(Operation, forward=torch.no_grad()(strided)), "lets no gradient through"),
    (part(Operation, forward=lambda self, x: strided(self, x - x.mean(0))), "rows of a batch influence each other"),
    (part(Operation, forward=strided, capabilities=("skipp",)), "'skipp', which nothing knows (did you mean 'skip'?)"),
    (part(Operation, forward=strided, capabilities=None), "capabilities must be a tuple such as ('skip',), not None"),
    (part(Operation, forward=strided, capabilities=(1,)), "capabilities must be a tuple such as ('skip',), not (1,)"),
]
SCHEDULES = [
    (
        part(Schedule),
        "must have step(module, batch, index), which updates what a batch is for, but NotImplementedError",
    ),
    (part(Schedule, form="pair", step=both_steps), "form must be one of alternate, pairs, same, not 'pair'"),
    (part(Schedule, form="pairs", step=both_steps), "updates the architecture in warm-up"),
    (part(Schedule, form="alternate", step=both_steps), "updates weights on None: this step has no batch of theirs"),
    (part(Schedule, form="pairs", step=lambda *given: None), "never updates the weights in warm-up"),
    (
        part(
            Schedule, form="pairs", step=lambda self, module, batch, index: [module.weights_step(batch.weights, index)]
        ),
        "step() must return a scalar loss or None, not a list",
    ),
]
OTHERS = [
    (testing.check_fusion, part(Fusion, forward=both), "changes what it is given in place"),
    (testing.check_fusion, part(Fusion, forward=lambda self, pair: pair[0].double()), "gives shape (5, 6), not (5, 9)"),
    (testing.check_loss, part(Loss, forward=clamped), "changes logits or target in place"),
    (testing.check_loss, part(Loss, forward=forgetful), "gives something else the second time for one batch"),
    (testing.check_loss, part(Loss, forward=first_only), "must take a batch of one specimen, but IndexError: several"),
    (
        testing.check_loss,
        part(Loss, forward=lambda self, logits, target: entropy_of(logits, target, reduction="sum")),
        "must be the mean over a batch, and grows with its size",
    ),
    (
        testing.check_loss,
        part(Loss, forward=by_hand),
        "is not finite for logits of 200 in float32",
    ),
    (
        testing.check_loss,
        part(Loss, capabilities=("taxonomy",), forward=lambda self, logits, target: entropy_of(logits, target)),
        "must have set_taxonomy(taxa), since its capabilities name 'taxonomy'",
    ),
    (
        testing.check_regulariser,
        part(Regulariser, penalty=constant),
        "penalty() lets no gradient through to the alphas",
    ),
    (testing.check_encoder, part(TimmEncoder, __init__=in_thousands), "must be those of images from 0 to 1"),
    (testing.check_relaxation, part(Relaxation, weights=moved), "changes the architecture parameters in place"),
    (testing.check_encoder, part(object), "must derive from bioautoml_nni.features.encoder.Encoder"),
    (
        testing.check_encoder,
        part(
            Encoder, build=lambda self, stage=None, drop_path=0.0: None, load=lambda self, trunk: None,
            network="none", origin="here", citation="none",
        ),
        "build(stage, drop_path) must return a bioautoml_nni.features.trunk.Trunk, not None",
    ),
    (
        testing.check_candidate,
        part(Candidate, row="majority", needs="image", seconds=lambda self, work: 1.0),
        "needs is 'image'; write a tuple of texts",
    ),
    (
        testing.check_candidate,
        part(Candidate, row="majority", least="half", seconds=lambda self, work: 1.0),
        "least is 'half'; it is a share above 0",
    ),
]  # fmt: skip
MISTAKES = [
    *((testing.check_operation, broken, sentence) for broken, sentence in OPERATIONS),
    *((testing.check_schedule, broken, sentence) for broken, sentence in SCHEDULES),
    *OTHERS,
]


@pytest.mark.parametrize(("suite", "broken", "sentence"), MISTAKES, ids=[text[:40] for _, _, text in MISTAKES])
def test_a_suite_answers_in_one_sentence(suite, broken, sentence):
    with pytest.raises(AssertionError) as error:
        suite(broken)
    said = str(error.value)
    assert said.startswith("Odd") and sentence in said and "\n" not in said


def test_what_no_step_of_a_suite_foresees_is_a_sentence_with_the_method():
    class Surprising(Loss):
        def forward(self, logits, target):
            return nn.functional.cross_entropy(logits, target)

        def prior_logits(self, logits):
            return logits

        def __getattribute__(self, name):
            if name == "start_epoch":
                raise ZeroDivisionError("one by none")
            return super().__getattribute__(name)

    with pytest.raises(
        AssertionError, match=r"^Surprising: __getattribute__\(\) raises ZeroDivisionError: one by none$"
    ):
        testing.check_loss(Surprising)


# Spaces, which the first of these does right.


class Right(ModelSpace):
    """One open convolution."""

    def __init__(self, num_classes, metadata=None, modalities=("image",)):
        super().__init__()
        self.layer = LayerChoice({"a": nn.Conv2d(3, 3, 1), "b": nn.Conv2d(3, 3, 3, padding=1)}, label="layer")
        self.head = nn.Linear(3, num_classes)

    def forward(self, batch):
        return self.head(self.layer(batch["image"]).mean((2, 3)))

    @classmethod
    def topology(cls):
        return Topology({}, (), None, {"layer": ("a", "b")})

    @classmethod
    def build(cls, architecture, **arguments):
        with model_context(architecture.sample(cls.topology())):
            return cls(**arguments)

    @staticmethod
    def inherit(network, supernet_state):
        return list(network.load_state_dict(supernet_state, strict=False).missing_keys)


class Stubborn(Right):
    @classmethod
    def build(cls, architecture, **arguments):
        with model_context({"layer": "a"}):
            return cls(**arguments)


class Whole(Right):
    @classmethod
    def build(cls, architecture, **arguments):
        return DARTS().mutate_model(cls(**arguments))


class Knowing(Right):
    def forward(self, batch):
        return super().forward(batch) + nn.functional.one_hot(batch["target"], 3)


class Inventing(Right):
    @staticmethod
    def inherit(network, supernet_state):
        return ["layer.c.weight"]


class Boasting(Right):
    @staticmethod
    def inherit(network, supernet_state):
        return []


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        (Stubborn, "build(architecture) returns the same network whatever the architecture"),
        (Whole, "build(architecture) returns the same network whatever the architecture"),
        (Knowing, "a built network must take a single row, without the target, but KeyError: 'target'"),
        (Inventing, "inherit() returns 'layer.c.weight', which is not a name of the network's state_dict"),
        (Boasting, "inherit() leaves 'layer.weight' as it was, and does not return it"),
    ],
)
def test_spaces_that_do_something_else_than_they_say(space, sentence):
    with pytest.raises(AssertionError) as error:
        testing.check_space(space)
    assert str(error.value).startswith(space.__name__) and sentence in str(error.value)


def test_the_space_that_they_derive_from_is_right():
    testing.check_space(Right)
