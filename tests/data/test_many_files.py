"""What spares time and memory on many image files changes nothing on few: each shortcut against the long way."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from damage import tries
from hypothesis import given
from hypothesis import strategies as st

from bioautoml_nni.data import finding, perceptual_hash
from bioautoml_nni.data.border import Border, require_below
from bioautoml_nni.data.file_stamps import stamps_below
from bioautoml_nni.data.finding import ImageFinder
from bioautoml_nni.data.image_files import _suffix, list_images
from bioautoml_nni.data.image_index import COLUMNS, Entries
from bioautoml_nni.utils.errors import DataError

NAMES = [
    "a/1.jpg",
    "a/2.JPG",
    "a/b/1.png",
    "a b/1.jpg",
    "a-b.jpg",
    "a.jpg",
    "b/é.jpg",
    "b/none",
    "b/link.jpg",
    "far/2.JPG",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of files, a link to one of them, and a folder that is a link to another in it."""
    for name in NAMES[:8]:
        file = tmp_path / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"\xff\xd8\xff" + name.encode())
    os.symlink("../a/1.jpg", tmp_path / "images/b/link.jpg")
    os.symlink("a", tmp_path / "images/far")
    return tmp_path / "images"


def test_stamps_are_those_of_a_look_at_each_file(root: Path) -> None:
    asked = [*NAMES, "gone.jpg", "a/1.jpg/x", "nul\0", "b/1.jpg::3+4", "a/1.jpg#0,0,2,2", "a/1.jpg"]
    found = stamps_below(root, asked, "inside", 2)
    for name, stamp in zip(asked, found.tolist(), strict=True):
        try:
            status = os.stat(root / name.partition("#")[0].partition("::")[0])
            assert stamp == [status.st_size, status.st_mtime_ns], name
        except (OSError, ValueError):
            assert stamp == [-1, -1], name


@pytest.mark.parametrize("name", ["../x.jpg", "/etc/hosts", "a/../../x", "out/x.jpg", "out.jpg", "a/.."])
@pytest.mark.parametrize("links", ["inside", "anywhere"])
def test_no_look_leads_out_of_the_root(root: Path, name: str, links: str) -> None:
    (root.parent / "x.jpg").write_bytes(b"x")
    os.symlink("..", root / "out")
    os.symlink("../x.jpg", root / "out.jpg")
    border = Border(root, links)
    if links == "anywhere" and name.startswith("out"):
        assert border.status(name) == os.stat(root.parent / "x.jpg")
        return
    with pytest.raises(DataError, match="leads outside") as refused:
        border.status(name)
    with pytest.raises(DataError) as alike:
        require_below(root, [name], links)
    assert str(refused.value) == str(alike.value)


def test_names_are_found_alike_with_and_without_listings(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [*NAMES, "A/1.jpg", "a/2", "é.jpg", " a.jpg", "1.png", "none.jpg", "b/link.jpg#0,0,2,2", "../images/a.jpg"]
    singly = ImageFinder(root)
    expected = [singly.find_apart(asked), singly.notes(), singly.ambiguous]
    for least, most in ((1, 16), (1, 1), (2, 16)):
        monkeypatch.setattr(finding, "LISTED", least)
        monkeypatch.setattr(finding, "TOO_MANY", most)
        listing = ImageFinder(root)
        assert [listing.find_apart(asked), listing.notes(), listing.ambiguous] == expected


def test_files_are_listed_in_the_order_of_their_folders(root: Path) -> None:
    files = list_images(root).files
    assert files == sorted(files, key=lambda name: name.split("/"))
    assert set(files) == {*NAMES[:8], "b/link.jpg"}
    for name in ("a.JPG", ".jpg", "a.", "a.b.png", "a", "x.y/z", "x/.a.b", "..", "a..jpg"):
        assert _suffix(name) == Path(name).suffix.lower(), name


def entry(name: str, number: int) -> tuple[object, ...]:
    return (name, number, number, 1, None if number % 2 else 3, None, None, number, 0, 0, "odd" if number % 2 else None)


def test_entries_keep_the_order_of_what_is_wanted() -> None:
    entries = Entries(["c", "a", "missing", "c", "b"])
    entries.put([])
    entries.put([entry("a", 0), entry("another run's", 1), entry("b", 2)])
    entries.put([entry("c", 3), entry("b", 5)])
    assert entries.references.tolist() == ["c", "a", "missing", "b"]
    assert entries.known.tolist() == [True, True, False, True]
    table = entries.table()
    assert list(table) == list(COLUMNS[1:]) and table.index.tolist() == entries.references.tolist()
    assert table["row"].tolist() == [3, 0, -1, 5] and table["width"].tolist() == [0, 3, 0, 0]
    assert table["failure"].tolist() == ["odd", None, None, "odd"]
    assert entries.stamps().tolist() == [[3, 1], [0, 1], [-1, -1], [5, 1]]


@tries(60)
@given(st.lists(st.tuples(st.integers(0, 3), st.sets(st.integers(0, 63), max_size=6)), max_size=30))
def test_pairs_that_share_two_blocks_are_those_that_share_one(edits: list[tuple[int, set[int]]]) -> None:
    bases = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 4)
    flips = [np.array(sum(1 << bit for bit in bits), np.uint64).view(np.int64) for _, bits in edits]
    hashes = np.array([bases[base] ^ flip for (base, _), flip in zip(edits, flips, strict=True)], np.int64)
    one = perceptual_hash.near_pairs(hashes, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(perceptual_hash, "MANY", 0)
        two = perceptual_hash.near_pairs(hashes, 4)
    np.testing.assert_array_equal(one, two)
