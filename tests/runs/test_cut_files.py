"""A file of a run that is cut short, as an interrupted copy leaves it: one sentence that names it, from every command
that reads it."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
from conftest import here

PREPARED = ("manifest.parquet", "splits.csv", "preprocessing.json")
ALWAYS = ("experiment.yml", "provenance.json")
EXPORTED = ("export.json", "model.onnx", "preprocessing.json", "calibration.json", "classes.csv")
READS = {
    "run": (*ALWAYS, "evaluation/metrics.json"),
    "search": (*ALWAYS, *PREPARED, "search/last.ckpt", "search/outcome.json", "search/key"),
    "derive": (*ALWAYS, *PREPARED, "search/shares.json"),
    "perturb": (*PREPARED, "search/supernet.pt"),
    "retrain": (*ALWAYS, *PREPARED, "architecture.json", "retrain/last.ckpt", "retrain/best.pt", "retrain/key"),
    "evaluate": (*ALWAYS, *PREPARED, "architecture.json", "retrain/model.pt"),
    "report": (
        *ALWAYS, *PREPARED, "architecture.json", "audit.json", "retrain/model.pt", "retrain/network.json",
        "search/history.jsonl", "retrain/history.jsonl",
        *(f"evaluation/{name}" for name in ("metrics.json", "calibration.json", "per_class.csv", "predictions.csv")),
        "evaluation/logits.npz",
    ),
    "doctor": (*ALWAYS, "audit.json", "retrain/network.json", "search/outcome.json", "search/history.jsonl"),
    "export": (
        *ALWAYS, *PREPARED, "architecture.json", "retrain/model.pt", "evaluation/metrics.json",
        "evaluation/calibration.json", "evaluation/per_class.csv",
    ),
    "predict": tuple(f"export/{name}" for name in EXPORTED),
    "embed": ("export/image_encoder.onnx", "export/fusion_head.onnx"),
    "serve": tuple(f"export/{name}" for name in EXPORTED),
}  # fmt: skip
"""For each command the files that it reads of a run."""
UNDONE = {
    "search": "search/shares.json", "derive": "architecture.svg", "perturb": "architecture.svg",
    "retrain": "retrain/network.json", "evaluate": "evaluation/trust.png", "report": "report.html",
}  # fmt: skip
"""What is removed so that a stage has something to do."""
CUTS = {"to nothing": lambda size: 0, "in half": lambda size: size // 2, "before its end": lambda size: size - 7}
SLOW = ("report", "export", "embed")
"""Commands that do much before they come to some files: each of these is cut in one way only."""


@pytest.fixture(scope="module")
def copy(exported: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a finished run with its export, as it lies beside its data."""
    folder = tmp_path_factory.mktemp("cut")
    shutil.copytree(exported[1], folder / "run")
    shutil.copytree(exported[0], folder / "run/export")
    shutil.copy(exported[1].parent / "data/metadata.csv", folder)
    return folder / "run"


def command(name: str, run: Path) -> list[object]:
    table, answers = run.parent / "metadata.csv", run.parent / "answers.csv"
    data = ["--image-root", table.parent]
    return {
        "perturb": ["derive", run, "--set", "derivation.method=perturbation"],
        "export": ["export", run, "--output", run.parent / "model"],
        "predict": ["predict", run, table, "--output", answers, *data],
        "embed": ["predict", run, table, "--output", answers, "--embeddings", *data],
        "serve": ["serve", run, "--port", 0],
    }.get(name, [name, run])


def cases() -> list[tuple[str, str, list[str]]]:
    turns = itertools.cycle(CUTS)
    return [
        (name, file, [next(turns)] if name in SLOW else [next(turns), next(turns)])
        for name, files in READS.items()
        for file in files
    ]


@pytest.mark.parametrize(("name", "file", "cuts"), cases())
def test_a_file_that_is_cut_short_is_named_in_one_sentence(copy, name, file, cuts):
    whole = {path: (copy / path).read_bytes() for path in {file, "experiment.yml", *filter(None, [UNDONE.get(name)])}}
    try:
        for how in cuts:
            (copy / file).write_bytes(whole[file][: CUTS[how](len(whole[file]))])
            if name in UNDONE and UNDONE[name] != file:
                (copy / UNDONE[name]).unlink(missing_ok=True)
            done = here(*command(name, copy))
            said = " ".join((done.stdout + done.stderr).split())
            assert done.returncode == 2, (how, said)
            assert Path(file).name in said and "Traceback" not in said, (how, said)
    finally:
        for path, content in whole.items():
            (copy / path).write_bytes(content)
    if name in ("search", "retrain"):
        assert (copy / name / "last.ckpt").is_file()  # no progress is lost
