"""Archives in the genuine layouts of the formats that the sources read, with their warts, written for the tests."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image


def image(path: Path, shade: int = 100, size: tuple[int, int] = (12, 10)) -> None:
    """Write a small image of one shade."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade % 256, 90, 40)).save(path)


def write_bioscan5m(root: Path, rows: int = 40) -> pd.DataFrame:
    """Write a BIOSCAN-5M subset: 23 columns, chunked folders, gaps as in the release; return the table."""
    splits = ["pretrain", "train", "train", "val", "test", "key_unseen", "other_heldout", "train"]
    records = []
    for number in range(rows):
        processid, split = f"BIOUG{number:05d}-20", splits[number % len(splits)]
        digest = hashlib.md5(processid.encode(), usedforsecurity=False).hexdigest()
        chunk = {"pretrain": digest[:2], "train": digest[:1], "other_heldout": digest[:1]}.get(split)
        order = ["Diptera", "Coleoptera"][number % 2]
        species = f"Genus{order[0].lower()} species" if number % 5 else None
        records.append(
            {
                "processid": processid, "sampleid": f"S{number}", "taxon": species or order, "phylum": "Arthropoda",
                "class": "Insecta", "order": order, "family": f"{order}idae" if number % 7 else None,
                "subfamily": None, "genus": species.split()[0] if species else None, "species": species,
                "dna_bin": f"BOLD:A{number % 2}", "dna_barcode": "ACGT" * 50,
                "country": ["Canada", "Costa Rica"][number // 2 % 2],
                "province_state": "Ontario" if number % 3 else None, "coord-lat": 45.0 + number if number % 4 else None,
                "coord-lon": -80.0 - number if number % 4 else None, "image_measurement_value": 1000.0 + number,
                "area_fraction": 0.1 + 0.01 * number, "scale_factor": 1.0, "inferred_ranks": 0, "split": split,
                "index_bioscan_1M_insect": number if number % 2 else None, "chunk": chunk,
            }
        )  # fmt: skip
        folder = root / "bioscan5m/images/cropped_256" / split / (chunk or "")
        image(folder / f"{processid}.jpg", 4 * number)
    table = pd.DataFrame(records)
    target = root / "bioscan5m/metadata/csv/BIOSCAN_5M_Insect_Dataset_metadata.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(target, index=False)
    return table


def write_bioscan1m(root: Path, rows: int = 24) -> None:
    """Write a BIOSCAN-1M subset: the tab-separated table with its 28 columns, images in numbered parts."""
    records = []
    for number in range(rows):
        order = ["Diptera", "Hymenoptera"][number % 2]
        part = ["train", "train", "validation", "test"][number // 2 % 4]
        records.append(
            {
                "sampleid": f"S{number}", "processid": f"P{number}", "uri": f"BOLD:A{number % 2}", "name": order,
                "phylum": "Arthropoda", "class": "Insecta", "order": order,
                "family": f"{order}idae" if number % 3 else "not_classified", "subfamily": "not_classified",
                "tribe": "not_classified", "genus": "not_classified", "species": "not_classified",
                "subspecies": "not_classified", "nucraw": "ACGT" * 40, "image_file": f"P{number}.jpg",
                **{f"{size}_diptera_family": "no_split" for size in ("large", "medium", "small")},
                **{f"{size}_insect_order": part for size in ("large", "medium", "small")},
                "chunk_number": 1 + number % 2, "copyright_license": "CC", "copyright_holder": "x",
                "copyright_institution": "x", "copyright_contact": "x", "photographer": "x", "author": "x",
            }
        )  # fmt: skip
        image(root / f"bioscan1m/images/cropped_256/part{1 + number % 2}/P{number}.jpg", 5 * number)
    pd.DataFrame(records).to_csv(root / "bioscan1m/BIOSCAN_Insect_Dataset_metadata.tsv", sep="\t", index=False)


CORE_TERMS = [
    "gbifID",
    "occurrenceID",
    "eventDate",
    "decimalLatitude",
    "decimalLongitude",
    "sex",
    "lifeStage",
    "samplingProtocol",
    "order",
    "scientificName",
    "occurrenceRemarks",
]
META = """\ufeff<?xml version="1.0" encoding="UTF-8"?>
<archive xmlns="http://rs.tdwg.org/dwc/text/" metadata="metadata.xml">
  <core encoding="{encoding}" fieldsTerminatedBy="\\t" linesTerminatedBy="{ending}" fieldsEnclosedBy=""
        ignoreHeaderLines="1" rowType="http://rs.tdwg.org/dwc/terms/Occurrence">
    <files><location>occurrence.txt</location></files>
    <id index="0"/>
    {fields}
    <field term="http://rs.tdwg.org/dwc/terms/countryCode" default="DE"/>
  </core>
  <extension encoding="{encoding}" fieldsTerminatedBy="\\t" linesTerminatedBy="{ending}" fieldsEnclosedBy=""
        ignoreHeaderLines="1" rowType="http://rs.gbif.org/terms/1.0/Multimedia">
    <files><location>multimedia.txt</location></files>
    <coreid index="0"/>
    <field index="1" term="http://purl.org/dc/terms/type"/>
    <field index="2" term="http://purl.org/dc/terms/identifier"/>
  </extension>
</archive>
"""
DOI = "10.15468/dl.abc123"
EML = f"""<?xml version="1.0" encoding="UTF-8"?>
<eml:eml xmlns:eml="eml://ecoinformatics.org/eml-2.1.1" packageId="0001234-200101" system="http://gbif.org">
  <dataset>
    <alternateIdentifier>https://doi.org/{DOI}</alternateIdentifier>
    <title>GBIF Occurrence Download {DOI}</title>
    <intellectualRights><para>CC BY-NC 4.0</para></intellectualRights>
  </dataset>
</eml:eml>
"""
CORE_ROWS = [
    # a quotation mark that is never closed, an interval, two images
    ("1", "occ-1", "2016-06-01/2016-06-15", "48.1", "11.5", "female", "adult", 'net 12" wide', "Diptera",
     "Musca domestica L.", 'said "rare'),
    ("2", "occ-2", "2016-06-02", "0.0", "11.5", "", "adult", "net", "Diptera", "Musca", ""),  # the equator
    ("3", "occ-3", "2016-06-03T21:30:00Z", "0", "0", "male", "", "light", "Coleoptera", "Carabus", "Bäume"),  # nowhere
    ("4", "occ-4", "", "", "", "", "", "light", "Coleoptera", "Carabus", ""),
    ("5", "occ-5", "2016", "48.0", "11.0", "", "", "", "", "Insecta", ""),  # no order
    ("6", "occ-6", "2016-07-01", "48.0", "11.0", "", "", "", "Coleoptera", "Carabus", ""),  # its image is missing
    ("2", "occ-2", "2016-06-02", "1", "1", "", "", "", "Diptera", "Musca", "repeated id"),
]  # fmt: skip
MEDIA_ROWS = [
    ("1", "StillImage", "https://example.org/media/A-1.JPG?size=large"),
    ("1", "StillImage", "https://example.org/media/a-2.jpg"),
    ("2", "StillImage", "https://example.org/media/b.jpg"),
    ("3", "StillImage", "https://example.org/media/c.jpg"),
    ("5", "StillImage", "https://example.org/media/d.jpg"),
    ("6", "StillImage", "https://example.org/media/gone.jpg"),
]


def write_darwin_core(root: Path, encoding: str = "UTF-8", ending: str = "\n", packed: bool = True) -> None:
    """Write an archive as GBIF does, tab-separated without quoting, and the media folder beside it."""
    fields = "\n".join(
        f'<field index="{index}" term="http://rs.tdwg.org/dwc/terms/{name}"/>'
        for index, name in enumerate(CORE_TERMS)
        if index
    )
    declared = {"\n": "\\n", "\r\n": "\\r\\n"}[ending]

    def lines(header: list[str], rows: list[tuple[str, ...]]) -> bytes:
        return (ending.join("\t".join(row) for row in [tuple(header), *rows]) + ending).encode(encoding)

    files = {
        "meta.xml": META.format(encoding=encoding, ending=declared, fields=fields).encode(),
        "occurrence.txt": lines(CORE_TERMS, CORE_ROWS),
        "multimedia.txt": lines(["gbifID", "type", "identifier"], MEDIA_ROWS),
        "metadata.xml": EML.encode(),
    }
    root.mkdir(parents=True, exist_ok=True)
    if packed:
        with zipfile.ZipFile(root / "archive.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        (root / "archive").mkdir()
        for name, content in files.items():
            (root / "archive" / name).write_bytes(content)
    for name in ("A-1.JPG", "a-2.jpg", "b.jpg", "c.jpg", "d.jpg", "4_1.jpg", "4_2.jpg"):
        image(root / "media" / name)


def write_insect1m(root: Path, misspelt: bool = False, rows: int = 10) -> None:
    """Write a miniature of Insect-1M's JSON as its description gives it, and images named by id or URL."""
    key = "desciption" if misspelt else "description"
    records = [
        {
            "id": number,
            "image_url": f"https://example.org/photos/{1000 + number}/large_{number}.jpeg?x=1",
            "description_ids": [number % 3, 9] if number != 4 else [],
            "Kingdom": "Animalia",
            "Class": "Insecta",
            "Order": ["Diptera", "Coleoptera"][number % 2] if number != 6 else None,
            "Family": ["Muscidae", "Carabidae"][number % 2],
            "Species": ["Musca domestica", "Carabus auratus"][number % 2],
        }
        for number in range(rows)
    ]
    descriptions = [
        {"id": 0, key: "A grey fly. Musca domestica is common; Muscidae, (Diptera)."},
        {"id": 1, key: "Golden ground beetle with grooved wing cases, CARABUS."},
        {"id": 2, key: "Found near houses."},
    ]
    root.mkdir(parents=True, exist_ok=True)
    (root / "insect1m.json").write_text(
        json.dumps({"insect_records": records, "description_records": descriptions}), encoding="utf-8"
    )
    for number in range(rows - 1):  # the last one was not downloaded
        image(root / "images" / (f"{number}.jpg" if number % 2 else f"large_{number}.jpeg"), 20 * number)


def write_camera_traps(root: Path) -> None:
    """Write a COCO-CameraTraps file: sequences, an empty frame, a frame of two species with boxes."""
    images = [
        {"id": f"i{n}", "file_name": f"cam{n % 2}/{n}.jpg", "width": 60, "height": 40, "seq_id": f"s{n // 2}",
         "seq_num_frames": 2, "frame_num": n % 2, "location": n % 2, "datetime": f"2020-05-0{n + 1} 2{n}:15:00"}
        for n in range(5)
    ]  # fmt: skip
    boxes = [
        ("i0", 1, [5, 5, 20, 10]),
        ("i1", 1, [0, 0, 10, 30]),
        ("i2", 0, None),
        ("i3", 1, [2, 2, 9, 9]),
        ("i3", 2, [30, 20, 29, 19]),
    ]
    annotations = [
        {"id": f"a{n}", "image_id": image, "category_id": category, **({"bbox": box} if box else {})}
        for n, (image, category, box) in enumerate(boxes)
    ]
    annotations.append({"id": "lost", "image_id": "none", "category_id": 1})
    categories = [{"id": 0, "name": "empty"}, {"id": 1, "name": "moth"}, {"id": 2, "name": "beetle"}]
    root.mkdir(parents=True, exist_ok=True)
    content = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(content))
    for entry in images:
        image(root / entry["file_name"], size=(60, 40))


def write_inaturalist(root: Path) -> None:
    """Write train.json and val.json of an iNaturalist competition: ranks in the categories, place and date."""
    categories = [
        {"id": n, "name": name, "common_name": "x", "supercategory": "Insects", "kingdom": "Animalia",
         "phylum": "Arthropoda", "class": "Insecta", "order": order, "family": order + "idae",
         "genus": name.split()[0], "specific_epithet": name.split()[1], "image_dir_name": str(n)}
        for n, (name, order) in enumerate([("Musca domestica", "Diptera"), ("Carabus auratus", "Coleoptera")])
    ]  # fmt: skip
    root.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", 6), ("val", 4)):
        images = [
            {"id": n, "file_name": f"{part}/{n}.jpg", "width": 12, "height": 10, "license": 0, "rights_holder": "a",
             "date": "2019-07-01 10:00:00+00:00", "latitude": 40.0 + n, "longitude": 3.0, "location_uncertainty": 5}
            for n in range(count)
        ]  # fmt: skip
        annotations = [{"id": n, "image_id": n, "category_id": n % 2} for n in range(count)]
        content = {"images": images, "annotations": annotations, "categories": categories, "licenses": []}
        (root / f"{part}.json").write_text(json.dumps(content))
        for entry in images:
            image(root / entry["file_name"])


def write_shards(root: Path, shards: int = 2, per_shard: int = 4) -> None:
    """Write WebDataset shards: an image, a class number and a JSON with further values for each sample."""
    root.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        with tarfile.open(root / f"train-{shard:04d}.tar", "w") as archive:
            for number in range(per_shard):
                pixels = np.full((10, 12, 3), 20 * number + shard, np.uint8)
                buffer = io.BytesIO()
                Image.fromarray(pixels).save(buffer, "PNG")
                values = json.dumps({"length_mm": number + 0.5, "tags": ["a"]}).encode()
                for extension, content in (
                    ("png", buffer.getvalue()),
                    ("cls", str(number % 2).encode()),
                    ("json", values),
                ):
                    entry = tarfile.TarInfo(f"sample{number:03d}.{extension}")
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
