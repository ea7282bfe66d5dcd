"""A process looks at its images once; what is damaged or changed between processes is found all the same."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bioautoml_nni.data import image_store
from bioautoml_nni.data.image_store import ImageStore
from bioautoml_nni.data.verified import Verified

NAMES = [f"{number}.png" for number in range(4)]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        Image.new("RGB", (8, 8), (40 * number, 9, 9)).save(folder / name)
    return folder


@pytest.fixture
def looks(monkeypatch):
    """How often stored rows were checked, in a process that has looked at nothing yet."""
    calls = []
    check = ImageStore._sound
    monkeypatch.setattr(ImageStore, "_sound", lambda *arguments: calls.append(1) or check(*arguments))
    monkeypatch.setattr(image_store, "_verified", Verified())
    return calls


def store(root):
    return ImageStore(root, 8, root.parent / "caches")


def red(root, names=NAMES):
    """The first byte of every image, by what the process has verified."""
    opened = store(root)
    return opened.pixels(opened.verified(names)).batch(np.arange(len(names)))[:, 0, 0, 0].tolist()


def damage(root):
    """Change a byte of row 1 and leave the file's time as it was, as a failing disk does."""
    file = store(root).folder / "pixels.u8"
    before = file.stat()
    with open(file, "r+b") as opened:
        opened.seek(8 * 8 * 3)
        opened.write(b"\xff")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_was_looked_at_is_not_looked_at_again(root, looks):
    expected = store(root).ensure(NAMES)
    pd.testing.assert_frame_equal(store(root).verified(NAMES), expected, check_names=False)
    some = ["3.png", "0.png", "3.png"]
    found = store(root).verified(some)
    assert found["reference"].tolist() == some and found["row"].tolist() == [3, 0, 3]
    assert len(looks) == 1


def test_images_that_are_new_are_looked_at_and_the_others_stay_known(root, looks):
    store(root).verified(NAMES[:2])
    store(root).verified(NAMES[2:])
    assert len(looks) == 2
    assert red(root) == [0, 40, 80, 120] and len(looks) == 2


def test_what_another_program_wrote_is_looked_at_again_at_once(root, looks):
    assert red(root) == [0, 40, 80, 120]
    damage(root)
    os.utime(store(root).folder / "pixels.u8")
    assert red(root) == [0, 40, 80, 120] and len(looks) == 2


def test_an_image_that_failed_is_tried_again(root, looks):
    (root / "2.png").write_bytes(b"")
    assert store(root).verified(NAMES)["failure"].notna().sum() == 1
    Image.new("RGB", (8, 8), (77, 9, 9)).save(root / "2.png")
    assert red(root) == [0, 40, 77, 120]


def test_damage_and_changed_files_between_processes_are_found(root, looks):
    assert red(root) == [0, 40, 80, 120]
    damage(root)
    Image.new("RGB", (8, 8), (200, 9, 9)).save(root / "3.png")
    assert red(root) == [0, 255, 80, 120], "within a process nothing is looked at twice"
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]);"
        "from test_verified import red; print(red(Path(sys.argv[1])))"
    )
    here = os.path.dirname(__file__)
    done = subprocess.run([sys.executable, "-c", script, str(root), here], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[0, 40, 80, 200]", done.stderr
