"""Decoders that take too long or too much, or crash: a sentence, and the next image is read."""

import io
import os
import signal
import sys
import time

import numpy as np
import pytest
from PIL import Image

from bioautoml_nni.data import guarded
from bioautoml_nni.data.bounds import MAX_PIXELS, is_bounded
from bioautoml_nni.data.decoding import decode
from bioautoml_nni.data.image_store import ImageStore


def saved(size, kind, mode="RGB", **options):
    buffer = io.BytesIO()
    Image.new(mode, size, (200, 30, 20) if mode == "RGB" else 1).save(buffer, kind, **options)
    return buffer.getvalue()


SMALL = saved((32, 24), "TIFF")
LARGE = saved((2500, 2500), "TIFF", compression="tiff_deflate")


@pytest.fixture
def fresh(monkeypatch):
    """Processes that this test alone uses."""
    monkeypatch.setattr(guarded, "_idle", type(guarded._idle)())


@pytest.mark.parametrize(
    ("bound", "value", "words"),
    [("MEGABYTES", 30, "needs more than 30 MB of memory"), ("SECONDS", 0.01, "needs more than 0.01 seconds")],
)
def test_an_image_beyond_a_bound_is_a_sentence_and_the_next_one_is_read(monkeypatch, fresh, bound, value, words):
    whole = decode(LARGE, 16).square
    with monkeypatch.context() as patch:
        patch.setattr(guarded, bound, value)
        with pytest.raises(OSError, match=words):
            decode(LARGE, 16)
    assert (decode(SMALL, 16).square[8, 8] == [200, 30, 20]).all() and (decode(LARGE, 16).square == whole).all()


@pytest.mark.parametrize(
    ("script", "words"),
    [("import os; os.abort()", "crashed"), ("raise SystemExit(3)", r"crashed \(code 3\)"),
     ("import os, time; os.read(0, 60); time.sleep(60)", "stopped after")],
)  # fmt: skip
def test_a_decoder_that_crashes_or_hangs_is_a_sentence(monkeypatch, fresh, script, words):
    monkeypatch.setattr(guarded, "WALL_SECONDS", 3.0)
    with monkeypatch.context() as patch:
        patch.setattr(guarded, "COMMAND", [sys.executable, "-c", script])
        with pytest.raises(OSError, match=words):
            decode(SMALL, 16)
    monkeypatch.undo()
    assert (decode(SMALL, 16).square[8, 8] == [200, 30, 20]).all()


def test_what_a_process_decodes_is_what_this_one_would():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    noise.save(buffer, "TIFF", save_all=True, append_images=[noise])
    found = decode(buffer.getvalue(), 24, (10, 5, 40, 30))
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")
    here = decode(buffer.getvalue(), 24, (10, 5, 40, 30))
    assert (found.square == here.square).all() and (found.width, found.height) == (70, 50)
    assert found.several and not here.several


def test_one_bad_image_of_many_leaves_the_others(tmp_path, monkeypatch, fresh):
    for number in range(6):
        (tmp_path / f"{number}.tif").write_bytes(LARGE if number == 3 else SMALL)
    monkeypatch.setattr(guarded, "MEGABYTES", 30)
    facts = ImageStore(tmp_path, 16, tmp_path / "cache").ensure([f"{number}.tif" for number in range(6)])
    failed = facts["failure"].notna()
    assert failed.tolist() == [False] * 3 + [True] + [False] * 2 and "memory" in facts["failure"][3]
    monkeypatch.undo()
    assert ImageStore(tmp_path, 16, tmp_path / "cache").ensure(["3.tif"])["failure"].isna().all()  # tried again


def test_a_forked_process_uses_none_of_its_parents_decoders():
    decode(SMALL, 16)
    child = os.fork()
    if child == 0:
        try:
            same = (decode(SMALL, 16).square[8, 8] == [200, 30, 20]).all()
            os._exit(0 if same else 1)
        finally:
            os._exit(2)
    clock = time.monotonic()
    while time.monotonic() - clock < 60:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            break
        time.sleep(0.05)
    else:
        os.kill(child, signal.SIGKILL)
        pytest.fail("the forked process waits for its parent's decoder")
    assert (decode(SMALL, 16).square[8, 8] == [200, 30, 20]).all()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "JPEG", "TIFF"])
def test_what_is_bounded_goes_by_size_and_kind(kind):
    edge = int(MAX_PIXELS**0.5)
    assert is_bounded(saved((20, 30), kind)) is (kind != "TIFF")
    if kind != "JPEG":
        assert not is_bounded(saved((edge + 8, edge), kind, "1" if kind in ("PNG", "TIFF") else "RGB"))


def test_a_jpeg_of_many_scans_is_bounded_by_their_work():
    data = saved((2000, 2000), "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    assert is_bounded(data) and not is_bounded(data[:-2] + data[scan:-2] * 95 + data[-2:])
