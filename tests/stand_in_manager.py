"""A stand-in for NNI's manager, which does trials with names at once."""

import json
import shlex
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

import bioautoml_nni.nni_jobs.trial
from bioautoml_nni.cli import jobs as trial_commands
from bioautoml_nni.nni_jobs import named_trials as on_nni
from bioautoml_nni.nni_jobs.settings import check_nni_file
from bioautoml_nni.utils.errors import BioAutoMLError


class Manager:
    """Stands in for NNI's manager: does every trial when the experiment is created, and answers about them.

    Args:
        home: of the user on the machine that does the trials, None for this one.

    Attributes:
        broken: names whose trials are killed before they answer.
        sent: the names of each experiment.
    """

    def __init__(self, patch, home=None):
        self.home = home
        self.broken, self.sent, self.state = set(), [], "RUNNING"
        self.patch = patch
        patch.setattr(on_nni, "nnictl", self.nnictl)
        patch.setattr(on_nni, "PAUSE", 0.05)

    def nnictl(self, arguments, host):
        if arguments[0] == "stop":
            self.server.shutdown()
            self.server.server_close()
            return 0
        config, port = Path(arguments[2]), int(arguments[4])
        check_nni_file(config)
        self.config = yaml.safe_load(config.read_text())
        space = json.loads((config.parent / self.config["searchSpaceFile"]).read_text())
        ((self.key, choice),) = space.items()
        assert self.config["maxTrialNumber"] == len(choice["_value"])
        self.sent.append(choice["_value"])
        self.trials = [self.trial(number, name, config.parent) for number, name in enumerate(choice["_value"])]
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self.answers())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return 0

    def trial(self, number, name, folder):
        words = shlex.split(self.config["trialCommand"])
        assert words[:2] == ["bioautoml", "trial"]
        final = []

        class Reporter:
            parameters = {self.key: name}

            def final(self, values):
                final.append({"data": json.dumps(json.dumps(values))})

        self.patch.setattr(bioautoml_nni.nni_jobs.trial, "Reporter", Reporter)
        given = [word for word in words if word != "~"]
        status = "FAILED"
        if name not in self.broken:
            try:
                self.do(given, folder)
                status = "SUCCEEDED"
            except BioAutoMLError:
                pass
        given = [json.dumps({"parameters": {self.key: name}})]
        return {
            "trialJobId": f"t{number}", "status": status, "hyperParameters": given, "finalMetricData": final,
            "logPath": "file://localhost:/trial.log",
        }  # fmt: skip

    def do(self, words, folder):
        action = trial_commands._row if self.key == "row" else trial_commands._candidate
        place = words[words.index("--rows-in" if self.key == "row" else "--candidates-in") + 1]
        with pytest.MonkeyPatch.context() as patch:
            if self.home is not None:
                patch.setenv("HOME", str(self.home))
            config = folder / words[words.index("--config") + 1]
            trial_commands._named(action, config, [], Path(place).expanduser(), 1)

    def answers(self):
        manager = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self):
                found = {"status": manager.state, "errors": [], "id": "abc"}
                body = json.dumps(manager.trials if self.path.endswith("trial-jobs") else found).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        return Answers
