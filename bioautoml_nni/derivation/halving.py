"""Successive halving over candidate architectures, each trained as the derived network will be.

Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, arXiv 1502.07943. The
architecture weights of a supernet tell what trains well together in few steps; only training alone tells which network
is best by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from rich.console import Console

from ..architecture import Architecture
from ..artifacts.history import read_history
from ..evaluation.cost import count_parameters
from ..runs.directory import RunDirectory
from ..runs.networks import starting_network
from ..runs.prepared import PreparedData
from ..runs.teacher import distillation
from ..runs.train import train
from ..utils.atomic import write_json
from ..utils.seeding import derive_seed, seed_everything

LAST = 3
"""Epochs of a round whose mean validation macro-F1 counts."""


def halving(count: int, first: int, score: Callable[[int, int], float]) -> tuple[int, list[dict[str, Any]]]:
    """Return the best of `count` candidates, and what every round saw.

    Args:
        first: epochs of the first round; every next round has twice as many.
        score: the score of a candidate after so many epochs in all; more is better. Of equals the earlier wins.

    Returns:
        The winner's number, and for each round its epochs and the scores by candidate.
    """
    alive, epochs, rounds = list(range(count)), first, []
    while len(alive) > 1:
        scores = {number: score(number, epochs) for number in alive}
        rounds.append({"epochs": epochs, "scores": {str(number): value for number, value in scores.items()}})
        alive = sorted(sorted(alive, key=lambda number: -scores[number])[: (len(alive) + 1) // 2])
        epochs *= 2
    return alive[0], rounds


def best_by_training(
    run: RunDirectory, data: PreparedData, candidates: Sequence[Architecture], console: Console
) -> int:
    """Return the number of the winner and write derive/halving.json; resumes from the last completed epoch."""
    folder, settings = run.work_folder("derive"), run.experiment.derivation
    longest = run.experiment.training.epochs
    parameters: dict[int, int] = {}
    taught = distillation(run, data, console)

    def score(number: int, epochs: int) -> float:
        seed_everything(derive_seed(run.experiment.seed, "retrain"))
        network, _ = starting_network(run, data, candidates[number])
        parameters[number] = count_parameters(network)
        own, limit = folder / f"candidate-{number}", min(epochs, longest)
        history = read_history(own / "history.jsonl")
        if len(history) < limit:
            own.mkdir(exist_ok=True)
            train(run, data, network, own, f"derive: candidate {number + 1}", console, limit, distillation=taught)
            history = read_history(own / "history.jsonl")
        return fmean(line["val_macro_f1"] for line in history[:limit][-LAST:])

    winner, rounds = halving(len(candidates), settings.first_epochs, score)
    decisions = [json.loads(architecture.decisions()) for architecture in candidates]
    described = [
        {"parameters": parameters[number], "cells": cells, "choices": choices}
        for number, (cells, choices) in enumerate(decisions)
    ]
    write_json(folder / "halving.json", {"winner": winner, "rounds": rounds, "candidates": described})
    for number in range(len(candidates)):
        for name in ("last.ckpt", "best.pt"):
            (folder / f"candidate-{number}" / name).unlink(missing_ok=True)
    return winner
