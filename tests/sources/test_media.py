import hashlib

import pandas as pd
import pytest
from PIL import Image

from bioautoml_nni.data.manifest import IMAGE
from bioautoml_nni.sources._media import MediaFolder
from bioautoml_nni.utils.errors import DataError

URLS = [f"https://example.org/photos/{1000 + n}/original.png" for n in range(4)]


def match(tmp_path, files, urls=URLS, table=None):
    for name in files:
        path = tmp_path / "media" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)
    notes = []
    core = pd.DataFrame({"_core": [f"o{n}" for n in range(len(urls))]})
    media = pd.DataFrame({"_core": core["_core"], "identifier": urls})
    pairs = MediaFolder(tmp_path / "media", table, notes).match(core, media)
    return dict(zip(pairs["_core"], pairs[IMAGE], strict=True)), " ".join(notes)


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    files = [f"{1000 + n}/original.png" for n in range(4)]
    assert match(tmp_path, files)[0] == {f"o{n}": file for n, file in enumerate(files)}


def test_a_file_that_several_urls_claim_is_nobodys(tmp_path):
    found, notes = match(tmp_path, ["original.png"])
    assert found == {} and "4 of 4 listed images are left out" in notes and "data.media_table" in notes


def test_of_several_files_of_one_name_none_is_taken(tmp_path):
    found, notes = match(tmp_path, ["x/original.png", "y/original.png"], URLS[:1])
    assert found == {} and "1 of 1 listed images are left out" in notes


@pytest.mark.parametrize("kind", ["md5", "sha1", "sha256"])
def test_files_may_be_called_by_the_digest_of_their_url(tmp_path, kind):
    files = [hashlib.new(kind, url.encode()).hexdigest() + ".png" for url in URLS]
    found, notes = match(tmp_path, files)
    assert found == {f"o{n}": file for n, file in enumerate(files)} and f"4 images found by the {kind}" in notes


@pytest.mark.parametrize("column", ["url", "occurrence"])
def test_a_table_says_which_file_is_whose(tmp_path, column):
    files = [f"{n}.png" for n in range(4)]
    keys = URLS if column == "url" else [f"o{n}" for n in range(4)]
    pd.DataFrame({column: keys, "file": files}).to_csv(tmp_path / "media.csv", index=False)
    assert match(tmp_path, files, table=tmp_path / "media.csv")[0] == {f"o{n}": file for n, file in enumerate(files)}
    pd.DataFrame({"x": keys}).to_csv(tmp_path / "wrong.csv", index=False)
    with pytest.raises(DataError, match="needs a column file"):
        match(tmp_path, files, table=tmp_path / "wrong.csv")


def test_one_url_of_two_occurrences_is_shared_and_said(tmp_path):
    found, notes = match(tmp_path, ["1000/original.png"], [URLS[0], URLS[0]])
    assert set(found) == {"o0", "o1"} and "1 images stand for several occurrences" in notes


def test_occurrences_without_a_url_that_fits_are_matched_by_id(tmp_path):
    found, notes = match(tmp_path, ["o0.png", "o1_1.png", "o1_2.png"], URLS[:2])
    assert found["o0"] == "o0.png" and "3 images found by the occurrence's id" in notes
    assert "are not in media" not in notes


@pytest.mark.parametrize(
    "url", ["http://example.org/photos/1000/original.png", "https://EXAMPLE.org/photos/1000/original.png"]
)
def test_a_table_of_media_may_write_the_scheme_otherwise(tmp_path, url):
    pd.DataFrame({"url": [url, "https://example.org/other.png"], "file": ["a.png", "gone.png"]}).to_csv(
        tmp_path / "media.csv", index=False
    )
    found, notes = match(tmp_path, ["a.png"], table=tmp_path / "media.csv")
    assert found == {"o0": "a.png"} and "1 rows name files that are not in media: 'gone.png'" in notes


def test_entries_of_a_table_of_media_for_nothing_that_is_listed_are_said(tmp_path):
    table = pd.DataFrame({"occurrence": ["o0", "o9"], "file": ["a.png", "b.png"]})
    table.to_csv(tmp_path / "media.csv", index=False)
    found, notes = match(tmp_path, ["a.png", "b.png"], table=tmp_path / "media.csv")
    assert (
        found == {"o0": "a.png"} and "1 entries of data.media_table are for nothing that is listed, such as o9" in notes
    )


def test_a_url_that_is_none_takes_no_other_along(tmp_path):
    urls = ["http://[broken/1.png", *URLS[1:]]
    files = [f"{1000 + n}/original.png" for n in range(1, 4)]
    assert match(tmp_path, files, urls)[0] == {f"o{n + 1}": file for n, file in enumerate(files)}
