import json

import numpy as np
import pytest
import torch
from PIL import Image

from bioautoml_nni.artifacts.history import read_history
from bioautoml_nni.config.schema import Augmentation
from bioautoml_nni.losses.cross_entropy import CrossEntropy
from bioautoml_nni.training.augment import ImageTransform
from bioautoml_nni.training.module import SpecimenModule
from bioautoml_nni.utils.seeding import derive_seed

OFF = Augmentation(flip=False, rotation=0, scale=0, translation=0, brightness=0, contrast=0)
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]


def make_images(rows: int = 4) -> torch.Tensor:
    return torch.randint(0, 256, (rows, 3, 16, 16), dtype=torch.uint8)


def test_evaluation_only_normalises():
    images = make_images()
    transform = ImageTransform(MEAN, STD, Augmentation()).eval()
    expected = (images / 255 - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    torch.testing.assert_close(transform(images), expected)


def test_everything_off_changes_nothing_in_training():
    images = make_images()
    transform = ImageTransform(MEAN, STD, OFF)
    torch.testing.assert_close(transform.train()(images), transform.eval()(images))


@pytest.mark.parametrize(
    "setting",
    [
        {"flip": True},
        {"rotation": 90},
        {"scale": 0.3},
        {"translation": 0.2},
        {"brightness": 0.3},
        {"contrast": 0.3},
        {"erasing": 1.0},
    ],
)
def test_each_change_is_drawn_per_image(setting):
    torch.manual_seed(0)
    images = make_images(1).repeat(8, 1, 1, 1)
    changed = ImageTransform(MEAN, STD, OFF.model_copy(update=setting)).train()(images)
    assert changed.shape == (8, 3, 16, 16) and torch.isfinite(changed).all()
    assert len({tuple(image.flatten().tolist()) for image in changed}) > 1


@pytest.mark.parametrize("training", [True, False])
def test_images_of_another_size_are_the_same_image(training):
    blocks = torch.randint(0, 256, (4, 3, 4, 4), dtype=torch.uint8)
    images = blocks.repeat_interleave(4, -1).repeat_interleave(4, -2)
    transform = ImageTransform([0.0] * 3, [1.0] * 3, OFF).train(training)
    transform.size = 8
    found = transform(images)
    assert found.shape == (4, 3, 8, 8)
    torch.testing.assert_close(found.mean((2, 3)), images.float().mean((2, 3)) / 255, rtol=0, atol=0.02)
    pillow = [Image.fromarray(np.moveaxis(image.numpy(), 0, -1)).resize((8, 8), Image.BILINEAR) for image in images]
    expected = torch.from_numpy(np.stack([np.moveaxis(np.asarray(image), -1, 0) for image in pillow])) / 255
    torch.testing.assert_close(found, expected, rtol=0, atol=1.5 / 255)


def test_a_flip_is_a_mirror():
    torch.manual_seed(0)
    images = make_images(16)
    transform = ImageTransform([0, 0, 0], [1, 1, 1], OFF.model_copy(update={"flip": True})).train()
    changed = transform(images)
    plain = images / 255
    for before, after in zip(plain, changed, strict=True):
        assert torch.allclose(after, before, atol=1e-5) or torch.allclose(after, before.flip(-1), atol=1e-5)


def make_module(optimizer: str, warmup: int = 10, total: int = 110) -> SpecimenModule:
    module = SpecimenModule(3, CrossEntropy([1, 1, 1]), None, optimizer, 0.1, 0.01, warmup, total, 1)
    module.set_model(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3)))
    return module


@pytest.mark.parametrize(("optimizer", "end"), [("sgd", 0.004), ("adamw", 0.0)])
def test_the_rate_rises_then_falls_along_a_cosine(optimizer, end):
    [used], [schedule] = make_module(optimizer).configure_optimizers()
    rates = []
    for _ in range(111):
        rates.append(used.param_groups[0]["lr"])
        used.step()
        schedule["scheduler"].step()
    assert rates[0] == pytest.approx(0.01) and rates[9] == pytest.approx(0.1)
    assert rates[60] == pytest.approx(end + (0.1 - end) / 2, rel=1e-6)
    assert rates[110] == pytest.approx(end, abs=1e-9)


def test_norms_and_biases_are_not_decayed():
    [used], _ = make_module("adamw").configure_optimizers()
    decays = {tuple(p.shape): group["weight_decay"] for group in used.param_groups for p in group["params"]}
    assert decays == {(3, 4): 0.01, (3,): 0.0}


def test_history_reads_back_what_was_written(tmp_path):
    path = tmp_path / "history.jsonl"
    assert read_history(path) == []
    path.write_text("".join(json.dumps({"epoch": number}) + "\n" for number in range(3)))
    assert [line["epoch"] for line in read_history(path)] == [0, 1, 2]


def test_seeds_depend_on_every_part():
    assert derive_seed(0, "epoch", 1) == derive_seed(0, "epoch", 1)
    assert (
        len(
            {derive_seed(0, "epoch", 1), derive_seed(0, "epoch", 2), derive_seed(1, "epoch", 1), derive_seed(0, "x", 1)}
        )
        == 4
    )


def test_the_loss_is_told_how_far_the_training_is():
    import pytorch_lightning as pl
    from torch.utils.data import DataLoader

    class Told(CrossEntropy):
        def start_epoch(self, progress):
            self.progress = [*getattr(self, "progress", []), progress]

    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return {"features": torch.ones(2), "target": torch.tensor(index % 3)}

    class Network(torch.nn.Linear):
        def forward(self, batch):
            return super().forward(batch["features"])

    loss = Told([1, 1, 1])
    module = SpecimenModule(3, loss, None, "adamw", 0.1, 0.0, 0, 8, 4)
    module.set_model(Network(2, 3))
    trainer = pl.Trainer(
        max_epochs=3, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    trainer.fit(module, DataLoader(Rows(), 4))
    assert loss.progress == [0.0, 0.25, 0.5], "of the schedule's four epochs, not of the three that are run now"
