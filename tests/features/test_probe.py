"""The linear probe against scikit-learn's own pipeline, and where classes are missing."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bioautoml_nni.data.sizing import natural_size
from bioautoml_nni.features.probe import UNSEEN, fit_probe


def clouds(count: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of classes that lie apart in the first columns; the second is of another scale, the last constant."""
    rng = np.random.default_rng(seed)
    target = np.arange(count) % classes
    features = rng.normal(size=(count, 6)) + 1.5 * np.eye(classes, 6)[target]
    features[:, 1] *= 100
    features[:, 5] = 3
    return features.astype(np.float32), target


@pytest.mark.parametrize("classes", [2, 4])
def test_it_answers_as_a_pipeline_of_scikit_learn_does(classes):
    features, target = clouds(240, classes, 0)
    others, truth = clouds(80, classes, 1)
    found = fit_probe(features, target, others, truth, classes, refit=False, decays=[1 / (0.01 * 240)])
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000, tol=1e-6))
    expected = pipeline.fit(features, target).predict_proba(others)
    exponential = np.exp(found.logits(others))
    assert exponential / exponential.sum(1, keepdims=True) == pytest.approx(expected, abs=5e-3)


def test_validation_chooses_the_decay_and_the_refit_learns_from_it_too():
    features, target = clouds(60, 3, 0)
    others, truth = clouds(300, 3, 1)
    tried = []
    decays = (1e3, 1.0, 1e-2, 1e-6)
    found = fit_probe(features, target, others, truth, 3, False, decays, lambda *line: tried.append(line))
    assert dict(tried) == found.losses and found.losses[found.decay] == min(found.losses.values())
    assert found.decay in (1.0, 1e-2)
    again = fit_probe(features, target, others, truth, 3, True, decays)
    whole = np.concatenate([features, others]), np.concatenate([target, truth])
    alone = fit_probe(*whole, others, truth, 3, False, [found.decay])
    assert again.decay == found.decay and again.weight == pytest.approx(alone.weight)
    assert not np.allclose(again.weight, found.weight)


def test_a_class_without_training_specimens_is_never_answered():
    features, target = clouds(90, 3, 0)
    seen = target != 1
    found = fit_probe(features[seen], target[seen], features, target, 3, refit=False, decays=[0.1])
    assert found.bias[1] == UNSEEN and not found.weight[1].any()
    assert 1 not in found.logits(features).argmax(1)


def test_the_natural_size_is_bounded_by_the_encoder_and_by_the_images():
    assert natural_size(224, np.array([60.0, 65.0, 256.0])) == 160
    assert natural_size(224, np.array([400.0])) == 224
    assert natural_size(224, np.array([4.0])) == 32
