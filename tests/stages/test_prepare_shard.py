"""Shards of a cache: disjoint, together complete, taken over whole; after them nothing is decoded or computed again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import in_process, tiny_experiment, write_experiment
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bioautoml_nni.config import Experiment, parse_experiment
from bioautoml_nni.data import caches, image_index, image_store
from bioautoml_nni.data.caches import make_room, shard_folder, with_shards
from bioautoml_nni.data.image_store import ImageStore
from bioautoml_nni.features.store import FeatureStore
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.stages.prepare import prepare
from bioautoml_nni.stages.prepare_shard import PreparedShard, prepare_shard
from bioautoml_nni.utils.errors import DataError
from bioautoml_nni.utils.shard import Shard

SILENT = Console(quiet=True)
SIZE = 16
TRUNK = {"encoder": "timm:test_resnet@random", "stage": 2, "embedding": True, "views": 1}


@given(st.sets(st.text(st.characters(codec="utf-8"), max_size=8)), st.integers(1, 9))
def test_every_name_belongs_to_one_shard(names: set[str], count: int) -> None:
    shards = [{name for name in names if Shard(number, count).has_name(name)} for number in range(1, count + 1)]
    assert set().union(*shards) == names and sum(map(len, shards)) == len(names)


def test_shards_are_about_equal() -> None:
    names = [f"images/{number:05d}.jpg" for number in range(8000)]
    sizes = [sum(Shard(number, 8).has_name(name) for name in names) for number in range(1, 9)]
    assert min(sizes) > 850 and max(sizes) < 1150


def references(root: Path) -> list[str]:
    return sorted(f"images/{path.name}" for path in (root / "images").iterdir())


def store(root: Path, folder: Path, **settings: object) -> ImageStore:
    return ImageStore(root, SIZE, folder, **settings)


def fill(whole: ImageStore, names: list[str], number: int, count: int) -> ImageStore:
    part = whole.shard(Shard(number, count), len(names))
    part.ensure([name for name in names if Shard(number, count).has_name(name)])
    return part


def refuse_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every image fail that is decoded from now on."""
    monkeypatch.setattr(image_store, "decode", lambda *arguments: pytest.fail("decoded although it was there"))


def test_a_store_takes_over_its_shards_whole(table_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (table_root / "images" / "7.png").write_bytes(b"no image")
    names = references(table_root)
    alone = store(table_root, tmp_path / "alone")
    expected = alone.ensure(names)
    whole = store(table_root, tmp_path / "shared")
    whole.ensure(names[:5])
    for number in (2, 1):
        fill(whole, names, number, 2)
    assert len(with_shards(whole.folder)) == 3 and whole.there(names) == len(names) - 1
    refuse_decoding(monkeypatch)
    found = whole.ensure(names)
    assert with_shards(whole.folder) == [whole.folder]
    assert found.drop(columns="row").equals(expected.drop(columns="row"))
    readable = np.flatnonzero(found["failure"].isna())
    pixels = [of.pixels(facts.iloc[readable]) for of, facts in ((whole, found), (alone, expected))]
    positions = np.arange(len(readable))
    np.testing.assert_array_equal(pixels[0].batch(positions), pixels[1].batch(positions))


def test_a_kill_while_a_shard_is_taken_over_costs_nothing(
    table_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, whole = references(table_root), store(table_root, tmp_path / "shared")
    whole.ensure(names[:3])
    for number in (1, 2):
        fill(whole, names, number, 2)
    copy = caches.append_rows

    def killed(*arguments: object) -> None:
        copy(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(image_index, "append_rows", killed)
        with pytest.raises(KeyboardInterrupt):
            whole.ensure(names)
    refuse_decoding(monkeypatch)
    assert whole.ensure(names)["failure"].isna().all() and with_shards(whole.folder) == [whole.folder]


@pytest.mark.parametrize("damage", ["garbage", "pixels gone", "index gone", "pixels cut"])
def test_a_damaged_shard_is_decoded_again_and_the_others_stay(table_root: Path, tmp_path: Path, damage: str) -> None:
    names, whole = references(table_root), store(table_root, tmp_path / "shared")
    part, _ = (fill(whole, names, number, 2) for number in (1, 2))
    index, pixels = part.folder / "index.sqlite", part.folder / "pixels.u8"
    if damage == "garbage":
        index.write_bytes(b"garbage" * 1000)
    elif damage == "pixels cut":
        pixels.write_bytes(pixels.read_bytes()[: 2 * part.row_bytes])
    else:
        (pixels if damage == "pixels gone" else index).unlink()
    steps: list[int] = []
    found = whole.ensure(names, steps.append)
    of_first = sum(Shard(1, 2).has_name(name) for name in names)
    assert sum(steps[1:]) == of_first - (2 if damage == "pixels cut" else 0)
    alone = store(table_root, tmp_path / "alone")
    positions = np.arange(len(names))
    expected = alone.pixels(alone.ensure(names)).batch(positions)
    np.testing.assert_array_equal(whole.pixels(found).batch(positions), expected)


def test_a_shard_at_work_is_left_alone(table_root: Path, tmp_path: Path) -> None:
    names, whole = references(table_root), store(table_root, tmp_path / "shared")
    part = fill(whole, names, 1, 2)
    with FileLock(part.folder / "lock"):
        whole.ensure(names)
        assert part.folder in with_shards(whole.folder)
    whole.ensure(names)
    assert with_shards(whole.folder) == [whole.folder]


def test_a_store_that_holds_none_of_the_images_gives_none(table_root: Path, tmp_path: Path) -> None:
    names, whole = references(table_root), store(table_root, tmp_path / "shared")
    whole.ensure(names[:3])
    assert whole.current(names[3:])["reference"].tolist() == []
    assert sorted(whole.current(names)["reference"]) == names[:3]


def test_room_is_made_for_all_shards_and_never_from_one(table_root: Path, tmp_path: Path) -> None:
    names, shared = references(table_root), tmp_path / "shared"
    limit = len(names) * SIZE * SIZE * 3 + 100
    whole = store(table_root, shared, max_gb=limit / 1e9)
    fill(whole, names, 1, 2)
    old = shared / "other"
    old.mkdir()
    (old / "pixels.u8").write_bytes(b"x" * 1000)
    (old / "index.sqlite-journal").symlink_to("gone meanwhile")
    fill(whole, names, 2, 2)
    assert not old.exists() and shard_folder(whole.folder, 1).exists()
    assert not make_room(shared, with_shards(whole.folder), limit + 1, limit)


def experiment(root: Path, folder: Path, **changes: object) -> Experiment:
    return parse_experiment(tiny_experiment(root, cache={"folder": str(folder)}, **changes))


def on_trunk(root: Path, folder: Path) -> Experiment:
    space = {"name": "multimodal", "channels": 4, "cells": 1, "fusion_features": 8, "trunk": TRUNK}
    return experiment(root, folder, space=space)


def prepared(folder: Path, settings: Experiment) -> PreparedData:
    run = RunDirectory.create(folder, settings)
    with run.stage("prepare"):
        prepare(run, SILENT)
    return PreparedData.load(run)


def test_features_of_a_frozen_trunk_are_shared_too(
    table_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = prepared(tmp_path / "alone", on_trunk(table_root, tmp_path / "own"))
    settings = on_trunk(table_root, tmp_path / "shared")
    first = prepare_shard(settings, Shard(1, 2), SILENT)
    second = prepare_shard(settings, Shard(2, 2), SILENT)
    assert first.own + second.own == first.images == 72 and second.there == 0
    assert second.encoder == "timm:test_resnet@random"
    positions = np.arange(72)
    wanted = [expected.features.batch(positions, view) for view in range(2)]
    refuse_decoding(monkeypatch)
    monkeypatch.setattr(FeatureStore, "_compute", lambda *arguments: pytest.fail("computed although it was there"))
    data = prepared(tmp_path / "run", settings)
    for view, parts in enumerate(wanted):
        found = data.features.batch(positions, view)
        assert parts.keys() == found.keys()
        for name in parts:
            np.testing.assert_allclose(found[name], parts[name], rtol=2e-3, atol=2e-3)  # other batches, half precision
    assert data.run.provenance().data_sha256 == expected.run.provenance().data_sha256
    again = prepare_shard(settings, Shard(1, 2), SILENT)
    assert again.there == again.own == first.own


def test_images_that_a_check_has_decoded_get_their_features_by_shards(
    table_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = on_trunk(table_root, tmp_path / "shared")
    prepared(tmp_path / "first", settings)
    refuse_decoding(monkeypatch)
    done = [prepare_shard(settings, Shard(number, 2), SILENT) for number in (1, 2)]
    assert [shard.there for shard in done] == [shard.own for shard in done]


def test_a_size_that_depends_on_all_images_takes_two_rounds(
    table_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (table_root / "images" / "7.png").write_bytes(b"no image")
    data = {**tiny_experiment(table_root)["data"], "image_size": "auto", "max_unreadable": 0.1}
    space = {"name": "multimodal", "channels": 4, "cells": 1, "fusion_features": 8, "trunk": TRUNK}
    settings = experiment(table_root, tmp_path / "shared", data=data, space=space)
    rounds = [[prepare_shard(settings, Shard(number, 2), SILENT) for number in (1, 2)] for _ in range(2)]
    assert [[shard.looked for shard in shards] for shards in rounds] == [[True, True], [False, False]]
    assert [[shard.encoder is None for shard in shards] for shards in rounds] == [[True, True], [False, False]]
    assert [sum(len(shard.unreadable) for shard in shards) for shards in rounds] == [1, 1]
    decode = image_store.decode

    def known_broken(data: bytes, *arguments: object) -> object:
        assert data == b"no image", "decoded although it was there"
        return decode(data, *arguments)

    monkeypatch.setattr(image_store, "decode", known_broken)
    monkeypatch.setattr(FeatureStore, "_compute", lambda *arguments: pytest.fail("computed although it was there"))
    found = prepared(tmp_path / "run", settings)
    assert found.image_size == 64 and found.features is not None


def test_a_killed_shard_goes_on(table_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = experiment(table_root, tmp_path / "shared")
    prepare_shard(settings, Shard(2, 2), SILENT)
    decode, seen = image_store.decode, []

    def killed(*arguments: object) -> object:
        seen.append(1)
        if len(seen) == 21:
            raise KeyboardInterrupt
        return decode(*arguments)

    monkeypatch.setattr(image_store, "BLOCK", 8)
    monkeypatch.setattr(ImageStore, "workers", property(lambda self: 1, lambda self, value: None), raising=False)
    monkeypatch.setattr(image_store, "decode", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare_shard(settings, Shard(1, 2), SILENT)
    found: PreparedShard = prepare_shard(settings, Shard(1, 2), SILENT)
    assert found.there >= 16 and found.there < found.own
    refuse_decoding(monkeypatch)
    assert prepared(tmp_path / "run", settings).pixels is not None


SHARER = """
import sys
from pathlib import Path
from bioautoml_nni.data.image_store import ImageStore
from bioautoml_nni.utils.shard import Shard

root, shard = Path(sys.argv[1]), Shard.parse(sys.argv[3])
names = sorted(f"images/{path.name}" for path in (root / "images").iterdir())
store = ImageStore(root, 16, Path(sys.argv[2]))
store.shard(shard, len(names)).ensure([name for name in names if shard.has_name(name)])
assert store.ensure(names)["failure"].isna().all()  # takes over what nobody works on, and decodes the rest
"""


def test_two_processes_at_once_on_one_cache(table_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    command = [sys.executable, "-c", SHARER, str(table_root), str(shared)]
    both = [subprocess.Popen([*command, f"{number}/2"]) for number in (1, 2)]
    assert [process.wait(timeout=240) for process in both] == [0, 0]
    names, alone = references(table_root), store(table_root, tmp_path / "alone")
    positions = np.arange(len(names))
    expected = alone.pixels(alone.ensure(names)).batch(positions)
    refuse_decoding(monkeypatch)
    whole = store(table_root, shared)
    np.testing.assert_array_equal(whole.pixels(whole.ensure(names)).batch(positions), expected)
    assert with_shards(whole.folder) == [whole.folder]


def test_the_command_tells_what_a_shard_has_done_and_a_run_finds_it(
    table_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_experiment(tmp_path, table_root, cache={"folder": str(tmp_path / "shared")})
    said = [in_process(capsys, "prepare", path, "--shard", f"{number}/2") for number in (1, 2, 1)]
    assert [code for code, _ in said] == [0, 0, 0]
    assert "of 72 images; 0 were in the cache before. Next: when all shards are done, bioautoml run" in said[0][1]
    found = re.search(r"Shard 1/2: (\d+) of 72 images; (\d+) were", said[2][1])
    assert found is not None
    done, there = found.groups()
    assert done == there
    refuse_decoding(monkeypatch)
    prepared(tmp_path / "run", experiment(table_root, tmp_path / "shared"))


def test_mistakes_are_one_sentence(table_root: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    settings = experiment(table_root, shared)
    prepare_shard(settings, Shard(1, 3), SILENT)

    def refused(settings: Experiment, number: int, count: int) -> str:
        with pytest.raises(DataError) as error:
            prepare_shard(settings, Shard(number, count), SILENT)
        return str(error.value)

    assert "is one of 3 shards; give --shard N/3" in refused(settings, 2, 4)
    (folder,) = (path for path in shared.glob("*-shard-1"))
    with FileLock(folder / "lock"):
        assert "another process works on it; give each shard once." in refused(settings, 1, 3)
    table = table_root / "metadata.csv"
    table.write_text(table.read_text().replace("images/5.png", "images/4.png"))
    assert "the table is not that of the other shards (71 images here, 72 in" in refused(settings, 2, 3)
    data = tiny_experiment(table_root)["data"]
    bare = experiment(table_root, shared, data={**data, "modalities": ["metadata"]})
    assert "reads no images" in refused(bare, 1, 2)


@pytest.mark.parametrize("text", ["0/3", "4/3", "a/b", "3"])
def test_what_is_no_shard_is_said(
    text: str, table_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = in_process(capsys, "prepare", write_experiment(tmp_path, table_root), "--shard", text)
    assert code == 2 and "NUMBER/COUNT" in said


def test_prepare_alone_writes_a_run_and_a_shard_does_not(
    table_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, run = write_experiment(tmp_path, table_root), tmp_path / "run"
    code, said = in_process(capsys, "prepare", path, "--output", run, "--shard", "1/2")
    assert code == 2 and "--output" in said and not run.exists()
    code, said = in_process(capsys, "prepare", path, "--output", run)
    assert code == 0 and (run / "splits.csv").is_file() and "Next: bioautoml run" in said
