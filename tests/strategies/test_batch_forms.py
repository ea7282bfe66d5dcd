"""Batches of any form that somebody's module reads are searched."""

from dataclasses import dataclass

import pytest
import torch
from nni.nas.evaluator.pytorch.lightning import ClassificationModule, Lightning, Trainer
from pytorch_lightning import LightningDataModule
from test_alternating import run
from test_nni_spaces import spaces_of_nni
from torch.utils.data import DataLoader, TensorDataset, default_collate

from bioautoml_nni.strategies import AlternatingDARTS


@dataclass
class Specimens:
    """A batch as somebody's collate_fn makes it."""

    images: torch.Tensor
    classes: torch.Tensor


class Unpacked(ClassificationModule):
    """NNI's module for batches of another form."""

    def __init__(self, unpack):
        super().__init__(num_classes=spaces_of_nni.CLASSES)
        self.unpack = unpack

    def training_step(self, batch, index):
        return super().training_step(self.unpack(batch), index)

    def validation_step(self, batch, index):
        return super().validation_step(self.unpack(batch), index)


FORMS = {
    "dictionary": (lambda rows: dict(zip("xy", default_collate(rows), strict=True)), lambda b: (b["x"], b["y"])),
    "dataclass": (lambda rows: Specimens(*default_collate(rows)), lambda b: (b.images, b.classes)),
    "list of rows": (list, lambda b: default_collate(b)),
    "with texts": (lambda rows: [*default_collate(rows), ["a"] * len(rows)], lambda b: b[:2]),
}


@pytest.mark.parametrize(("form", "as_module"), [*((form, False) for form in FORMS), ("dataclass", True)])
def test_batches_of_any_form_are_searched(form, as_module, tmp_path):
    collate, unpack = FORMS[form]
    data = TensorDataset(torch.randn(8, 3, 8, 8), torch.arange(8) % 3)
    loader = DataLoader(data, 2, collate_fn=collate)
    trainer = Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    given = {"train_dataloaders": loader, "val_dataloaders": loader}
    if as_module:
        given = {"datamodule": LightningDataModule()}
        given["datamodule"].train_dataloader = given["datamodule"].val_dataloader = lambda: loader
    evaluator = Lightning(Unpacked(unpack), trainer, **given)
    strategy = AlternatingDARTS()
    run(strategy, evaluator, spaces_of_nni.SPACES["layer_choice"](), tmp_path)
    assert trainer.global_step == 4 and set(strategy.oneshot_module.export()) == {"a"}
