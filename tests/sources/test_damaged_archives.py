"""Whatever a data set's files hold, a source gives a sound manifest or one of our own errors."""

import json
import shutil

import archives
import pytest
from conftest import write_table
from damage import changed, damaged, tries
from hypothesis import given
from hypothesis import strategies as st

from bioautoml_nni.sources.bioscan1m import Bioscan1MSource
from bioautoml_nni.sources.bioscan5m import Bioscan5MSource
from bioautoml_nni.sources.coco import CocoSource
from bioautoml_nni.sources.csv import CsvSource
from bioautoml_nni.sources.darwin_core import DarwinCoreSource
from bioautoml_nni.sources.insect1m import Insect1MSource
from bioautoml_nni.sources.webdataset import WebDatasetSource
from bioautoml_nni.testing import check_manifest
from bioautoml_nni.utils.errors import BioAutoMLError

KINDS = {
    "csv": (write_table, CsvSource),
    "bioscan5m": (archives.write_bioscan5m, lambda root: Bioscan5MSource(root, rank="order")),
    "bioscan1m": (archives.write_bioscan1m, lambda root: Bioscan1MSource(root, rank="order")),
    "darwin_core": (
        lambda root: archives.write_darwin_core(root, packed=False),
        lambda root: DarwinCoreSource(root, archive="archive"),
    ),
    "darwin_core, packed": (archives.write_darwin_core, DarwinCoreSource),
    "insect1m": (archives.write_insect1m, Insect1MSource),
    "camera traps": (archives.write_camera_traps, CocoSource),
    "inaturalist": (
        archives.write_inaturalist,
        lambda root: CocoSource(root, annotations={"train": "train.json", "val": "val.json"}, rank="order"),
    ),
    "webdataset": (archives.write_shards, WebDatasetSource),
}
IMAGES = {".png", ".jpg", ".JPG", ".jpeg"}


@pytest.fixture(scope="module", params=KINDS)
def archive(request, tmp_path_factory):
    """A whole data set, a place for damaged ones, the files that describe it, and what reads it."""
    write, read = KINDS[request.param]
    whole, place = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("place") / "archive"
    write(whole)
    read(whole).load()
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    return whole, place, [path for path in files if path.suffix not in IMAGES], read


@tries(60)
@given(st.data())
def test_a_damaged_archive_is_refused_or_sound(archive, data):
    whole, place, files, read = archive
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(whole, place, copy_function=shutil.copy)
    file = data.draw(st.sampled_from(files))
    content = (whole / file).read_bytes()
    if file.suffix == ".json" and data.draw(st.booleans()):
        (place / file).write_text(json.dumps(data.draw(changed(json.loads(content)))))
    else:
        (place / file).write_bytes(data.draw(damaged(content)))
    try:
        manifest = read(place).load()
    except BioAutoMLError as error:
        assert str(error) and "Traceback" not in str(error)
        return
    check_manifest(manifest, "this source", images_exist=False)
