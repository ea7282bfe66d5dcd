"""What a user's own Lightning module and data module define is run in a search, too."""

import pytest
import torch
from nni.nas.evaluator.pytorch import DataLoader, Lightning, LightningModule, Trainer
from nni.nas.experiment import NasExperiment
from own_spaces import two
from pytorch_lightning import LightningDataModule
from test_alternating import run
from test_own_spaces import Own
from torch import nn
from torch.utils.data import TensorDataset

from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.random_paths import RandomPaths
from bioautoml_nni.utils.errors import PluginError


def space():
    return Own(lambda p: (setattr(p, "a", two()), lambda p, x: p.a(x))[1])


def loader():
    return DataLoader(TensorDataset(torch.ones(8, 3, 8, 8), torch.arange(8)), 2)


class Users(LightningModule):
    """Doubles images after their transfer, counts what it is asked."""

    plateau = False

    def __init__(self):
        super().__init__()
        self.seen, self.stepped, self.saved = [], [], 0

    def forward(self, images):
        return self.model(images)

    def on_after_batch_transfer(self, batch, index):
        images, classes = batch
        return 2 * images, classes

    def training_step(self, batch, index):
        images, classes = batch
        self.seen.append(float(images.mean()))
        return nn.functional.cross_entropy(self(images), classes)

    def validation_step(self, batch, index):
        self.seen.append(float(batch[0].mean()))

    def on_before_optimizer_step(self, optimizer):
        self.stepped.append(type(optimizer).__name__)

    def on_save_checkpoint(self, checkpoint):
        self.saved += 1

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), 0.1)
        if self.plateau:
            scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "x"}}
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step", "frequency": 2}}


def trainer():
    return Trainer(
        max_epochs=1, num_sanity_val_steps=0, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip


@pytest.mark.parametrize(("strategy", "rate"), [(AlternatingDARTS, 0.05), (RandomPaths, 0.025)])
def test_hooks_of_a_module_are_run(strategy, rate, tmp_path):
    """Of eight specimens in batches of two, two of each group: the rate is halved once, as every second step says."""
    module = Users()
    evaluator = Lightning(module, trainer(), train_dataloaders=loader(), val_dataloaders=loader())
    run(strategy(), evaluator, space(), tmp_path)
    steps = 2 if strategy is AlternatingDARTS else 4
    assert module.seen == [2.0] * (8 if strategy is AlternatingDARTS else 4)
    assert module.stepped == ["SGD"] * steps
    assert evaluator.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(rate)
    evaluator.trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert module.saved == 1


class Data(LightningDataModule):
    def train_dataloader(self):
        return loader()

    val_dataloader = train_dataloader

    def on_before_batch_transfer(self, batch, index):
        images, classes = batch
        return 3 * images, classes


def test_hooks_of_a_data_module_get_batches_of_both_groups(tmp_path):
    module = Users()
    run(AlternatingDARTS(), Lightning(module, trainer(), datamodule=Data()), space(), tmp_path)
    assert module.seen == [6.0] * 8


def test_a_learning_rate_that_waits_for_a_metric_is_refused(tmp_path):
    module = Users()
    module.plateau = True
    evaluator = Lightning(module, trainer(), train_dataloaders=loader(), val_dataloaders=loader())
    experiment = NasExperiment(space(), evaluator, AlternatingDARTS())
    experiment.config.experiment_working_directory = str(tmp_path)
    with pytest.raises(PluginError, match="ReduceLROnPlateau waits for a metric"):
        experiment.run()
    experiment.stop()
    assert not module.seen
