"""Names as cards, cameras and other systems write them: found by check, predict and the service alike."""

from __future__ import annotations

import json
import os
import re
import shutil
import unicodedata

import pandas as pd
import pytest
import yaml
from conftest import here, tiny_experiment
from PIL import Image
from starlette.testclient import TestClient

from bioautoml_nni.data.image_files import list_images
from bioautoml_nni.data.image_store import ImageStore
from bioautoml_nni.runtime import Model
from bioautoml_nni.runtime.predict import Request, predict
from bioautoml_nni.serve.app import create_app

COMPOSED = unicodedata.normalize("NFC", "Käfer")
NAMES = {
    "plain": ("a/plain.png", "a/plain.png"),
    "a space in front": (" lead.png", " lead.png"),
    "spaces around": ("  a/around.png ", "a/around.png"),
    "number sign": ("x#1.png", "x#1.png"),
    "question mark": ("y?z.png", "y?z.png"),
    "a query": ("a/query.png?size=large", "a/query.png"),
    "percent that is meant": ("n%20o.png", "n%20o.png"),
    "percent for a space": ("w%20o.png", "w o.png"),
    "two colons": ("plot::3.png", "plot::3.png"),
    "composed for decomposed": (f"c {COMPOSED}.png", f"c {unicodedata.normalize('NFD', COMPOSED)}.png"),
    "decomposed for composed": (f"d {unicodedata.normalize('NFD', COMPOSED)}.png", f"d {COMPOSED}.png"),
    "bytes of a code page": ("b M\xfccke.png", b"b M\xfccke.png"),
    "a folder in a code page": ("W\xe4lder/7.png", b"W\xe4lder/7.png"),
    "backslashes": ("deep\\er\\back.png", "deep/er/back.png"),
    "a drive letter": ("D:\\card\\deep\\er\\drive.png", "deep/er/drive.png"),
    "another case": ("A/OTHER.png", "a/other.PNG"),
    "no extension": ("a/without", "a/without.png"),
    "a file without extension": ("a/bare", "a/bare"),
    "an absolute path": ("{root}/a/absolute.png", "a/absolute.png"),
    "an absolute path of another machine": ("/home/ann/deep/er/far.png", "deep/er/far.png"),
    "a link": ("linked.png", "linked.png"),
}
"""What a table says, and the file that it means."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with all these files, and what is not a specimen."""
    folder = tmp_path_factory.mktemp("names") / "card"
    for number, (_, name) in enumerate(NAMES.values()):
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if name == "linked.png":
            os.symlink("a/plain.png", path)
        else:
            with open(path, "wb") as file:
                Image.new("RGB", (12, 12), (10 * number, 40, 90)).save(file, "PNG")
    for name in ("._plain.png", "$RECYCLE.BIN/old.png", "@eaDir/1.png", ".Trashes/2.png", "a/.thumbnails/3.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 12)).save(folder / name)
    (folder / "elsewhere").symlink_to(tmp_path_factory.mktemp("outside"))
    Image.new("RGB", (12, 12)).save(folder / "elsewhere/of another.png")
    rows = [written.format(root=folder) for written, _ in NAMES.values()]
    table = pd.DataFrame({"image": rows, "label": ["ant", "bee"] * (len(rows) // 2) + ["ant"] * (len(rows) % 2)})
    table.to_csv(folder / "metadata.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def model(exported):
    return Model.load(exported[0], threads=1)


@pytest.fixture(scope="module")
def checked(root, tmp_path_factory):
    """The audit of the table."""
    folder = tmp_path_factory.mktemp("checked")
    split = {"method": "stratified", "test_fraction": 0.3, "validation_fraction": 0.2}
    data = {"source": "csv", "root": str(root), "image_size": 16, "modalities": ["image"], "split": split}
    (folder / "experiment.yml").write_text(yaml.safe_dump(tiny_experiment(root, data=data)))
    done = here("check", folder / "experiment.yml", "--output", folder / "audit.json")
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return json.loads((folder / "audit.json").read_text())


@pytest.fixture(scope="module")
def answered(root, model, tmp_path_factory):
    """Answers for the table and for the folder."""
    found = {}
    for what, source in (("table", root / "metadata.csv"), ("folder", root)):
        output = tmp_path_factory.mktemp("answers") / "answers.csv"
        predict(model, Request(source, output))
        found[what] = pd.read_csv(output, dtype=str, keep_default_na=False).set_index("image")
    return found


@pytest.fixture(scope="module")
def service(model):
    with TestClient(create_app(model), base_url="http://127.0.0.1") as client:
        yield client


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_is_found_wherever_images_are_read(kind, root, checked, answered, service):
    written, name = NAMES[kind]
    assert checked["unreadable"] == [] and checked["images"]["checked"] == len(NAMES)
    assert answered["table"].loc[written.format(root=root), "error"] == ""
    path = os.path.join(os.fsencode(root), os.fsencode(name))
    shown = name.decode("latin-1") if isinstance(name, bytes) else name
    assert answered["folder"].loc[shown, "error"] == ""
    with open(path, "rb") as file:
        files = {"images": (os.path.basename(written), file.read(), "image/png")}
    answer = service.post("/upload", files=files)
    assert answer.status_code == 200 and len(answer.json()["detections"]) == 1 and not answer.json()["errors"]


def test_what_was_found_by_a_rule_is_counted(checked):
    said = " ".join(remark["text"] for remark in checked["remarks"])
    rules = {
        "with a name in another code page": 2, "in another case or Unicode form": 3, "by the end of its path": 2,
        "with slashes for backslashes": 1, "without the space around it": 1, "with %20 and the like as letters": 1,
        "without what follows ?": 1, "without an extension": 1, "by the path below the image root": 1,
    }  # fmt: skip
    found = {rule: int(count) for count, rule in re.findall(r"(?<!\S)(\d+) images found (.+?)\.(?= |$)", said)}
    assert found == rules


def test_what_is_no_specimen_is_counted_and_not_answered(root, answered):
    names = set(answered["folder"].index)
    assert len(names) == len(NAMES)
    assert not any(("plain.png" in name and "._" in name) or "RECYCLE" in name or "elsewhere" in name for name in names)
    listing = list_images(root)
    assert listing.hidden == 5 and listing.linked == ["elsewhere"] and len(listing.recoded) == 2
    assert "5 hidden images" in " ".join(listing.notes()) and "data.links: anywhere" in " ".join(listing.notes())


def test_two_names_that_read_the_same_leave_the_bytes_out(tmp_path):
    for name in ("M\xfccke.png".encode(), b"M\xfccke.png"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            Image.new("RGB", (4, 4)).save(file, "PNG")
    listing = list_images(tmp_path)
    assert listing.files == ["M\xfccke.png"] and listing.unnamable == ["M\xfccke.png"] and not listing.recoded


@pytest.fixture
def outside(root, tmp_path):
    """A folder whose images lie elsewhere, behind links."""
    (tmp_path / "disk").mkdir()
    for number in range(12):
        shutil.copy(root / "a/plain.png", tmp_path / f"disk/{number}.png")
    (tmp_path / "links").mkdir()
    for number in range(12):
        (tmp_path / f"links/{number}.png").symlink_to(tmp_path / f"disk/{number}.png")
    (tmp_path / "links/folder").symlink_to(tmp_path / "disk")
    (tmp_path / "links/back").symlink_to(tmp_path / "links")
    rows = [f"{number}.png" for number in range(11)] + ["folder/11.png"]
    pd.DataFrame({"image": rows, "label": ["ant", "bee"] * 6}).to_csv(tmp_path / "links/metadata.csv", index=False)
    return tmp_path / "links"


@pytest.mark.parametrize("links", ["inside", "anywhere"])
def test_links_that_lead_out_are_a_setting_of_check_and_predict(outside, model, tmp_path, links):
    data = {"source": "csv", "root": str(outside), "image_size": 16, "modalities": ["image"], "links": links}
    (tmp_path / "experiment.yml").write_text(yaml.safe_dump(tiny_experiment(outside, data=data)))
    done = here("check", tmp_path / "experiment.yml", "--output", tmp_path / "audit.json")
    assert (done.returncode == 2) is (links == "inside"), done.stderr
    assert ("leads outside the image root" in " ".join(done.stderr.split())) is (links == "inside")
    output = tmp_path / "answers.csv"
    predict(model, Request(outside / "metadata.csv", output, links=links))
    errors = pd.read_csv(output, keep_default_na=False)["error"]
    assert errors.str.contains("outside").all() if links == "inside" else (errors == "").all()
    predict(model, Request(outside, output, links=links))
    assert len(pd.read_csv(output)) == (12 if links == "inside" else 24)


def test_an_absolute_path_outside_is_refused_whatever_the_links_may(root, model, tmp_path):
    Image.new("RGB", (12, 12)).save(tmp_path / "away.png")
    pd.DataFrame({"image": [str(tmp_path / "away.png"), "a/plain.png"]}).to_csv(tmp_path / "rows.csv", index=False)
    output = tmp_path / "answers.csv"
    predict(model, Request(tmp_path / "rows.csv", output, image_root=root, links="anywhere"))
    errors = pd.read_csv(output, keep_default_na=False)["error"].tolist()
    assert "outside" in errors[0] and errors[1] == ""


def test_links_in_a_circle_are_a_row_with_a_reason(model, tmp_path):
    Image.new("RGB", (12, 12)).save(tmp_path / "0.png")
    (tmp_path / "circle.png").symlink_to("circle.png")
    (tmp_path / "t.csv").write_text("image\ncircle.png\n0.png\n")
    outcome = predict(model, Request(tmp_path / "t.csv", tmp_path / "out.csv"))
    assert (outcome.rows, outcome.failed) == (2, 1)
    assert "symbolic links" in pd.read_csv(tmp_path / "out.csv")["error"][0]
    assert "found" not in " ".join(outcome.notes)


def test_what_is_wrong_with_a_file_is_said_in_words(tmp_path):
    (tmp_path / "circle.png").symlink_to("circle.png")
    (tmp_path / "folder.png").mkdir()
    failures = ImageStore(tmp_path, 8, tmp_path / "cache").ensure(["circle.png", "folder.png"])["failure"].tolist()
    assert failures == ["Too many levels of symbolic links", "Is a directory"]


def test_files_that_are_no_images_of_a_kind_that_is_read_are_named(tmp_path):
    for name in ("a.png", "b.jxl", "c.MOV", "d.svg", "#recycle/e.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    listing = list_images(tmp_path)
    said = " ".join(listing.notes())
    assert listing.files == ["a.png"] and "1 hidden images" in said
    assert "2 files .jxl, .svg left out" in said and "1 files .mov left out, such as c.MOV (videos" in said
