"""What `bioautoml nnictl` changes of NNI's command line, and that it puts it back."""

import sys

import pytest
import requests
from nni.experiment import launcher as theirs
from nni.tools.nnictl import legacy_launcher
from nni.tools.nnictl import nnictl as command_line

from bioautoml_nni.nni_jobs.launcher import START_SECONDS, nnictl
from bioautoml_nni.utils.errors import BioAutoMLError


def test_a_manager_has_a_minute_to_answer_and_then_a_sentence_says_that_it_does_not(monkeypatch):
    """NNI tries three times, a second apart, kills the manager and shows a traceback: too soon on a busy machine."""
    for name in ("NODE_OPTIONS", "PATH", "BIOAUTOML_NNI_HOST"):
        monkeypatch.setenv(name, "")
    before = theirs._check_rest_server, legacy_launcher.get_local_urls, list(sys.argv)
    seen = []

    def parse_args():
        seen.append((theirs._check_rest_server.keywords, legacy_launcher.get_local_urls(80, ""), sys.argv))
        raise requests.ConnectionError("refused")

    monkeypatch.setattr(command_line, "parse_args", parse_args)
    with pytest.raises(
        BioAutoMLError, match=r"manager does not answer \(ConnectionError\); its log is .*nnimanager.log"
    ):
        nnictl(["experiment", "list"])
    assert seen == [({"retry": START_SECONDS}, ["http://127.0.0.1:80"], ["nnictl", "experiment", "list"])]
    assert (theirs._check_rest_server, legacy_launcher.get_local_urls, sys.argv) == before
