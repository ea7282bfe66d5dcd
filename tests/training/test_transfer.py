"""What training on pretrained knowledge takes: recipes, what is kept, stored features that turn."""

import itertools
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bioautoml_nni.architecture import Architecture
from bioautoml_nni.config.load import apply_overrides, changed, parse_experiment
from bioautoml_nni.config.schema import RECIPES, Augmentation, TrainingConfig
from bioautoml_nni.training.augment import FeatureTransform
from bioautoml_nni.training.history import CheckpointCallback
from bioautoml_nni.training.mixing import Mixing
from bioautoml_nni.training.rates import freeze_batch_norm, rate_scales
from bioautoml_nni.utils.errors import ArchitectureError, ConfigError

BASE = {"name": "x", "data": {"source": "sample"}}


def test_a_recipe_sets_what_is_not_given():
    found = TrainingConfig.model_validate({"recipe": "finetune", "epochs": 3})
    assert found.epochs == 3 and found.trunk_rate == RECIPES["finetune"]["trunk_rate"] and found.keep == "last"
    assert TrainingConfig.model_validate({"recipe": "scratch"}) == TrainingConfig()


def test_another_recipe_replaces_the_values_of_the_first_but_not_those_given_beside_it():
    first = parse_experiment({**BASE, "training": {"recipe": "probe"}})
    second = changed(first, {"training.learning_rate": 0.5, "training.recipe": "finetune"}, "test").training
    assert second == TrainingConfig(recipe="finetune", learning_rate=0.5, **{
        key: value for key, value in RECIPES["finetune"].items() if key != "learning_rate"
    })  # fmt: skip
    raw = apply_overrides(first.model_dump(mode="json"), ["training.epochs=2", "training.recipe=scratch"])
    assert parse_experiment(raw).training == TrainingConfig(epochs=2)


def test_patience_needs_a_best_epoch():
    with pytest.raises(ConfigError, match="patience waits"):
        parse_experiment({**BASE, "training": {"keep": "last", "patience": 3}})


@settings(max_examples=30)
@given(st.lists(st.floats(0.1, 5), min_size=1, max_size=12))
def test_the_lowest_mean_loss_is_the_best(losses):
    callback = CheckpointCallback(None, monitor="val_loss")
    means = []
    for epoch, loss in enumerate(losses):
        callback.observe(loss, epoch)
        means.append(sum(losses[max(0, epoch - 4) : epoch + 1]) / min(epoch + 1, 5))
    assert means[callback.best_epoch] == pytest.approx(min(means))
    last = CheckpointCallback(None, monitor="val_loss", keep_last=True)
    for epoch, loss in enumerate(losses):
        last.observe(loss, epoch)
    assert last.best_epoch == len(losses) - 1


def dihedral(value: torch.Tensor) -> list[torch.Tensor]:
    found = []
    for flips, turned in itertools.product([(), (-1,), (-2,), (-1, -2)], [False, True]):
        own = value.flip(flips) if flips else value
        found.append(own.transpose(-1, -2) if turned else own)
    return found


def test_maps_turn_together_and_in_training_only():
    torch.manual_seed(0)
    batch = {"stage4": torch.randn(40, 3, 5, 5).half(), "embedding": torch.randn(40, 7).half()}
    batch["stage5"] = batch["stage4"]
    transform = FeatureTransform(Augmentation())
    still = transform.eval().of_batch(batch)
    assert all(torch.equal(value, batch[name].float()) for name, value in still.items())
    turned = transform.train().of_batch(batch)
    assert torch.equal(turned["stage4"], turned["stage5"]) and torch.equal(turned["embedding"], still["embedding"])
    seen = set()
    for before, after in zip(still["stage4"], turned["stage4"], strict=True):
        seen |= {number for number, each in enumerate(dihedral(before)) if torch.equal(each, after)}
    assert len(seen) == 8
    fixed = FeatureTransform(Augmentation(flip=False, rotation=0.0)).train().of_batch(batch)
    assert torch.equal(fixed["stage4"], still["stage4"])


def test_stored_features_are_mixed_with_one_share():
    torch.manual_seed(0)
    inputs = {"stage4": torch.randn(6, 2, 3, 3), "embedding": torch.randn(6, 4), "mask": torch.ones(6, 2)}
    mixed, mix = Mixing(0.4, 0.0).of_batch(inputs)
    for name in ("stage4", "embedding"):
        expected = mix.share * inputs[name] + (1 - mix.share) * inputs[name][mix.partner]
        torch.testing.assert_close(mixed[name], expected)
    assert mixed["mask"] is inputs["mask"] and 0.5 <= mix.share <= 1


class Layered(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 2)

    def parameter_layers(self):
        return [list(part.parameters()) for part in (self.first, self.norm, self.last)]


def test_rates_fall_by_layer_towards_the_image_and_statistics_can_be_kept():
    network = torch.nn.Sequential(Layered(), torch.nn.BatchNorm1d(2)).train()
    trunk, own = network
    scales = rate_scales(network, 0.5, 0.1)
    assert [scales[id(part.weight)] for part in (trunk.first, trunk.norm, trunk.last)] == pytest.approx(
        [5e-3, 0.05, 0.5]
    )
    assert id(own.weight) not in scales
    freeze_batch_norm(network)
    assert not trunk.norm.training and own.training and trunk.last.training


@pytest.mark.parametrize("version, trunk", [(2, None), (1, {"encoder": "x"})])
def test_a_file_s_version_says_whether_it_has_a_trunk(tmp_path, version, trunk):
    full = {"stages": [1], "embedding": False, "frozen": True, "weights": "0", "licence": "MIT", "origin": "there"}
    record = {"schema_version": version, "space": {"name": "s"}, "cells": {}, "choices": {}}
    path = tmp_path / "architecture.json"
    path.write_text(json.dumps(record | ({"trunk": trunk | full} if trunk else {})))
    with pytest.raises(ArchitectureError, match="schema_version must be 2 with a trunk"):
        Architecture.load(path)
    path.write_text(json.dumps({**record, "schema_version": 1}))
    plain = Architecture.load(path)
    plain.save(path)
    assert "trunk" not in json.loads(path.read_text())
