"""Parts of others with a mistake: their suites answer in one sentence each."""

import pytest
import torch
from torch import nn

from bioautoml_nni import testing
from bioautoml_nni.auto._base import Candidate
from bioautoml_nni.features.encoder import Encoder
from bioautoml_nni.losses._base import Loss
from bioautoml_nni.search_spaces.fusions._base import Fusion
from bioautoml_nni.search_spaces.operations._base import Operation
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


def both_steps(self, module, batch, index):
    module.architecture_step(batch.alpha)
    return module.weights_step(batch.weights, index)


OPERATIONS = [
    (part(Operation, forward=in_place), "changes what it is given in place, which others read too"),
    (part(Operation, forward=lambda self, x: strided(self, x).float()), "gives torch.float32 for torch.float64"),
    (part(Operation, forward=counting), "gives something else the second time outside of training"),
    (part(Operation, forward=only_training), "must work in evaluation, as in training, but LookupError: nothing in"),
    (part(Operation, forward=strided, __init__=with_generator), "must survive copy.deepcopy"),
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
