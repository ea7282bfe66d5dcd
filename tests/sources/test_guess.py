"""From somebody's data to an experiment that loads, without a line edited."""

import numpy as np
import pandas as pd
import pytest
from archives import image, write_camera_traps, write_darwin_core
from conftest import in_process

from bioautoml_nni.config import load_experiment
from bioautoml_nni.data.load import load_manifest
from bioautoml_nni.sources.guess import guess
from bioautoml_nni.sources.guessed_experiment import guessed_experiment
from bioautoml_nni.utils.errors import DataError

RNG = np.random.default_rng(0)
TABLES = {
    "museum": {
        "Inventarnummer": [f"{n:05d}" for n in range(60)], "Bilddatei": None, "Art": ["Käfer", "Mücke", "Wanze"] * 20,
        "Fundort": ["Au", "Bach", "Feld", "Wald"] * 15, "Datum": [f"{1 + n % 28:02d}.06.2016" for n in range(60)],
        "Körperlänge_mm": [f"{value:.1f}".replace(".", ",") for value in RNG.uniform(1, 9, 60)],
    },
    "traps": {
        "photo": None, "species": ["moth", "fly", "beetle"] * 20, "trap_id": [f"{n // 6:03d}" for n in range(60)],
        "timestamp": [f"2016-06-{1 + n % 28:02d}T22:{n:02d}:00Z" for n in range(60)],
        "decimalLatitude": np.round(RNG.uniform(47, 48, 60), 4), "decimalLongitude": np.round(RNG.uniform(8, 9, 60), 4),
    },
    "plagas": {
        "archivo": None, "especie": ["pulgón", "trips"] * 30, "trampa": [n // 4 for n in range(60)],
        "fecha": [f"{1 + n % 27:02d}/07/2016" for n in range(60)], "ancho_mm": np.round(RNG.uniform(1, 9, 60), 2),
    },
}  # fmt: skip
EXPECTED = {
    "museum": ("Bilddatei", "Art", "Inventarnummer", None, {"Datum": "date", "Körperlänge_mm": "size"}),
    "traps": ("photo", "species", None, "trap_id", {"timestamp": "date", "decimalLatitude": "latitude"}),
    "plagas": ("archivo", "especie", None, "trampa", {"fecha": "date", "ancho_mm": "size"}),
}


def write(folder, name, suffix=".csv", **options):
    rows = {
        column: values if values is not None else [f"imgs/{n}.jpg" for n in range(60)]
        for column, values in TABLES[name].items()
    }
    for n in range(60):
        image(folder / "fotos" / f"imgs/{n}.jpg", n)
    pd.DataFrame(rows).to_csv(folder / f"{name}{suffix}", index=False, **options)
    return folder / f"{name}{suffix}"


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_guessed_and_its_experiment_loads(tmp_path, capsys, name):
    table = write(tmp_path, name, sep=";", encoding="cp1252") if name == "museum" else write(tmp_path, name)
    code, said = in_process(capsys, "init", table)
    assert code == 0 and "Wrote" in said, said
    experiment = load_experiment(tmp_path / "experiment.yml")
    assert experiment.name == name and experiment.data.arguments["image_root"] == "fotos"
    image, label, identifier, group, columns = EXPECTED[name]
    arguments = experiment.data.arguments
    assert (arguments["image"], arguments["label"], arguments.get("id")) == (image, label, identifier)
    assert experiment.data.split.group == group
    assert columns.items() <= arguments["columns"].items()
    manifest = load_manifest(experiment)
    assert len(manifest.table) == 60 and "#" in (tmp_path / "experiment.yml").read_text()
    assert in_process(capsys, "init", table)[0] == 2  # nothing is written over


def test_folders_are_classes_and_may_be_parts(tmp_path):
    for part in ("train", "val"):
        for label in ("ant", "bee"):
            for n in range(3):
                image(tmp_path / "parts" / part / label / f"{n}.jpg", n)
                image(tmp_path / "plain" / label / f"{part}{n}.jpg", n)
    plain, parts = guess(tmp_path / "plain"), guess(tmp_path / "parts")
    assert plain.source == parts.source == "imagefolder" and plain.values == {"modalities": ["image"]}
    assert parts.values["split"] == {"method": "official", "train": ["train"], "test": ["val"]}


def test_archives_and_coco_files_are_known(tmp_path):
    write_darwin_core(tmp_path / "dwc")
    write_camera_traps(tmp_path / "coco")
    archive, coco = guess(tmp_path / "dwc/archive.zip"), guess(tmp_path / "coco/annotations.json")
    assert archive.source == "darwin_core" and archive.values["archive"] == "archive.zip"
    assert archive.values["media"] == "media"
    assert coco.source == "coco" and coco.values["annotations"] == "annotations.json"


def test_what_is_no_data_is_named(tmp_path):
    (tmp_path / "a.txt.exe").write_text("")
    (tmp_path / "x.json").write_text("{}")
    for name in ("none", "a.txt.exe", "x.json", "."):
        with pytest.raises(DataError):
            guess(tmp_path / name)


def test_a_table_of_images_and_labels_alone_is_learned_from_images(tmp_path, capsys):
    for n in range(20):
        image(tmp_path / f"{n}.png", n)
    rows = {
        "image": [f"{n}.png" for n in range(20)],
        "label": ["ant", "bee"] * 10,
        "finca": [n // 4 for n in range(20)],
    }
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    assert in_process(capsys, "init", tmp_path / "t.csv")[0] == 0
    settings = load_experiment(tmp_path / "experiment.yml").data
    assert settings.modalities == ["image"] and settings.split.group == "finca"
    checked = in_process(capsys, "check", tmp_path / "experiment.yml", "--output", tmp_path / "audit.json")
    assert checked[0] in (0, 1), checked[1]


def test_a_place_in_spanish_is_what_was_collected_together(tmp_path):
    rows = [f"{n}.png,{'ant' if n % 2 else 'bee'},finca {n // 4}" for n in range(24)]
    (tmp_path / "t.csv").write_text("Fotografía,Especie,Localidad\n" + "\n".join(rows), encoding="utf-8")
    found = guess(tmp_path / "t.csv")
    assert found.values["split"] == {"method": "group", "group": "Localidad"}
    assert "its name" in found.reasons["image"]


def test_what_init_writes_can_be_read_where_half_a_place_is_missing(tmp_path):
    """An O that may be Ost or Ouest leaves a latitude alone, which a place cannot be."""
    rows = [f"{n}.png,{'abc'[n % 3]},48°{n % 50}'N,16°{n % 50}'O,{n % 24}:{n % 60:02d}" for n in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["img,species,Lat,Lon,time", *rows]))
    found = guess(tmp_path / "t.csv")
    assert found.values["columns"] == {"Lat": "ignored", "Lon": "ignored", "time": "hour"}
    assert "the O of 60 values" in found.reasons["columns.Lon"] and "needs a longitude" in found.reasons["columns.Lat"]
    for half in (["img,species,lat", *(f"{n}.png,{'abc'[n % 3]},{48 + n / 60}" for n in range(60))],):
        (tmp_path / "t.csv").write_text("\n".join(half))
        assert guess(tmp_path / "t.csv").values["columns"] == {"lat": "ignored"}


def test_a_column_that_names_images_without_their_extension_is_found(tmp_path):
    for n in range(12):
        image(tmp_path / "fotos" / f"IMG_{n:04d}.JPG", n)
    rows = {
        "trap no": [n // 4 for n in range(12)],
        "nr": [f"img_{n:04d}" for n in range(12)],
        "art": ["ant", "bee"] * 6,
    }
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    found = guess(tmp_path / "t.csv")
    assert (found.values["image"], found.values["image_root"], found.values["id"]) == ("nr", "fotos", "nr")
    path = tmp_path / "experiment.yml"
    path.write_text(guessed_experiment(found, "t"), encoding="utf-8")
    manifest = load_manifest(load_experiment(path))
    assert manifest.table["_image"][3] == "IMG_0003.JPG" and manifest.table["_id"][3] == "img_0003"


def test_other_files_and_long_texts_name_no_images(tmp_path):
    image(tmp_path / "logo.png", 0)
    rows = {
        "beetle": ["a", "b"] * 6,
        "sound": [f"r{n}.wav" for n in range(12)],
        "note": [f"{n} " * 200 for n in range(12)],
    }
    for name in rows["sound"]:
        (tmp_path / name).write_bytes(b"RIFF")
    pd.DataFrame(rows | {"length": [f"{n}.5" for n in range(12)]}).to_csv(tmp_path / "t.csv", index=False)
    assert guess(tmp_path / "t.csv", given={"label": "beetle"}).values["image"] is None


def test_a_table_without_a_header_is_named(tmp_path):
    for n in range(9):
        image(tmp_path / f"{n}.jpg", n)
    (tmp_path / "t.csv").write_text("".join(f"{n}.jpg,{['ant', 'bee'][n % 2]},{n / 3}\n" for n in range(9)))
    with pytest.raises(DataError, match="its first row holds values, such as 0.jpg"):
        guess(tmp_path / "t.csv")


@pytest.mark.parametrize("name", ["Fallen-Nr.", "Fallennummer", "Trap No", "N° piège", "Armadilha (nº)"])
def test_the_number_of_a_trap_is_what_was_collected_together(tmp_path, name):
    for n in range(40):
        image(tmp_path / f"{n}.jpg", n)
    rows = {"image": [f"{n}.jpg" for n in range(40)], name: [n // 4 for n in range(40)], "species": ["ant", "bee"] * 20}
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    assert guess(tmp_path / "t.csv").values["split"] == {"method": "group", "group": name}
