"""Data that the tests make for themselves."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # workers and the processes that they start share two cores; before torch
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import io
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import settings
from PIL import Image

from bioautoml_nni.utils.quiet import quiet

quiet()
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)

settings.register_profile("suite", deadline=None)  # on a busy machine an example may take long
settings.load_profile("suite")

LONGEST = (
    "test_manager.py", "test_nni_spaces.py", "test_from_table_to_prediction.py", "test_command_line.py",
    "test_run_on_a_trunk.py", "test_kills.py", "test_disk_place_and_time.py", "test_compare.py", "test_resume.py",
    "test_full_disk_of_outputs.py", "test_halved_candidates.py", "test_group.py", "test_auto.py", "test_tuned.py",
)  # fmt: skip
"""Files of tests that take longest, in this order."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the longest files, so that no process waits for the other one at the end."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


COLOURS = {"ant": (200, 60, 60), "bee": (60, 180, 60), "cicada": (60, 60, 200)}


def write_table(root: Path, rows: int = 72, size: int = 24) -> Path:
    """Write a small table of coloured images below `root` and return the table's path."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True, exist_ok=True)
    records = []
    for number in range(rows):
        label = list(COLOURS)[number % 3]
        pixels = np.clip(np.array(COLOURS[label]) + rng.normal(0, 40, (size, size + 4, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{number}.png")
        records.append(
            {
                "image": f"images/{number}.png",
                "label": label,
                "length_mm": round(float(rng.lognormal(number % 3, 0.5)), 3),
                "site": f"site-{rng.integers(3)}",
                "event": f"event-{number // 3 % 8}",
            }
        )
    pd.DataFrame(records).to_csv(root / "metadata.csv", index=False)
    return root / "metadata.csv"


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the caches of the tests, those in processes of their own included, away from the user's."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True, scope="session")
def own_list(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the tests' searches off the user's list of NNI's experiments, which NNI reads and writes six times a search.

    With three thousand experiments on it a search took two seconds longer.
    """
    from nni.tools.nnictl.config_utils import Experiments

    LISTS.append(tmp_path_factory.mktemp("list"))
    Experiments.__init__.__defaults__ = (str(LISTS[0] / "nni-experiments"),)


LISTS: list[Path] = []
"""The home folder of NNI in these tests."""


@pytest.fixture
def table_root(tmp_path: Path) -> Path:
    """A folder with metadata.csv and images/."""
    write_table(tmp_path / "data")
    return tmp_path / "data"


def tiny_experiment(root: Path, **changes: object) -> dict:
    """A complete experiment that runs in seconds."""
    return {
        "name": "tiny",
        "data": {
            "source": "csv",
            "root": str(root),
            "image_size": 16,
            "columns": {"length_mm": "size", "site": "categorical", "event": "group"},
            "split": {"method": "group", "group": "event", "test_fraction": 0.25, "validation_fraction": 0.2},
        },
        "space": {"name": "multimodal", "channels": 4, "cells": 2, "metadata_features": 4, "fusion_features": 8},
        "strategy": {"name": "alternating_darts", "alpha_learning_rate": 0.05},
        "search": {"epochs": 2, "batch_size": 8},
        "training": {"epochs": 2, "batch_size": 8, "warmup_steps": 2},
        "evaluation": {"baselines": []},
        **changes,
    }


STEP_KB = 192
"""Kilobytes of a disk that is small."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Callable[[int], None]]]:
    """A disk in memory whose size can be set, in kilobytes."""
    place = tmp_path / "disk"
    place.mkdir()

    def resize(kilobytes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(place)], check=True)

    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={STEP_KB}k", "tmpfs", str(place)], capture_output=True)
    if mount.returncode:
        pytest.skip(f"no disk in memory can be mounted here ({mount.stderr.decode().strip()})")
    yield place, resize
    subprocess.run(["umount", "--lazy", str(place)], check=True)


COMMAND = [str(Path(sys.executable).parent / "bioautoml")]


def bioautoml(*arguments: object) -> subprocess.CompletedProcess:
    """Run a command as a user does."""
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300)


def forked(*arguments: object) -> subprocess.CompletedProcess:
    """Run a command in a process of its own that has everything imported already; see ready.py."""
    if not READY:
        command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("ready.py"))]
        home = {**os.environ, "HOME": str(LISTS[0])}  # where NNI looks for its list from when it is imported
        READY.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=home))
    with tempfile.TemporaryDirectory() as folder:
        asked = {"command": [*COMMAND, *map(str, arguments)], "environment": dict(os.environ), "folder": os.getcwd()}
        files = {name: str(Path(folder, name)) for name in ("out", "err")}
        READY[0].stdin.write(json.dumps({**asked, **files}) + "\n")
        READY[0].stdin.flush()
        code = int(READY[0].stdout.readline())
        return subprocess.CompletedProcess(asked["command"], code, *(Path(file).read_text() for file in files.values()))


def surroundings(**changes: str) -> dict[str, str]:
    """The environment of a process that imports modules from this folder, computes in one thread and searches."""
    ours = {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1", "HOME": str(LISTS[0])}
    return {**os.environ, **ours, **changes}


READY: list[subprocess.Popen] = []
"""The process of ready.py, once it was needed."""


def here(*arguments: object) -> subprocess.CompletedProcess:
    """Run a command in this process, which saves the seconds of importing torch, and return what `bioautoml` does."""
    from bioautoml_nni.cli import main as command_line

    code, out, err = 0, io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["bioautoml", *map(str, arguments)])
        try:
            command_line.main()
        except SystemExit as done:
            code = int(done.code or 0)
    return subprocess.CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue())


def in_process(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run a command in this process, which saves the seconds of importing torch; return exit code and output."""
    from bioautoml_nni.cli import main as command_line

    code = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["bioautoml", *map(str, arguments)])
        patch.setattr(command_line.errors, "_file", sys.stderr)  # its property would keep this one for good
        try:
            command_line.main()
        except SystemExit as done:
            code = int(done.code or 0)
    captured = capsys.readouterr()
    return code, " ".join((captured.out + captured.err).split())


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_experiment(folder: Path, root: Path, **changes: object) -> Path:
    path = folder / "experiment.yml"
    path.write_text(yaml.safe_dump(tiny_experiment(root, **changes)))
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, own_cache: None) -> tuple[Path, subprocess.CompletedProcess]:
    """A finished run of the tiny experiment, and how its command ended."""
    folder = tmp_path_factory.mktemp("finished")
    write_table(folder / "data")
    done = forked("run", write_experiment(folder, folder / "data"), "--output", folder / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run", done


@pytest.fixture(scope="session")
def exported(
    finished: tuple[Path, subprocess.CompletedProcess], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The tiny run, exported with int8; and its run directory, beside which lies data/, what it was made from."""
    run, _ = finished
    folder = tmp_path_factory.mktemp("exported")
    done = forked("export", run, "--output", folder / "model", "--int8", "--target", "trap")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "model.onnx" in done.stdout and "test macro-F1" in done.stdout
    return folder / "model", run
