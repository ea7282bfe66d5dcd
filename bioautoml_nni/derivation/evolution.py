"""Evolution over architectures that a trained supernet's weights score.

Guo et al., Single Path One-Shot Neural Architecture Search with Uniform Sampling, arXiv 1904.00420, with NNI's
regularised evolution (Real et al., arXiv 1802.01548): a candidate takes its weights from the supernet, its batch norms
see training data once more, and its macro-F1 on validation is its score. Nothing is trained.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from nni.nas.strategy import RegularizedEvolution
from rich.console import Console

from ..architecture import Architecture, Topology
from ..architecture.weights import as_text, one_hot_weights, open_choices
from ..nni_engine import evolve
from ..runs.directory import RunDirectory
from ..runs.prepared import PreparedData
from ..training.weights import load_weights
from ..utils.atomic import write_text
from ..utils.errors import ArchitectureError, RunDirectoryError
from ..utils.own_files import read_json_lines
from ..utils.progress import make_progress
from ..utils.seeding import derive_seed
from .inherited import InheritedScore

RECORD = "evolution.jsonl"


def best_by_supernet(
    run: RunDirectory,
    data: PreparedData,
    topology: Topology,
    derived: Callable[[Mapping[str, Mapping[Any, float]]], Architecture],
    overrun: Callable[[Architecture], float],
    console: Console,
) -> dict[str, dict[Any, float]]:
    """Return the best candidate's weights and write derive/evolution.jsonl, a line for each network that was tried.

    No network is scored twice.

    Args:
        derived: the architecture of one-hot architecture weights.
        overrun: by how much an architecture breaks the budget; the less the better, and none is scored that does.

    Raises:
        RunDirectoryError: if the run has no supernet.
    """
    file = run / "search/supernet.pt"
    if not file.is_file():
        raise RunDirectoryError(f"{run.path}: has no search/supernet.pt, which derivation.method=evolution needs.")
    settings, seed = run.experiment.derivation, derive_seed(run.experiment.derivation.seed, "evolution") % 2**32
    record = run.work_folder("derive") / RECORD
    lines = scored_candidates(run)
    known = {derived(one_hot_weights(topology, line["choices"])).decisions(): line["score"] for line in lines}
    labels = open_choices(topology)
    scorer, supernet = InheritedScore(run, data), load_weights(file)
    with make_progress(console) as progress:
        task = progress.add_task("derive", total=settings.evaluations, note="")

        def score(sample: Mapping[str, Any]) -> float:
            choices = {label: as_text(choice) for label, choice in sample.items() if label in labels}
            architecture = derived(one_hot_weights(topology, choices))
            key = architecture.decisions()  # what zero cuts off makes no other network
            if key not in known:
                known[key] = _score(run, architecture, overrun(architecture), scorer, supernet)
                lines.append({"choices": choices, "score": known[key]})
                write_text(record, "".join(json.dumps(line) + "\n" for line in lines))
            progress.update(task, advance=1, note=f"best macro-F1 {max(0.0, *known.values()):.3f}")
            return known[key]

        strategy = RegularizedEvolution(
            population_size=settings.population,
            sample_size=max(1, settings.population // 4),
            mutation_prob=1 / len(labels),
            seed=seed,
        )
        evolve(data.search_space(), score, strategy, settings.evaluations, record.parent / "nni")
    best = max(lines, key=lambda line: line["score"])
    return one_hot_weights(topology, best["choices"])


def _score(
    run: RunDirectory, architecture: Architecture, too_much: float, scorer: InheritedScore, supernet: Mapping[str, Any]
) -> float:
    """Return the validation macro-F1 with inherited weights; of one beyond the budget, by how much, below zero.

    Raises:
        ArchitectureError: if the supernet lacks weights that it needs.
    """
    if too_much > 0:
        return -too_much
    found = scorer(architecture, supernet)
    if found is None:
        raise ArchitectureError(
            f"derivation.method=evolution: the supernet of strategy {run.experiment.strategy.name!r} lacks "
            "weights of its candidates; search with random_paths, or without partial channels."
        )
    return found


def scored_candidates(run: RunDirectory) -> list[dict[str, Any]]:
    """Return what evolution tried, in that order: ``choices`` by label and ``score``.

    A score below zero says by how much the budget was broken. Empty if the run derived in another way.
    """
    path = run / "derive" / RECORD
    if run.experiment.derivation.method != "evolution" or not path.is_file():
        return []
    return read_json_lines(path)
