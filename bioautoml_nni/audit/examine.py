"""From an experiment to its finished data and what the audit says of it: the one line that all commands call.

Load, labels, images, split, roles: each step takes a table, and returns one with the reasons for what it left out.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pandas as pd
from rich.console import Console

from ..artifacts.audit import AuditRecord
from ..config import Experiment
from ..data import splits
from ..data.classes import with_classes
from ..data.labels import OTHER, learnable, named_settings, twin_remarks
from ..data.load import image_size, image_store, load_manifest
from ..data.manifest import ID, IMAGE, LABEL, SPLIT, Manifest
from ..data.naming import Naming
from ..data.readable import NONE_UNREADABLE, readable
from ..data.remark import Answer, Lost, Remark, of_kind
from ..data.roles import decide_roles
from ..data.specimens import Specimens
from ..utils.errors import DataError
from ..utils.memory import return_freed_memory
from ..utils.progress import make_progress
from .columns import Screen, screen
from .judge import Audit, AuditVerdict, audit


@dataclass(frozen=True)
class Examination:
    """Finished data, and what the audit says of it."""

    data: Specimens
    judged: Audit

    @property
    def table(self) -> pd.DataFrame:
        """Specimens that are used."""
        return self.data.table

    @property
    def facts(self) -> pd.DataFrame | None:
        """Facts of their images, or None without images."""
        return self.data.facts

    @property
    def audit(self) -> AuditRecord:
        """Everything for audit.json."""
        return self.judged.record

    @property
    def verdict(self) -> AuditVerdict:
        """The worst of the remarks."""
        return self.judged.verdict

    @property
    def answers(self) -> list[Answer]:
        """Lines of experiment.yml that answer what is wrong or doubtful, each once."""
        given = [remark.answer for remark in self.judged.remarks if remark.answer and remark.level != "note"]
        return [answer for place, answer in enumerate(given) if answer not in given[:place]]

    @property
    def refusals(self) -> list[str]:
        """Why nothing may be trained on this data, in sentences."""
        return [remark.text for remark in self.judged.remarks if remark.level == "refused"]


def examine(experiment: Experiment, console: Console, manifest: Manifest | None = None) -> Examination:
    """Finish the data of an experiment, and audit it.

    Args:
        manifest: the source's own by default; it is only read.

    Raises:
        DataError: for data that cannot even be looked at: no table, no usable row, a single class, a path that leads
            out of the image root, a split that stays empty.
    """
    data, found = finish(experiment, load_manifest(experiment) if manifest is None else manifest, console)
    return Examination(data, audit(data, found, experiment.data))


def finish(experiment: Experiment, manifest: Manifest, console: Console) -> tuple[Specimens, Screen]:
    """Return the data that training would get, and the screen's findings that its roles were decided by.

    Args:
        manifest: it is only read.

    Raises:
        DataError: see `examine`.
    """
    lost = of_kind(manifest.notes, Lost)
    held = [manifest]
    del manifest  # one table of many rows is enough
    try:
        return _finish(experiment, held, console)
    except DataError as error:
        error.args = (" ".join([str(error), *(["Before that:"] if lost else []), *lost]),)
        raise


def _finish(experiment: Experiment, held: list[Manifest], console: Console) -> tuple[Specimens, Screen]:
    """Do what `finish` does with the manifest in a list, which is taken from there."""
    manifest = with_classes(held.pop(), experiment.data)
    settings = named_settings(experiment.data, manifest)
    remarks = [
        *(Remark("note", "table", note) for note in manifest.notes),
        *twin_remarks(manifest.table),
        *splits.unused_split(manifest.table, settings),
        *splits.idle_group(manifest.table, settings),
    ]
    tables = [manifest.table]
    manifest = dataclasses.replace(manifest, table=pd.DataFrame())
    labelled = learnable(tables.pop(), settings)
    remarks += labelled.remarks
    dropped, joined, table = dict(labelled.left_out), dict(labelled.joined), labelled.table
    manifest = dataclasses.replace(manifest, table=table)
    del labelled
    facts = pixels = None
    unreadable = NONE_UNREADABLE
    if "image" in settings.modalities:
        size = image_size(experiment, manifest.image_root, table[IMAGE].tolist())
        store = image_store(experiment, manifest.image_root, size)
        seen = readable(table, store, settings.max_unreadable, console)
        again = learnable(seen.table, settings)  # an image that cannot be read may leave a label a single specimen
        facts = seen.facts.iloc[again.kept].reset_index(drop=True)
        remarks += [*seen.remarks, *again.remarks]
        table, unreadable, pixels = again.table, seen.unreadable, store.pixels(facts)
        manifest = dataclasses.replace(manifest, table=table)
        dropped, joined = {**dropped, **again.left_out}, {**joined, **again.joined}
        del seen, again
    part = splits.divide(table, settings, experiment.seed)
    found = _screen(experiment, manifest, table, part, console)
    return_freed_memory()
    roles = decide_roles(
        manifest, table, found.findings, experiment.audit.allow, uses_metadata="metadata" in settings.modalities
    )
    remarks += roles.remarks
    naming = (manifest.naming or Naming()).joining(joined, OTHER)
    decided = dataclasses.replace(roles.manifest, naming=naming)
    data = Specimens(decided, table, part, facts, pixels, unreadable, dropped, joined, roles.overridden, tuple(remarks))
    return data, found


def _screen(
    experiment: Experiment, manifest: Manifest, table: pd.DataFrame, part: pd.Series, console: Console
) -> Screen:
    """Screen the columns of all rows whose labels are learned."""
    learned = ~splits.mask(part, splits.UNKNOWN)
    if not learned.all():
        table, part = table[learned], part[learned]
    table, part = table.reset_index(drop=True), part.reset_index(drop=True)
    own = [name for name in table if name not in (ID, IMAGE, LABEL, SPLIT)]
    split = experiment.data.split
    with make_progress(console) as progress:
        task = progress.add_task("columns", total=len(own), note="")
        return screen(
            table[own],
            table[LABEL],
            splits.mask(part, *splits.TRAINING),
            splits.mask(part, splits.TEST),
            group=split.group,
            taxonomy={name for name, role in manifest.roles.items() if role == "taxonomy"},
            assigns_split={split.column} if split.column else set(),
            advance=lambda: progress.advance(task),
        )
