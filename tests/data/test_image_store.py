import os
import sqlite3

import numpy as np
import pytest
from PIL import Image

from bioautoml_nni.data import image_store, pixel_modes
from bioautoml_nni.data.decoding import decode
from bioautoml_nni.data.image_store import DecodedPixels, ImageStore
from bioautoml_nni.utils.errors import DataError

SIZE = 8


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(6):
        Image.new("RGB", (20, 10), (40 * number, 9, 9)).save(folder / f"{number}.png")
    return folder


def names(count=6):
    return [f"{number}.png" for number in range(count)]


def store(root, tmp_path, **settings):
    return ImageStore(root, SIZE, tmp_path / "caches", **settings)


def decoded(found):
    """Return how many images `ensure` had to decode, from what it reports at once and later."""
    return sum(found[1:])


def test_facts_and_pixels_come_in_the_order_asked_for(root, tmp_path):
    cache = store(root, tmp_path)
    facts = cache.ensure(["3.png", "1.png"])
    assert facts["reference"].tolist() == ["3.png", "1.png"]
    assert facts["width"].tolist() == [20, 20] and facts["failure"].isna().all()
    pixels = cache.pixels(facts).batch(np.array([1, 0]))
    assert pixels.shape == (2, SIZE, SIZE, 3)
    assert pixels[:, 0, 0, 0].tolist() == [40, 120]


def test_what_is_there_is_not_decoded_again(root, tmp_path):
    steps = []
    store(root, tmp_path).ensure(names(3))
    store(root, tmp_path).ensure(names(), steps.append)
    assert steps == [3, 3]


def test_a_changed_file_is_decoded_again(root, tmp_path):
    store(root, tmp_path).ensure(names())
    Image.new("RGB", (10, 10), (1, 2, 3)).save(root / "2.png")
    cache = store(root, tmp_path)
    facts = cache.ensure(names())
    assert facts["width"].tolist() == [20, 20, 10, 20, 20, 20]
    assert cache.pixels(facts).batch(np.array([2]))[0, 0, 0].tolist() == [1, 2, 3]


def test_damaged_pixels_are_decoded_again(root, tmp_path):
    cache = store(root, tmp_path)
    before = cache.pixels(cache.ensure(names())).batch(np.arange(6)).copy()
    with open(cache.folder / "pixels.u8", "r+b") as file:
        file.seek(cache.row_bytes * 2 + 5)
        file.write(b"x")
    facts = cache.ensure(names())
    np.testing.assert_array_equal(cache.pixels(facts).batch(np.arange(6)), before)


@pytest.mark.parametrize("damage", ["cut", "garbage", "gone"])
def test_a_damaged_cache_is_rebuilt(root, tmp_path, damage):
    cache = store(root, tmp_path)
    before = cache.pixels(cache.ensure(names())).batch(np.arange(6)).copy()
    if damage == "cut":
        os.truncate(cache.folder / "pixels.u8", cache.row_bytes * 3 + 7)
    elif damage == "garbage":
        (cache.folder / "index.sqlite").write_bytes(b"no database" * 100)
    else:
        (cache.folder / "pixels.u8").unlink()
    facts = cache.ensure(names())
    np.testing.assert_array_equal(cache.pixels(facts).batch(np.arange(6)), before)


def test_what_an_extra_would_read_is_tried_again_once_it_is_there(root, tmp_path, monkeypatch):
    (root / "1.png").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    monkeypatch.setattr(pixel_modes, "_heif", lambda: False)
    assert "pip install" in store(root, tmp_path).ensure(names())["failure"].iloc[1]
    (whole,) = [decode((root / "2.png").read_bytes(), 8)]
    monkeypatch.setattr(image_store, "decode", lambda data, size, box: whole)
    assert store(root, tmp_path).ensure(names())["failure"].iloc[1] is None


def test_failures_are_named_and_not_tried_again_until_the_file_changes(root, tmp_path):
    (root / "1.png").write_bytes(b"")
    (root / "2.png").write_text("not an image")
    (root / "3.png").unlink()
    facts = store(root, tmp_path).ensure(names())
    assert facts["failure"].iloc[1] == "the file is empty"
    assert facts["failure"].iloc[2].startswith("cannot identify")
    assert facts["failure"].iloc[3] == "the file is missing"
    steps = []
    store(root, tmp_path).ensure(names(), steps.append)
    assert steps == [5, 1]  # the missing one is looked for again
    Image.new("RGB", (4, 4)).save(root / "2.png")
    assert store(root, tmp_path).ensure(names())["failure"].notna().sum() == 2


def test_a_build_that_was_broken_off_goes_on(root, tmp_path, monkeypatch):
    monkeypatch.setattr("bioautoml_nni.data.image_store.BLOCK", 2)
    cache = store(root, tmp_path)

    class Broken(Exception):
        pass

    def stop(count):
        if stop.calls == 2:
            raise Broken
        stop.calls += 1

    stop.calls = 0
    with pytest.raises(Broken):
        cache.ensure(names(), stop)
    steps = []
    facts = cache.ensure(names(), steps.append)
    assert steps[0] == 4 and decoded(steps) == 2
    assert cache.pixels(facts).batch(np.arange(6))[:, 0, 0, 0].tolist() == [0, 40, 80, 120, 160, 200]


def test_without_room_pixels_are_decoded_when_they_are_needed(root, tmp_path):
    cache = store(root, tmp_path, max_gb=0)
    facts = cache.ensure(names())
    reader = cache.pixels(facts)
    assert isinstance(reader, DecodedPixels)
    assert reader.batch(np.array([4, 1]))[:, 0, 0, 0].tolist() == [160, 40]
    assert not (cache.folder / "pixels.u8").stat().st_size
    (root / "4.png").unlink()
    with pytest.raises(DataError, match="was readable before"):
        reader.batch(np.array([4]))


def test_the_cache_used_longest_ago_makes_room(root, tmp_path):
    old, middle = ImageStore(root, 8, tmp_path / "caches"), ImageStore(root, 16, tmp_path / "caches")
    old.ensure(names())
    middle.ensure(names())
    os.utime(old.folder, (1, 1))
    room = sum(file.stat().st_size for file in middle.folder.iterdir()) + 6 * 10 * 10 * 3
    new = ImageStore(root, 10, tmp_path / "caches", max_gb=room / 1e9)
    new.ensure(names())
    assert not old.folder.exists() and middle.folder.exists()
    assert new.there(names()) == middle.there(names()) == len(names()), "nothing else had to go"


def test_a_full_disk_is_one_clear_message_and_keeps_what_is_done(root, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    cache = store(root, tmp_path)
    cache.ensure(names(2))
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(DataError, match="No space left on device.*free space or set cache.folder"):
        cache.ensure(names())
    monkeypatch.undo()
    steps = []
    assert cache.ensure(names(), steps.append)["failure"].isna().all()
    assert steps[0] == 2


def test_the_index_holds_no_pickle(root, tmp_path):
    cache = store(root, tmp_path)
    cache.ensure(names())
    rows = sqlite3.connect(cache.folder / "index.sqlite").execute("SELECT * FROM images").fetchall()
    assert all(isinstance(value, (str, int, type(None))) for row in rows for value in row)


def test_it_says_what_is_there_and_writes_nothing(root, tmp_path):
    cache = store(root, tmp_path)
    assert cache.there(names()) == 0 and not (tmp_path / "caches").exists()
    (root / "5.png").write_bytes(b"no image")
    cache.ensure([*names(4), "5.png", "none.png"])
    before = {path: path.stat().st_mtime_ns for path in cache.folder.iterdir()}
    assert cache.there([*names(), "none.png"]) == 4
    assert {path: path.stat().st_mtime_ns for path in cache.folder.iterdir()} == before
    Image.new("RGB", (10, 10), (1, 2, 3)).save(root / "2.png")
    assert cache.there(names()) == 3
