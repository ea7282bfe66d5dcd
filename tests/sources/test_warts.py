"""Sound data sets with one wart each: every row comes out by itself, with its id and label as text, or a sentence says
why not. `make fuzz` tries 20,000 of each kind; here a few, always the same."""

import csv
import io
import json
import shutil
import sqlite3
import tarfile

import archives
import openpyxl
import pandas as pd
import pytest
from damage import tries
from hypothesis import assume, given
from hypothesis import strategies as st
from openpyxl.utils.exceptions import IllegalCharacterError
from PIL import Image

from bioautoml_nni.config.schema import DataConfig
from bioautoml_nni.data.border import require_below
from bioautoml_nni.data.classes import with_classes
from bioautoml_nni.data.decoding import ImageReference
from bioautoml_nni.data.image_files import NOT_SPECIMENS
from bioautoml_nni.data.labels import learnable, twin_remarks
from bioautoml_nni.data.roles import infer_role
from bioautoml_nni.sources.bioscan1m import Bioscan1MSource
from bioautoml_nni.sources.bioscan5m import Bioscan5MSource
from bioautoml_nni.sources.coco import CocoSource
from bioautoml_nni.sources.csv import CsvSource
from bioautoml_nni.sources.darwin_core import DarwinCoreSource
from bioautoml_nni.sources.guess import guess
from bioautoml_nni.sources.guessed_experiment import guessed_experiment
from bioautoml_nni.sources.imagefolder import ImageFolderSource
from bioautoml_nni.sources.insect1m import Insect1MSource
from bioautoml_nni.sources.webdataset import WebDatasetSource
from bioautoml_nni.testing import check_manifest
from bioautoml_nni.utils.errors import BioAutoMLError, DataError
from bioautoml_nni.utils.yaml_files import load_yaml

WORDS = [
    "NA", "None", "nan", "null", "N/A", "#N/A", "-", "?", ".", "007", "7.0", "1e3", "0x10", "1_000", "12:30", "no",
    "TRUE", "2024-01-01", " x ", "  ", "\u00a0", "a\u0301", "ﬁ", "=1+1", "'x", '"', '""', 'say "hi"', "a,b", "a;b",
    "a\tb", "a|b", "line\nbreak", "a\r\nb", "\r", "\x1a", "\x0b", "\ufeff", "9" * 17, "1e400", "inf", "-0", "1,234",
    "1.234,5", "35 %", "∞", "９", "0" * 300, "x" * 5000, "🐝", "\u200b", "\u2028", "\x85", "_id", "01/02/03",
    "31.02.2016", "0000-00-00", "24:00", "25:61", "1899-12-31", "9999-12-31", "12E3", "../x", "C:\\x", "a::b", "%20",
    "#x", "a//b", "/etc/passwd", "sep=;", "Müller", "Дятел", "昆虫",
]  # fmt: skip
words = st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
NUMBERS = ["1.5", "2", "3,5", "1e-3", "", "-4"]
KINDS = ["csv", "tsv", "txt", "jsonl", "parquet", "feather", "sqlite", "xlsx"]


def plain_rows(count=9):
    return [
        [f"{n:03d}", f"{n % 4}.png", ["ant", "bee", "fly"][n % 3], f"2016-06-{n + 1:02d}", NUMBERS[n % 6], f"s{n % 2}"]
        for n in range(count)
    ]


HEADER = ["number", "file", "species", "day", "mass", "site"]


def write_table(path, header, rows, text):
    """Write rows of texts as the file's kind has them; `text` holds how a text file is written."""
    suffix = path.suffix
    if suffix in (".csv", ".tsv", ".txt"):
        out = io.StringIO()
        writer = csv.writer(out, delimiter=text["separator"], quoting=text["quoting"], lineterminator=text["ending"])
        writer.writerows([header, *rows])
        path.write_bytes(out.getvalue().encode(text["encoding"]))
    elif suffix == ".jsonl":
        lines = [json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=text["ascii"]) for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    elif suffix == ".xlsx":
        book = openpyxl.Workbook()
        for row in [header, *rows]:
            book.active.append(row)
        for cell in (cell for cells in book.active for cell in cells if isinstance(cell.value, str)):
            cell.data_type = "s"  # also what looks like a formula or an error
        book.save(path)
    elif suffix == ".sqlite":
        base = sqlite3.connect(path)
        base.execute(f"CREATE TABLE t ({', '.join(header)})")
        base.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(header))})", rows)
        base.commit()
        base.close()
    else:
        table = pd.DataFrame(rows, columns=header, dtype="str")
        table.to_parquet(path) if suffix == ".parquet" else table.to_feather(path)


texts = st.fixed_dictionaries(
    {
        "separator": st.sampled_from([",", ";", "\t", "|"]),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
        "ending": st.sampled_from(["\n", "\r\n"]),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
        "ascii": st.booleans(),
    }
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for n in range(4):
        Image.new("RGB", (8, 8), (60 * n, 90, 40)).save(folder / f"{n}.png")
    return folder


def leads_out(manifest):
    """Whether an image lies outside of the image root, which ends a run with a sentence before it is read."""
    paths = [ImageReference.parse(path).path for path in manifest.table["_image"].dropna()]
    try:
        require_below(manifest.image_root, paths)
    except DataError as error:
        assert "leads outside the image root" in str(error)
        return True
    return False


def usable(manifest):
    """What comes after a source takes any manifest, too."""
    check_manifest(manifest, "this source", images_exist=False)
    for name in manifest.table:
        if not name.startswith("_"):
            infer_role(name, manifest.table[name])
    twin_remarks(manifest.table)
    settings = DataConfig(source="csv", rare_labels="other", labels={"merge": ["case", "spaces", "authors"]})
    classes = with_classes(manifest, settings)
    assert classes.naming.written == manifest.table["_label"].value_counts().to_dict()
    assert all(classes.naming.name(label) in set(classes.table["_label"]) for label in manifest.table["_label"])
    try:
        learnable(classes.table, settings)
    except DataError as error:
        assert str(error)


@tries(60)
@given(st.sampled_from(KINDS), texts, st.integers(0, 8), st.integers(0, 5), words, st.booleans())
def test_a_table_with_one_odd_cell_loses_no_other(images, kind, text, row, column, word, named):
    for old in images.glob("t.*"):
        old.unlink()
    path, rows = images / f"t.{kind}", plain_rows()
    rows[row][column] = word
    try:
        write_table(path, HEADER, rows, text)
    except (IllegalCharacterError, UnicodeEncodeError):
        assume(False)
    source = CsvSource(images, path.name, "file", "species", id="number" if named else None)
    source.identifiers = frozenset(("site",))
    try:
        manifest = source.load()
    except BioAutoMLError as error:
        assert str(error) and "Traceback" not in str(error)
        assert column == 0 and named, error  # an id that comes twice or not at all; nothing else is a reason
        return
    if leads_out(manifest):
        assert column == 1
        return
    usable(manifest)
    empty = [cells for cells in rows if not cells[2].strip() or not cells[1].strip()]
    kept = [cells for cells in rows if cells not in empty]
    assert len(manifest.table) == len(kept)
    assert not empty or "without image or label left out" in " ".join(manifest.notes)
    assert [bare(label) for label in manifest.table["_label"]] == [bare(cells[2]) for cells in kept]
    if named:
        assert [bare(name) for name in manifest.table["_id"]] == [bare(cells[0]) for cells in kept]
    sites = [bare(cell) for cell in manifest.table["site"].fillna("")]
    assert sites == [bare(cells[5]) for cells in kept]


def bare(text):
    """A text without space around it and with one kind of line end, as a spreadsheet keeps it."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


@tries(40)
@given(st.data(), texts)
def test_a_table_with_an_odd_header_or_rows_is_read_or_refused(images, data, text):
    for old in images.glob("t.*"):
        old.unlink()
    kind = data.draw(st.sampled_from(["csv", "tsv", "xlsx", "ods.csv", "csv.gz"][:3]))
    header, rows = list(HEADER), plain_rows()
    wart = data.draw(st.sampled_from(["header", "swap", "drop", "repeat", "short", "long", "blank", "first", "none"]))
    place = data.draw(st.integers(0, 5))
    if wart == "header":
        header[place] = data.draw(words)
    elif wart == "swap":
        header[place] = header[0]
    elif wart == "drop":
        rows = rows[: data.draw(st.integers(0, 2))]
    elif wart == "repeat":
        rows += rows[:place]
    elif wart == "short":
        rows[place] = rows[place][: data.draw(st.integers(0, 5))]
    elif wart == "long":
        rows[place] = [*rows[place], data.draw(words)]
    elif wart == "blank":
        rows[place:place] = [[""] * 6] * data.draw(st.integers(1, 3))
    elif wart == "first":
        header, rows = [data.draw(words)], [header, *rows]
    try:
        write_table(images / f"t.{kind}", header, rows, text)
    except (IllegalCharacterError, UnicodeEncodeError, csv.Error):
        assume(False)
    try:
        found = guess(images / f"t.{kind}")
        assert load_yaml(guessed_experiment(found, "t"))["data"]["source"] == "csv"
    except BioAutoMLError as error:
        assert str(error) and "Traceback" not in str(error)
    try:
        manifest = CsvSource(images, f"t.{kind}", "file", "species", id="number").load()
    except BioAutoMLError as error:
        assert str(error) and "Traceback" not in str(error)
        return
    usable(manifest)
    assert {bare(label) for label in manifest.table["_label"]} <= {bare(cell) for row in rows for cell in row}


ARCHIVES = {
    "bioscan5m": (
        lambda root: archives.write_bioscan5m(root, 12), lambda root: Bioscan5MSource(root, rank="order"), ",",
    ),
    "bioscan1m": (
        lambda root: archives.write_bioscan1m(root, 12), lambda root: Bioscan1MSource(root, rank="order"), "\t",
    ),
    "darwin_core": (
        lambda root: archives.write_darwin_core(root, packed=False),
        lambda root: DarwinCoreSource(root, archive="archive"), "\t",
    ),
    "insect1m": (archives.write_insect1m, Insect1MSource, None),
    "camera traps": (archives.write_camera_traps, CocoSource, None),
    "inaturalist": (
        archives.write_inaturalist,
        lambda root: CocoSource(root, annotations={"train": "train.json", "val": "val.json"}, rank="order"), None,
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=ARCHIVES)
def archive(request, tmp_path_factory):
    write, read, separator = ARCHIVES[request.param]
    root = tmp_path_factory.mktemp("whole")
    write(root)
    kinds = (".json",) if separator is None else (".csv", ".tsv", ".txt")
    files = sorted(path for path in root.rglob("*") if path.suffix in kinds)
    return root, {path: path.read_bytes() for path in files}, read, separator, read(root).load()


ODD_VALUES = st.sampled_from([None, True, 0, -1, 1.0, 1e300, 10**20, [], {}, [1], {"a": 1}]) | words


@tries(40)
@given(st.data())
def test_an_archive_with_one_odd_value_is_sound_or_refused(archive, data):
    root, files, read, separator, whole = archive
    path = data.draw(st.sampled_from(sorted(files)))
    try:
        path.write_bytes(odd_json(files[path], data) if separator is None else odd_text(files[path], separator, data))
        lines = separator is None or count_lines(path.read_bytes()) >= count_lines(files[path])
        manifest = read(root).load()
    except BioAutoMLError as error:
        assert str(error) and "Traceback" not in str(error)
        return
    finally:
        path.write_bytes(files[path])
    if lines and len(manifest.table) < len(whole.table):
        assert set(manifest.notes) - set(whole.notes), "specimens are gone without a word"
    assume(manifest.table["_id"].is_unique)  # `load_manifest` refuses it, for all sources alike
    if not leads_out(manifest):
        usable(manifest)


def count_lines(content):
    """How many lines hold something."""
    return sum(bool(line.strip()) for line in content.split(b"\n"))


def odd_json(content, data):
    """The JSON with one value of one record changed, removed or added."""
    record = json.loads(content)
    lists = [name for name, entries in record.items() if isinstance(entries, list) and entries]
    entries = record[data.draw(st.sampled_from(lists))]
    entry = data.draw(st.sampled_from(entries))
    key = data.draw(st.sampled_from(sorted(entry)))
    action = data.draw(st.sampled_from(["change", "remove", "add", "repeat", "replace"]))
    if action == "change":
        entry[key] = data.draw(ODD_VALUES)
    elif action == "remove":
        del entry[key]
    elif action == "add":
        entry[data.draw(words)] = data.draw(ODD_VALUES)
    elif action == "repeat":
        entries.append(dict(entry))
    else:
        entries[entries.index(entry)] = data.draw(ODD_VALUES)
    return json.dumps(record).encode()


def odd_text(content, separator, data):
    """The table with one field of one line changed, or a line repeated, cut or left out."""
    lines = content.decode("utf-8").split("\n")
    number = data.draw(st.integers(0, len(lines) - 2))
    cells = lines[number].split(separator)
    action = data.draw(st.sampled_from(["change", "change", "change", "cut", "repeat", "remove", "more"]))
    if action == "change":
        cells[data.draw(st.integers(0, len(cells) - 1))] = data.draw(words)
    elif action == "cut":
        cells = cells[: data.draw(st.integers(0, len(cells)))]
    elif action == "more":
        cells.append(data.draw(words))
    changed = [separator.join(cells)] * {"repeat": 2, "remove": 0}.get(action, 1)
    return "\n".join([*lines[:number], *changed, *lines[number + 1 :]]).encode()


@tries(40)
@given(st.data())
def test_a_sample_of_a_shard_with_one_odd_value_loses_no_other(tmp_path_factory, data):
    samples = [{"label": ["ant", "bee"][n % 2], "mass": 0.5 * n, "site": f"s{n % 2}"} for n in range(6)]
    place, key = data.draw(st.integers(0, 5)), data.draw(st.sampled_from(["label", "mass", "site"]) | words)
    samples[place][key] = data.draw(ODD_VALUES)
    root = tmp_path_factory.mktemp("shards")
    image = io.BytesIO()
    Image.new("RGB", (8, 8)).save(image, "PNG")
    with tarfile.open(root / "a.tar", "w") as shard:
        for number, sample in enumerate(samples):
            for name, content in (
                (f"{number}.png", image.getvalue()),
                (f"{number}.json", json.dumps(sample).encode()),
            ):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                shard.addfile(entry, io.BytesIO(content))
    manifest = WebDatasetSource(root).load()
    shutil.rmtree(root)
    usable(manifest)
    value = samples[place]["label"]
    missing = not isinstance(value, (str, int, float)) or not str(value).strip()
    assert len(manifest.table) == 6 - missing
    assert not missing or "1 samples without image or label left out." in manifest.notes
    if isinstance(value, str) and value.strip():
        assert manifest.table["_label"][place] == value.strip()


names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\0"), min_size=1, max_size=12)


@tries(40)
@given(st.sampled_from(WORDS) | names, names, st.sampled_from([".png", ".PNG", ".jpeg"]))
def test_folders_may_be_called_anything(tmp_path_factory, label, name, suffix):
    root = tmp_path_factory.mktemp("folders")
    files = [root / "ant/0.png", root / "bee/1.png"]
    for file in files:
        file.parent.mkdir()
        file.write_bytes(b"x")
    odd = root / label / f"{name}{suffix}"
    try:
        assume("/" not in label and label not in (".", "..", "ant", "bee"))
        odd.parent.mkdir()
        odd.write_bytes(b"x")
    except (OSError, ValueError):  # a name that this disk does not take
        assume(False)
    try:
        manifest = ImageFolderSource(root).load()
    except DataError as error:
        assert str(error) and "Traceback" not in str(error)
        assert not label.strip() or "::" in label, error
        return
    finally:
        shutil.rmtree(root)
    usable(manifest)
    hidden, system = label.startswith(".") or name.startswith("."), label.lower() in NOT_SPECIMENS
    assert not system or hidden or any("hold no specimens" in note for note in manifest.notes)
    expected = {"ant", "bee"} if hidden or system else {"ant", "bee", label}
    assert {bare(found) for found in manifest.table["_label"]} == {bare(text) for text in expected} or not bare(label)
