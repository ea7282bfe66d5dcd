"""The course of a training: its end by the clock or in vain, its steps, its moving average, what it draws."""

import tempfile

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from bioautoml_nni.config.schema import TrainingConfig
from bioautoml_nni.data.dataset import SpecimenDataset, make_loader
from bioautoml_nni.data.metadata import EncodedMetadata
from bioautoml_nni.losses.cross_entropy import CrossEntropy
from bioautoml_nni.training.history import CheckpointCallback
from bioautoml_nni.training.limits import Deadline, TimeLimit
from bioautoml_nni.training.retraining import RetrainModule


class Rows(Dataset):
    def __init__(self, rows=16):
        torch.manual_seed(0)
        self.features, self.target = torch.randn(rows, 4), torch.arange(rows) % 3

    def __len__(self):
        return len(self.target)

    def __getitem__(self, index):
        return {"features": self.features[index], "target": self.target[index]}


class Network(torch.nn.Linear):
    def forward(self, batch):
        return super().forward(batch["features"])


def fit(callbacks, recipe, batch_size=4, epochs=None, resume=None):
    torch.manual_seed(1)
    module = RetrainModule(3, CrossEntropy([1, 1, 1]), None, recipe, 16 // batch_size, seed=0)
    module.set_model(Network(4, 3))
    trainer = pl.Trainer(
        max_epochs=epochs or recipe.epochs, accelerator="cpu", logger=False,
        enable_checkpointing=any(isinstance(callback, CheckpointCallback) for callback in callbacks),
        enable_progress_bar=False, enable_model_summary=False, callbacks=callbacks,
        accumulate_grad_batches=recipe.accumulate,
    )  # fmt: skip
    trainer.fit(
        module, DataLoader(Rows(), batch_size), DataLoader(Rows(), 16), ckpt_path=resume, weights_only=bool(resume)
    )
    return module, trainer


class Clock:
    """Every look at it costs half of `seconds`; an epoch looks twice."""

    def __init__(self, seconds):
        self.seconds, self.now = seconds, 0.0

    def __call__(self):
        self.now += self.seconds
        return self.now


@pytest.mark.parametrize(("seconds", "epochs"), [(1, 20), (6, 10), (25, 2), (500, 1)])
def test_a_time_limit_shortens_the_schedule_to_what_fits(seconds, epochs):
    limit = TimeLimit(1.0, Clock(seconds))
    module, trainer = fit([limit], TrainingConfig(epochs=20, warmup_steps=0))
    assert trainer.current_epoch == epochs == limit.planned
    assert module.total_steps == 4 * epochs == trainer.global_step
    rate = trainer.optimizers[0].param_groups[0]["lr"]
    assert rate == pytest.approx(0, abs=1e-6) or epochs == 1, "the cosine ends where the training does"


def test_the_time_of_an_earlier_attempt_counts(tmp_path):
    recipe = TrainingConfig(epochs=20, warmup_steps=0)
    saved = CheckpointCallback(tmp_path, "val_macro_f1")
    fit([saved, TimeLimit(1.0, Clock(6))], recipe, epochs=None if (tmp_path / "last.ckpt").exists() else 3)
    assert torch.load(saved.last, weights_only=True)["epoch"] >= 2
    later = TimeLimit(1.0, Clock(6))
    _, trainer = fit([CheckpointCallback(tmp_path, "val_macro_f1"), later], recipe, resume=str(saved.last))
    assert trainer.current_epoch == 10 and later.elapsed == pytest.approx(60)


class Ticks:
    """An epoch of four batches looks six times: five seconds pass each time, fifty after so many looks."""

    def __init__(self, slow_after=10_000):
        self.looks, self.slow_after, self.now = 0, slow_after, 0.0

    def __call__(self):
        self.looks += 1
        self.now += 50 if self.looks > self.slow_after else 5
        return self.now


@pytest.mark.parametrize(
    ("minutes", "clock", "batches"),
    [
        (4.5, Ticks(), 40),  # ten epochs of 25 seconds
        (4.0, Ticks(), 4),  # known when a tenth is over
        (4.5, Ticks(slow_after=12), 9),  # in the middle of the third epoch
    ],
)
def test_a_deadline_ends_a_training_as_soon_as_it_would_be_missed(minutes, clock, batches):
    deadline = Deadline(minutes, 10, clock)
    module, trainer = fit([deadline], TrainingConfig(epochs=10, warmup_steps=0))
    assert trainer.global_step == batches and deadline.missed == (batches < 40)
    assert module.total_steps == 40, "the schedule stays"


def test_a_missed_deadline_stays_missed(tmp_path):
    recipe = TrainingConfig(epochs=10, warmup_steps=0)
    saved = CheckpointCallback(tmp_path, None, keep_last=True)
    _, first = fit([saved, Deadline(0.5, 10, Ticks())], recipe)
    again = Deadline(1000, 10, Ticks())
    _, trainer = fit([CheckpointCallback(tmp_path, None, keep_last=True), again], recipe, resume=str(saved.last))
    assert again.missed and trainer.global_step == first.global_step == 4


def test_patience_ends_a_training_that_no_longer_gets_better(tmp_path):
    recipe = TrainingConfig(epochs=30, learning_rate=1e-12, warmup_steps=0)
    saved = CheckpointCallback(tmp_path, "val_macro_f1", window=1, patience=3)
    _, trainer = fit([saved], recipe)
    assert saved.best_epoch == 0 and trainer.current_epoch == 4
    again = CheckpointCallback(tmp_path, "val_macro_f1", window=1, patience=3)
    _, trainer = fit([again], recipe, resume=str(saved.last))
    assert trainer.current_epoch == 4, "what has ended does not begin again"


def test_a_checkpoint_is_written_beside_its_place_alone(tmp_path, monkeypatch):
    places, ordinary = [], tempfile.mkstemp

    def noted(*args, dir=None, **kwargs):
        places.append(dir)
        return ordinary(*args, dir=dir, **kwargs)

    monkeypatch.setattr(tempfile, "mkstemp", noted)
    saved = CheckpointCallback(tmp_path, "val_macro_f1")
    fit([saved], TrainingConfig(epochs=1, warmup_steps=0))
    assert set(places) == {tmp_path}, "what a kill leaves elsewhere nobody removes"
    assert torch.load(saved.last, weights_only=True)["epoch"] == 0


def test_accumulated_batches_are_one_large_batch():
    small, _ = fit([], TrainingConfig(epochs=3, warmup_steps=2, accumulate=2, ema_decay=0.9), batch_size=4)
    large, _ = fit([], TrainingConfig(epochs=3, warmup_steps=2, ema_decay=0.9), batch_size=8)
    assert small.total_steps == large.total_steps == 6
    torch.testing.assert_close(small.model.weight, large.model.weight)
    torch.testing.assert_close(small.averaged.weight, large.averaged.weight)
    assert not torch.equal(small.averaged.weight, small.model.weight)


def test_the_moving_average_is_what_is_validated_and_kept(tmp_path):
    seen = []

    class Steps(pl.Callback):
        def on_train_batch_end(self, trainer, module, *_):
            seen.append(module.model.weight.detach().clone())

    saved = CheckpointCallback(tmp_path, "val_macro_f1")
    recipe = TrainingConfig(epochs=1, learning_rate=0.1, warmup_steps=0, ema_decay=0.75)
    module, _ = fit([saved, Steps()], recipe)
    average = seen[0]
    for weight in seen[1:]:
        average = 0.75 * average + 0.25 * weight
    kept = torch.load(saved.best_weights, weights_only=True)
    torch.testing.assert_close(kept["weight"], average)
    assert len(seen) == 4 and not torch.allclose(kept["weight"], seen[-1])
    rows = torch.randn(5, 4)
    expected = torch.nn.functional.linear(rows, kept["weight"], kept["bias"])
    torch.testing.assert_close(module.eval()({"features": rows}), expected)


@pytest.mark.parametrize(("balance", "shares"), [(1.0, [1 / 3, 1 / 3, 1 / 3]), (0.5, [0.6, 0.3, 0.1])])
def test_a_balancing_sampler_draws_rare_classes_more_often(balance, shares):
    targets = np.repeat([0, 1, 2], [3600, 900, 100])
    empty = np.zeros((len(targets), 0), np.float32)
    dataset = SpecimenDataset(
        None, EncodedMetadata(empty, empty.astype(np.int64), empty), targets, np.arange(len(targets))
    )
    loader = make_loader(dataset, 100, shuffle=True, balance=balance)
    loader.sampler.generator.manual_seed(0)
    drawn = np.concatenate([batch["target"].numpy() for batch in loader])
    assert len(drawn) == 4600
    np.testing.assert_allclose(np.bincount(drawn) / 4600, shares, atol=0.03)
