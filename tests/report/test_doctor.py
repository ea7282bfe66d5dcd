"""Histories made to show each illness."""

from __future__ import annotations

from functools import partial

import pytest

from bioautoml_nni.report import doctor

diagnose = partial(doctor.diagnose, skips=frozenset({"skip_connect"}), zeros=frozenset({"zero"}))
NAMES = ("sep_conv_3x3", "max_pool_3x3", "skip_connect", "zero")
EDGES = ("normal_edge_0_1", "normal_edge_0_2", "normal_edge_1_2")


def weights(best: dict[str, str], strength: float) -> dict[str, dict[str, float]]:
    rest = (1 - strength) / (len(NAMES) - 1)
    return {edge: {name: strength if name == best[edge] else rest for name in NAMES} for edge in EDGES}


SOUND = dict(zip(EDGES, ("sep_conv_3x3", "max_pool_3x3", "sep_conv_3x3"), strict=True))
ALL_SKIP = dict.fromkeys(EDGES, "skip_connect")
ALL_ZERO = dict.fromkeys(EDGES, "zero")


def history(*epochs: dict, score: float = 0.5) -> list[dict]:
    return [{"epoch": n, "shares": own, "val_macro_f1": score} for n, own in enumerate(epochs)]


def found(entries, **settings):
    return {finding.title: finding for finding in diagnose(entries, **settings)}


def test_a_healthy_search_is_well():
    result = diagnose(history(*[weights(SOUND, 0.7)] * 4), derived_score=0.55, alpha_specimens=4000, batch_size=64)
    assert {finding.level for finding in result} == {"ok"}
    assert any(finding.title == "converged" and "2.8 times" in finding.seen for finding in result)


def test_a_collapse_is_dated_and_has_remedies():
    epochs = [weights(SOUND, 0.5), weights(SOUND, 0.5), weights(ALL_SKIP, 0.6), weights(ALL_SKIP, 0.9)]
    result = diagnose(history(*epochs))
    assert result[0].title == "collapsed to skip connections" and result[0].level == "error"
    assert "Since epoch 3, 3 edges of the normal cell" in result[0].seen
    assert "max_skips: 2" in result[0].remedy


def test_zero_everywhere_is_a_collapse_and_somewhere_is_not():
    assert found(history(*[weights(ALL_ZERO, 0.8)] * 2))["collapsed to zero"].level == "error"
    some = {**SOUND, "normal_edge_0_2": "zero"}
    finding = found(history(*[weights(some, 0.7)] * 2))["zero"]
    assert finding.level == "ok" and "removes 1 of 3 edges" in finding.seen


def test_alphas_that_never_moved():
    assert found(history(*[weights(SOUND, 0.2501)] * 3))["the architecture never moved"].level == "error"
    assert "the architecture never moved" in found(history(*[weights(SOUND, 0.4)] * 3), warmup_epochs=3)


def test_a_search_that_is_still_moving():
    finding = found(history(weights(SOUND, 0.3), weights(SOUND, 0.5)))["still moving"]
    assert finding.level == "warning" and "20.0% of the share changed hands" in finding.seen


def test_settled_without_a_decision():
    finding = found(history(*[weights(SOUND, 0.3)] * 3))["settled without a decision"]
    assert finding.level == "warning" and "--set derivation.method=perturbation" in finding.remedy
    assert "settled without a decision" not in found(history(*[weights(SOUND, 0.7)] * 3)), "that is a decision"


def test_the_discretisation_gap():
    entries = history(*[weights(SOUND, 0.7)] * 3, score=0.6)
    assert found(entries, derived_score=0.4)["discretisation gap"].level == "error"
    assert "discretisation gap" not in found(entries, derived_score=0.58)


def test_too_little_data_and_noise():
    entries = history(*[weights(SOUND, 0.7)] * 8)
    for number, entry in enumerate(entries):
        entry["val_macro_f1"] = 0.3 + 0.2 * (number % 2)
    result = found(entries, alpha_specimens=40, batch_size=16)
    assert "about 16 steps on 40 specimens" in result["few architecture steps"].seen
    assert {"small batches", "noisy validation"} <= set(result)


def test_what_guards_did_is_told():
    entries = history(*[weights(SOUND, 0.7)] * 2)
    result = found(entries, outcome={"stopped": "after epoch 2: x", "rate_factor": 0.25})
    assert result["stopped by a guard"].seen == "The search stopped after epoch 2: x."
    assert "went on with 0.25 times the learning rate" in result["diverged"].seen
    assert {result[title].level for title in ("stopped by a guard", "diverged")} == {"warning"}
    assert not {"stopped by a guard", "diverged"} & set(found(entries, outcome={"stopped": None, "rate_factor": 1.0}))


def test_the_worst_comes_first_and_nothing_is_said_of_nothing():
    assert diagnose([])[0].title == "no history"
    levels = [finding.level for finding in diagnose(history(weights(ALL_SKIP, 0.5), weights(ALL_SKIP, 0.9)))]
    assert levels == sorted(levels, key=["error", "warning", "ok"].index)


@pytest.mark.parametrize("relaxed", [0.99, 0.7])
def test_shares_at_the_limit_are_handled(relaxed):
    certain = {edge: {name: float(name == "sep_conv_3x3") for name in NAMES} for edge in EDGES}
    assert found(history(certain, certain))["converged"].level == "ok"
    assert found(history(*[weights(SOUND, relaxed)] * 2))["converged"].level == "ok"


def test_a_minimum_that_gets_sharper_is_seen():
    def with_eigenvalues(*values):
        return [
            {**entry, "alpha_hessian_eigenvalue": v}
            for entry, v in zip(history(*[weights(SOUND, 0.7)] * 5), values, strict=True)
        ]

    assert found(with_eigenvalues(0.2, 0.1, 0.2, 0.4, 0.9))["the minimum gets sharper"].level == "warning"
    assert found(with_eigenvalues(0.2, 0.1, 0.2, 0.2, 0.3))["curvature"].level == "ok"
    assert "curvature" not in found(history(*[weights(SOUND, 0.7)] * 5))
