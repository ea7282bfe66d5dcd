"""Rows of a comparison, or candidates of a portfolio, as trials of one NNI experiment, over the machines it knows."""

from __future__ import annotations

import hashlib
import json
import socket
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from ..config.schema import Experiment
from ..utils.atomic import write_json, write_text
from ..utils.errors import BioAutoMLError, RunDirectoryError
from ..utils.own_files import read_json
from .launcher import LOCAL, free_port, listening_host, nnictl
from .template import TrialKind, Workers, named_files

CONFIG, RUNNING, ERROR = "experiment.yml", "running.json", "error"
PAUSE = 2.0
"""Seconds between two looks at the trials."""
SILENT = 120.0
"""Seconds without an answer after which the manager counts as gone."""
ENDED = ("SUCCEEDED", "FAILED", "USER_CANCELED", "SYS_CANCELED", "EARLY_STOPPED")

Told = dict[str, Any] | str
"""What a trial has answered, or the sentence why it has not."""


class NamedTrials:
    """Has named jobs done by trials of NNI, and tells of each.

    Args:
        kind: what they are.
        output: folder of the command.
        workers: who does them; on this machine runs lie in `output` as if no NNI were there.
    """

    def __init__(self, kind: TrialKind, output: Path, workers: Workers, console: Console) -> None:
        self.kind = kind
        self.output = output.resolve()
        self.workers = workers
        self.console = console

    def __call__(
        self,
        experiment: Experiment,
        names: Sequence[str],
        tell: Callable[[str, Told], None],
        beside: Mapping[str, str] | None = None,
    ) -> None:
        """Have all of them done.

        Args:
            beside: texts of further files, by name, that the trials read beside the experiment.

        Raises:
            ConfigError: for options that no experiment can have, and machines that cannot run trials.
            BioAutoMLError: if NNI's manager does not start, or is gone before the end.
        """
        config, port = self._written(experiment, names, beside or {}), free_port()
        running = config.with_name(RUNNING)
        _stop_left_over(running)
        if nnictl(["create", "--config", str(config), "--port", str(port)], listening_host()):
            raise BioAutoMLError(f"{self.kind.command}: NNI has not started the trials; what it said stands above.")
        try:
            write_json(running, {"port": port, "id": self._asked(port, "experiment")["id"]})
            self.console.print(f"Trials of NNI, one for each {self.kind.key}: http://{LOCAL}:{port}", highlight=False)
            self._follow(port, set(names), tell)
        finally:
            nnictl(["stop", "--port", str(port)], listening_host())
            running.unlink(missing_ok=True)

    def _written(self, experiment: Experiment, names: Sequence[str], beside: Mapping[str, str]) -> Path:
        """Write the files of the NNI experiment, whose folder each machine gets, and return its configuration."""
        folder = self.output / "nni"
        content = experiment.model_dump(mode="json")
        root = experiment.data.root
        if type(root).__module__.startswith("pathlib") and root is not None:
            content["data"]["root"] = str(root.resolve())
        texts = named_files(self.kind, experiment, CONFIG, names, self.place(experiment), self.workers)
        texts |= beside
        texts[CONFIG] = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_text(folder / name, text)
        return folder / "nni.yml"

    def place(self, experiment: Experiment) -> str:
        """Return where machines keep the runs: in a folder of the command's, so that one given again goes on."""
        if self.workers.remote is None:
            return str(self.output)
        facts = f"{socket.gethostname()} {self.output} {experiment.model_dump_json()}"
        digest = hashlib.sha256(facts.encode()).hexdigest()[:12]
        return f"~/nni-experiments/{self.kind.runs}/{experiment.name}-{digest}"

    def _follow(self, port: int, names: set[str], tell: Callable[[str, Told], None]) -> None:
        """Tell of everything once its trial has ended, until all have, or the experiment.

        Raises:
            BioAutoMLError: if the manager is gone before.
        """
        while names:
            state = self._asked(port, "check-status")
            for job in self._asked(port, "trial-jobs"):
                name = self._name_of(job)
                if name in names and job["status"] in ENDED:
                    names.discard(name)
                    tell(name, _told(job))
            if state["status"] in ("ERROR", "STOPPED", "DONE") and names:
                reason = "; ".join(map(str, state.get("errors", []))) or state["status"].lower()
                for name in sorted(names):
                    tell(name, f"has no trial, since NNI's experiment has ended ({reason}).")
                return
            if names:
                time.sleep(PAUSE)

    def _name_of(self, job: dict[str, Any]) -> str:
        """Return the name of what a trial does, or will do."""
        given = job.get("hyperParameters") or ["{}"]
        return str(json.loads(given[0]).get("parameters", {}).get(self.kind.key, ""))

    def _asked(self, port: int, path: str) -> Any:
        """Return what NNI's manager answers.

        Raises:
            RunDirectoryError: if it does not.
        """
        until = time.monotonic() + SILENT
        while True:
            try:
                return _answer(port, path)
            except (OSError, ValueError) as error:
                if time.monotonic() > until:
                    raise RunDirectoryError(
                        f"{self.kind.command}: NNI's manager at port {port} is gone ({error}); what came back is kept, "
                        "and the same command goes on."
                    ) from error
                time.sleep(PAUSE)


def _stop_left_over(running: Path) -> None:
    """Stop the experiment of a command that was killed, so that its trials do not work on the same runs."""
    if not running.is_file():
        return
    known = read_json(running)
    try:
        there = _answer(known["port"], "experiment")["id"]
    except (OSError, ValueError):  # its manager is gone too
        there = None
    if there == known["id"]:
        nnictl(["stop", "--port", str(known["port"])], listening_host())
    running.unlink()


def _told(job: dict[str, Any]) -> Told:
    final = job.get("finalMetricData") or []
    value: dict[str, Any] = json.loads(json.loads(final[0]["data"])) if final else {}
    if job["status"] == "SUCCEEDED" and value:
        value.pop("default", None)
        return value
    if ERROR in value:
        return str(value[ERROR])
    return (
        f"its trial {job.get('trialJobId')} has ended as {job['status']}; its log is {job.get('logPath', 'not kept')}."
    )


def _answer(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://{LOCAL}:{port}/api/v1/nni/{path}", timeout=20) as answer:
        return json.load(answer)
