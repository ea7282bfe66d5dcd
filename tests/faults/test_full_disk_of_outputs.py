"""A disk that is full when a command writes what was asked for: one sentence, and what was there before stays."""

import shutil
from pathlib import Path

import pytest
from conftest import here

pytestmark = pytest.mark.faults


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FREE = (0, 8, 24, 64, 160, 300)
"""Kilobytes that are left, nightly each of them."""


@pytest.mark.parametrize("left", [FREE[::3], pytest.param(FREE, marks=pytest.mark.nightly)], ids=str)
@pytest.mark.parametrize("command", ["export", "predict", "sort", "check"])
def test_a_full_disk_ends_with_one_sentence_and_leaves_what_was_there(exported, small_disk, command, left):
    model, run = exported
    disk, resize = small_disk
    table = run.parent / "data/metadata.csv"
    target = {"export": disk / "model", "check": disk / "audit.json"}.get(command, disk / "answers.csv")
    arguments = {
        "export": ["export", run, "--output", target], "check": ["check", run / "experiment.yml", "--output", target],
        "predict": ["predict", model, table, "--output", target, "--logits"],
        "sort": ["predict", model, table, "--output", target, "--sort-into", disk / "sorted"],
    }[command]  # fmt: skip
    resize({"export": 16_000}.get(command, 400))
    done = here(*arguments)  # with room
    assert done.returncode == 0, done.stdout + done.stderr
    before = contents(disk)
    filled = 0
    for free in left:
        shutil.rmtree(disk / "sorted", ignore_errors=True)
        fill(disk / "filler", free)
        done = here(*arguments)
        (disk / "filler").unlink()
        if done.returncode == 0:
            break
        said = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == 2 and "The disk is full" in said and "Traceback" not in said, said
        shutil.rmtree(disk / "answers.csv.parts", ignore_errors=True)
        kept = contents(disk)
        assert {name: kept.get(name) for name in before if "sorted" not in name} == {
            name: content for name, content in before.items() if "sorted" not in name
        }
        filled += 1
    assert filled >= 1


def fill(file: Path, free: int) -> None:
    """Fill the disk of a file but for some kilobytes."""
    block = bytes(1024)
    with open(file, "wb", buffering=0) as filler:
        try:
            while filler.write(block) == len(block):
                pass
        except OSError:
            pass
        size = filler.tell()
        filler.truncate(max(0, size - 1024 * free))
