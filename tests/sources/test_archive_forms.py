"""Darwin Core archives: columns by the place that meta.xml declares, in any encoding, from any number of extensions."""

import io
import tarfile
import zipfile

import archives
import pytest
from PIL import Image

from bioautoml_nni.data.manifest import IMAGE, LABEL
from bioautoml_nni.sources import _archive_form
from bioautoml_nni.sources._archive_form import in_plain_form
from bioautoml_nni.sources.darwin_core import DarwinCoreSource
from bioautoml_nni.sources.imagefolder import ImageFolderSource
from bioautoml_nni.sources.webdataset import WebDatasetSource
from bioautoml_nni.utils.errors import DataError

TERMS = "http://rs.tdwg.org/dwc/terms"
CORE = """<archive xmlns="http://rs.tdwg.org/dwc/text/"><core encoding="{encoding}" fieldsTerminatedBy="{separator}"
 linesTerminatedBy="{ending}" fieldsEnclosedBy="" ignoreHeaderLines="1" rowType="{terms}/{kind}">
<files><location>{place}</location></files><id index="0"/>{fields}</core>{extensions}</archive>"""
EXTENSION = """<extension encoding="utf-8" fieldsTerminatedBy="\\t" linesTerminatedBy="\\n" fieldsEnclosedBy=""
 ignoreHeaderLines="1" rowType="http://rs.gbif.org/terms/1.0/{name}"><files><location>{name}.txt</location></files>
<coreid index="0"/><field index="1" term="http://purl.org/dc/terms/identifier"/></extension>"""
ROWS = [["id", "order", "eventDate", "countryCode"], ["1", "Käfer", "2016-06-13", "NA"], ["2", "Fliege", "", "DE"],
        ["3", "Fliege", "2016-06-14", ""]]  # fmt: skip
FIELDS = {1: "order", 2: "eventDate", 3: "countryCode"}


def read(
    root,
    fields=FIELDS,
    encoding="utf-8",
    declared=None,
    separator="\t",
    media=None,
    place="o.txt",
    rows=ROWS,
    ending="\n",
    kind="Occurrence",
    written="",
    **arguments,
):
    """Write an archive and its images 1.png to 3.png, and read it."""
    (root / "archive").mkdir()
    (root / "media").mkdir()
    for number in (1, 2, 3):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(root / f"media/{number}.png")
    for name, listed in (media or {}).items():
        lines = ["coreid\tidentifier", *("\t".join(row) for row in listed)]
        (root / f"archive/{name}.txt").write_text("\n".join(lines) + "\n")
    text = "".join(f'<field index="{index}" term="{TERMS}/{name}"/>' for index, name in fields.items())
    meta = CORE.format(
        encoding=declared or encoding, separator=separator.replace("\t", "\\t"), terms=TERMS, place=place, fields=text,
        ending=ending.replace("\r", "\\r").replace("\n", "\\n"), kind=kind,
        extensions="".join(EXTENSION.format(name=name) for name in media or {}),
    )  # fmt: skip
    (root / "archive/meta.xml").write_text(meta)
    core = "".join((written or separator).join(row) + ending for row in rows)
    (root / "archive/o.txt").write_bytes(core.encode(encoding))
    return DarwinCoreSource(root, archive="archive", **arguments).load()


def test_a_term_stands_in_the_column_that_is_declared(tmp_path):
    manifest = read(tmp_path, {1: "order", 3: "countryCode"})
    assert manifest.table["countryCode"].fillna("").tolist() == ["NA", "DE", ""]
    assert "eventDate" not in manifest.table


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [("utf-16", "UTF-16"), ("utf-16-le", "UTF-16LE"), ("utf-8", "utf8mb4"), ("latin-1", "ISO-8859-1"),
     ("cp1252", "UTF-8")],
)  # fmt: skip
def test_any_encoding_may_be_declared(tmp_path, encoding, declared):
    assert read(tmp_path, encoding=encoding, declared=declared).table[LABEL].tolist() == ["Käfer", "Fliege", "Fliege"]


@pytest.mark.parametrize("separator", ["|", "||", ";", " "])
def test_any_separator_may_be_declared(tmp_path, separator):
    assert read(tmp_path, separator=separator).table["countryCode"].fillna("").tolist() == ["NA", "DE", ""]


@pytest.mark.parametrize("separator", ["\t", ";", "||"])
def test_rows_that_lack_fields_are_counted(tmp_path, separator):
    manifest = read(tmp_path, separator=separator, rows=[ROWS[0], ROWS[1], ROWS[2][:2], ["3", "Fliege"]])
    assert manifest.table["countryCode"].fillna("").tolist() == ["NA", "", ""]
    told = [note for note in manifest.notes if "fewer than the 4 fields" in note]
    assert len(told) == 1 and "2 rows" in told[0] and "the first is row 2" in told[0]


def test_empty_fields_at_the_end_are_no_lack(tmp_path):
    assert not [note for note in read(tmp_path).notes if "fewer than" in note]


def test_media_of_all_extensions_count_and_a_file_by_its_url_is_no_others_by_id(tmp_path):
    media = {"Multimedia": [["1", "http://x.org/3.png"]], "Audubon": [[" 2 ", "http://x.org/2.png"]]}
    table = read(tmp_path, media=media).table
    assert dict(zip(table["occurrence"], table[IMAGE], strict=True)) == {"1": "3.png", "2": "2.png"}


def test_texts_that_mean_a_gap_are_gaps(tmp_path):
    assert read(tmp_path, missing=["NA"]).table["countryCode"].fillna("").tolist() == ["", "DE", ""]


@pytest.mark.parametrize("ending", ["\r\n", "|", "\r"])
def test_lines_end_as_meta_xml_says(tmp_path, ending):
    break_ = "a\nb" if ending != "\r" else "a b"
    rows = [ROWS[0], *([*row[:3], break_] for row in ROWS[1:])]
    manifest = read(tmp_path, rows=rows, ending=ending, columns={"countryCode": "categorical"})
    assert manifest.table["countryCode"].tolist() == ["a b"] * 3 and len(manifest.table) == 3
    assert ("3 rows have breaks of lines in a field" in " ".join(manifest.notes)) == (ending != "\r")


def test_an_inch_sign_is_no_quote_where_meta_xml_declares_none(tmp_path):
    rows = [ROWS[0], *([*row[:3], remark] for row, remark in zip(ROWS[1:], ['5" wide', "a\nb", "c\nd"], strict=True))]
    manifest = read(tmp_path, rows=rows, ending="\r\n", columns={"countryCode": "categorical"})
    assert manifest.table["countryCode"].tolist() == ['5" wide', "a b", "c d"]


def test_a_separator_that_meta_xml_gets_wrong_is_found_and_said(tmp_path):
    manifest = read(tmp_path, written=";")
    assert manifest.table[LABEL].tolist() == ["Käfer", "Fliege", "Fliege"]
    assert "separated by ';', not by '\\t' as meta.xml says" in " ".join(manifest.notes)


def test_an_archive_of_events_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(DataError, match="lists events, not occurrences"):
        read(tmp_path, kind="Event")


def test_a_term_that_is_written_otherwise_is_suggested(tmp_path):
    with pytest.raises(DataError, match="did you mean 'order'"):
        read(tmp_path, rank="Order")


def test_nothing_outside_of_an_archive_is_read(tmp_path):
    (tmp_path / "secret.txt").write_text("1\tx\n")
    with pytest.raises(DataError, match="leads outside of the archive"):
        read(tmp_path, place="../secret.txt")


def write_shard(path, *more, **files):
    """Write a shard of files with their content; an image where that is None; `more` are pairs whose names repeat."""
    drawn = io.BytesIO()
    Image.new("RGB", (8, 8)).save(drawn, "PNG")
    with tarfile.open(path, "w") as shard:
        for name, content in (*files.items(), *more):
            data = drawn.getvalue() if content is None else content.encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            shard.addfile(entry, io.BytesIO(data))


def test_a_sample_that_is_damaged_takes_no_other_along(tmp_path):
    files = {f"{n}.png": None for n in range(4)} | {f"{n}.json": '{"label": "ant"}' for n in range(2)}
    write_shard(tmp_path / "a.tar", **files, **{"2.json": '{"label": ', "3.JSON": '{"label": "bee"}'})
    manifest = WebDatasetSource(tmp_path).load()
    assert manifest.table[LABEL].tolist() == ["ant", "ant", "bee"]
    assert "1 samples left out, such as '2' of a.tar, whose .json is not JSON" in " ".join(manifest.notes)


def test_nested_values_of_a_sample_are_named(tmp_path):
    said = '{"label": "ant", "box": [1, 2], "site": {"lat": 1}, "mass": 2}'
    write_shard(tmp_path / "a.tar", **{"1.png": None, "1.json": said, "2.png": None, "2.json": '{"label": "bee"}'})
    manifest = WebDatasetSource(tmp_path).load()
    assert manifest.notes == ["Lists and objects in the JSON of samples left out: box, site."]
    assert "mass" in manifest.table and "box" not in manifest.table


def test_further_images_and_companions_of_a_sample_are_counted_or_none(tmp_path):
    files = {"0.left.png": None, "0.right.png": None, "0.cls": "ant", "._1.png": None, "1.png": None, "1.cls": "²"}
    write_shard(tmp_path / "a.tar", **files)
    manifest = WebDatasetSource(tmp_path, classes=["x", "y"]).load()
    assert manifest.table[LABEL].tolist() == ["ant", "²"]
    assert "1 images beyond the first of their sample left out, such as 0.right.png" in " ".join(manifest.notes)


def test_images_beside_class_folders_are_counted(tmp_path):
    for name in ("ant/1.png", "bee/2.png", "3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    manifest = ImageFolderSource(tmp_path).load()
    assert manifest.table[LABEL].tolist() == ["ant", "bee"]
    assert "1 images beside the class folders have no class and are left out, such as 3.png" in " ".join(manifest.notes)


def test_samples_of_one_name_are_no_sample(tmp_path):
    more = [("0.png", None), ("0.cls", "bee")]
    write_shard(tmp_path / "a.tar", *more, **{"0.png": None, "0.cls": "ant", "1.png": None, "1.cls": "ant"})
    manifest = WebDatasetSource(tmp_path).load()
    assert manifest.table[LABEL].tolist() == ["ant"] and manifest.table["_id"].tolist() == ["1"]
    assert "'0' of a.tar, which has more than one .cls" in " ".join(manifest.notes)


@pytest.mark.parametrize("wart", ["packed with its folders", "in another case"])
def test_an_archive_that_was_packed_again_is_read(tmp_path, wart):
    archives.write_darwin_core(tmp_path, packed=False)
    whole = DarwinCoreSource(tmp_path, archive="archive").load()
    with zipfile.ZipFile(tmp_path / "again.zip", "w") as packed:
        for file in sorted((tmp_path / "archive").iterdir()):
            name = file.name.upper() if "case" in wart else f"download/gbif/{file.name}"
            packed.write(file, name)
        packed.writestr("__MACOSX/._meta.xml", b"\0\5\x16\7")
    again = DarwinCoreSource(tmp_path, archive="again.zip").load()
    assert again.table.equals(whole.table)
    assert ("as meta.xml calls it" in " ".join(again.notes)) is ("case" in wart)


def test_a_file_that_the_archive_lacks_is_named_without_the_place_of_its_copy(tmp_path):
    archives.write_darwin_core(tmp_path, packed=False)
    (tmp_path / "archive" / "occurrence.txt").unlink()
    with pytest.raises(DataError, match=r"\(occurrence\.txt: No such file"):
        DarwinCoreSource(tmp_path, archive="archive").load()


CRLF = """<archive xmlns="http://rs.tdwg.org/dwc/text/"><core encoding="UTF-8" linesTerminatedBy="\\r\\n"
 fieldsTerminatedBy="\\t" fieldsEnclosedBy="" ignoreHeaderLines="1"><files><location>o.txt</location></files>
<id index="0"/></core></archive>"""


@pytest.mark.parametrize("place", ["", "inner/"])
@pytest.mark.parametrize("name", ["o.txt", "O.txt"])
def test_breaks_within_fields_are_found_wherever_the_table_lies_in_a_zip(tmp_path, place, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(f"{place}meta.xml", CRLF)
        packed.writestr(f"{place}{name}", b"id\tnote\r\n1\tin two\nlines\r\n2\tin one\r\n")
    with in_plain_form(tmp_path / "a.zip", []) as folder:
        assert (folder / "o.txt").read_bytes() == b"id\tnote\n1\tin two lines\n2\tin one\n"


@pytest.mark.parametrize("size", [1, 2, 3, 1 << 20])
@pytest.mark.parametrize(
    ("text", "otherwise"),
    [
        ("a\r\nb\r\n", False),
        ("a\nb\n", False),
        ("a\r\nb\nc", True),
        ("\na\r\n", True),
        ("a\rb\r\n", False),
        ("", False),
    ],
)
def test_a_table_is_asked_for_its_ends_block_by_block(text, otherwise, size, tmp_path, monkeypatch):
    (tmp_path / "o.txt").write_bytes(text.encode())
    monkeypatch.setattr(_archive_form, "BLOCK", size)
    assert _archive_form._ends_otherwise(tmp_path, "o.txt", "\r\n") == otherwise
