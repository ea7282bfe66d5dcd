"""One of the processes of test_processes.py: searches and writes all its parameters."""

import os
import sys
from pathlib import Path

import torch
from nni.nas.evaluator.pytorch import Classification, DataLoader
from test_alternating import make_data, make_space, run
from torch import nn
from torch.utils.data import RandomSampler, Subset

from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.registry import plugins
from bioautoml_nni.strategies import AlternatingDARTS


def search(folder: Path, schedule: str, batch: int, devices: int, plain: bool) -> dict[str, torch.Tensor]:
    """Search two epochs and return all parameters; `plain` has no batch statistics, so that batches can be split."""
    space = make_space(dropout=0.0)
    if plain:
        for module in space.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
                module.train = lambda mode=True, module=module: module  # stays so
        space = space.double()
    data = make_data(48)
    if plain:
        data.tensors = (data.tensors[0].double(), data.tensors[1])

    def loader(rows: range) -> DataLoader:
        subset = Subset(data, rows)
        return DataLoader(subset, batch, sampler=RandomSampler(subset, generator=torch.Generator()), drop_last=True)

    # separate data for both groups, so that the halves are the same whatever the batch
    separate = {"weights": loader(range(0, 48, 2)), "alpha": loader(range(1, 48, 2))}
    train = loader(range(48)) if schedule == "single_level" else separate
    evaluator = Classification(
        num_classes=3, learning_rate=0.01, train_dataloaders=train, val_dataloaders=DataLoader(data, 8), max_epochs=2,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", num_sanity_val_steps=0,
    )  # fmt: skip
    strategy = AlternatingDARTS(schedule, alpha_learning_rate=0.05, regularisers=["beta_decay"], seed=3)
    run(strategy, evaluator, space, folder)
    alphas = {f"alpha {label}": value for label, value in named_architecture_parameters(strategy.supernet).items()}
    return {name: value.detach().clone() for name, value in {**strategy.supernet.state_dict(), **alphas}.items()}


if __name__ == "__main__":
    folder, rank = Path(sys.argv[1]), os.environ["RANK"]
    for schedule in plugins("schedules"):
        torch.save(search(folder / f"nni{rank}", schedule, 4, 2, plain=True), folder / f"{schedule}-{rank}.pt")
    torch.save(search(folder / f"nni{rank}", "odd_even", 4, 2, plain=False), folder / f"usual-{rank}.pt")
