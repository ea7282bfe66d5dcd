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
        ({"bbox": ["one", 2, 3, 4]}, "invalid box"),
        ({"segmentation": {"counts": [0, 0, 0], "size": [30, 40]}}, "invalid box"),
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


def written(root, change, **arguments):
    """Write four images of one box each, with what `change` makes of their file, and read it."""
    for name in "abcd":
        Image.new("RGB", (40, 30)).save(root / f"{name}.png")
    content = {
        "images": [{"id": n, "file_name": f"{name}.png", "width": 40, "height": 30} for n, name in enumerate("abcd")],
        "annotations": [
            {"id": 10 + n, "image_id": n, "category_id": 1 + n % 2, "bbox": [2, 3, 10, 12]} for n in range(4)
        ],
        "categories": [dict(category) for category in CATEGORIES],
    }
    change(content)
    (root / "annotations.json").write_text(json.dumps(content))
    manifest = CocoSource(root, **arguments).load()
    return manifest.table, " ".join(manifest.notes)


def without(key, place, name):
    return lambda content: content[key][place].pop(name)


@pytest.mark.parametrize(
    ("change", "rows", "words"),
    [
        (without("images", 0, "file_name"), 3, "1 entries of images without id and file_name"),
        (without("annotations", 1, "category_id"), 3, "1 entries of annotations without"),
        (lambda content: content["annotations"].append(None), 4, "1 entries of annotations without"),
        (lambda content: content["categories"].append({"name": "wasp"}), 4, "1 entries of categories without id"),
        (lambda content: content["images"].append({"id": 0, "file_name": "b.png"}), 3, "more than one file_name"),
        (lambda content: content["categories"].append({"id": 1, "name": "wasp"}), 2, "more than one name"),
        (lambda content: content["annotations"].append(dict(content["annotations"][0], bbox=[5, 5, 5, 5])), 5,
         "1 annotations have the id of another"),
    ],
)  # fmt: skip
def test_an_entry_that_is_none_takes_no_other_along(tmp_path, change, rows, words):
    table, said = written(tmp_path, change)
    assert len(table) == rows and table[ID].is_unique and words in said


def test_ids_may_be_numbers_of_any_kind(tmp_path):
    def change(content):
        for entry in content["annotations"]:
            entry["image_id"], entry["category_id"] = float(entry["image_id"]), str(entry["category_id"])

    assert written(tmp_path, change)[0][LABEL].tolist() == ["ant", "bee", "ant", "bee"]


def test_images_are_found_by_the_rules_of_tables(tmp_path):
    def change(content):
        names = ["D:\\card\\a.png", "B.PNG", str(tmp_path / "c.png"), "d"]
        for image, name in zip(content["images"], names, strict=True):
            image["file_name"] = name

    table, said = written(tmp_path, change)
    assert [ImageReference.parse(text).path for text in table[IMAGE]] == ["a.png", "b.png", "c.png", "d.png"]
    assert "in another case" in said and "without an extension" in said


def test_boxes_of_images_that_exif_turns_and_no_size_tells_are_remarked(tmp_path):
    write(tmp_path, [GOOD], orientation=6)
    content = json.loads((tmp_path / "annotations.json").read_text())
    del content["images"][0]["width"]
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    assert "does not tell which frame" in " ".join(CocoSource(tmp_path).load().notes)
    source = CocoSource(tmp_path, boxes="stored", margin=0)
    reference = ImageReference.parse(source.load().table[IMAGE][0])
    found = decode(read_bytes(tmp_path, reference), 8, reference.box).square
    assert found[..., 0].min() > 200 and found[..., 1].max() < 90


def packed(counts):
    """Pack run lengths as COCO's tools do."""
    text = ""
    for place, count in enumerate(counts):
        number = count - counts[place - 2] if place > 2 else count
        more = True
        while more:
            bits, number = number & 31, number >> 5
            more = number != (-1 if bits & 16 else 0)
            text += chr((bits | 32 if more else bits) + 48)
    return text


@pytest.mark.parametrize("seed", range(6))
def test_masks_of_packed_run_lengths_have_their_box(tmp_path, seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((30, 40), bool)
    top, left, down, across = rng.integers(0, 25), rng.integers(0, 30), rng.integers(1, 5), rng.integers(1, 9)
    mask[top : top + down, left : left + across] = True
    flat = mask.T.ravel()
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *ends, flat.size]).tolist()
    counts = [0, *counts] if flat[0] else counts

    def change(content):
        entry = content["annotations"][0]
        del entry["bbox"]
        entry["segmentation"] = {"size": [30, 40], "counts": packed(counts)}

    table, _ = written(tmp_path, change, margin=0)
    assert ImageReference.parse(table[IMAGE][0]).box == (left, top, across, down)


def test_boxes_that_are_shares_of_the_image_are_refused(tmp_path):
    write(tmp_path, [{"category_id": 1, "bbox": [0.25, 0.1, 0.5, 0.4]}, {"category_id": 2, "bbox": [0, 0, 1, 1]}])
    with pytest.raises(DataError, match="shares of the image.*multiply them"):
        CocoSource(tmp_path).load()


def test_categories_of_one_name_are_one_class_and_that_is_said(tmp_path):
    write(tmp_path, [GOOD, {**GOOD, "category_id": 2}, {**GOOD, "category_id": 3}])
    path = tmp_path / "annotations.json"
    content = json.loads(path.read_text())
    content["categories"] = [{"id": 1, "name": "ant"}, {"id": 2, "name": "bee"}, {"id": 3, "name": "ant"}]
    path.write_text(json.dumps(content))
    manifest = CocoSource(tmp_path).load()
    assert sorted(manifest.table[LABEL]) == ["ant", "ant", "bee"]
    assert [note for note in manifest.notes if "which are one class: 1, 3 are 'ant'" in note]
    content["categories"] = []
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="lists no category"):
        CocoSource(tmp_path).load()


def test_a_list_that_stands_twice_is_refused_and_the_first_of_what_is_left_out_named(tmp_path):
    write(tmp_path, [GOOD, {"category_id": 2, "bbox": [1, 1, 0, 5]}])
    assert [note for note in CocoSource(tmp_path).load().notes if "the first has the id 1" in note]
    path = tmp_path / "annotations.json"
    path.write_text(path.read_text().rstrip("}") + ', "annotations": []}')
    with pytest.raises(DataError, match="'annotations' twice"):
        CocoSource(tmp_path).load()


@pytest.mark.parametrize(
    "said",
    [
        {"bbox": ["10", "5", "8.0", "8"]},
        {"segmentation": [10, 5, 18, 5, 18, 13, 10, 13]},
        {"segmentation": [[10, 5, 18, 5, 18, 13, 10, 13]], "bbox": []},
        {"segmentation": {"counts": [305, 8, 22, 8, 0, 0, 22, 8] + [22, 8] * 5 + [367], "size": [30, 40]}},
    ],
)
def test_a_box_is_one_however_programs_write_it(tmp_path, said):
    write(tmp_path, [{"category_id": 1, "attributes": {"sex": "m"}, **said}])
    manifest = CocoSource(tmp_path, margin=0).load()
    assert [float(n) for n in manifest.table[IMAGE][0].split("#")[1].split(",")] == [10, 5, 8, 8]
    assert manifest.notes == ["annotations.json: not read of annotations: attributes."]


@pytest.mark.parametrize("stated", [(None, None), ("40", "30")])
def test_boxes_are_cut_though_the_file_does_not_state_a_size_in_numbers(tmp_path, stated):
    write(
        tmp_path,
        [{"category_id": 1, "bbox": [-5, 20, 20, 30]}, {"category_id": 2, "bbox": [50, 1, 5, 5]}],
        stated=stated,
    )
    manifest = CocoSource(tmp_path, margin=0).load()
    (reference,) = manifest.table[IMAGE]
    assert [float(n) for n in reference.split("#")[1].split(",")] == [0, 20, 15, 10]
    assert "1 boxes that reach beyond" in " ".join(manifest.notes) and "outside of their image" in " ".join(
        manifest.notes
    )


def test_boxes_of_two_corners_are_refused(tmp_path):
    write(tmp_path, [{"category_id": 1, "bbox": [20, 15, 38, 28]}, {"category_id": 2, "bbox": [1, 1, 9, 9]}])
    with pytest.raises(DataError, match="two corners"):
        CocoSource(tmp_path).load()
    write(tmp_path, [{"category_id": 1, "bbox": [20, 15, 38, 28]}, {"category_id": 2, "bbox": [9, 9, 5, 5]}])
    assert len(CocoSource(tmp_path).load().table) == 2


def test_a_crowd_is_one_however_it_is_written(tmp_path):
    write(tmp_path, [{**GOOD, "iscrowd": said} for said in (1, "1", True, 0, "0", None)])
    assert len(CocoSource(tmp_path).load().table) == 3
