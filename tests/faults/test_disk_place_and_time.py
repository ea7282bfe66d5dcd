"""A disk that fills up at every write, a run that is moved, a clock that jumps, a worker that is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import COMMAND, STEP_KB, forked, surroundings, write_experiment, write_table

pytestmark = pytest.mark.faults
SAME = ("search/history.jsonl", "retrain/history.jsonl", "architecture.json", "evaluation/metrics.json")


def test_a_disk_that_is_full_ends_with_one_sentence_and_a_larger_one_goes_on(small_disk, tmp_path):
    """The disk grows in small steps, so that one write after the other finds it full."""
    disk, resize = small_disk
    write_table(tmp_path / "data", rows=72)
    experiment = write_experiment(tmp_path, tmp_path / "data")
    script = Path(__file__).with_name("full_disk.py")
    process = subprocess.Popen(
        [sys.executable, script, experiment], text=True, env=surroundings(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def attempt(run: Path) -> tuple[int, str]:
        process.stdin.write(f"{run}\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    whole, run = tmp_path / "whole", disk / "run"
    code, said = attempt(whole)
    assert code == 0, said
    failures, kilobytes = 0, STEP_KB
    while (answer := attempt(run))[0] != 0:
        code, said = answer
        assert code == 2 and "The disk is full" in said and "Traceback" not in said, said
        for path in run.rglob("*.json"):
            json.loads(path.read_text())  # whole, whatever is there
        failures += 1
        kilobytes += STEP_KB
        assert kilobytes < 40_000
        resize(kilobytes)
    process.stdin.close()
    process.wait(30)
    assert failures >= 5
    for name in SAME:
        assert (run / name).read_text() == (whole / name).read_text(), name
    assert not list(run.rglob(".*"))


def test_a_run_that_is_moved_goes_on_where_it_lies_now(finished, tmp_path):
    whole = finished[0]
    moved = tmp_path / "elsewhere" / "run"
    shutil.copytree(whole, moved)
    for path in ("report.html", "evaluation", "retrain/model.pt", "retrain/best.pt"):
        gone = moved / path
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    done = forked("run", whole.parent / "experiment.yml", "--output", moved)
    assert done.returncode == 0, done.stderr
    assert "search: done before, skipped" in done.stdout
    for name in SAME:
        assert (moved / name).read_text() == (whole / name).read_text(), name
    report = (moved / "report.html").read_text()
    assert str(whole) not in report.partition("How it was made")[0]


@pytest.mark.parametrize("jump", [-10 * 365 * 86400, pytest.param(3600, marks=pytest.mark.nightly)])
def test_a_clock_that_jumps_changes_nothing_but_the_times(finished, tmp_path, jump):
    """The clock is set ten years back, or an hour forth, in the middle of the run.

    A lock on NNI's list of experiments that lies ahead of the clock, as a kill leaves it, holds nobody up.
    """
    whole = finished[0]
    script = (
        "import atexit, os, time\n"
        "real, jumped = time.time, 0\n"
        "def clock():\n"
        "    global jumped\n"
        f"    happened = os.path.exists({str(tmp_path / 'run/search/history.jsonl')!r})\n"
        "    jumped += happened\n"
        f"    return real() + happened * {jump}\n"
        "time.time = clock\n"
        "atexit.register(lambda: print('jumped:', jumped > 0))\n"
        "from bioautoml_nni.cli.main import main\n"
        "main()\n"
    )
    left_over = tmp_path / "nni-experiments/.experiment.lock.4194305"
    left_over.parent.mkdir()
    left_over.touch()
    os.utime(left_over, (time.time() + abs(jump), time.time() + abs(jump)))
    command = [sys.executable, "-c", script, "run", whole.parent / "experiment.yml", "--output", tmp_path / "run"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "jumped: True" in done.stdout and not left_over.exists()
    for name in SAME:
        assert (tmp_path / "run" / name).read_text() == (whole / name).read_text(), name
    stages = json.loads((tmp_path / "run/provenance.json").read_text())["stages"]
    assert all(stage["seconds"] >= 0 for stage in stages.values())


def test_a_worker_that_the_system_kills_ends_the_run_with_one_sentence(tmp_path):
    """What the out-of-memory killer does to a process that reads images; the same command resumes afterwards."""
    write_table(tmp_path / "data", rows=144)
    experiment = write_experiment(
        tmp_path, tmp_path / "data", search={"epochs": 8, "batch_size": 8}, cache={"max_gb": 0}
    )
    command = [*COMMAND, "run", str(experiment), "--output", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    history = tmp_path / "run/search/history.jsonl"
    deadline = time.monotonic() + 120
    while not (tmp_path / "run/search/last.ckpt").is_file():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    workers = children(process.pid)
    assert workers
    os.kill(workers[0], signal.SIGKILL)
    said = "".join(process.communicate(timeout=120))
    assert process.returncode == 2, said
    assert "was killed" in said and "Traceback" not in said
    epochs = len(history.read_text().splitlines())
    assert 1 <= epochs < 8
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert "search: resumes from the last completed epoch" in again.stdout


def children(pid: int) -> list[int]:
    """Return the numbers of a process's children that read images."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(number) for number in (task / "children").read_text().split()]
    return found
