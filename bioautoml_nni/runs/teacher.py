"""The teacher of a distillation: the network of a run, an encoder with a head, or a table made elsewhere.

Whatever it is, it gives logits under the training prior of the specimens that the network is trained on, and was itself
trained on none that the run then validates or tests with: what teaches a refit, which learns from the validation split
too, may have learned from that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from ..config import Experiment, parse_experiment
from ..config.load import read_experiment
from ..config.references import is_encoder
from ..data import splits
from ..training.distillation import Distillation, LiveTeacher, Teacher
from ..training.top_logits import kept
from ..utils.errors import ConfigError, RunDirectoryError
from .differences import differing
from .directory import RunDirectory
from .prepared import PreparedData
from .probe import learned_parts
from .teacher_asked import Asked, learned_rows
from .teacher_encoder import EncoderTeacher
from .teacher_run import RunTeacher, fitting_data
from .teacher_table import check_teacher, require_fitting_table, table_answers

SECTIONS = ("search", "training")
"""Sections of an experiment that may have a teacher."""
OF_STUDENT = ("seed", "threads", "cache", "audit", "data")
"""Sections that a teacher's experiment file does not decide: those of its student hold, but for `OWN_DATA`."""
OWN_DATA = ("image_size", "modalities")
"""Keys of `data` that it decides."""


def distillation(
    run: RunDirectory,
    data: PreparedData,
    console: Console,
    section: str = "training",
    validation: bool = False,
    refit: bool = False,
) -> Distillation | None:
    """Return what a section's teacher adds to the loss; None without a teacher.

    A run, that of an experiment file too, sees each image once, unchanged, at its own size and with its own reading of
    the metadata, unless the section says ``same_view``. An encoder's head is fitted to the training split alone, once,
    and kept in the run. A table is taken as it is.

    Args:
        section: "training" or "search".
        validation: whether it is asked about the validation split, too.
        refit: whether it is asked for a refit: about the validation split too, as what has learned from that.

    Raises:
        DataError: if it names other classes, lacks specimens, or was trained on specimens that this run validates or
            tests with.
    """
    settings = getattr(run.experiment, section).distillation
    if settings is None:
        return None
    asked = _asked(run, data, console, section, validation or refit, refit)
    live = settings.same_view and data.features is None
    return Distillation(settings, _teacher(settings.teacher, asked, live), data.loss().prior_logits)


def learns_for_refit(run: RunDirectory) -> bool:
    """Whether the teacher of the training has learned from the validation split too when it teaches a refit.

    The network of a run has if it was refitted itself; the head of an encoder is fitted again; a table stays as it is.
    """
    settings = run.experiment.training.distillation
    if settings is None or is_table(settings.teacher):
        return False
    if is_encoder(settings.teacher):
        return True
    return splits.VALIDATION in learned_parts(RunDirectory.open(teacher_folder(run, settings.teacher)))


def shared_teacher(
    run: RunDirectory, data: PreparedData, console: Console, section: str, validation: bool = False
) -> EncoderTeacher | None:
    """Return the encoder that teaches in a section, of whose features several processes can compute shares; None for
    any other teacher.

    Args:
        section, validation: see `distillation`.
    """
    settings = getattr(run.experiment, section).distillation
    if settings is None or not is_encoder(settings.teacher):
        return None
    return EncoderTeacher(settings.teacher, _asked(run, data, console, section, validation))


def _asked(
    run: RunDirectory, data: PreparedData, console: Console, section: str, validation: bool, refit: bool = False
) -> Asked:
    settings = getattr(run.experiment, section).distillation
    rows = learned_rows(data, validation)
    views = 1 + data.features.views if settings.same_view and data.features is not None else 1
    top_k = kept(settings, len(data.classes))
    key = f"{section}.distillation.teacher"
    return Asked(
        run, data, key, console, rows, views, settings.folds, top_k, settings.temperature, settings.features > 0, refit
    )


def require_teacher(run: RunDirectory) -> None:
    """Check what can be checked of a run's teachers before anything is trained.

    Raises:
        RunDirectoryError: if one is neither a run nor an experiment nor an encoder nor a table.
        ConfigError: for an experiment that is wrong.
        DataError: for a table that cannot be read.
    """
    for section in SECTIONS:
        settings = getattr(run.experiment, section).distillation
        if settings is None or is_encoder(settings.teacher):
            continue
        if is_table(settings.teacher):
            check_teacher(Path(settings.teacher), f"{section}.distillation.teacher", settings.features > 0)
            continue
        if is_experiment(settings.teacher):
            teacher_experiment(run, settings.teacher, f"{section}.distillation.teacher")
            continue
        try:
            RunDirectory.open(Path(settings.teacher))
        except RunDirectoryError as error:
            raise RunDirectoryError(
                f"{error} A teacher may also be an experiment file, an encoder or a .parquet of logits."
            ) from error


def require_fitting_teachers(run: RunDirectory, data: PreparedData) -> None:
    """Check of a run's teachers what can be checked once its data are prepared, before a search takes its time.

    What an experiment file says is trained later, and an encoder's head fits always.

    Raises:
        DataError, RunDirectoryError: see `distillation`.
    """
    for section in SECTIONS:
        settings = getattr(run.experiment, section).distillation
        if settings is None or is_encoder(settings.teacher) or is_experiment(settings.teacher):
            continue
        refitted = section == "training" and run.experiment.retrain.refit
        rows, silent = learned_rows(data, refitted), Console(quiet=True)  # it warns in its turn
        asked = Asked(run, data, f"{section}.distillation.teacher", silent, rows)
        if is_table(settings.teacher):
            require_fitting_table(Path(settings.teacher), asked)
            continue
        fitting_data(Path(settings.teacher), asked)
        if refitted and learns_for_refit(run):
            fitting_data(Path(settings.teacher), dataclasses.replace(asked, refit=True))


def is_table(teacher: str) -> bool:
    """Whether a teacher is a table of logits or embeddings."""
    return Path(teacher).suffix.lower() == ".parquet"


def is_experiment(teacher: str) -> bool:
    """Whether a teacher is named by an experiment file, whose network is trained before it teaches."""
    return Path(teacher).suffix.lower() in (".yml", ".yaml")


def teacher_folder(run: RunDirectory, teacher: str) -> Path:
    """Return the directory of the run that teaches; that of an experiment file lies in the directory of its student."""
    return run / "teachers" / Path(teacher).stem if is_experiment(teacher) else Path(teacher)


def teacher_experiment(run: RunDirectory, teacher: str, key: str) -> Experiment:
    """Return the experiment of a teacher: as its file has it, on the data and the splits of the student.

    It sees images of its own size. From the validation split it learns only for a refit that its student has too, and
    what has not learned from that split is kept to teach before. Once its training has begun, it is what it was then,
    whether or not the file is still there.

    Args:
        key: that names the teacher, for messages.

    Raises:
        ConfigError: for an experiment that is wrong, or has an experiment for its own teacher.
        RunDirectoryError: if the file says something else than when the training began.
    """
    folder = teacher_folder(run, teacher)
    begun = RunDirectory.open(folder).experiment if (folder / "experiment.yml").is_file() else None
    if begun is not None and not Path(teacher).is_file():
        return begun
    told = _on_the_data_of(run, teacher, key, begun is not None and begun.retrain.refit)
    if begun is None:
        return told
    own = {f"data.{name}" for name in OWN_DATA}
    found = differing(begun, told).items()
    changes = [text for name, text in found if name in own or name.split(".")[0] not in OF_STUDENT]
    if changes:
        raise RunDirectoryError(
            f"{teacher}: has changed since its network was trained ({'; '.join(changes[:4])}); remove {folder} to "
            "train it again, or undo the change."
        )
    return begun


def _on_the_data_of(run: RunDirectory, teacher: str, key: str, refitted: bool) -> Experiment:
    own, raw = run.experiment.model_dump(mode="json"), read_experiment(Path(teacher))
    given, retrain = (_section(raw, name) for name in ("data", "retrain"))
    data = {name: value for name, value in own["data"].items() if name not in OWN_DATA}
    raw |= {name: own[name] for name in OF_STUDENT}
    raw |= {"data": {**data, **{name: given[name] for name in OWN_DATA if name in given}}}
    refit = bool((own["retrain"]["refit"] or refitted) and retrain.get("refit"))
    told = parse_experiment({**raw, "retrain": {**retrain, "refit": refit}}, teacher)
    for section in SECTIONS:
        settings = getattr(told, section).distillation
        if settings is not None and is_experiment(settings.teacher):
            also = f"{Path(settings.teacher).name} is an experiment too"
            sentence = f"{also}; the teacher of {key} may be taught by a run, an encoder or a table."
            raise ConfigError([f"{section}.distillation.teacher: {sentence}"], teacher)
    return told


def _section(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = raw.get(name)
    return section if isinstance(section, dict) else {}


def _teacher(name: str, asked: Asked, live: bool) -> Teacher:
    if is_table(name):
        return table_answers(Path(name), asked).teacher()
    found = EncoderTeacher(name, asked) if is_encoder(name) else RunTeacher(teacher_folder(asked.run, name), asked)
    if not live:
        return found.teacher()
    standard = None
    if asked.features:
        known = found.teacher().features
        assert known is not None  # they were asked for
        standard = known.standard
    image, metadata = asked.data.image, getattr(found, "metadata", asked.data.metadata)
    return LiveTeacher(found.network(), found.size, *image.normalisation, metadata, standard)
