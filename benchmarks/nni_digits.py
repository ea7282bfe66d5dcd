"""Spaces of NNI's on a small data set: scikit-learn's 1,797 handwritten digits, 8 x 8 pixels.

    python benchmarks/nni_digits.py inputs        # nodes that add two of three inputs: scale of supernet and network
    python benchmarks/nni_digits.py nasbench201   # NAS-Bench-201's space by our strategy, by NNI's DARTS, by chance

1,000 digits train (each strategy divides them as it does by default: ours into halves, NNI's takes the 397 of
validation for the architecture), 400 test. `derived` is the supernet's frozen network with its weights, `retrained` a
fresh network of the same architecture trained on all 1,397 others.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from nni.nas import strategy as nni_strategies
from nni.nas.evaluator.pytorch import Classification, DataLoader
from nni.nas.experiment import NasExperiment
from nni.nas.hub.pytorch import NasBench201
from nni.nas.nn.pytorch import InputChoice, ModelSpace
from nni.nas.space import model_context
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.supernet import MixedInput

RESULTS = Path(__file__).with_name("results") / "nni_digits_nasbench201.csv"


def digits() -> tuple[TensorDataset, TensorDataset, TensorDataset]:
    """Return 1,000 digits for training, 397 for validation and 400 for the test."""
    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32).unsqueeze(1).repeat(1, 3, 1, 1)
    images, labels = (images - images.mean()) / images.std(), torch.tensor(found.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    parts = order.split([1000, 397, 400])
    train, validation, test = (TensorDataset(images[part], labels[part]) for part in parts)
    return train, validation, test


class Nodes(ModelSpace):
    """Three nodes, each of which adds two of three inputs; no norm hides their scale."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.layers = nn.ModuleList(nn.ModuleList(self.branch(k) for k in (1, 3, 5)) for _ in range(3))
        self.inputs = nn.ModuleList(InputChoice(3, n_chosen=2, label=f"node{n}") for n in range(3))
        self.head = nn.Linear(16, 10)

    @staticmethod
    def branch(kernel: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(16, 16, kernel, padding=kernel // 2), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images)
        for branches, choice in zip(self.layers, self.inputs, strict=True):
            features = choice([branch(features) for branch in branches])
        return self.head(features.mean((2, 3)))


class SumsToOne(MixedInput):
    """As NNI's: the weights of a sum of two inputs sum to one."""

    def input_weights(self) -> Tensor:
        return torch.softmax(self._arch_alpha, -1)


class AsNNI(AlternatingDARTS):
    """Our strategy with that."""

    def default_mutation_hooks(self) -> list[Any]:
        return [SumsToOne.mutate, *super().default_mutation_hooks()]


@torch.no_grad()
def accuracy(network: nn.Module, data: TensorDataset) -> float:
    images, labels = data.tensors
    return float((network.eval()(images).argmax(1) == labels).float().mean())


def trained(network: Any, strategy: Any, epochs: int, seed: int) -> Any:
    """Search a space, and return the strategy."""
    train, validation, _ = digits()
    torch.manual_seed(seed)
    evaluator = Classification(
        num_classes=10, max_epochs=epochs, learning_rate=3e-3, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, train_dataloaders=DataLoader(train, 50, shuffle=True),
        val_dataloaders=DataLoader(validation, 50),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        experiment = NasExperiment(network, evaluator, strategy)
        experiment.config.experiment_working_directory = folder
        experiment.run()
        experiment.stop()
    return strategy


def retrained(network: nn.Module, epochs: int, seed: int) -> float:
    """Train a network on all but the test digits, and return its test accuracy."""
    train, validation, test = digits()
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    images, labels = (torch.cat(pair) for pair in zip(train.tensors, validation.tensors, strict=True))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network.train()(images[batch]), labels[batch]).backward()
            optimizer.step()
        schedule.step()
    return accuracy(network, test)


def show(name: str, values: list[float]) -> str:
    return f"{name} {statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}" if len(values) > 1 else f"{name} ?"


def inputs(seeds: int, epochs: int) -> None:
    """Compare the two scales of a sum of two inputs."""
    _, _, test = digits()
    for name, make in (("sums to the number of inputs", AlternatingDARTS), ("sums to one, as NNI's", AsNNI)):
        found: dict[str, list[float]] = {"supernet": [], "derived": [], "retrained": []}
        for seed in range(seeds):
            torch.manual_seed(seed)
            strategy = trained(Nodes(), make(seed=seed, alpha_learning_rate=0.05), epochs, seed)
            sample = strategy.oneshot_module.export()
            found["supernet"].append(accuracy(strategy.supernet, test))
            found["derived"].append(accuracy(strategy.supernet.freeze(sample), test))
            with model_context(sample):
                found["retrained"].append(retrained(Nodes(), epochs, seed))
        print(f"{name}: " + ", ".join(show(key, values) for key, values in found.items()), flush=True)


def nasbench201(seeds: int, epochs: int, csv: Path) -> None:
    """Search NAS-Bench-201's space by ours, by NNI's DARTS and by chance, and write a row for each architecture."""
    strategies: dict[str, Callable[[int], Any]] = {
        "AlternatingDARTS": lambda seed: AlternatingDARTS(seed=seed, alpha_learning_rate=0.05),
        "AlternatingDARTS, alpha_data: validation": lambda seed: AlternatingDARTS(
            seed=seed, alpha_learning_rate=0.05, alpha_data="validation"
        ),
        "NNI DARTS": lambda seed: nni_strategies.DARTS(arc_learning_rate=0.05, gradient_clip_val=5.0),
        "drawn at random": lambda seed: None,
    }
    rows = []
    for name, strategy in strategies.items():
        for seed in range(seeds):
            torch.manual_seed(seed)
            space, started = NasBench201(8, 1, num_labels=10), time.process_time()
            if name == "drawn at random":
                sample = {}
                space.random(sample, np.random.RandomState(seed))
            else:
                sample = trained(space, strategy(seed), epochs, seed).oneshot_module.export()
            seconds = time.process_time() - started
            with model_context(sample):
                network = NasBench201(8, 1, num_labels=10)
            rows.append(
                {
                    "strategy": name,
                    "seed": seed,
                    "search_cpu_seconds": round(seconds, 1),
                    "parameters": sum(parameter.numel() for parameter in network.parameters()),
                    "test_accuracy": round(retrained(network, epochs, seed), 4),
                    "architecture": " ".join(map(str, sample.values())),
                }
            )
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(csv, index=False)
    means = table.groupby("strategy", sort=False)[["test_accuracy", "parameters", "search_cpu_seconds"]]
    print(means.agg(["mean", "std"]).round(3).to_string())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["inputs", "nasbench201"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10, help="of the search, and of each retraining")
    parser.add_argument("--csv", type=Path, default=RESULTS, help="where nasbench201 writes a row per architecture")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    if arguments.what == "inputs":
        inputs(arguments.seeds, arguments.epochs)
    else:
        nasbench201(arguments.seeds, arguments.epochs, arguments.csv)


if __name__ == "__main__":
    main()
