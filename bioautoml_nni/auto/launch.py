"""From what a user said to the experiment that it amounts to, and on to the portfolio."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from ..config import Experiment, load_experiment, parse_experiment
from ..config.load import apply_overrides, changed, import_plugins
from ..data.roles import NoMetadataError
from ..nni_jobs.template import Workers
from ..utils.errors import ConfigError
from .guess import Guess, guess, require_column_source
from .limits import all_places
from .portfolio import MARKER, Finished, auto, forget
from .written import experiment_text

DEFAULT_TARGET = "station"


def launch(
    source: Path,
    console: Console,
    *,
    image: str | None = None,
    label: str | None = None,
    group: str | None = None,
    rank: str | None = None,
    target: str | None = None,
    max_parameters: int | None = None,
    max_mflops: float | None = None,
    max_latency_ms: float | None = None,
    minutes: float | None = None,
    output: Path | None = None,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    image_root: Path | None = None,
    command: str = "bioautoml auto",
    workers: Workers | None = None,
) -> Finished:
    """Guess what was not said, and run the portfolio; see `bioautoml auto --help` for the arguments.

    Raises:
        BioAutoMLError: for anything that stands against it, in a sentence.
    """
    _require_sensible(target, minutes, max_parameters, max_mflops, max_latency_ms)
    limits = {
        "derivation.target": target, "derivation.max_parameters": max_parameters, "derivation.max_mflops": max_mflops,
        "seed": seed,
    }  # fmt: skip
    said = {key: value for key, value in limits.items() if value is not None}
    columns = {"image": image, "label": label, "group": group, "rank": rank}
    experiment, found = _experiment(source, columns, image_root, said, overrides)
    import_plugins(experiment)
    folder = output or Path("runs") / experiment.name
    _tell(experiment, found, console)

    def go(settled: Experiment) -> Finished:
        values = _plain(settled)
        guesses = Guess(values, found.reasons).sentences()
        text = experiment_text(values, found.reasons, command)
        return auto(settled, folder, console, minutes, max_latency_ms, text, guesses, workers)

    return _with_metadata_if_any(experiment, found, folder, console, go)


def _with_metadata_if_any(
    experiment: Experiment, found: Guess, folder: Path, console: Console, go: Callable[[Experiment], Finished]
) -> Finished:
    """Run a portfolio; of guessed columns of which none can be used as metadata, one on images alone."""
    if found.values and _begun_without_metadata(folder, experiment):
        return go(load_experiment(folder / "experiment.yml"))
    try:
        return go(experiment)
    except NoMetadataError:
        if not found.values or "image" not in experiment.data.modalities:
            raise
        forget(folder)
        found.reasons["data.modalities"] = "no metadata column can be used"
        console.print("[dim]guessed:[/] data.modalities = ['image']: no metadata column can be used.")
        return go(_without_metadata(experiment))


def _experiment(
    source: Path, columns: Mapping[str, str | None], image_root: Path | None, said: Mapping[str, Any],
    overrides: Sequence[str],
) -> tuple[Experiment, Guess]:  # fmt: skip
    """Return the experiment of a file, or one guessed from data, and the guesses that nobody's word stands against."""
    if source.suffix.lower() in (".yml", ".yaml"):
        require_column_source(columns)
        experiment, found = changed(load_experiment(source, overrides), said, "auto"), Guess({})
    else:
        found = guess(source, columns["image"], columns["label"], columns["group"], columns["rank"], image_root)
        experiment = _parsed(found, overrides, said, source)
    if experiment.derivation.budget is None:
        experiment = changed(experiment, {"derivation.target": DEFAULT_TARGET}, "auto")
        found.reasons["derivation.target"] = "nobody named a device or a limit"
    said_keys = [*said, *(text.partition("=")[0].strip() for text in overrides)]
    found.reasons = {key: why for key, why in found.reasons.items() if not _overridden(key, said_keys)}
    return experiment, found


def _tell(experiment: Experiment, found: Guess, console: Console) -> None:
    values = experiment.model_dump(mode="json")
    split = _plain(experiment)["data"].get("split")
    if split:  # without the fractions that nobody spoke of
        values["data"]["split"] = ", ".join(f"{key} {value}" for key, value in split.items())
    for sentence in Guess(values, found.reasons).sentences():
        console.print(f"[dim]guessed:[/] {escape(sentence)}", highlight=False, soft_wrap=True)


def _begun_without_metadata(folder: Path, experiment: Experiment) -> bool:
    """Whether a portfolio of this experiment began here, and found no metadata column that can be used."""
    begun = folder / "experiment.yml"
    if not (folder / MARKER).is_file() or not begun.is_file():
        return False
    return _plain(_without_metadata(experiment)) == _plain(load_experiment(begun))


def _without_metadata(experiment: Experiment) -> Experiment:
    return changed(experiment, {"data.modalities": ["image"]}, "auto")


def _require_sensible(target: str | None, minutes: float | None, *limits: float | None) -> None:
    problems = []
    if target is not None and target not in all_places().split(", "):
        problems.append(f"--target {target}: is unknown; choose {all_places()}.")
    names = ("--minutes", "--max-parameters", "--max-mflops", "--max-latency-ms")
    for name, limit in zip(names, (minutes, *limits), strict=True):
        if limit is not None and (not isinstance(limit, Real) or isinstance(limit, bool)):
            problems.append(f"{name} {limit!r}: must be a number.")
        elif limit is not None and not 0 < limit < float("inf"):
            problems.append(f"{name} {limit:g}: must be above 0{' and finite' if limit > 0 else ''}.")
    if problems:
        raise ConfigError(problems, "command line")


def _parsed(found: Guess, overrides: Sequence[str], said: Mapping[str, Any], source: Path) -> Experiment:
    raw = apply_overrides(copy.deepcopy(found.values), overrides)
    return changed(parse_experiment(raw, str(source)), said, "auto")


def _overridden(key: str, said: Sequence[str]) -> bool:
    return any(key == other or key.startswith(f"{other}.") or other.startswith(f"{key}.") for other in said)


def _plain(experiment: Experiment) -> dict[str, Any]:
    """Return an experiment as it is written: without what is at its default."""
    return experiment.model_dump(mode="json", exclude_defaults=True)
