"""Shards on a cluster are the work of one process, byte for byte, even if a worker is killed; what fails is named."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from conftest import COMMAND, forked, free_port, here, in_process, tiny_experiment, write_experiment, write_table
from rich.console import Console
from small_models import write_colour_model

from bioautoml_nni.data.caches import with_shards
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.stages import prepare_cluster
from bioautoml_nni.utils import cluster
from bioautoml_nni.utils.errors import ClusterError, DataError
from bioautoml_nni.utils.shard import Shard

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: extra `cluster`")
ROWS = 6 * 512
SECONDS = 600


@dataclass(frozen=True)
class Head:
    """A running Ray: its addresses, and the process that started it."""

    address: str
    outside: str
    process: psutil.Process


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A Ray of two CPUs that asks for a token."""
    port, client = free_port(), free_port()
    folder = Path(f"/tmp/r{os.getpid()}")
    settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5" * 64, "RAY_USAGE_STATS_ENABLED": "0"}
    settings["RAY_worker_niceness"] = "0"  # other tests run meanwhile
    command = [
        str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--num-cpus", "2",
        "--node-ip-address", "127.0.0.1", "--port", str(port),
        "--ray-client-server-port", str(client), "--include-dashboard", "false",
        "--object-store-memory", "100000000", "--temp-dir", str(folder),
    ]  # fmt: skip
    log = tmp_path_factory.mktemp("head") / "log.txt"
    with pytest.MonkeyPatch.context() as patch, log.open("w") as output:
        for name, value in settings.items():
            patch.setenv(name, value)
        process = psutil.Popen(command, stdout=output, stderr=output)
        until = time.monotonic() + SECONDS
        while "Ray runtime started" not in log.read_text():
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        yield Head(f"127.0.0.1:{port}", f"ray://127.0.0.1:{client}", process)
        for left in [*process.children(recursive=True), process]:
            with suppress(psutil.NoSuchProcess):
                left.kill()
        process.wait()
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, bytes]:
    """A model, a table of six blocks, and what one process answers."""
    folder = tmp_path_factory.mktemp("predicted")
    table = write_table(folder / "data")
    rows = pd.read_csv(table)
    pd.concat([rows] * (ROWS // len(rows) + 1))[:ROWS].to_csv(table, index=False)
    model = write_colour_model(folder / "model")
    done = here("predict", model, table, "--output", folder / "alone.csv", "--logits")
    assert done.returncode == 0, done.stderr
    return model, table, (folder / "alone.csv").read_bytes()


class Onlooker(threading.Thread):
    """Kills the first worker that is in the middle of a shard, and notes every file that a part was."""

    def __init__(self, head: psutil.Process, parts: Path) -> None:
        super().__init__(daemon=True)
        self.head, self.parts = head, parts
        self.killed: list[str] = []
        self.files: defaultdict[str, set[int]] = defaultdict(set)
        self.over = threading.Event()

    def run(self) -> None:
        """Look until it is over."""
        while not self.over.wait(0.01):
            for part in self.parts.glob("0*.parquet"):
                try:
                    self.files[part.name].add(part.stat().st_ino)
                except FileNotFoundError:
                    continue
            if not self.killed and self.files:
                self.kill()

    def kill(self) -> None:
        """Stop a worker, and end it if its shard is begun and not done."""
        for process in self.head.children(recursive=True):
            try:
                title = " ".join(process.cmdline())
                if not title.startswith("ray::shard "):
                    continue
                process.suspend()
                number = int(title.split()[1].partition("/")[0])
                begun = any(int(name.partition(".")[0]) % 2 == number % 2 for name in self.files)
                if begun and not (self.parts / f"shard-{number}.done").exists():
                    process.kill()
                    self.killed.append(f"shard {number}/2")
                    return
                process.resume()
            except psutil.Error:
                continue


@needs_ray
def test_a_prediction_of_which_a_worker_is_killed_is_that_of_one_process(
    head: Head, asked: tuple[Path, Path, bytes], tmp_path: Path
) -> None:
    model, table, expected = asked
    output = tmp_path / "shared.csv"
    onlooker = Onlooker(head.process, tmp_path / "shared.csv.parts")
    onlooker.start()
    done = forked("predict", model, table, "-o", output, "--logits", "--cluster", head.address, "--shards", 2)
    onlooker.over.set()
    onlooker.join()
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 0, said
    assert len(onlooker.killed) == 1
    assert f"{onlooker.killed[0]}: its worker was killed or crashed; it is started again (1 of 3)." in said
    assert "(raylet)" not in said and f"{ROWS} rows" in said
    assert output.read_bytes() == expected and not onlooker.parts.exists()
    assert all(len(files) == 1 for files in onlooker.files.values())  # no part was made twice


@needs_ray
def test_what_fails_is_named_and_the_others_are_done(
    head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "RESTARTS", 0)

    def task(shard: Shard) -> int:
        if shard.number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if shard.number in (3, 4):
            raise DataError(f"--shard {shard}: the table is gone.")
        (tmp_path / str(shard.number)).touch()
        return shard.number

    with cluster.joined(head.address) as joined:
        assert (joined.cpus, joined.machines, joined.cpus_each(1), joined.cpus_each(4)) == (2, 1, 2, 1)
        shards = [Shard(number, 5) for number in range(1, 6)]
        with pytest.raises(ClusterError) as error:
            joined.run("things", task, shards, tmp_path, Console(quiet=True))
        assert joined.run("things", task, [Shard(1, 2)], tmp_path, Console(quiet=True)) == [1]
        with pytest.raises(ClusterError, match="has joined a Ray cluster already"), cluster.joined(head.address):
            pass
    told = str(error.value)
    assert told.startswith("things: 3 of 5 shards failed. ")
    assert "3/5, 4/5: the table is gone" in told or "4/5, 3/5: the table is gone" in told
    assert "2/5: its worker was killed or crashed" in told and "give the same command again" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "5"]


class InThisProcess:
    """In place of a cluster: shards one after the other, without Ray."""

    cpus, gpus, machines = 2, 0, 1

    def cpus_each(self, count: int) -> int:
        """One."""
        return 1

    def run(self, work: str, task: Callable[[Shard], object], shards: list[Shard], *others: object) -> list[object]:
        """Do a task for each shard."""
        return [task(shard) for shard in shards]


@pytest.mark.parametrize("by_ray", [False, pytest.param(True, marks=[needs_ray, pytest.mark.nightly])])
def test_images_and_features_by_a_cluster_of_this_machine_are_those_of_one_process(
    by_ray: bool, table_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_cluster, "joined", lambda address: nullcontext(InThisProcess()))
    trunk = {"encoder": "timm:test_resnet@random", "stage": 2, "embedding": True, "views": 1}
    space = {"name": "multimodal", "channels": 4, "cells": 1, "fusion_features": 8, "trunk": trunk}
    (table_root / "images" / "7.png").write_bytes(b"no image")
    data = {**tiny_experiment(table_root)["data"], "image_size": "auto", "max_unreadable": 0.1}
    before = set(Path("/tmp").glob("ray-*"))
    found = []
    for name, options in (("alone", ()), ("shared", ("--cluster", "local", "--shards", 2))):
        (tmp_path / name).mkdir()
        path = write_experiment(
            tmp_path / name, table_root, data=data, space=space, cache={"folder": str(tmp_path / f"cache-{name}")}
        )
        done = (forked if by_ray else here)("prepare", path, "--output", tmp_path / name / "run", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        found.append(PreparedData.load(RunDirectory.open(tmp_path / name / "run")))
    said = " ".join(done.stdout.split())
    assert "2 shards on 1 machine: 72 images, with features of timm:test_resnet@random; 0 were in the cache" in said
    alone, shared = found
    for name in ("manifest.parquet", "splits.csv", "labels.csv", "preprocessing.json", "audit.json", "unreadable.csv"):
        assert (alone.run / name).read_bytes() == (shared.run / name).read_bytes(), name
    assert alone.run.provenance().data_sha256 == shared.run.provenance().data_sha256
    for folder in (tmp_path / "cache-shared").iterdir():
        assert with_shards(folder) == [folder], "a shard was not taken over"
    positions = np.arange(71)
    np.testing.assert_array_equal(shared.pixels.batch(positions), alone.pixels.batch(positions))
    for view in range(2):
        ours, theirs = (data.features.batch(positions, view) for data in (shared, alone))
        for name in theirs:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=2e-3, atol=2e-3)  # other batches, half precision
    assert set(Path("/tmp").glob("ray-*")) <= before, "Ray's folder is left"


@needs_ray
@pytest.mark.nightly
def test_a_prediction_that_is_interrupted_goes_on(head: Head, asked: tuple[Path, Path, bytes], tmp_path: Path) -> None:
    model, table, expected = asked
    output, parts = tmp_path / "shared.csv", tmp_path / "shared.csv.parts"
    command = ["predict", model, table, "-o", output, "--logits", "--cluster", head.address]
    started = subprocess.Popen(
        [*COMMAND, *map(str, command), "--shards", "3"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which jobs in the background ignore
    )  # fmt: skip
    until = time.monotonic() + SECONDS
    while not any(parts.glob("0*.parquet")):
        assert started.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    started.send_signal(signal.SIGINT)
    said, _ = started.communicate(timeout=5 * SECONDS)
    assert started.returncode == 130 and "Interrupted; give the same command again to continue." in said
    assert "Traceback" not in said and not output.exists()
    until = time.monotonic() + SECONDS
    while any("ray::shard" in " ".join(child.cmdline()) for child in head.process.children(recursive=True)):
        assert time.monotonic() < until, "a worker goes on"
        time.sleep(0.1)
    refused = forked(*command, "--shards", 2)
    assert refused.returncode == 2 and "holds 3 shards of this prediction; leave --shards out" in refused.stderr
    done = forked(*command)
    assert done.returncode == 0, done.stderr
    assert output.read_bytes() == expected


@needs_ray
@pytest.mark.nightly
def test_a_prediction_from_outside_of_a_cluster(head: Head, asked: tuple[Path, Path, bytes], tmp_path: Path) -> None:
    model, table, expected = asked
    output = tmp_path / "shared.csv"
    done = forked("predict", model, table, "-o", output, "--logits", "--cluster", head.outside)
    assert done.returncode == 0, done.stderr
    assert output.read_bytes() == expected


@needs_ray
@pytest.mark.nightly
def test_another_token_than_the_clusters_is_one_sentence(
    head: Head, asked: tuple[Path, Path, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "7" * 64)
    model, table, _ = asked
    done = forked("predict", model, table, "-o", tmp_path / "shared.csv", "--cluster", head.address)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "RAY_AUTH_TOKEN must be the cluster's token" in done.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--cluster", "local", "--shard", "1/2"), "give it without --shard."),
        (("--cluster", "local", "--merge"), "give it without --merge."),
        (("--shards", "2"), "--shards: is the number of shards of --cluster"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [("predict", tmp_path, tmp_path / "t.csv", "-o", tmp_path / "o.csv")]
    commands += [] if "--merge" in options else [("prepare", tmp_path / "experiment.yml")]
    for command in commands:
        code, said = in_process(capsys, *command, *options)
        assert code == 2 and sentence in said


def test_without_ray_the_way_out_is_said(
    asked: tuple[Path, Path, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", None)
    model, table, _ = asked
    code, said = in_process(capsys, "predict", model, table, "-o", tmp_path / "o.csv", "--cluster", "local")
    assert code == 2 and "pip install 'bioautoml-nni[cluster]'" in said and "by --shard." in said
    assert not list(tmp_path.iterdir())


class Other(BaseHTTPRequestHandler):
    """A server that is not Ray."""

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@needs_ray
def test_an_address_that_is_no_cluster_is_said_within_seconds(
    head: Head, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cluster, "ANSWER_SECONDS", 1.0)

    def refused(address: str) -> str:
        begun = time.monotonic()
        with pytest.raises(ClusterError) as error, cluster.joined(address):
            pass
        assert time.monotonic() - begun < 30
        return str(error.value)

    nobody = f"127.0.0.1:{free_port()}"
    assert f"nothing answers at {nobody} (Connection refused)" in refused(nobody)
    assert f"nothing answers at {nobody} (Connection refused)" in refused(f"ray://{nobody}")
    monkeypatch.setenv("RAY_ADDRESS", nobody)
    assert f"--cluster auto: nothing answers at {nobody}" in refused("auto")
    for address in ("lab1", "lab1:", "lab1:x", "http://lab1:80", "a b:1"):
        assert "write local, auto, HOST:6379 or ray://HOST:10001" in refused(address)
    import ray

    with monkeypatch.context() as patch:
        patch.setattr(ray, "__version__", "2.1.0")
        told = refused(head.address)
        assert told.startswith(f"--cluster {head.address}: Ray says: Version mismatch") and "2.1.0" in told
    with HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert "is not Ray" in refused(f"127.0.0.1:{server.server_port}")
        server.shutdown()
