"""benchmarks/gpu_all.py keeps every row that it has measured, and says what it could not measure."""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_all.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("gpu_all", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    sys.modules["gpu_all"] = module  # where dataclasses look for it
    specification.loader.exec_module(module)
    return module


def test_a_section_that_fails_or_comes_too_late_is_named_and_loses_nothing(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moments = iter([0.0, 1.0, 2.0, 99.0])
    monkeypatch.setattr(script.time, "monotonic", lambda: next(moments))

    def broken(bench: object) -> None:
        raise RuntimeError("no such\nkernel")

    sections = {"machine": script.machine, "broken": broken, "late": script.machine}
    monkeypatch.setattr(script, "SECTIONS", sections)
    bench = script.Bench(script.MINIATURE, tmp_path, tmp_path / "table.csv")
    assert script.measure(bench, list(sections), 60) == ["broken"]
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [list(row) for row in bench.rows]
    assert [row[:2] for row in rows[:2]] == [["machine", "device"], ["machine", "torch"]]
    assert rows[-2:] == [
        ["broken", "failed", "RuntimeError", "no such kernel", ""], ["late", "not measured", "", "no time left", ""],
    ]  # fmt: skip


def test_waiting_is_what_lies_between_batches_after_the_first_epoch(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([0, 5, 9, 10, 13, 14, 15, 18])
    monkeypatch.setattr(script, "now", lambda: float(next(moments)))
    found: dict[str, list[float]] = {}
    clock = script.Clock(found)
    trainer = type("Trainer", (), {"current_epoch": 0})()
    clock.on_train_start(trainer, None)
    for epoch, batches in ((0, 1), (1, 2)):
        trainer.current_epoch = epoch
        clock.on_train_epoch_start(trainer, None)
        for _ in range(batches):
            clock.on_train_batch_start(trainer)
            clock.on_train_batch_end(trainer)
    assert found == {"training": [3.0 + 1.0, 1.0 + 3.0, 2]}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_can_be_tried(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_all.py"])
    with pytest.raises(SystemExit, match="finds no GPU here; --check tries everything"):
        script.main()
