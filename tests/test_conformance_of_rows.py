"""Mistakes in methods and candidates, each with the sentence that its suite answers."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from test_conformance_sentences import assert_says, part

from bioautoml_nni import testing
from bioautoml_nni.auto._base import Candidate
from bioautoml_nni.compare._base import PredictingMethod, Prediction, RunMethod
from bioautoml_nni.compare.methods import ImageOnly
from bioautoml_nni.data import splits

DATA = SimpleNamespace(part=pd.Series([splits.TEST] * 2 + [splits.VALIDATION] * 3), classes=["a", "b"])
HALVES = np.full((2, 2), 0.5)


def answering(**fields):
    return part(PredictingMethod, "Answering", predict=lambda self, data, seed: Prediction(**{
        "probabilities": HALVES, "parameters": None, **fields
    }))  # fmt: skip


def drawn(self, data, seed):
    return Prediction(np.random.default_rng().dirichlet([1, 1], 2), None)


METHODS = [
    (part(object, "Nothing"), "must be a RunMethod or a PredictingMethod"),
    (part(RunMethod, "NoSettings"), "must be built as RunMethod(argument)"),
    (part(RunMethod, "Pairs", settings=lambda self, seed: [("seed", 1)]), "must return a mapping of dotted keys"),
    (part(RunMethod, "Unknown", settings=lambda self, seed: {"training.epoch": 3}), "did you mean 'epochs'"),
    (part(RunMethod, "Numbers", settings=lambda self, seed: {1: 3}), "must return dotted keys as texts"),
    (
        part(RunMethod, "Chance", settings=lambda self, seed: {"seed": int(np.random.default_rng().integers(2**30))}),
        "settings(seed) differs from call to call",
    ),
    (part(PredictingMethod, "Raw", predict=lambda self, data, seed: HALVES), "returns a Prediction, not a ndarray"),
    (part(PredictingMethod, "Seedless", predict=drawn), "gives other probabilities for the same seed"),
    (answering(probabilities=HALVES[:1]), "has shape (1, 2), not (2, 2)"),
    (answering(probabilities=HALVES * 2), "rows of probabilities do not sum to one"),
    (answering(probabilities=HALVES * np.nan), "probabilities holds values that are not finite"),
    (answering(validation=HALVES), "validation has shape (2, 2), not (3, 2)"),
    (answering(modalities=("sound",)), "modalities name sound"),
    (answering(write_onnx=lambda path: path.write_text("no model")), "must write an ONNX file, but"),
    (answering(write_onnx=lambda path: None), "must write an ONNX file, but"),
]


@pytest.mark.parametrize(("broken", "sentence"), METHODS, ids=lambda each: getattr(each, "__name__", None))
def test_methods(broken, sentence):
    assert_says(testing.check_method, broken, sentence, data=DATA)


def candidate(name, **members):
    usual = {"row": "as_configured", "seconds": lambda self, work: 1.0 + work.trained}
    return part(Candidate, name, **{**usual, **members})


CANDIDATES = [
    (part(object, "Nothing"), "must be a Candidate"),
    (part(Candidate, "NoSeconds", row="as_configured"), "must be built as Candidate(), but TypeError"),
    (candidate("NoRow", row=None), "row must name a method"),
    (candidate("OtherRow", row="as_configurd"), "did you mean 'as_configured'"),
    (candidate("OtherNeed", needs=("sound",)), "needs names 'sound'"),
    (candidate("OtherKind", requires=("encoder:x",)), "requires names 'encoder:x'"),
    (candidate("TooMuch", least=1.5), "least is 1.5"),
    (candidate("Refitted", refit_share=0.5), "refit_share is 0.5; training_share leaves 0.2 at most"),
    (candidate("Kindless", kind=None), "kind is None; write a text"),
    (candidate("Endless", seconds=lambda self, work: float("inf")), "gives inf, not a number of seconds"),
    (candidate("Faster", seconds=lambda self, work: 1e6 / work.total), "as specimens grow a thousandfold"),
    (candidate("Single", cost=lambda self, work: 3.0), "cost(work) gives 3.0"),
    (
        candidate("Refused", settings=lambda self, work, share: {"space.cells": -1}),
        "settings that an experiment refuses",
    ),
    (
        candidate("Broken", settings=lambda self, work, share: 1 / 0),
        "must have settings(work, 1), but ZeroDivisionError",
    ),
]


@pytest.mark.parametrize(("broken", "sentence"), CANDIDATES, ids=lambda each: getattr(each, "__name__", None))
def test_candidates(broken, sentence):
    assert_says(testing.check_candidate, broken, sentence)


def test_sound_ones_pass():
    """The suites assert."""
    testing.check_method(ImageOnly)
    testing.check_method(answering(validation=np.full((3, 2), 0.5)), data=DATA)
    testing.check_candidate(candidate("Sound", least=0.5, settings=lambda self, work, share: {"training.epochs": 2}))
