"""What reading processes say when the main process, to which they hand their batches, is gone."""

from __future__ import annotations

import sys

import pytest

from bioautoml_nni.data.dataset import end_quietly


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (BrokenPipeError(32, "Broken pipe"), False),
        (ConnectionResetError(), False),
        (EOFError(), False),
        (ValueError("a real mistake"), True),
        (OSError(28, "No space left on device"), True),
    ],
)
def test_only_a_lost_connection_is_passed_over(monkeypatch, capsys, error, told):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    end_quietly(0)
    sys.excepthook(type(error), error, None)
    said = capsys.readouterr().err
    assert str(error) in said if told else not said
