"""Downloads from a server that stalls, breaks off, lies and leads elsewhere: what comes is whole, the rest is named."""

import asyncio
import hashlib
import json
import socket
from dataclasses import replace

import pandas as pd
import pytest
from image_server import BODY, jpeg, serving

from bioautoml_nni.media._base import Limits, Wanted
from bioautoml_nni.media.download import download
from bioautoml_nni.media.folder import MediaStore
from bioautoml_nni.utils.errors import DataError

HOST = "images.example.org"
LIMITS = Limits(
    per_second=1000.0, attempts=3, stall_seconds=0.8, file_seconds=10.0, back_off=0.01, private_addresses=True
)


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """Every name leads to this machine, and addresses to themselves; returns what was looked up."""
    asked = []

    async def getaddrinfo(loop, host, port, **options):
        asked.append(host)
        address = host if host.replace(".", "").isdigit() else "127.0.0.1"
        return [(socket.AF_INET, 0, 0, "", (address, port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked


@pytest.fixture
def server():
    with serving() as server:
        yield server


def fetch(server, folder, *paths, hosts=(HOST,), **limits):
    base = f"http://{HOST}:{server.server_address[1]}"
    wanted = [Wanted(f"o{n}", path if "://" in path else base + path, "CC-BY", "Ana") for n, path in enumerate(paths)]
    outcome = download(wanted, hosts, folder, replace(LIMITS, **limits))
    table = pd.read_csv(outcome.table, dtype=str, keep_default_na=False)
    assert table["occurrence"].tolist() == [entry.occurrence for entry in wanted]  # nothing goes missing
    return outcome, table


def test_images_come_whole_with_their_table(server, tmp_path, names):
    outcome, table = fetch(server, tmp_path, "/good/1.jpg", "/good/2.jpg?size=large#top", "/good/1.jpg")
    assert outcome.errors == {} and outcome.fetched == 2  # the same URL is asked for once
    assert set(names) == {HOST}
    for number, row in zip((1, 2, 1), table.to_dict("records"), strict=True):
        data = (tmp_path / row["file"]).read_bytes()
        assert data == jpeg(number) and row["sha256"] == hashlib.sha256(data).hexdigest()
        assert (row["width"], row["height"], row["bytes"]) == ("96", "96", str(len(data)))
        assert (row["licence"], row["rights_holder"], row["error"]) == ("CC-BY", "Ana", "")
        assert row["file"].endswith(hashlib.sha256(row["url"].encode()).hexdigest() + ".jpg")
    path, host, headers = server.asked[-1]
    assert host == f"{HOST}:{server.server_address[1]}" and headers["User-Agent"] == "bioautoml-nni"
    assert "#" not in path and not list(tmp_path.rglob("*.part"))


def test_what_is_there_is_not_asked_for_again_unless_it_was_damaged(server, tmp_path):
    _, table = fetch(server, tmp_path, "/good/1.jpg", "/good/2.jpg")
    asked = len(server.asked)
    outcome, again = fetch(server, tmp_path, "/good/1.jpg", "/good/2.jpg")
    assert (outcome.there, outcome.fetched, len(server.asked)) == (2, 0, asked) and again.equals(table)
    (tmp_path / table["file"][0]).write_bytes(b"cut")
    with (tmp_path / ".partial/done.jsonl").open("a") as journal:
        journal.write('{"url": "cut by a ki')
    outcome, _ = fetch(server, tmp_path, "/good/1.jpg", "/good/2.jpg")
    assert (outcome.there, outcome.fetched) == (1, 1) and (tmp_path / table["file"][0]).read_bytes() == jpeg(1)


@pytest.mark.parametrize(
    ("kind", "content", "requests"),
    [("flaky", jpeg(4), 2), ("truncates", BODY, 2), ("changes", jpeg(7), 2), ("misplaces", BODY, 3),
     ("moved", jpeg(4), 1)],
)  # fmt: skip
def test_another_attempt_brings_the_whole_image(server, tmp_path, kind, content, requests):
    outcome, table = fetch(server, tmp_path, f"/{kind}/4.jpg")
    assert outcome.errors == {} and (tmp_path / table["file"][0]).read_bytes() == content
    assert server.count[f"/{kind}/4.jpg"] == requests
    source = table["source_url"][0]
    assert source.endswith("/good/4.jpg") if kind == "moved" else source == table["url"][0]


def test_a_host_that_asks_to_wait_is_not_asked_meanwhile(server, tmp_path):
    import time

    started = time.monotonic()
    outcome, _ = fetch(server, tmp_path, "/busy/4.jpg", connections=1)
    assert outcome.errors == {} and server.count["/busy/4.jpg"] == 2
    assert time.monotonic() - started >= 1.0  # Retry-After: 1


@pytest.mark.parametrize(
    ("kind", "said", "requests"),
    [
        ("missing", "status 404", 1),
        ("broken", "status 500; 3 attempts", 3),
        ("away", "come back in 86,400 seconds", 1),
        ("page", "a web page instead of an image", 1),
        ("text", "not an image", 1),
        ("packed", "packed bytes", 1),
        ("large", "more than 40,000", 1),
        ("endless", "more than 40,000 bytes", 1),
        ("stalls", "broke off.*3 attempts", 3),
        ("silent", "does not answer.*3 attempts", 3),
        ("short", "came damaged.*3 attempts", 3),
        ("inside", "redirected to where it is not followed: host '169.254.169.254' is not confirmed", 1),
        ("elsewhere", "'elsewhere.example.net' is not confirmed; --host elsewhere.example.net permits it", 1),
        ("circle", "more than 5 redirections", 6),
        ("file", "does not begin with http", 1),
    ],
)
def test_what_does_not_come_is_named_and_leaves_nothing(server, tmp_path, kind, said, requests):
    outcome, table = fetch(server, tmp_path, f"/{kind}/4.jpg", "/good/1.jpg", file_bytes=40_000)
    assert pd.Series(table["error"][:1]).str.contains(said).all(), table["error"][0]
    assert table["file"][0] == "" and list(outcome.errors) == [table["url"][0]]
    assert (tmp_path / table["file"][1]).read_bytes() == jpeg(1)  # the others are not held up
    assert server.count[f"/{kind}/4.jpg"] == requests
    assert len([path for path in tmp_path.rglob("*.jpg") if path.is_file()]) == 1


def test_redirections_lead_to_confirmed_hosts_alone(server, tmp_path):
    outcome, table = fetch(server, tmp_path, "/elsewhere/1.jpg", hosts=(HOST, "*.example.net"))
    assert outcome.errors == {} and "elsewhere.example.net" in table["source_url"][0]


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.8", "169.254.169.254", "::1", "::ffff:192.168.1.1"])
def test_addresses_that_are_not_public_are_not_connected_to(server, tmp_path, monkeypatch, address):
    async def getaddrinfo(loop, host, port, **options):
        return [(socket.AF_INET6 if ":" in address else socket.AF_INET, 0, 0, "", (address, port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    outcome, _ = fetch(server, tmp_path, "/good/1.jpg", private_addresses=False)
    assert "which is not public" in next(iter(outcome.errors.values())) and server.asked == []


@pytest.mark.parametrize(
    "url",
    ["ftp://images.example.org/a.jpg", "http://ana:secret@images.example.org/a.jpg", "http://[::1/a", "http:///a.jpg"],
)
def test_urls_that_are_none_to_ask_are_named(server, tmp_path, url):
    outcome, _ = fetch(server, tmp_path, url)
    assert list(outcome.errors) == [url] and server.asked == []


def test_robots_txt_is_kept_to(server, tmp_path):
    server.robots = "User-agent: *\nDisallow: /good/*.jpg$\nUser-agent: bioautoml-nni\nDisallow: /good/2\n"
    outcome, table = fetch(server, tmp_path, "/good/1.jpg", "/good/2.jpg")
    assert table["error"].tolist() == ["", f"robots.txt of {HOST} does not allow it"] and outcome.fetched == 1
    assert server.count["/robots.txt"] == 1 and server.count["/good/2.jpg"] == 0


def test_a_host_that_asks_for_a_pace_gets_it(server, tmp_path):
    import time

    server.robots = "User-agent: *\nCrawl-delay: 0.3\n"
    started = time.monotonic()
    outcome, _ = fetch(server, tmp_path, "/good/1.jpg", "/good/2.jpg", "/good/3.jpg", "/good/4.jpg")
    assert outcome.errors == {} and time.monotonic() - started >= 0.9
    server.robots = "User-agent: *\nCrawl-delay: 5000\n"
    outcome, _ = fetch(server, tmp_path / "slow", "/good/1.jpg")
    assert "asks for 5000 seconds" in next(iter(outcome.errors.values()))


def test_the_folder_has_a_limit_and_a_host_a_last_chance(server, tmp_path):
    size = len(jpeg(1))
    _, table = fetch(server, tmp_path, *(f"/good/{n}.jpg" for n in range(6)), total_bytes=3 * size, connections=1)
    there = table[table["file"] != ""]
    assert sum(there["bytes"].astype(int)) <= 3 * size and len(there) >= 2
    assert all("the limit of" in text for text in table["error"][table["file"] == ""])
    _, table = fetch(
        server, tmp_path / "down", *(f"/broken/{n}.jpg" for n in range(6)), host_failures=2, connections=1, attempts=1
    )
    assert [text.partition(";")[0].partition(" for ")[0] for text in table["error"]] == [
        *["the host answered with status 500"] * 2, *[f"host '{HOST}' failed"] * 4
    ]  # fmt: skip
    assert sum(path.startswith("/broken") for path, _, _ in server.asked) == 2


def test_one_process_at_a_time(tmp_path):
    store = MediaStore(tmp_path)
    with pytest.raises(DataError, match="another process downloads"):
        MediaStore(tmp_path)
    store.close()
    MediaStore(tmp_path).close()


def test_a_full_disk_ends_it_with_what_came_in_the_table(server, tmp_path, monkeypatch):
    import errno

    real = MediaStore.add

    def add(store, fetched):
        if len(store.done) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(store, fetched)

    monkeypatch.setattr(MediaStore, "add", add)
    with pytest.raises(OSError, match="No space left"):
        fetch(server, tmp_path, *(f"/good/{n}.jpg" for n in range(5)), connections=1)
    table = pd.read_csv(tmp_path / "media.csv", dtype=str, keep_default_na=False)
    assert (table["file"] != "").sum() == 2 and (table["error"] != "").sum() == 3
    monkeypatch.setattr(MediaStore, "add", real)
    assert fetch(server, tmp_path, *(f"/good/{n}.jpg" for n in range(5)))[0].errors == {}


def test_a_part_without_a_validator_is_begun_anew(server, tmp_path):
    url = f"http://{HOST}:{server.server_address[1]}/good/1.jpg"
    store = MediaStore(tmp_path)
    part = store.part(url)
    part.begin(None)
    part.path.write_bytes(b"of another file")
    assert part.start() == (0, None)
    (tmp_path / ".partial" / f"{part.digest}.json").write_text(json.dumps(["no", "note"]))
    assert part.start() == (0, None)
    store.close()
    _, table = fetch(server, tmp_path, "/good/1.jpg")
    assert (tmp_path / table["file"][0]).read_bytes() == jpeg(1)
