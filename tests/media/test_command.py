"""`bioautoml media` from an archive to an experiment that loads, and what it asks before."""

import os
import signal
import subprocess
import zipfile

import pandas as pd
import pytest
from conftest import COMMAND, in_process
from image_server import jpeg, serving, wait_for
from sources import archives

from bioautoml_nni.config import load_experiment
from bioautoml_nni.data.load import load_manifest
from bioautoml_nni.data.manifest import IMAGE, LABEL
from bioautoml_nni.media.listing import confirmed_hosts, hosts_of, list_wanted
from bioautoml_nni.sources._exported_csv import export_of
from bioautoml_nni.utils.errors import DataError

FAST = ("--per-second", 100, "--attempts", 1, "--allow-private-addresses")


def write_inaturalist_export(path, base, rows=6):
    """Write an export of iNaturalist with the columns that a user can choose, of which one row has no image."""
    pd.DataFrame(
        {
            "id": [1000 + n for n in range(rows)],
            "observed_on": [f"2021-06-{n + 1:02d}" for n in range(rows)],
            "user_login": "ana",
            "user_name": ["Ana"] * (rows - 1) + [None],
            "quality_grade": "research",
            "license": ["CC-BY-NC", "CC0", None] * (rows // 3),
            "url": "https://www.inaturalist.org/observations/1",
            "image_url": [f"{base}/good/{n}.jpg" for n in range(rows - 1)] + [None],
            "latitude": [47.0 + n for n in range(rows)],
            "longitude": [8.0 + n for n in range(rows)],
            "scientific_name": ["Noctua pronuba", "Agrotis"] * (rows // 2),
            "taxon_order_name": ["Lepidoptera", "Diptera"] * (rows // 2),
        }
    ).to_csv(path, index=False)


@pytest.fixture
def server():
    with serving() as server:
        server.base = f"http://127.0.0.1:{server.server_address[1]}"
        yield server


def test_from_an_export_of_inaturalist_to_its_manifest(server, tmp_path, capsys):
    write_inaturalist_export(tmp_path / "moths.csv", server.base)
    code, said = in_process(capsys, "media", tmp_path / "moths.csv", "--output", tmp_path / "media", "--yes", *FAST)
    assert code == 0 and "5 images downloaded" in said, said
    code, said = in_process(capsys, "init", tmp_path / "moths.csv")
    assert code == 0, said
    experiment = load_experiment(tmp_path / "experiment.yml", ["data.doi=https://doi.org/10.15468/dl.XYZ9"])
    assert experiment.data.source == "darwin_core" and experiment.data.split.group == "occurrence"
    manifest = load_manifest(experiment)
    assert manifest.table[LABEL].tolist() == ["Lepidoptera", "Diptera", "Lepidoptera", "Diptera", "Lepidoptera"]
    assert manifest.table["occurrence"].tolist() == [str(1000 + n) for n in range(5)]
    for number, name in enumerate(manifest.table[IMAGE]):
        assert (tmp_path / "media" / name).read_bytes() == jpeg(number)
    assert manifest.origin == {
        "doi": "10.15468/dl.XYZ9",
        "image_licences": {"CC-BY-NC": 2, "CC0": 2, "not stated": 1},
    }
    assert manifest.roles["eventDate"] == "date" and manifest.roles["decimalLatitude"] == "latitude"


def test_from_a_darwin_core_archive_with_its_doi(server, tmp_path, capsys):
    archives.write_darwin_core(tmp_path, packed=False)
    listed = tmp_path / "archive/multimedia.txt"
    text = listed.read_text().replace("https://example.org/media/", f"{server.base}/good/")
    listed.write_text(text + f"1\tSound\t{server.base}/good/song.mp3\n9\tStillImage\t{server.base}/good/9.jpg\n")
    code, said = in_process(capsys, "media", tmp_path / "archive", "--output", tmp_path / "images", "--yes", *FAST)
    assert code == 0 and "6 images downloaded" in said
    assert "1 media left out: they are no images (sound)" in said and "their occurrence is not in the archive" in said
    experiment = tmp_path / "experiment.yml"
    experiment.write_text(
        "name: x\ndata: {source: darwin_core, root: ., archive: archive, media: images, media_table: images/media.csv}"
    )
    manifest = load_manifest(load_experiment(experiment))
    assert manifest.origin["doi"] == archives.DOI and archives.DOI in manifest.origin["title"]
    assert manifest.origin["rights"] == "CC BY-NC 4.0"
    assert manifest.table["occurrence"].tolist() == ["1", "1", "2", "3", "6"]  # several images of one are kept


def test_a_simple_csv_of_gbif_is_read_by_the_ids_of_its_files(tmp_path, capsys):
    table = pd.DataFrame(
        {"gbifID": [f"{10**9 + n}" for n in range(4)], "datasetKey": "k", "occurrenceID": "o", "order": ["A", "B"] * 2,
         "family": "f", "scientificName": 'Musca 6" L.', "eventDate": "2020-01-01", "mediaType": "StillImage"}
    )  # fmt: skip
    (tmp_path / "raw").mkdir()
    text = "\n".join("\t".join(row) for row in [list(table), *table.to_numpy().tolist()]) + "\n"
    with zipfile.ZipFile(tmp_path / "0001-24.zip", "w") as packed:
        packed.writestr("0001-24.csv", text)
    (tmp_path / "0001-24.csv").write_text(text)
    for identifier in table["gbifID"]:
        archives.image(tmp_path / "media" / f"{identifier}_1.jpg")
    for name in ("0001-24.zip", "0001-24.csv"):
        (tmp_path / "experiment.yml").unlink(missing_ok=True)
        assert in_process(capsys, "init", tmp_path / name)[0] == 0
        experiment = load_experiment(tmp_path / "experiment.yml")
        assert experiment.data.source == "darwin_core"
        manifest = load_manifest(experiment)
        assert manifest.table[LABEL].tolist() == ["A", "B", "A", "B"] and manifest.origin == {}
        code, said = in_process(capsys, "media", tmp_path / name, "--output", tmp_path / "m", "--yes")
        assert code == 2 and "lists no images" in said and "Darwin Core archive" in said


def test_hosts_are_confirmed_before_anything_is_asked(server, tmp_path, capsys):
    write_inaturalist_export(tmp_path / "a.csv", server.base)
    code, said = in_process(capsys, "media", tmp_path / "a.csv", "--output", tmp_path / "m")
    assert code == 2 and "127.0.0.1 (5)" in said and "--yes" in said  # nobody to ask
    code, said = in_process(capsys, "media", tmp_path / "a.csv", "--output", tmp_path / "m", "--host", "b.org")
    assert code == 2 and "lists no image there" in said
    code, said = in_process(capsys, "media", tmp_path / "a.csv", "--output", tmp_path / "m", "--yes")
    assert code == 1 and "is not public" in said and server.asked == []
    code, said = in_process(capsys, "media", tmp_path / "none.zip", "--output", tmp_path / "m", "--yes")
    assert code == 2 and "there is no such archive" in said


def test_at_a_terminal_each_host_is_asked_about(tmp_path):
    write_inaturalist_export(tmp_path / "a.csv", "https://a.example.org")
    counts = hosts_of(list_wanted(tmp_path / "a.csv", []))
    counts["b.example.org"] = 2
    asked: list[str] = []

    def ask(question):
        asked.append(question)
        return "a.example" in question

    assert confirmed_hosts(tmp_path, counts, [], False, ask) == ("a.example.org",)
    assert asked == [f"Download {n} images from {host}?" for host, n in (("a.example.org", 5), ("b.example.org", 2))]
    with pytest.raises(DataError, match="no host was confirmed"):
        confirmed_hosts(tmp_path, counts, [], False, lambda question: False)
    assert confirmed_hosts(tmp_path, counts, ["*.example.org"], False, None) == ("*.example.org",)
    assert confirmed_hosts(tmp_path, counts, ["cdn.net", "a.example.org"], True, None)[-1] == "cdn.net"


def test_an_interrupted_download_continues(server, tmp_path):
    write_inaturalist_export(tmp_path / "a.csv", server.base, rows=30)
    command = [*COMMAND, "media", tmp_path / "a.csv", "--output", tmp_path / "m", "--yes", "--per-second", "20"]
    command = [*map(str, command), "--allow-private-addresses"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's background jobs ignore
    )  # fmt: skip
    wait_for(lambda: len(server.asked) >= 8)
    os.kill(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "give the same command again" in said
    table = pd.read_csv(tmp_path / "m/media.csv", dtype=str, keep_default_na=False)
    there = table[table["file"] != ""]
    assert 0 < len(there) < 29 == len(table)
    before = dict(server.count)
    done = subprocess.run([*command, "--per-second", "100"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and f"{len(there)} there before" in done.stdout, done.stdout + done.stderr
    for url in there["url"]:  # was not asked for again
        path = url.removeprefix(server.base)
        assert server.count[path] == before[path]
    assert (pd.read_csv(tmp_path / "m/media.csv", dtype=str)["error"].isna()).all()


@pytest.mark.parametrize(
    ("columns", "kind"),
    [(["gbifID", "datasetKey", "scientificName"], "gbif"), (["id", "observed_on", "scientific_name"], None),
     (["id", "observed_on", "scientific_name", "taxon_id"], "inaturalist"), (["id", "species"], None)],
)  # fmt: skip
def test_exports_are_known_by_their_columns(columns, kind):
    assert export_of(columns) == kind
