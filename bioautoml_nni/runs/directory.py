"""The run directory: which experiment it belongs to, which stages are done, and what they were made from."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from ..artifacts.audit import AuditRecord
from ..artifacts.calibration import Calibration
from ..artifacts.history import Epoch, read_history
from ..artifacts.metrics import Metrics
from ..artifacts.network import NetworkRecord
from ..artifacts.outcome import SearchOutcome
from ..artifacts.preprocessing import Preprocessing
from ..artifacts.provenance import KnownPlace, Provenance, StageRecord
from ..config import Experiment, parse_experiment
from ..config.load import apply_overrides, read_experiment
from ..config.renamed import with_former_names
from ..utils.atomic import write_text
from ..utils.command_line import command_line
from ..utils.errors import RunDirectoryError
from ..utils.own_files import WAY_OUT, reading
from ..utils.places import require_folder
from ..utils.remote import place
from ..utils.yaml_files import load_yaml
from .differences import differing
from .environment import environment
from .lock import locked
from .places import (
    encoder_keys,
    found_root,
    require_same_data,
    same_place,
    with_first_places,
    with_found_places,
    with_written_places,
    written_root,
)

STAGES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "prepare": (("seed", "data", "audit"), ("manifest.parquet", "splits.csv", "preprocessing.json", "audit.json")),
    "search": (("space", "strategy", "loss", "search"), ("search/shares.json",)),
    "derive": (("derivation",), ("architecture.json", "architecture.svg")),
    "retrain": (("retrain", "training"), ("retrain/model.pt", "retrain/network.json")),
    "evaluate": (
        ("evaluation",),
        tuple(f"evaluation/{name}" for name in ("metrics.json", "calibration.json", "predictions.csv", "trust.png")),
    ),
    "report": (("name",), ("report.html",)),
}
"""For each stage the configuration it depends on (besides the stages before) and the files that it leaves."""

SPREAD = ("devices", "nodes")
"""Keys that say by how many processes a run is done, and may differ whenever it goes on."""

KEY_LENGTH = 16
"""Letters of a stage's key."""


@dataclass
class RunDirectory:
    """A run directory with its experiment.

    Attributes:
        listeners: called with the stage's name and the history's line after every epoch of training.
    """

    path: Path
    experiment: Experiment
    listeners: list[Callable[[str, Mapping[str, Any]], None]] = field(default_factory=list)

    def tell(self, stage: str) -> Callable[[Mapping[str, Any]], None]:
        """Return a function that passes an epoch's line to the listeners."""

        def pass_on(line: Mapping[str, Any]) -> None:
            for listener in self.listeners:
                listener(stage, line)

        return pass_on

    @classmethod
    def create(
        cls, path: Path, experiment: Experiment, base: Path | None = None, console: Console | None = None
    ) -> RunDirectory:
        """Open `path` for `experiment`, making it if needed; data that moved are taken if they are the same.

        Args:
            base: the experiment file's folder.
            console: where to say that data are compared.

        Raises:
            RunDirectoryError: if it belongs to another experiment or other data, or holds files that are no run's.
        """
        if (path / "experiment.yml").is_file():
            found = cls.open(path)
            differences = [what for key, what in differing(found.experiment, experiment).items() if key not in SPREAD]
            if differences:
                raise RunDirectoryError(
                    f"{path}: belongs to another experiment ({'; '.join(differences[:4])}); choose another --output, "
                    "or change a finished run with `bioautoml search|retrain|evaluate RUN --set key=value`."
                )
            if not same_place(found.experiment.data.root, experiment.data.root):
                with locked(path):
                    found._move_data(experiment, base, console)
            found._spread_as(experiment)
            return found
        if path.is_file():
            raise RunDirectoryError(f"{path}: is a file; choose another --output.")
        if path.exists() and any(path.iterdir()):
            raise RunDirectoryError(f"{path}: is not empty and holds no experiment.yml; choose another --output.")
        require_folder(path, "--output", RunDirectoryError)
        run = cls(path, experiment)
        run._save_experiment(base)
        return run

    @classmethod
    def open(cls, path: Path, overrides: Sequence[str] = ()) -> RunDirectory:
        """Open an existing run; overrides change its experiment, so that later stages are no longer valid.

        Raises:
            RunDirectoryError: if `path` is not a run directory, or if another process works on it.
        """
        file = path / "experiment.yml"
        if not file.is_file():
            raise RunDirectoryError(
                f"{path}: is not a run directory (no experiment.yml); start one with `bioautoml run`."
            )
        _require_whole(file)
        raw = read_experiment(file)
        with_found_places(raw, path, _provenance(path))
        run = cls(path, parse_experiment(raw, str(file), begun=True))
        run.experiment = run._with_root(found_root(run.experiment.data.root, run.provenance()))
        if overrides:
            raw = run.experiment.model_dump(mode="json")
            wanted = parse_experiment(apply_overrides(raw, overrides), str(file))
            with locked(path):
                run._move_data(wanted, None, None)
                run.experiment = wanted
                run._save_experiment()
        return run

    def _with_root(self, root: Path | None) -> Experiment:
        """Return the run's experiment with its data in another place."""
        return self.experiment.model_copy(update={"data": self.experiment.data.model_copy(update={"root": root})})

    def _move_data(self, wanted: Experiment, base: Path | None, console: Console | None) -> None:
        """Take the data's place of another experiment, if what lies there are the run's own data."""
        if same_place(self.experiment.data.root, wanted.data.root):
            return
        there = self._with_root(wanted.data.root)
        require_same_data(self, there, console or Console(quiet=True))
        if self.provenance().data_root is None:
            self.record(data_root=str(self.experiment.data.root))
        self.experiment = there
        self._save_experiment(base)

    def _spread_as(self, wanted: Experiment) -> None:
        """Take the number of processes of another experiment, which decides no result."""
        values = {key: getattr(wanted, key) for key in SPREAD}
        if values != {key: getattr(self.experiment, key) for key in SPREAD}:
            with locked(self.path):
                self.experiment = self.experiment.model_copy(update=values)
                self._save_experiment()

    def _save_experiment(self, base: Path | None = None) -> None:
        dumped, before = self.experiment.model_dump(mode="json"), self._saved()
        first = {name: section[key] for name, section, key in encoder_keys(dumped)}
        with_written_places(dumped, self.path, base, before)
        root = self.experiment.data.root
        if root is not None:
            known = before.get("data", {}).get("root")
            dumped["data"]["root"] = written_root(root, self.path, base, known)
        text = yaml.safe_dump(dumped, sort_keys=False, allow_unicode=True, explicit_start=True, explicit_end=True)
        write_text(self.path / "experiment.yml", text)  # first, since it makes the folder a run's
        if root is not None and dumped["data"]["root"] != str(root) and self.provenance().data_root is None:
            self.record(data_root=str(root))
        self._record_places(dumped, first)

    def _saved(self) -> dict[str, Any]:
        """Return the run's experiment.yml as it stands."""
        file = self / "experiment.yml"
        content = load_yaml(file.read_text(encoding="utf-8")) if file.is_file() else None
        return content if isinstance(content, dict) else {}

    def _record_places(self, dumped: dict[str, Any], first: Mapping[str, str]) -> None:
        """Record where teachers and weights lie that are written as relative paths, unless it is known."""
        before = self.provenance().places
        known = dict(before)
        for name, section, key in encoder_keys(dumped):
            if section[key] != first[name] and (name not in known or known[name].written != section[key]):
                known[name] = KnownPlace(written=section[key], first=first[name])
        if known != before:
            self.record(places=known)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def provenance(self) -> Provenance:
        """Return what the run was made from, and which stages are done; the default of one that has none yet."""
        return _provenance(self.path)

    def record(self, **entries: Any) -> None:
        """Add top-level entries to provenance.json."""
        known = self.provenance()
        known.with_entries(**{"stages": known.stages, **entries}).write(self / "provenance.json")

    def audit(self) -> AuditRecord:
        """Return what the audit says of the run's data."""
        return AuditRecord.read(self / "audit.json")

    def preprocessing(self, way_out: str = WAY_OUT) -> Preprocessing:
        """Return how specimens become inputs; `way_out` as in `reading`."""
        return Preprocessing.read(self / "preprocessing.json", way_out)

    def metrics(self) -> Metrics:
        """Return how good the run's network is on the test split."""
        return Metrics.read(self / "evaluation/metrics.json")

    def calibration(self) -> Calibration:
        """Return what validation specimens teach about trust in the run's network."""
        return Calibration.read(self / "evaluation/calibration.json")

    def network(self) -> NetworkRecord:
        """Return what the run's trained network is."""
        return NetworkRecord.read(self / "retrain/network.json")

    def outcome(self) -> SearchOutcome:
        """Return how the run's search ended; the default of one that has not ended."""
        file = self / "search/outcome.json"
        return SearchOutcome.read(file) if file.is_file() else SearchOutcome()

    def history(self, stage: str) -> list[Epoch]:
        """Return the epochs of stage search or retrain, oldest first; an empty list before the first."""
        return read_history(self / stage / "history.jsonl")

    @property
    def first_root(self) -> Path | None:
        """Where the data lay when the run began; None if they have none."""
        known = self.provenance().data_root
        return self.experiment.data.root if known is None else place(known)

    def key(self, stage: str) -> str:
        """Return a digest of everything that decides the stage's result: its settings and those of stages before.

        Settings at their defaults are left out, so that a key which a later version adds leaves old runs as they are;
        those that were renamed go by their former names.
        """
        dumped = with_former_names(self.experiment.model_dump(mode="json", exclude_defaults=True))
        if (first := self.provenance().data_root) is not None:
            dumped["data"]["root"] = first
        with_first_places(dumped, self.path, self.provenance())
        for part in ("train", "validation", "test"):
            if part in dumped["data"].get("split", {}):
                dumped["data"]["split"][part] = [_as_number(value) for value in dumped["data"]["split"][part]]
        digest = hashlib.sha256()
        for name, (sections, _) in STAGES.items():
            digest.update(json.dumps([name, {section: dumped.get(section) for section in sections}]).encode())
            if name == "prepare" and self.experiment.data.image_size == "auto":
                digest.update(json.dumps(dumped.get("space")).encode())  # whose encoder's size it is
            if name == stage:
                return digest.hexdigest()[:KEY_LENGTH]
        raise KeyError(stage)

    def done(self, stage: str) -> bool:
        """Whether the stage's files are there and were made with today's settings."""
        record = self.provenance().stages.get(stage)
        files = STAGES[stage][1]
        return record is not None and record.key == self.key(stage) and all((self / file).is_file() for file in files)

    def require(self, stage: str) -> None:
        """Raise `RunDirectoryError` unless `stage` is done."""
        if not self.done(stage):
            command = "run" if stage == "prepare" else stage
            raise RunDirectoryError(
                f"{self.path}: stage '{stage}' is missing or was made with other settings; run `bioautoml {command}"
                f" {self / 'experiment.yml' if command == 'run' else self.path}` first."
            )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Record a stage as done when the block ends without an error; stages after it are then to be done again."""
        started, clock = datetime.now(UTC), time.monotonic()
        yield
        order = list(STAGES)
        before = order[: order.index(name)] if name in order else order
        stages = {key: value for key, value in self.provenance().stages.items() if key in before}
        stages[name] = StageRecord(
            key=self.key(name),
            started=started.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - clock, 1),
            command=command_line(),
        )
        self.record(stages=stages, **environment(), seed=self.experiment.seed)

    def work_folder(self, stage: str) -> Path:
        """Return the stage's folder for files of an unfinished attempt; files made with other settings are removed."""
        folder, marker = self / stage, self / stage / "key"
        if marker.is_file() and _whole_key(marker) != self.key(stage):
            for name in ("last.ckpt", "best.pt", "history.jsonl", "outcome.json", "evolution.jsonl"):
                (folder / name).unlink(missing_ok=True)
            for own in (*folder.glob("candidate-*"), *folder.glob("refit")):
                shutil.rmtree(own)
            for weights in folder.glob("epoch-*.pt"):
                weights.unlink()
        write_text(marker, self.key(stage))
        return folder


def _provenance(run: Path) -> Provenance:
    file = run / "provenance.json"
    return Provenance.read(file) if file.is_file() else Provenance()


def is_run(folder: Path) -> bool:
    """Whether a folder is a run directory that was begun, and no folder of a user's experiment."""
    return (folder / "experiment.yml").is_file() and (folder / "provenance.json").is_file()


def _require_whole(file: Path) -> None:
    """Check that a run's experiment.yml, which has marks at both ends since 0.1, has lost no end.

    Raises:
        RunDirectoryError: if it has; what is left would be another experiment.
    """
    with reading(file, "copy it again"):
        text = file.read_text(encoding="utf-8")
        if text.startswith("---") and not text.endswith("...\n"):
            raise ValueError("its end is missing")


def _whole_key(marker: Path) -> str:
    """Return the key of an unfinished attempt.

    Raises:
        RunDirectoryError: if it is cut short; the attempt must not go because of that.
    """
    with reading(marker):
        text = marker.read_text(encoding="utf-8")
        if len(text) != KEY_LENGTH:
            raise ValueError(f"it has {len(text)} letters")
        return text


def _as_number(value: str) -> str | int:
    """Return a whole number in its usual spelling as such, which parts of a split were until version 0.1."""
    return int(value) if value.isdecimal() and str(int(value)) == value else value
