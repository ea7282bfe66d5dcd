import copy
import warnings

import pytest
import torch
from nni.nas.evaluator.pytorch import Classification, DataLoader
from nni.nas.experiment import NasExperiment
from nni.nas.experiment.config import NasExperimentConfig
from nni.nas.nn.pytorch import LayerChoice
from nni.nas.oneshot.pytorch.supermodule.differentiable import DifferentiableMixedLayer
from nni.nas.strategy import DARTS, Random
from pytorch_lightning.callbacks import Checkpoint
from torch.utils.data import TensorDataset

from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.search_spaces import MultimodalSpace
from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.data import SearchLoader
from bioautoml_nni.strategies.halves import disjoint_halves
from bioautoml_nni.strategies.module import AlternatingModule


def make_space(**changes) -> MultimodalSpace:
    torch.manual_seed(0)
    return MultimodalSpace(**{"num_classes": 3, "modalities": ("image",), "channels": 4, "cells": 2, **changes})


def make_data(rows: int = 48) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(rows) % 3
    return TensorDataset(torch.randn(rows, 3, 16, 16, generator=generator) + labels.view(-1, 1, 1, 1), labels)


def make_evaluator(epochs: int = 1, callbacks=(), train=None) -> Classification:
    return Classification(
        num_classes=3,
        train_dataloaders=train if train is not None else DataLoader(make_data(), 8, shuffle=True),
        val_dataloaders=DataLoader(make_data(24), 8),
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def run(strategy, evaluator, space=None, tmp_path=None) -> NasExperiment:
    experiment = NasExperiment(space if space is not None else make_space(), evaluator, strategy)
    if tmp_path is not None:
        experiment.config.experiment_working_directory = str(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        experiment.run()
        experiment.stop()
    return experiment


class Recorder(AlternatingModule):
    """Records after each batch which parameters changed, and which had gradients computed."""

    def training_step(self, batch, batch_idx):
        before = copy.deepcopy({name: p.detach() for name, p in self.model.named_parameters()})
        for parameter in self.model.parameters():
            parameter.grad = None
        result = super().training_step(batch, batch_idx)
        alphas = {id(parameter) for parameter in self.arch_parameters()}
        record = {"odd": (batch_idx + 1) % 2 == 1, "alpha": False, "weights": False, "alpha_grad": 0, "weight_grad": 0}
        for name, parameter in self.model.named_parameters():
            kind = "alpha" if id(parameter) in alphas else "weights"
            record[kind] |= not torch.equal(before[name], parameter)
            record["alpha_grad" if kind == "alpha" else "weight_grad"] += parameter.grad is not None
        self.records = [*getattr(self, "records", []), record]
        return result


class RecordingStrategy(AlternatingDARTS):
    def configure_oneshot_module(self, training_module):
        module = super().configure_oneshot_module(training_module)
        module.__class__ = Recorder
        return module


def test_odd_batches_change_architecture_only_and_even_ones_weights_only(tmp_path):
    strategy = RecordingStrategy(alpha_learning_rate=0.01)
    run(strategy, make_evaluator(), tmp_path=tmp_path)
    records = strategy.oneshot_module.records
    assert len(records) == 6
    for record in records:
        assert record["alpha"] == record["odd"]
        assert record["weights"] == (not record["odd"])
        assert (record["weight_grad"] == 0) == record["odd"], "gradients of the inactive group were computed"
        assert (record["alpha_grad"] == 0) == (not record["odd"])


def test_warm_up_leaves_the_architecture_alone(tmp_path):
    strategy = RecordingStrategy(alpha_learning_rate=0.01, warmup_epochs=1)
    run(strategy, make_evaluator(epochs=2), tmp_path=tmp_path)
    records = strategy.oneshot_module.records
    changed = [record["alpha"] for record in records]
    assert not any(changed[:6]) and any(changed[6:])
    assert changed[6:] == [record["odd"] for record in records[6:]]


def test_validation_runs_every_epoch_unlike_in_nni(tmp_path):
    evaluator = make_evaluator()
    run(AlternatingDARTS(), evaluator, tmp_path=tmp_path)
    assert {"val_loss", "val_acc"} <= set(evaluator.trainer.callback_metrics)
    own = make_evaluator()
    run(DARTS(), own, tmp_path=tmp_path)
    assert "val_loss" not in own.trainer.callback_metrics


def test_parameters_are_keyed_by_label_and_sorted(tmp_path):
    strategy = AlternatingDARTS()
    run(strategy, make_evaluator(), tmp_path=tmp_path)
    named = named_architecture_parameters(strategy.supernet)
    assert list(named) == sorted(strategy.model_space.simplify())
    optimizer = strategy.oneshot_module.trainer.optimizers[1]
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert [id(p) for p in trained] == [id(p) for p in named.values()]


def test_weights_optimiser_holds_no_architecture_parameter(tmp_path):
    strategy = AlternatingDARTS()
    run(strategy, make_evaluator(), tmp_path=tmp_path)
    weights, architecture = (
        {id(p) for group in optimizer.param_groups for p in group["params"]}
        for optimizer in strategy.oneshot_module.trainer.optimizers
    )
    assert not weights & architecture


def test_architecture_steps_leave_running_statistics_alone():
    strategy = AlternatingDARTS()
    space = strategy.mutate_model(make_space())
    norms = [module for module in space.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]

    class Inner(torch.nn.Module):
        model = space

        def training_step(self, batch, index):
            return space(batch[0]).sum()

    module = strategy.configure_oneshot_module(Inner())
    optimizer = torch.optim.SGD(module.arch_parameters(), 0.1)
    module.architecture_optimizers = lambda: optimizer
    module.manual_backward = lambda loss: loss.backward()
    module.log = lambda *args, **kwargs: None
    module.architecture_step((torch.randn(4, 3, 16, 16),))
    assert all(torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, before, strict=True))
    assert all(norm.momentum == 0.1 for norm in norms)


def test_initial_architecture_depends_on_seed_and_label_only():
    first, again, other = (
        named_architecture_parameters(AlternatingDARTS(seed=seed).mutate_model(make_space(cells=cells)))
        for seed, cells in ((1, 2), (1, 4), (2, 2))
    )
    label = "reduction_edge_0_1"
    assert torch.equal(first[label], again[label])
    assert not torch.equal(first[label], other[label])
    assert not torch.equal(first[label], first["reduction_edge_0_2"])
    assert all(float(alpha.abs().max()) < 0.01 for alpha in first.values()), "nearly undecided"


@pytest.mark.parametrize("stride", [1, 2])
def test_the_relaxation_equals_nni_s_in_float64(stride):
    """Same loss and gradients as NNI's own mixed operation, to rounding."""
    space = make_space(dropout=0.0).double()
    ours, theirs = copy.deepcopy(space), copy.deepcopy(space)
    AlternatingDARTS().mutate_model(ours)
    DARTS().mutate_model(theirs)
    alphas, reference = named_architecture_parameters(ours), named_architecture_parameters(theirs)
    with torch.no_grad():
        for label, parameter in alphas.items():
            parameter.copy_(torch.randn(parameter.shape, dtype=torch.float64))
            reference[label].data = parameter.detach().clone()
    images = torch.randn(4, 3, 32 // stride, 32 // stride, dtype=torch.float64)
    losses = [network.train()(images).square().sum() for network in (ours, theirs)]
    torch.testing.assert_close(*losses, rtol=1e-12, atol=1e-12)
    for loss in losses:
        loss.backward()
    for label in alphas:
        torch.testing.assert_close(alphas[label].grad, reference[label].grad, rtol=1e-9, atol=1e-12)
    weights = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, weights[name].grad, rtol=1e-9, atol=1e-10)


def test_zero_is_never_computed(monkeypatch):
    from bioautoml_nni.search_spaces.operations.zero import Zero

    def fail(self, features):
        raise AssertionError("zero was computed")

    monkeypatch.setattr(Zero, "forward", fail)
    space = AlternatingDARTS().mutate_model(make_space())
    assert space(torch.randn(2, 3, 16, 16)).shape == (2, 3)


def test_nni_s_own_strategies_take_the_space_unchanged(tmp_path):
    space = make_space()
    experiment = run(DARTS(), make_evaluator(), space, tmp_path)
    choices = sum(isinstance(module, LayerChoice) for module in make_space().modules())
    assert sum(isinstance(module, DifferentiableMixedLayer) for module in space.modules()) == choices > 0
    assert set(experiment.export_top_models(formatter="dict")[0]) == set(make_space().simplify())


def test_nni_s_random_strategy_takes_the_space_unchanged(tmp_path):
    space = make_space()
    evaluator = make_evaluator()
    config = NasExperimentConfig(execution_engine="sequential", model_format="raw")
    config.execution_engine.max_model_count = 1
    config.experiment_working_directory = str(tmp_path)
    experiment = NasExperiment(space, evaluator, Random(dedup=True), config=config)
    experiment.run()
    model = experiment.export_top_models(formatter="dict")[0]
    experiment.stop()
    assert set(model) == set(space.simplify())


def test_loader_alternates_and_ends_on_weights():
    data = make_data(40)
    loader = SearchLoader(DataLoader(data, 8), DataLoader(make_data(16), 8), seed=0)
    roles = [batch.alpha is not None for batch in loader]
    assert len(roles) == len(loader) == 10
    assert roles == [True, False] * 5


def test_pairs_hold_the_same_batches_as_turns():
    def loaders():
        return [DataLoader(make_data(rows), 8, shuffle=True, generator=torch.Generator()) for rows in (40, 16)]

    turns, pairs = (list(SearchLoader(*loaders(), seed=0, form=form)) for form in ("alternate", "pairs"))
    assert len(pairs) == 5 and len(turns) == 10
    for number, pair in enumerate(pairs):
        assert torch.equal(pair.alpha[0], turns[2 * number].alpha[0])
        assert torch.equal(pair.weights[0], turns[2 * number + 1].weights[0])


def test_shared_loader_uses_its_batches_in_turn():
    shared = DataLoader(make_data(40), 8)
    loader = SearchLoader(shared, shared, seed=0)
    batches = list(loader)
    assert len(batches) == len(loader) == 5, "the last of an odd number trains weights"
    assert [batch.alpha is None for batch in batches] == [False, True, False, True, True]
    expected = [batch[0] for batch in shared]
    used = [batch.weights if batch.alpha is None else batch.alpha for batch in batches]
    assert all(torch.equal(batch[0], images) for batch, images in zip(used, expected, strict=True))


def test_halves_are_disjoint_and_complete():
    data = TensorDataset(torch.arange(30))
    weights, architecture = disjoint_halves(DataLoader(data, 5), seed=0)
    seen = [sorted(torch.cat([batch[0] for batch in loader]).tolist()) for loader in (weights, architecture)]
    assert len(seen[0]) == len(seen[1]) == 15
    assert sorted(seen[0] + seen[1]) == list(range(30))


def test_epochs_differ_and_repeat_by_number():
    data = TensorDataset(torch.arange(64))
    weights, architecture = disjoint_halves(DataLoader(data, 4), seed=0)
    loader = SearchLoader(weights, architecture, seed=0)

    def order(epoch: int) -> list[int]:
        loader.set_epoch(epoch)
        used = [batch.weights if batch.alpha is None else batch.alpha for batch in loader]
        return [int(value) for batch in used for value in batch[0]]

    first = order(0)
    assert order(1) != first
    assert order(0) == first


@pytest.mark.parametrize("alpha_data", ["shared", "validation"])
def test_other_readings_of_the_data_run(alpha_data, tmp_path):
    experiment = run(AlternatingDARTS(alpha_data=alpha_data), make_evaluator(), tmp_path=tmp_path)
    assert experiment.export_top_models(formatter="dict")


def test_wrong_data_is_refused():
    with pytest.raises(ValueError, match="alpha_data must be"):
        AlternatingDARTS(alpha_data="both")
    strategy = AlternatingDARTS()
    with pytest.raises(ValueError, match="must be named weights and alpha"):
        strategy.train_dataloader(lambda: {"train": 1}, lambda: None)
    with pytest.raises(TypeError, match="needs a DataLoader"):
        strategy.train_dataloader(lambda: [1, 2], lambda: None)
    with pytest.raises(ValueError, match="no batch of weights data"):
        SearchLoader([], [1], seed=0)


def test_the_exported_network_keeps_the_mean_of_its_inputs(tmp_path):
    strategy = AlternatingDARTS()
    experiment = run(strategy, make_evaluator(), tmp_path=tmp_path)
    network = experiment.export_top_models(formatter="instance")[0]
    reductions = {module.reduction for module in network.modules() if type(module).__name__ == "ChosenInputs"}
    assert reductions == {"mean"}
