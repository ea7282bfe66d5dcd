"""Data that lie elsewhere: tables and images below URLs, from hosts that fail, stall, truncate and refuse."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
import yaml
from conftest import free_port, in_process, tiny_experiment
from rich.console import Console
from small_models import colour_model

from bioautoml_nni.audit.examine import Examination, examine
from bioautoml_nni.config.load import parse_experiment
from bioautoml_nni.data import remote_images
from bioautoml_nni.data.finding import ImageFinder
from bioautoml_nni.data.image_files import SUFFIXES
from bioautoml_nni.data.image_store import ImageStore
from bioautoml_nni.data.table_formats import PACKED
from bioautoml_nni.data.tables import KINDS
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.runtime import predict as predict_module
from bioautoml_nni.runtime.predict import Request, predict
from bioautoml_nni.sources.webdataset import WebDatasetSource
from bioautoml_nni.stages.run import run_stages
from bioautoml_nni.utils import remote
from bioautoml_nni.utils.errors import ConfigError, DataError
from bioautoml_nni.utils.remote import RemotePath, place


class Host(ThreadingHTTPServer):
    """A web server of a folder whose answers can be spoilt."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path) -> None:
        self.faults: dict[str, list[str]] = {}
        self.gets: Counter[str] = Counter()
        self.listings: int | None = None
        """Status of the answer for a folder, in place of what it holds."""
        self.parts = False
        """Whether parts of files are given."""
        self.sent: Counter[str] = Counter()
        """Bytes of parts that went out, by file."""
        super().__init__(("127.0.0.1", 0), partial(Answer, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Answer(SimpleHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        self.server.gets[self.path] += 1
        left = self.server.faults.get(self.path) or self.server.faults.get("*") or []
        fault = left[0] if left[:1] == ["always"] else left.pop(0) if left else ""
        if fault == "always":
            fault = left[1]
        if fault.isdigit():
            self.send_error(int(fault))
        elif fault == "stall":
            time.sleep(1.5)
        elif fault == "truncate":
            data = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
        elif self.server.parts and (wanted := self.headers["Range"]):
            data = Path(self.translate_path(self.path)).read_bytes()
            start, end = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
            part = data[start : end + 1]
            self.send_response(206)
            self.send_header("Content-Length", str(len(part)))
            self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(data)}")
            self.end_headers()
            self.wfile.write(part)
            self.server.sent[self.path] += len(part)
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        left = self.server.faults.get(self.path) or self.server.faults.get("*") or []
        if left[:1] == ["always"] and left[1].isdigit():
            self.send_error(int(left[1]))
        else:
            super().do_HEAD()

    def list_directory(self, path: str) -> Any:  # type: ignore[override]
        if self.server.listings is None:
            return super().list_directory(path)
        self.send_error(self.server.listings)
        return None

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "BACK_OFF", 0.01)
    monkeypatch.setattr(remote, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(remote, "TRUSTED_SECONDS", 0.0)
    remote_images.images_at.cache_clear()


@pytest.fixture
def host(table_root: Path) -> Iterator[Host]:
    server = Host(table_root)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def memory(table_root: Path, tmp_path: Path) -> RemotePath:
    """The table and its images in fsspec's own memory."""
    return in_memory(table_root, f"memory://{tmp_path.name}")


def in_memory(folder: Path, url: str) -> RemotePath:
    fs = fsspec.filesystem("memory")
    for file in folder.rglob("*"):
        if file.is_file():
            fs.pipe(f"{url}/{file.relative_to(folder).as_posix()}", file.read_bytes())
    root = place(url)
    assert isinstance(root, RemotePath)
    return root


def examined(root: Path | str, cache: Path, **data: object) -> Examination:
    raw = tiny_experiment(Path("unused"))
    raw["data"] |= {"root": str(root), **data}
    raw["cache"] = {"folder": str(cache)}
    return examine(parse_experiment(raw), Console(quiet=True))


def test_data_below_a_url_are_those_of_the_folder(table_root: Path, memory: RemotePath, tmp_path: Path) -> None:
    here, there = (examined(root, tmp_path / "cache") for root in (table_root, memory))
    assert there.data.digest() == here.data.digest()
    pd.testing.assert_frame_equal(there.table, here.table)


def test_a_table_here_names_images_there(table_root: Path, memory: RemotePath, tmp_path: Path) -> None:
    there = examined(table_root, tmp_path / "cache", image_root=str(memory))
    assert len(there.table) == 72
    assert str(there.data.manifest.image_root) == str(memory)


def test_what_is_in_the_store_is_not_read_again_and_what_changed_is(
    memory: RemotePath, table_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = fsspec.filesystem("memory")
    read: list[str] = []
    whole = type(fs).cat_file
    monkeypatch.setattr(type(fs), "cat_file", lambda self, path, **o: read.append(path) or whole(self, path, **o))
    names = [f"images/{number}.png" for number in range(30)]
    store = ImageStore(memory, 16, tmp_path / "cache")
    first = store.ensure(names)
    assert len(read) == 30 and first["failure"].isna().all()
    read.clear()
    pd.testing.assert_frame_equal(store.ensure(names), first)
    assert read == []
    fs.pipe(f"{memory}/images/3.png", (table_root / "images/4.png").read_bytes())
    again = store.ensure(names)
    assert [path.rpartition("/")[2] for path in read] == ["3.png"]
    assert again["digest"][3] == first["digest"][4]


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "images/../../x.png", "a\\..\\..\\x.png"])
def test_no_name_leads_out_of_a_url(memory: RemotePath, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="leads outside the image root memory://"):
        ImageStore(memory, 16, tmp_path).ensure([name])


def test_a_name_that_is_a_url_stays_below_the_root(host: Host, tmp_path: Path) -> None:
    facts = ImageStore(place(f"{host.url}/images"), 16, tmp_path).ensure(
        [f"{host.url}/images/1.png", "%2e%2e/metadata.csv"]
    )
    assert facts["failure"].tolist() == ["the file is missing"] * 2


def test_names_are_spelt_by_the_rules_of_letters(memory: RemotePath) -> None:
    finder = ImageFinder(memory / "images")
    assert finder.find_all([" 1.png", "2.png?x=1", "none.png", "3.png"]) == ["1.png", "2.png", "none.png", "3.png"]
    assert len(finder.notes()) == 2


def test_a_folder_of_classes_and_shards(table_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "classes"
    for number in range(24):
        kind = folder / ("ant", "bee")[number % 2]
        kind.mkdir(parents=True, exist_ok=True)
        (kind / f"{number}.png").write_bytes((table_root / f"images/{number}.png").read_bytes())
    with tarfile.open(folder / "s-0.tar", "w") as shard:
        for number in range(24):
            shard.add(table_root / f"images/{number}.png", f"{number}.png")
            (tmp_path / "x.cls").write_text(("ant", "bee")[number % 2])
            shard.add(tmp_path / "x.cls", f"{number}.cls")
    root = in_memory(folder, f"memory://{tmp_path.name}")
    change = {"modalities": ["image"], "columns": {}, "split": {"method": "stratified"}}
    shards = {**change, "source": "webdataset", "shards": "s-{0..0}.tar"}
    for data in ({**change, "source": "imagefolder"}, shards):
        raw = {key: value for key, value in data.items() if key != "columns" or data["source"] == "webdataset"}
        found = []
        for at in (folder, root):
            given = tiny_experiment(folder)
            given["data"] = {"image_size": 16, "root": str(at), **raw}
            found.append(examine(parse_experiment(given), Console(quiet=True)))
        assert found[0].data.digest() == found[1].data.digest()
        assert len(found[1].table) == 24


def test_a_host_that_fails_stalls_and_truncates_is_asked_again(host: Host, table_root: Path, tmp_path: Path) -> None:
    host.faults = {
        "/metadata.csv": ["truncate"], "/images/1.png": ["503", "503"], "/images/2.png": ["stall"],
        "/images/3.png": ["truncate", "500"], "/images/4.png": ["404"], "/images/5.png": ["always", "500"],
        "/images/6.png": ["always", "truncate"], "/images/7.png": ["always", "403"],
    }  # fmt: skip
    found = examined(host.url, tmp_path / "cache", max_unreadable=0.2)
    reasons = dict(zip(found.data.unreadable["_image"], found.data.unreadable["reason"], strict=True))
    assert sorted(reasons) == [f"images/{number}.png" for number in (4, 5, 6, 7)]
    assert reasons["images/4.png"] == "the file is missing"
    assert "could not be fetched (status 500" in reasons["images/5.png"] and "4 attempts" in reasons["images/5.png"]
    assert "could not be fetched" in reasons["images/6.png"]
    assert "does not let it be read (status 403" in reasons["images/7.png"]
    host.faults.clear()
    host.gets.clear()
    assert len(examined(host.url, tmp_path / "cache").table) == 72
    assert {path for path, count in host.gets.items() if path.startswith("/images/")} == {
        f"/images/{number}.png" for number in (4, 5, 6, 7)
    }


def test_a_host_that_stops_in_the_middle_ends_the_command_and_the_next_goes_on(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_images, "IN_A_ROW", 8)
    monkeypatch.setattr("bioautoml_nni.data.image_store.READERS", 2)
    whole = Answer.do_GET

    def tired(self: Answer) -> None:
        if sum(host.gets.values()) > 40:
            self.send_error(503)
        else:
            whole(self)

    monkeypatch.setattr(Answer, "do_GET", tired)
    names = [f"images/{number}.png" for number in range(72)]
    store = ImageStore(place(host.url), 16, tmp_path)
    with pytest.raises(DataError, match=r"http://127.*cannot be read .*status 503.* files in a row; .* goes on"):
        store.ensure(names)
    monkeypatch.setattr(Answer, "do_GET", whole)
    before = Counter(host.gets)
    assert store.ensure(names)["failure"].isna().all()
    assert 0 < sum((host.gets - before).values()) < 50


def test_init_and_check_on_a_url(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = in_process(capsys, "init", f"{host.url}/metadata.csv")
    assert code == 0, said
    assert yaml.safe_load(Path("experiment.yml").read_text())["data"]["root"] == host.url
    code, said = in_process(capsys, "check", "experiment.yml")
    assert code == 0 and "CLEAN" in said, said


def test_a_run_keeps_the_url_and_takes_the_same_data_from_elsewhere(
    host: Host, memory: RemotePath, tmp_path: Path
) -> None:
    raw = tiny_experiment(Path("x"))
    raw["data"]["root"] = host.url
    run = RunDirectory.create(tmp_path / "run", parse_experiment(raw), tmp_path)
    run_stages(run, ["prepare"], Console(quiet=True))
    assert yaml.safe_load((tmp_path / "run/experiment.yml").read_text())["data"]["root"] == host.url
    again = RunDirectory.open(tmp_path / "run")
    assert str(again.experiment.data.root) == host.url
    assert again.key("prepare") == run.key("prepare")
    prepared = PreparedData.load(again)
    assert str(prepared.image_root) == host.url
    raw["data"]["root"] = str(memory)
    moved = RunDirectory.create(tmp_path / "run", parse_experiment(raw), tmp_path)
    assert str(PreparedData.load(moved).image_root) == str(memory)
    assert moved.key("prepare") == run.key("prepare")


def test_predict_on_urls(host: Host, memory: RemotePath, table_root: Path, tmp_path: Path) -> None:
    model = colour_model(tmp_path / "model")
    host.faults = {"/images/1.png": ["503"], "/images/2.png": ["always", "404"]}
    for number, source in enumerate(
        (place(f"{host.url}/metadata.csv"), memory / "images", table_root / "metadata.csv")
    ):
        predict(model, Request(source, tmp_path / f"{number}.csv", sort_into=tmp_path / f"{number}"))
    tables = [pd.read_csv(tmp_path / f"{number}.csv") for number in (0, 1, 2)]
    assert tables[0]["error"].dropna().to_dict() == {2: "the file is missing"}
    answered = [table.drop(index=2, columns="error") for table in tables]
    pd.testing.assert_frame_equal(answered[0], answered[2])
    assert tables[1]["error"].isna().all() and len(tables[1]) == 72
    assert len(list((tmp_path / "1").rglob("*.png"))) == 72


def test_predict_ends_where_a_host_fails_and_goes_on(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict_module, "BLOCK", 24)
    model, request = colour_model(tmp_path / "model"), Request(place(f"{host.url}/metadata.csv"), tmp_path / "out.csv")
    host.faults = {f"/images/{number}.png": ["always", "503"] for number in range(24, 72)}
    monkeypatch.setattr(remote_images, "IN_A_ROW", 8)
    with pytest.raises(DataError, match="files in a row"):
        predict(model, request)
    host.faults.clear()
    before = Counter(host.gets)
    assert predict(model, request).failed == 0
    assert not any(f"/images/{number}.png" in host.gets - before for number in range(24))


def test_bad_urls_are_one_sentence_each(
    host: Host, tmp_path: Path, table_root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(root: str, **data: object) -> str:
        raw = tiny_experiment(table_root)
        raw["data"] |= {"root": root, **data}
        (tmp_path / "experiment.yml").write_text(yaml.safe_dump(raw))
        code, said = in_process(capsys, "check", tmp_path / "experiment.yml", "-o", tmp_path / "audit.json")
        assert code == 2, said
        return said

    assert "cannot be read" in refused(f"http://127.0.0.1:{free_port()}") and "Traceback" not in said_last(capsys)
    host.faults = {"*": ["always", "403"]}
    said = refused(host.url)
    assert "may not be read (status 403" in said and "give an address that needs no login" in said
    host.faults = {"/metadata.csv": ["always", "truncate"]}
    said = refused(host.url)
    assert "metadata.csv: cannot be read" in said
    assert "(the answer ended early: " in said and "status" not in said
    host.faults = {"/metadata.csv": ["always", "404"]}
    assert "there is no such table" in refused(host.url)
    assert "ftp:// is not a kind of URL" in refused("ftp://somewhere/data")
    assert "holds a password" in refused("ssh://me:secret@somewhere/data")

    def missing(url: str, **options: object) -> None:
        raise ImportError("Install gcsfs to access Google Storage")

    monkeypatch.setattr(fsspec, "url_to_fs", missing)
    assert "pip install 'bioautoml-nni[gs]'" in refused("gs://bucket/data")


def said_last(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_experiment({**tiny_experiment(Path("x")), "data": {"source": "csv", "root": "ssh://me:secret@h/data"}})
    assert "secret" not in str(refusal.value)


def write_shard(file: Path, numbers: range, images: Path, first: str = "png") -> None:
    """Write a shard of images with labels, of which the image or the label stands first."""
    with tarfile.open(file, "w") as shard:
        for number in numbers:
            for kind in ("png", "cls") if first == "png" else ("cls", "png"):
                content = (images / f"{number}.png").read_bytes() if kind == "png" else b"ant"
                member = tarfile.TarInfo(f"{number:03d}.{kind}")
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("status", [404, 403])
def test_shards_on_a_web_server_without_listings_are_named_with_braces(
    host: Host, table_root: Path, status: int
) -> None:
    host.listings = status
    for number in (0, 1):
        write_shard(table_root / f"s-{number}.tar", range(4 * number, 4 * number + 4), table_root / "images")
    with pytest.raises(DataError, match=r"^http://127\S+: cannot be listed; name the shards with braces .*\.tar\.$"):
        WebDatasetSource(place(host.url)).load()
    assert len(WebDatasetSource(place(host.url), "s-{0..1}.tar").load().table) == 8


@pytest.mark.parametrize("at", ["here", "there"])
def test_named_shards_that_are_not_there_are_named(host: Host, table_root: Path, at: str) -> None:
    write_shard(table_root / "s-0.tar", range(4), table_root / "images")
    root = table_root if at == "here" else place(host.url)
    with pytest.raises(DataError, match=r"3 of the 4 shards .* not there \(s-1.tar, s-2.tar, s-3.tar\); fetch them"):
        WebDatasetSource(root, "s-{0..3}.tar").load()
    with pytest.raises(DataError, match=r"6 of the 7 shards .*s-3.tar, \.\.\.\)"):
        WebDatasetSource(root, "s-{0..6}.tar").load()
    assert len(WebDatasetSource(root, "s-0.tar").load().table) == 4
    for outside in ("/s-{0..1}.tar", "http://host/s-{0..1}.tar"):
        with pytest.raises(DataError, match="is no name below data.root"):
            WebDatasetSource(root, outside).load()


def test_patterns_that_match_nothing_or_a_shard_twice_are_refused(host: Host, table_root: Path) -> None:
    for number in (0, 1):
        write_shard(table_root / f"s-{number}.tar", range(4 * number, 4 * number + 4), table_root / "images")
    with pytest.raises(DataError, match=r"1 of the 2 shards that data.shards names are not there \(t-\*.tar\)"):
        WebDatasetSource(table_root, "{s,t}-*.tar").load()
    with pytest.raises(DataError, match=r"data.shards names s-1.tar more than once; name every shard once\.$"):
        WebDatasetSource(table_root, "s-{*,1}.tar").load()
    assert len(WebDatasetSource(table_root, "s-*.tar").load().table) == 8


@pytest.mark.parametrize("at", ["here", "there"])
@pytest.mark.parametrize("first", ["png", "cls"])
def test_a_shard_that_was_cut_is_to_be_fetched_again(host: Host, table_root: Path, at: str, first: str) -> None:
    root, shard = table_root if at == "here" else place(host.url), table_root / "s-0.tar"
    write_shard(shard, range(4), table_root / "images", first)
    whole = shard.read_bytes()
    with tarfile.open(shard) as archive:
        members = archive.getmembers()
    image = next(member for member in members[3:] if member.name.endswith("png"))
    cuts = {
        "an image": image.offset_data + 10, "a label": next(m for m in members if m.name.endswith("cls")).offset_data,
        "a header": image.offset + 100, "between members": image.offset, "the end": archive.offset, "all": 0,
    }  # fmt: skip
    for where, length in cuts.items():
        shard.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"s-0.tar: ends early\b.*; fetch it again\.$") as refusal:
            WebDatasetSource(root, "s-0.tar").load()
        assert "unpack" not in str(refusal.value), where
    shard.write_bytes(whole[: image.offset] + b"x" * 512 + whole[image.offset + 512 :])
    with pytest.raises(DataError, match=f"s-0.tar: is damaged at byte {image.offset:,}; fetch it again"):
        WebDatasetSource(root, "s-0.tar").load()
    shard.write_bytes(gzip.compress(whole))
    with pytest.raises(DataError, match="is not an uncompressed tar file .* unpack it if it is compressed"):
        WebDatasetSource(root, "s-0.tar").load()
    shard.write_bytes(whole[: archive.offset + 512])  # nothing is missing but zeros
    assert len(WebDatasetSource(root, "s-0.tar").load().table) == 4


def test_a_shard_is_asked_for_again_where_its_host_fails(host: Host, table_root: Path) -> None:
    write_shard(table_root / "s-0.tar", range(4), table_root / "images")
    host.faults = {"/s-0.tar": ["503", "truncate"]}
    assert len(WebDatasetSource(place(host.url), "s-0.tar").load().table) == 4
    host.faults = {"/s-0.tar": ["always", "500"]}
    with pytest.raises(DataError, match=r"s-0.tar: cannot be read \(status 500.*check the address and the network\.$"):
        WebDatasetSource(place(host.url), "s-0.tar").load()


@pytest.mark.parametrize("status", [404, 403])
def test_a_root_on_the_web_may_have_a_point_in_its_name(
    host: Host, table_root: Path, tmp_path: Path, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    host.listings = status
    (table_root / "v1.0").symlink_to(table_root)
    for root in (host.url, f"{host.url}/v1.0"):
        assert len(examined(root, tmp_path / "cache").table) == 72
        code, said = in_process(capsys, "init", root)
        assert code == 2 and "cannot be listed" in said, said
    assert not place(f"{host.url}/none.csv").exists()


def test_no_table_and_no_image_on_the_web_is_taken_for_a_folder() -> None:
    assert {*KINDS, *PACKED, *SUFFIXES} <= remote.FILES


def test_a_query_is_refused_and_not_repeated(
    host: Host, table_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    raw = tiny_experiment(table_root)
    Path("experiment.yml").write_text(yaml.safe_dump(raw))
    signed = f"{host.url}/my data/metadata.csv?sig=SECRET'SECRET SECRET&x=?"
    colour_model(tmp_path / "model")
    for arguments in (
        ("init", signed),
        ("predict", "model", signed),
        ("predict", "model", table_root / "metadata.csv", "--image-root", signed),
        ("check", "experiment.yml", "--set", f"data.root={signed}"),
        ("check", "experiment.yml", "--set", f"data.image_root={signed}"),
        ("check", "experiment.yml", "--set", f"data.table={signed}"),
        ("run", "experiment.yml", "--set", f"data.image_root={signed}"),
    ):
        code, said = in_process(capsys, *arguments)
        assert code == 2 and "holds a query" in said and "download the file" in said, (arguments, said)
        assert "SECRET" not in said
    assert not Path("runs").exists()
    assert place("s3://bucket/a?b").name == "a?b"


def large_table(folder: Path, parts: int) -> Path:
    table = folder / "large.csv"
    table.write_text("".join(f"{number:015d}\n" for number in range(parts * 64)))
    return table


def test_a_large_table_goes_on_where_it_stopped(
    host: Host, table_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(remote, "PIECE", 1024)
    table, there = large_table(table_root, 10), place(f"{host.url}/large.csv")
    host.parts = True
    host.faults = {"/large.csv": [*[""] * 4, *["503"] * remote.ATTEMPTS]}
    with pytest.raises(DataError, match=r"status 503.* What has arrived is kept, and the same command goes on\."):
        there.read_bytes()
    assert host.sent["/large.csv"] == 4096
    host.faults = {"/large.csv": ["503", "500"]}
    assert there.read_bytes() == table.read_bytes()
    assert host.sent["/large.csv"] == table.stat().st_size


def test_a_large_table_comes_in_pieces_from_hosts_of_other_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(remote, "PIECE", 1000)
    table, there = large_table(tmp_path, 10), place(f"memory://{tmp_path.name}/large.csv")
    fsspec.filesystem("memory").pipe(str(there), table.read_bytes())
    asked_for: list[int] = []
    piece = remote._piece

    def counted(fs: Any, inner: str, start: int, *others: Any) -> bytes | None:
        asked_for.append(start)
        return piece(fs, inner, start, *others)

    monkeypatch.setattr(remote, "_piece", counted)
    assert there.read_bytes() == table.read_bytes()
    assert asked_for == list(range(0, 10240, 1000))


def test_a_large_table_that_changes_meanwhile_is_no_mixture(
    host: Host, table_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(remote, "PIECE", 1024)
    table, there = large_table(table_root, 10), place(f"{host.url}/large.csv")
    host.parts = True
    host.faults = {"/large.csv": [*[""] * 4, *["503"] * remote.ATTEMPTS]}
    with pytest.raises(DataError, match="status 503"):
        there.read_bytes()
    later = table.stat().st_mtime + 10
    table.write_text(table.read_text().replace("0", "7"))
    os.utime(table, (later, later))
    assert there.read_bytes() == table.read_bytes()

    whole = Answer.do_GET

    def changing(self: Answer) -> None:
        whole(self)
        os.utime(table, (later + 10, later + 10))

    os.utime(table, (later + 5, later + 5))
    monkeypatch.setattr(Answer, "do_GET", changing)
    with pytest.raises(DataError, match=r"large.csv: has changed while it was fetched; give the same command again\."):
        there.read_bytes()
    assert there.read_bytes() == table.read_bytes()


def test_a_host_without_parts_of_files_keeps_nothing_and_says_nothing_of_it(
    host: Host, table_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(remote, "PIECE", 1024)
    table, there = large_table(table_root, 10), place(f"{host.url}/large.csv")
    host.faults = {"/large.csv": ["", "", *["truncate"] * remote.ATTEMPTS]}
    with pytest.raises(DataError, match=r"check the address and the network\.$"):
        there.read_bytes()
    assert there.read_bytes() == table.read_bytes()


def test_two_readers_of_a_large_table_fetch_it_at_once(
    host: Host, table_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(remote, "PIECE", 1024)
    table, there = large_table(table_root, 30), place(f"{host.url}/large.csv")
    host.parts = True
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda _: there.read_bytes(), range(4)))
    assert all(content == table.read_bytes() for content in read)


def test_an_s3_server(table_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs", reason="reads s3://; extra s3")
    server = pytest.importorskip("moto.server", reason="an S3 server on this machine; extra dev")
    thread = server.ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    thread.start()
    try:
        host, port = thread.get_host_and_port()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        fs = fsspec.filesystem("s3", skip_instance_cache=True)
        fs.mkdir("moths")
        fs.put(f"{table_root}/", "moths/2026/", recursive=True)
        monkeypatch.setattr(remote, "PIECE", 100)
        here, there = (examined(root, tmp_path / "cache") for root in (table_root, "s3://moths/2026"))
        assert there.data.digest() == here.data.digest()
        with pytest.raises(DataError, match="s3://nobodys/metadata.csv: there is no such table"):
            examined("s3://nobodys", tmp_path / "cache")
    finally:
        thread.stop()
        fsspec.get_filesystem_class("s3").clear_instance_cache()
