"""COCO files with warts: each is left out for itself, counted, and takes nothing along."""

import json

import numpy as np
import pytest
from PIL import Image

from bioautoml_nni.data.decoding import ImageReference, decode, read_bytes
from bioautoml_nni.data.manifest import ID, IMAGE, LABEL
from bioautoml_nni.sources.coco import CocoSource
from bioautoml_nni.utils.errors import DataError

CATEGORIES = [{"id": 1, "name": "ant"}, {"id": 2, "name": "bee"}]


def write(root, annotations, size=(40, 30), orientation=1, stated=None, name="a.png"):
    """Write an image, grey with a red square at 10, 5 that is 8 px wide and high as it is stored, and its file."""
    pixels = np.full((size[1], size[0], 3), 128, np.uint8)
    pixels[5:13, 10:18] = (250, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(root / name, exif=exif)
    width, height = stated or size
    content = {
        "images": [{"id": 1, "file_name": name, "width": width, "height": height}],
        "annotations": [{"id": n, "image_id": 1, **entry} for n, entry in enumerate(annotations)],
        "categories": CATEGORIES,
    }
    (root / "annotations.json").write_text(json.dumps(content))


GOOD = {"category_id": 1, "bbox": [10, 5, 8, 8]}


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"bbox": [1, 1, 0, 5]}, "invalid box"),
        ({"bbox": [1, 1, -3, 5]}, "invalid box"),
        ({"bbox": [1, 2, 3]}, "invalid box"),
        ({"bbox": ["1", 2, 3, 4]}, "invalid box"),
        ({"bbox": [100, 100, 5, 5]}, "outside of their image"),
        ({"bbox": [1, 1, 5, 5], "iscrowd": 1}, "crowds"),
        ({}, "without a box beside others"),
        ({"segmentation": {"counts": "packed", "size": [30, 40]}}, "invalid box"),
    ],
)
def test_a_bad_annotation_is_left_out_for_itself(tmp_path, bad, words):
    write(tmp_path, [GOOD, {"category_id": 2, **bad}, {**GOOD, "category_id": 2}])
    manifest = CocoSource(tmp_path, margin=0).load()
    assert manifest.table[LABEL].tolist() == ["ant", "bee"]
    assert [note for note in manifest.notes if words in note and ": 1 " in note]


def test_a_box_that_reaches_beyond_is_cut_and_counted(tmp_path):
    write(tmp_path, [{"category_id": 1, "bbox": [-5, 20, 20, 30]}])
    manifest = CocoSource(tmp_path, margin=0).load()
    assert manifest.table[IMAGE].tolist() == ["a.png#0,20,15,10"]
    assert "1 boxes that reach beyond their image" in " ".join(manifest.notes)


@pytest.mark.parametrize(
    "segmentation",
    [
        [[10, 5, 18, 5, 18, 13, 10, 13]],
        {"size": [30, 40], "counts": [10 * 30 + 5, 8, *[22, 8] * 7, 22 * 30 - 13]},
    ],
)
def test_a_segmentation_without_a_box_has_one(tmp_path, segmentation):
    write(tmp_path, [{"category_id": 1, "segmentation": segmentation}])
    assert CocoSource(tmp_path, margin=0).load().table[IMAGE].tolist() == ["a.png#10,5,8,8"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_boxes_of_stored_pixels_stay_on_their_specimen_however_exif_turns_it(tmp_path, orientation, name):
    write(tmp_path, [GOOD], orientation=orientation, name=name)
    told = {} if orientation > 4 else {"boxes": "stored"}  # width and height tell it only where they are exchanged
    manifest = CocoSource(tmp_path, margin=0, **told).load()
    reference = ImageReference.parse(manifest.table[IMAGE].iloc[0])
    crop = decode(read_bytes(tmp_path, reference), 8, reference.box).square
    assert crop[2:6, 2:6, 0].min() > 200 and crop[2:6, 2:6, 1].max() < 60


def test_boxes_of_the_turned_image_are_left_as_they_are(tmp_path):
    write(tmp_path, [{"category_id": 1, "bbox": [1, 2, 3, 4]}], orientation=6, stated=(30, 40))
    assert CocoSource(tmp_path, margin=0).load().table[IMAGE].tolist() == ["a.png#1,2,3,4"]


def test_where_the_size_does_not_tell_the_frame_it_is_said(tmp_path):
    write(tmp_path, [GOOD], orientation=3)
    manifest = CocoSource(tmp_path, margin=0).load()
    assert manifest.table[IMAGE].tolist() == ["a.png#10,5,8,8"]
    assert "1 images whose size does not tell" in " ".join(manifest.notes)


def test_boxes_that_fit_neither_are_refused(tmp_path):
    write(tmp_path, [GOOD], stated=(80, 60))
    with pytest.raises(DataError, match="another size than their file says"):
        CocoSource(tmp_path).load()


def test_identifiers_may_be_texts_on_one_side(tmp_path):
    write(tmp_path, [{**GOOD, "category_id": "2", "image_id": "1"}])
    table = CocoSource(tmp_path).load().table
    assert table[LABEL].tolist() == ["bee"] and table[ID].tolist() == ["1"]


def test_a_file_without_annotations_is_one_sentence_or_one_note(tmp_path):
    write(tmp_path, [GOOD])
    content = json.loads((tmp_path / "annotations.json").read_text())
    (tmp_path / "empty.json").write_text(json.dumps({**content, "annotations": []}))
    with pytest.raises(DataError, match=r"empty\.json: has no annotations; its 1 images"):
        CocoSource(tmp_path, annotations="empty.json").load()
    manifest = CocoSource(tmp_path, annotations={"train": "annotations.json", "test": "empty.json"}).load()
    assert len(manifest.table) == 1 and any("empty.json: has no annotations" in note for note in manifest.notes)
