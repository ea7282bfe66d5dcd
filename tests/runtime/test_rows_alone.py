"""The answer to a row is the same to the last bit alone, among others, in any order, file and request."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from damage import tries
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from starlette.testclient import TestClient

from bioautoml_nni.artifacts.calibration import Calibration
from bioautoml_nni.artifacts.exported import ExportRecord
from bioautoml_nni.artifacts.preprocessing import Preprocessing
from bioautoml_nni.data.metadata import MetadataPreprocessor
from bioautoml_nni.data.own_csv import csv_text
from bioautoml_nni.data.tables import TableFile
from bioautoml_nni.data.typed import with_types
from bioautoml_nni.runtime import Model
from bioautoml_nni.runtime import predict as predict_module
from bioautoml_nni.runtime.predict import Request, predict
from bioautoml_nni.serve.app import create_app
from bioautoml_nni.utils.errors import DataError

ROLES = {
    "trap": "categorical", "mass": "numeric", "day": "date", "caught": "hour", "emptied": "hour", "lat": "latitude",
    "lon": "longitude", "cover": "fraction", "note": "text", "reach": "size", "damp": "fraction",
}  # fmt: skip
TRAINING = pd.DataFrame(
    {
        "trap": ["007", "010", "NA", "7.0"] * 3,
        "mass": ["1,5", "2,25", "10", "1.000,5"] * 3,
        "day": ["13/06/2016", "03/04/2016", "", "2016-07-01 10:30"] * 3,
        "caught": ["23:30", "11 pm", "6", ""] * 3,
        "emptied": ["0630", "2130", "", "1215"] * 3,
        "lat": ["50°06'N", "3 0.0 S", "0", "N89,9"] * 3,
        "lon": ["8,5", "170", "0", "-12"] * 3,
        "cover": ["0,1", "0,9", "1", "0"] * 3,
        "reach": ["12 mm", "1,2 cm", "", "8 mm"] * 3,
        "damp": ["35 %", "0,4", "7 %", ""] * 3,
        "note": ["on bark", "NA", "leaf of oak", ""] * 3,
    },
    dtype="str",
).replace("", None)
WARTS = [
    "", "7", "007", "7.0", "NA", "nan", "x", "1,5", "1.5", "1,234", "1.234", "03/04/2016", "06/13/2016", "2016",
    "23:30", "1e400", "-1", "inf", " 12 ", "12345678901234567", "2016-07-01T10:30Z", "42534",
    "48°12'30\"N", "16°22′O", "0930", "3 mm", "0.4 cm", "1 inch", "35 %", "3 mg",
]  # fmt: skip


def summing(specification):
    """Return a network that is a sum over all of its inputs, with fixed random weights."""
    rng = np.random.default_rng(0)
    shapes = {"numeric": len(specification["numeric_fields"]), "mask": specification["fields"]}
    weights = [
        onnx.numpy_helper.from_array(rng.normal(size=(width, 3)).astype(np.float32), f"of_{name}")
        for name, width in shapes.items()
    ]
    weights.append(
        onnx.numpy_helper.from_array(
            rng.normal(size=(specification["categories"][0], 3)).astype(np.float32), "of_category"
        )
    )
    nodes = [
        helper.make_node("MatMul", ["numeric", "of_numeric"], ["a"]),
        helper.make_node("MatMul", ["mask", "of_mask"], ["b"]),
        helper.make_node("Gather", ["of_category", "categorical"], ["c"]),
        helper.make_node("ReduceSum", ["c", "axes"], ["d"], keepdims=0),
        helper.make_node("Sum", ["a", "b", "d"], ["logits"]),
    ]
    weights.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "axes"))
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]) for name, width in shapes.items()]
    inputs.append(helper.make_tensor_value_info("categorical", TensorProto.INT64, ["N", 1]))
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_model(
        helper.make_graph(nodes, "sum", inputs, [output], weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    return bytes(graph.SerializeToString())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of metadata whose network is a sum over all of its inputs, with fixed random weights."""
    typed = with_types(TRAINING, roles=ROLES)
    preprocessor = MetadataPreprocessor(ROLES, rare_below=1, text_width=8, forms=typed.forms).fit(typed.table)
    specification = preprocessor.specification()
    session = onnxruntime.InferenceSession(summing(specification), providers=["CPUExecutionProvider"])
    info = ExportRecord(
        name="sum", rank="label", modalities=["metadata"], brand="", parameters=0, sha256={"model.onnx": "0"}
    )
    calibration = Calibration(temperature=1.0)
    classes = pd.DataFrame({"index": [0, 1, 2], "name": ["NA", "007", "ant"]})
    folder = tmp_path_factory.mktemp("model")
    preprocessing = Preprocessing(
        classes=classes["name"].tolist(), rank="label", modalities=["metadata"], image={},
        metadata=preprocessor.to_dict(),
    )  # fmt: skip
    return Model(folder, info, preprocessing, calibration, classes, session)


cells = st.sampled_from(WARTS) | st.text("0123456789.,-/: TZeE%ab", max_size=10)
tables = st.lists(st.fixed_dictionaries(dict.fromkeys(ROLES, cells)), min_size=2, max_size=9)


def test_columns_are_known_by_their_names_whatever_their_spaces_and_accents(model, client):
    """A table that was made on another machine says é in two letters, and a service's client may, too."""
    table = TRAINING.rename(columns={"note": "note\u00a0"})
    np.testing.assert_array_equal(model.logits(None, table), model.logits(None, TRAINING))
    assert not model.lacking(table) and model.doubts(table) == model.doubts(TRAINING)
    row = {"trap": "007", "note\u00a0": "on bark"}
    asked = {"source_images": [{"id": "a", "url": "data:,", "metadata": row}]}
    assert not [text for text in client.post("/process", json=asked).json().get("warnings", []) if "note" in text]


@pytest.fixture(scope="module")
def client(model):
    with TestClient(create_app(model), base_url="http://127.0.0.1") as served:
        yield served


@tries(25)
@given(tables, st.randoms())
def test_rows_are_answered_by_themselves(tmp_path_factory, model, client, rows, random):
    folder = tmp_path_factory.mktemp("rows")
    table = pd.DataFrame(rows, dtype="str")
    table[table.map(lambda cell: not cell.strip())] = None
    whole = model.logits(None, table)
    alone = np.concatenate([model.logits(None, table.iloc[[n]].reset_index(drop=True)) for n in range(len(table))])
    np.testing.assert_array_equal(alone, whole)
    requests = [{name: cell for name, cell in row.items() if cell.strip()} for row in rows]
    images = [{"id": str(n), "url": "data:,", "metadata": row} for n, row in enumerate(requests)]
    one = random.randrange(len(images))
    for part in (slice(None), slice(one, one + 1)):
        found = client.post("/process", json={"source_images": images[part]}).json()["detections"]
        served = [entry["classifications"][0]["logits"] for entry in found]
        np.testing.assert_array_equal(np.array(served, np.float32), whole[part])
    order = list(range(len(table)))
    random.shuffle(order)
    np.testing.assert_array_equal(model.logits(None, table.iloc[order].reset_index(drop=True)), whole[order])
    (folder / "t.csv").write_text(csv_text(table), encoding="utf-8")
    table.to_parquet(folder / "t.parquet")
    table.to_excel(folder / "t.xlsx", index=False)
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table.to_dict("records")))
    for name in ("t.csv", "t.parquet", "t.xlsx", "t.jsonl"):
        read = [model.logits(None, block) for block in TableFile(folder / name).blocks(4)]
        if table.notna().any(axis=1).all():  # a line of separators alone is not a row
            np.testing.assert_array_equal(np.concatenate(read), whole)


def test_numbers_and_their_texts_are_one(model):
    texts = pd.DataFrame({"mass": ["2.25", "3"], "trap": ["7.0", "007"], "caught": ["6", "6.5"]})
    numbers = pd.DataFrame({"mass": [2.25, 3.0], "trap": ["7.0", "007"], "caught": [6.0, 6.5]})
    np.testing.assert_array_equal(model.logits(None, texts), model.logits(None, numbers))


def test_numbers_of_a_format_and_their_texts_are_one(model, tmp_path):
    """Numbers that a spreadsheet, Parquet or JSON hold as such are answered like the CSV of the same rows."""
    rows = pd.DataFrame(
        {"trap": [7, 10, None], "mass": [1.5, None, 1000.5], "caught": [6, 23, None], "lat": [50, -3, 0]}
    )
    rows.to_csv(tmp_path / "t.csv", index=False)
    rows.to_excel(tmp_path / "t.xlsx", index=False)
    rows.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    rows.astype({"trap": "Int64", "lat": "int8"}).to_parquet(tmp_path / "t.parquet")
    rows.astype({"trap": "category"}).to_feather(tmp_path / "t.feather")
    files = [TableFile(tmp_path / f"t.{kind}") for kind in ("csv", "xlsx", "jsonl", "parquet", "feather")]
    numbers = ["mass", "caught", "lat"]  # a category's spelling is the format's: 7.0 in this CSV
    first, *others = [model.logits(None, next(file.blocks(9))[numbers]) for file in files]
    for found in others:
        np.testing.assert_array_equal(found, first)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_nothing_is_left_of_a_call_that_cannot_be_answered(model, tmp_path, name):
    table = pd.DataFrame({"mass": []} if name == "t.parquet" else {"mass": [1]})
    table.to_parquet(tmp_path / name) if name == "t.parquet" else table.to_csv(tmp_path / name, index=False)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(DataError, match="nothing to predict|no column 'site'"):
        predict(model, Request(tmp_path / name, tmp_path / "out.csv", group="site"))
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("block", [1, 3, 512])
def test_predictions_keep_every_column_and_row(model, tmp_path, monkeypatch, block):
    monkeypatch.setattr(predict_module, "BLOCK", block)
    names = [
        "_id",
        "error",
        "rank",
        "prediction",
        "set",
        "label_1",
        "failure",
        "input x",
        "logit_ant",
        "specimens",
        "id",
    ]
    rows = [
        {name: f"{name} {n:03d}" for name in names} | {"trap": "007", "mass": "1,5", "day": "soon"} for n in range(5)
    ]
    rows[3]["id"] = ""
    table = pd.DataFrame(rows, dtype="str")
    (tmp_path / "t.csv").write_text(csv_text(table))
    outcome = predict(model, Request(tmp_path / "t.csv", tmp_path / "out.csv", logits=True, group="set"))
    found = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False)
    for name in names:
        kept = f"{name} (input)" if name in ("error", "rank", "prediction", "label_1", "logit_ant") else name
        assert found[kept].tolist() == [row[name] for row in rows], name
    assert len(found.columns) == len(set(found.columns)) and set(found["label_1"]) <= {"NA", "007", "ant"}
    said = " ".join(outcome.notes)
    assert "day: 5 values cannot be read" in said and "'prediction' as 'prediction (input)'" in said
    groups = pd.read_csv(tmp_path / "out_by_set.csv", dtype=str)
    assert groups["set"].tolist() == [row["set"] for row in rows] and set(groups["specimens"]) == {"1"}


@pytest.mark.parametrize("output", ["t.csv", "./t.csv", "link.csv", "folder", "model.json", "file/out.csv"])
def test_nothing_that_is_read_is_written_over_and_places_are_tried_before_the_work(model, tmp_path, output):
    (tmp_path / "t.csv").write_text("mass\n1\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "t.csv")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match=r"is what the command reads|is a folder|nothing can be written|unknown kind"):
        predict(model, Request(tmp_path / "t.csv", tmp_path / output))
    assert (tmp_path / "t.csv").read_text() == "mass\n1\n"


@pytest.mark.parametrize("length", [0, 100])
def test_a_part_that_is_cut_short_is_made_again(model, tmp_path, monkeypatch, length):
    monkeypatch.setattr(predict_module, "BLOCK", 2)
    (tmp_path / "t.csv").write_text("mass\n" + "".join(f"{n}\n" for n in range(6)))
    predict(model, Request(tmp_path / "t.csv", tmp_path / "whole.csv"))
    stopped = iter([None, KeyboardInterrupt()])

    def stop(count):
        if (error := next(stopped)) is not None:
            raise error

    with pytest.raises(KeyboardInterrupt):
        predict(model, Request(tmp_path / "t.csv", tmp_path / "out.csv"), stop)
    part = tmp_path / "out.csv.parts/00000001.parquet"
    part.write_bytes(part.read_bytes()[:length])
    predict(model, Request(tmp_path / "t.csv", tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_file_in_the_place_of_parts_is_named(model, tmp_path):
    (tmp_path / "t.csv").write_text("mass\n1\n")
    (tmp_path / "out.csv.parts").write_text("mine")
    with pytest.raises(DataError, match="out.csv.parts: is a file"):
        predict(model, Request(tmp_path / "t.csv", tmp_path / "out.csv"))
    assert (tmp_path / "out.csv.parts").read_text() == "mine"


def test_what_is_wrong_with_a_table_is_said_with_the_options_of_predict(model, tmp_path):
    with closing(sqlite3.connect(tmp_path / "t.sqlite")) as base:
        base.execute("CREATE TABLE a (mass)")
        base.execute("CREATE TABLE b (mass)")
    (tmp_path / "t.csv").write_text("mass\n1\n")
    with pytest.raises(DataError, match="name one as --sheet: a, b"):
        predict(model, Request(tmp_path / "t.sqlite", tmp_path / "out.csv"))
    with pytest.raises(DataError, match="--header-row: it has no row 9"):
        predict(model, Request(tmp_path / "t.csv", tmp_path / "out.csv", header_row=9))
