"""Stage `derive`: from a finished search, or from chance, to one architecture."""

from __future__ import annotations

from functools import partial
from itertools import chain

from rich.console import Console

from ..architecture.derive import ArchWeights
from ..architecture.draw import draw
from ..architecture.schema import Architecture, SpaceRecord
from ..architecture.topology import Topology
from ..architecture.weights import one_hot_weights, record_weights, uniform_weights, with_positions
from ..derivation.deriver import Deriver, different, network_cost
from ..derivation.evolution import best_by_supernet
from ..derivation.halving import best_by_training
from ..derivation.perturbation import perturbed
from ..registry import get
from ..runs.directory import RunDirectory
from ..runs.prepared import PreparedData
from ..utils.atomic import write_text
from ..utils.own_files import read_json
from ..utils.quiet import quiet
from ..utils.seeding import derive_seed

TRIES = 4
"""Draws for each candidate of successive halving; in a small space many are the same."""


def derive(run: RunDirectory, console: Console) -> None:
    """Write architecture.json and architecture.svg, and derive/ where candidates are trained.

    Raises:
        RunDirectoryError: if the method needs the supernet's weights and the run has none.
        ArchitectureError: if nothing within the limits is found, or for choices that the space does not have.
    """
    experiment = run.experiment
    settings = experiment.derivation
    if settings.searched:
        run.require("search")
    data = PreparedData.load(run)
    quiet()
    topology = data.topology()
    found = _weights(run, data, topology, console)
    provenance = {
        "strategy": None if topology.empty or not settings.searched else experiment.strategy.model_dump(),
        "derivation": settings.model_dump(),
        "seed": experiment.seed,
        "epochs": experiment.search.epochs if settings.searched else 0,
    }
    record = SpaceRecord(name=experiment.space.name, arguments=experiment.space.arguments)
    deriver = Deriver(topology, record, provenance, settings.budget, partial(network_cost, run, data))
    architecture = deriver.with_sparsity(_architecture(run, data, deriver, topology, found, console), found)
    describe = getattr(get("search_spaces", experiment.space.name).target, "trunk_record", None)
    if describe is not None:
        architecture = architecture.on_trunk(describe(architecture, **experiment.space.arguments))
    write_text(run / "architecture.svg", draw(architecture))
    architecture.save(run / "architecture.json")


def _weights(run: RunDirectory, data: PreparedData, topology: Topology, console: Console) -> ArchWeights:
    """Return the architecture weights that the method starts from: searched, given, or all alike."""
    settings = run.experiment.derivation
    if settings.searched:
        found = with_positions(read_json(run / "search/shares.json"), topology)
        if settings.method == "perturbation" and not topology.empty:
            return perturbed(run, data.as_searched(), found, console)
        return found
    return one_hot_weights(topology, settings.choices) if settings.method == "given" else uniform_weights(topology)


def _architecture(
    run: RunDirectory, data: PreparedData, deriver: Deriver, topology: Topology, found: ArchWeights, console: Console
) -> Architecture:
    """Return what the method of `derivation.method` makes of the weights."""
    settings = run.experiment.derivation
    drawn = partial(derive_seed, settings.seed, "architecture")
    if settings.method == "random":
        return deriver.drawn(found, drawn(0))
    if settings.method == "successive_halving" and not topology.empty:
        first = [deriver.strongest(found)] if settings.searched else []
        more = (deriver.drawn(found, drawn(number)) for number in range(TRIES * settings.candidates))
        candidates = different(chain(first, more), settings.candidates)
        return candidates[best_by_training(run, data, candidates, console)]
    if settings.method == "evolution" and not topology.empty:
        best = best_by_supernet(run, data.as_searched(), topology, deriver.plain, deriver.overrun, console)
        return record_weights(deriver.strongest(best), topology, found)
    return deriver.strongest(found)
