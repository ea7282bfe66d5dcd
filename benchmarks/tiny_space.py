"""A search space whose optimum is known: python benchmarks/tiny_space.py table | rank | cost [--seeds 3]

The space has one kind of cell with three searchable edges and six operations on each, hence 216 architectures. The
data are drawn specimens of the built-in sample's ten orders, 32 pixels wide, equally many of each order: 1,600 for
training and 2,000 for testing. `table` trains every architecture from scratch under one protocol and writes
benchmarks/tiny_space.csv (about half an hour on two cores for one seed; finished rows are kept). `rank` lets each
strategy search on the 1,600 specimens, looks its derived architecture up in the table and prints what share of all
different networks it beats, beside random architectures. `cost` does so with searches of several lengths (--lengths):
the seconds that each strategy needs until its networks are as good as those of NNI's longest search.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import multiprocessing
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from nni.nas.evaluator.pytorch import DataLoader, Lightning, Trainer
from nni.nas.strategy import DARTS
from torch import Tensor
from torch.utils.data import TensorDataset

from bioautoml_nni.architecture import derive, topology_of
from bioautoml_nni.architecture.schema import Architecture, SpaceRecord
from bioautoml_nni.config.schema import Augmentation, SearchConfig
from bioautoml_nni.nni_engine import run_one_shot
from bioautoml_nni.search_spaces import MultimodalSpace
from bioautoml_nni.sources.sample_drawing import draw_specimen
from bioautoml_nni.sources.sample_orders import ORDERS
from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.training.augment import ImageSizes, ImageTransform
from bioautoml_nni.training.module import SpecimenModule
from bioautoml_nni.utils.quiet import quiet
from bioautoml_nni.utils.seeding import derive_seed, seed_everything

TABLE = Path(__file__).with_name("tiny_space.csv")
OPERATIONS = ["zero", "skip_connect", "max_pool_3x3", "conv_1x1", "sep_conv_3x3", "dil_conv_3x3"]
EDGES = ["reduction_edge_0_1", "reduction_edge_0_2", "reduction_edge_1_2"]
SPACE = {"channels": 12, "cells": 2, "nodes": 2, "stem_stride": 2, "operations": OPERATIONS}
SIZE, TRAIN, TEST, BATCH, EPOCHS = 32, 1600, 2000, 64, 25


def specimens(count: int, seed: int) -> TensorDataset:
    """Draw `count` specimens, equally many of each order, as bytes (N, 3, 32, 32) and class indices (N,)."""
    with multiprocessing.get_context("spawn").Pool() as pool:
        images = pool.starmap(_draw, [(number, seed) for number in range(count)], chunksize=50)
    images = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return TensorDataset(images.contiguous(), torch.arange(count) % len(ORDERS))


def _draw(number: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng((seed, number))
    return np.asarray(draw_specimen(list(ORDERS.values())[number % len(ORDERS)], int(rng.integers(2)), rng, SIZE))


def data() -> tuple[TensorDataset, TensorDataset]:
    """Return the training and the test split, drawn once and kept in benchmarks/out."""
    file = Path(__file__).parent / "out" / f"tiny_space_{SIZE}_{TRAIN}_{TEST}.pt"
    if not file.is_file():
        file.parent.mkdir(exist_ok=True)
        torch.save([part.tensors for part in (specimens(TRAIN, 0), specimens(TEST, 1))], file)
    train, test = torch.load(file)
    return TensorDataset(*train), TensorDataset(*test)


class PairModule(SpecimenModule):
    """`SpecimenModule` for batches of images and classes."""

    def forward(self, batch: Any) -> Tensor:
        """Return logits (N, K) of images."""
        return self.model(self.images(batch))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the training loss."""
        return self.loss(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Collect validation metrics."""
        self.accuracy.update(self(batch[0]), batch[1])
        self.macro_f1.update(self(batch[0]), batch[1])


def make_module(optimizer: str, learning_rate: float, steps: int, epochs: int) -> PairModule:
    """Return loss, augmentation and schedule, the same for every architecture."""
    images = ImageTransform([0.5] * 3, [0.25] * 3, Augmentation(erasing=0.0))
    return PairModule(
        len(ORDERS), torch.nn.CrossEntropyLoss(), images, optimizer, learning_rate, 3e-4, 10, steps, epochs
    )


def train_one(operations: tuple[str, ...], seed: int) -> dict[str, Any]:
    """Train one architecture from scratch and return its line of the table."""
    quiet()
    torch.set_num_threads(1)
    train, test = data()
    seed_everything(derive_seed(seed, *operations))
    network = MultimodalSpace.build(
        architecture_of(operations), num_classes=len(ORDERS), modalities=("image",), **SPACE
    )
    network = network.to(memory_format=torch.channels_last)
    loader = DataLoader(train, BATCH, shuffle=True, drop_last=True)
    module = make_module("adamw", 0.004, EPOCHS * len(loader), EPOCHS)
    module.set_model(network)
    trainer = pl.Trainer(max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False,
                         enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0)  # fmt: skip
    trainer.fit(module, loader)
    network.eval()
    with torch.no_grad():
        logits = torch.cat([network(module.images.eval()(images)) for images, _ in DataLoader(test, 250)])
    accuracy = float((logits.argmax(1) == test.tensors[1]).float().mean())
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {**dict(zip(EDGES, operations, strict=True)), "seed": seed, "accuracy": accuracy, "parameters": parameters}


def topology() -> Any:
    """Return what the space leaves open."""
    return topology_of(MultimodalSpace, {"num_classes": len(ORDERS), "modalities": ("image",), **SPACE})


def architecture_of(operations: tuple[str, ...]) -> Architecture:
    """Return the architecture with these operations, derived by the toolkit from one-hot architecture weights."""
    weights: dict[str, dict[Any, float]] = {
        edge: {name: float(name == chosen) for name in OPERATIONS}
        for edge, chosen in zip(EDGES, operations, strict=True)
    }
    weights |= {"reduction_node_1": {0: 1.0}, "reduction_node_2": {0: 0.5, 1: 0.5}}
    return derive(topology(), weights, SpaceRecord(name="multimodal", arguments=SPACE))


def key_of(architecture: Architecture) -> tuple[tuple[int, int, str], ...]:
    """Return what is built; several choices, such as zero after zero, build the same network."""
    return tuple((edge.source, edge.target, edge.operation) for edge in architecture.cells["reduction"].edges)


def make_table(seeds: int, processes: int) -> None:
    """Train what the table lacks."""
    done = {(*(line[edge] for edge in EDGES), int(line["seed"])) for line in read_table()}
    jobs = [
        (operations, seed)
        for seed in range(seeds)
        for operations in itertools.product(OPERATIONS, repeat=len(EDGES))
        if (*operations, seed) not in done
    ]
    start = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(processes) as pool, open(TABLE, "a", newline="") as file:
        writer = csv.DictWriter(file, [*EDGES, "seed", "accuracy", "parameters"], lineterminator="\n")
        if not done:
            writer.writeheader()
        for number, line in enumerate(pool.imap_unordered(_train_job, jobs), 1):
            writer.writerow({**line, "accuracy": f"{line['accuracy']:.4f}"})
            file.flush()
            left = (time.monotonic() - start) / number * (len(jobs) - number) / 60
            print(f"{number} of {len(jobs)}, {left:.0f} minutes left", flush=True)


def _train_job(job: tuple[tuple[str, ...], int]) -> dict[str, Any]:
    return train_one(*job)


def read_table() -> list[dict[str, str]]:
    """Return the lines of the table, none if there is no table yet."""
    if not TABLE.is_file():
        return []
    with open(TABLE, newline="") as file:
        return list(csv.DictReader(file))


def scores() -> dict[tuple[tuple[int, int, str], ...], float]:
    """Return the mean accuracy of every network that the space can build."""
    found: dict[tuple[tuple[int, int, str], ...], list[float]] = {}
    for line in read_table():
        key = key_of(architecture_of(tuple(line[edge] for edge in EDGES)))
        found.setdefault(key, []).append(float(line["accuracy"]))
    return {key: statistics.mean(values) for key, values in found.items()}


STRATEGIES: dict[str, dict[str, Any]] = {
    "alternating": {},
    "single_level": {"schedule": "single_level", "alpha_learning_rate": 0.03},
    "gumbel_hard": {"relaxation": "gumbel_hard", "alpha_learning_rate": 0.03},
    "partial_channels": {"partial_channels": 4, "alpha_learning_rate": 0.03},
    "paper_rule": {"alpha_learning_rate": 3e-4, "warmup_epochs": 0},
    "growing": {},
    "nni_darts": {},
}
"""Arguments of our strategy; NNI's own has the rate only."""
GROWING = [16, 24, 32]
"""Edges of the images where they grow."""
REFERENCE = "nni_darts"
COMPARED = (REFERENCE, "alternating", "growing", "gumbel_hard")
"""Strategies whose cost is measured."""


def strategy_of(name: str, seed: int, epochs: int) -> Any:
    """Return a strategy; ours has a fifth of the epochs to warm up."""
    if name == REFERENCE:
        return DARTS(arc_learning_rate=0.01)
    settings = {"alpha_learning_rate": 0.01, "warmup_epochs": epochs // 5, "seed": seed}
    return AlternatingDARTS(**{**settings, **STRATEGIES[name]})


def search(name: str, seed: int, epochs: int) -> tuple[Architecture, float]:
    """Search with one strategy; return its architecture and the seconds it took."""
    quiet()
    seed_everything(derive_seed(seed, name))
    train, _ = data()
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    halves = [TensorDataset(*(tensor[part] for tensor in train.tensors)) for part in order.chunk(2)]
    strategy = strategy_of(name, seed, epochs)
    joined = getattr(strategy, "training_data", None) == "joined"
    weights, alpha = (DataLoader(half, BATCH // 2, shuffle=True, drop_last=True) for half in halves)
    if joined:
        loader: Any = DataLoader(train, BATCH // 2, shuffle=True, drop_last=True)
        steps = len(loader)
    else:
        loader = {"weights": weights, "alpha": alpha} if isinstance(strategy, AlternatingDARTS) else weights
        steps = len(weights)
    module = make_module("sgd", 0.1, epochs * steps, epochs)
    sizes = SearchConfig(epochs=epochs, image_sizes=GROWING[-epochs:] if name == "growing" else [])
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[ImageSizes(module.images, sizes.image_size_at)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    evaluator = Lightning(module, trainer, train_dataloaders=loader, val_dataloaders=alpha)
    space = MultimodalSpace(len(ORDERS), modalities=("image",), **SPACE)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        weights, _ = run_one_shot(space, evaluator, strategy, Path(folder), None)
    seconds = time.monotonic() - start
    return derive(topology(), weights, SpaceRecord(name="multimodal", arguments=SPACE)), seconds


def _search_job(job: tuple[str, int, int]) -> tuple[Architecture, float]:
    torch.set_num_threads(1)
    return search(*job)


def rank(names: list[str], seeds: int, epochs: int, processes: int) -> None:
    """Print for each strategy where its derived architectures stand among all."""
    known = scores()
    values = np.array(sorted(known.values()))
    span = f"accuracy {values[0]:.3f} to {values[-1]:.3f}, median {np.median(values):.3f}"
    print(f"{len(values)} different networks, {span}; {epochs} epochs of search, {seeds} seeds")
    print("| strategy | accuracy of the derived network | share of networks beaten | behind the best | search, s |")
    print("|---|---:|---:|---:|---:|")
    jobs = [(name, seed, epochs) for name in names for seed in range(seeds)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        results = pool.map(_search_job, jobs, chunksize=1)
    for name in names:
        own = [found for job, found in zip(jobs, results, strict=True) if job[0] == name]
        _print_row(name, [known[key_of(found)] for found, _ in own], values, statistics.median(t for _, t in own))
        print("<!-- " + "; ".join("/".join(op for *_, op in key_of(found)) for found, _ in own) + " -->")
    rng = np.random.default_rng(0)
    drawn = [tuple(map(str, rng.choice(OPERATIONS, len(EDGES)))) for _ in range(2000)]
    _print_row("random", [known[key_of(architecture_of(choice))] for choice in drawn], values, 0)


def cost(names: list[str], seeds: int, lengths: list[int], processes: int) -> None:
    """Print what searches of several lengths cost and reach, and write every one to benchmarks/out.

    The target is what NNI's longest search reaches in the mean over seeds, less its standard error.
    """
    known = scores()
    values = np.array(sorted(known.values()))
    jobs = [(name, seed, epochs) for epochs in sorted(lengths) for seed in range(seeds) for name in names]
    lines = []
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for job, (found, seconds) in zip(jobs, pool.imap(_search_job, jobs), strict=True):
            accuracy = known[key_of(found)]
            lines.append((*job, accuracy, float((values < accuracy).mean()), seconds))
            print(*lines[-1], flush=True)
    table = pd.DataFrame(lines, columns=["strategy", "seed", "epochs", "accuracy", "beaten", "seconds"])
    table.to_csv(Path(__file__).parent / "out" / "tiny_space_cost.csv", index=False)
    found = table.groupby(["strategy", "epochs"]).agg(
        accuracy=("accuracy", "mean"), beaten=("beaten", "mean"), error=("beaten", "sem"), seconds=("seconds", "median")
    )
    print(found.round(3).to_string())
    reference = found.loc[REFERENCE].iloc[-1]
    target = reference["beaten"] - reference["error"]
    print(f"target: {target:.3f} of all networks beaten, {seeds} seeds; {REFERENCE} takes {reference['seconds']:.0f} s")
    for name in names:
        reaching = found.loc[name][found.loc[name]["beaten"] >= target]
        if len(reaching):
            seconds = reaching["seconds"].iloc[0]
            told = f"{reaching.index[0]} epochs, {seconds:.1f} s, a {reference['seconds'] / seconds:.1f}th of that"
        else:
            told = "not reached"
        print(f"  {name}: {told}")


def _print_row(name: str, reached: list[float], values: np.ndarray, seconds: float) -> None:
    beaten = [float((values < accuracy).mean()) for accuracy in reached]
    accuracy = statistics.mean(reached)
    print(
        f"| {name} | {accuracy:.3f} ± {statistics.stdev(reached):.3f} | {statistics.mean(beaten):.2f} "
        f"({min(beaten):.2f} to {max(beaten):.2f}) | {values[-1] - accuracy:.3f} | {seconds:.0f} |"
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["table", "rank", "cost"])
    parser.add_argument("--strategies", nargs="+", choices=list(STRATEGIES))
    parser.add_argument("--seeds", type=int, help="1 for the table, 3 for ranks")
    parser.add_argument("--epochs", type=int, default=25, help="of the search")
    parser.add_argument("--lengths", type=int, nargs="+", default=[2, 5, 10, 25], help="epochs, for cost")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    data()  # drawn before there are processes, which cannot start their own
    if options.command == "table":
        make_table(options.seeds or 1, options.processes)
    elif options.command == "rank":
        rank(options.strategies or list(STRATEGIES), options.seeds or 3, options.epochs, options.processes)
    else:
        cost(options.strategies or list(COMPARED), options.seeds or 3, options.lengths, options.processes)


if __name__ == "__main__":
    main()
