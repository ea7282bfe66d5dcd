"""Whatever the files of an export hold, it is refused in one sentence or answers."""

import hashlib
import json
import shutil

import pandas as pd
import pytest
from damage import changed, damaged, tries
from hypothesis import given
from hypothesis import strategies as st

from bioautoml_nni.runtime import Model
from bioautoml_nni.runtime.export_files import DESCRIPTIONS
from bioautoml_nni.utils.errors import BioAutoMLError, ExportError


@pytest.fixture(scope="module")
def copy(exported, tmp_path_factory):
    """A copy of an export that may be damaged, and the specimens that it is asked about."""
    folder = tmp_path_factory.mktemp("damaged") / "model"
    shutil.copytree(exported[0], folder)
    root = exported[1].parent / "data"
    return folder, root, pd.read_csv(root / "metadata.csv").head(2)


def meddled(name, content, data):
    """Return other contents of a file: of its structure or of its bytes."""
    if name.endswith(".json") and data.draw(st.booleans()):
        return json.dumps(data.draw(changed(json.loads(content)))).encode()
    return data.draw(damaged(content))


@tries(60)
@given(st.data())
@pytest.mark.parametrize("name", [*DESCRIPTIONS, "model.onnx"])
def test_a_file_that_is_not_the_exported_one_is_refused(exported, copy, name, data):
    folder, _, _ = copy
    content = (exported[0] / name).read_bytes()
    other = meddled(name, content, data)
    (folder / name).write_bytes(other)
    try:
        if other == content:
            Model.load(folder, threads=1)
        else:
            with pytest.raises(ExportError, match=f"{name}: is another file than was exported"):
                Model.load(folder, threads=1)
    finally:
        (folder / name).write_bytes(content)


@tries(150)
@given(st.data())
@pytest.mark.parametrize("name", ["export.json", *DESCRIPTIONS, "model.onnx"])
def test_what_somebody_made_up_is_refused_or_answers(exported, copy, name, data):
    """As above, with digests in export.json that agree."""
    folder, root, rows = copy
    content, info = (exported[0] / name).read_bytes(), json.loads((exported[0] / "export.json").read_bytes())
    other = meddled(name, content, data)
    info["sha256"][name] = hashlib.sha256(other).hexdigest()
    (folder / "export.json").write_text(json.dumps(info))
    (folder / name).write_bytes(other)
    try:
        answers, refusal = ask(folder, root, rows)
    finally:
        shutil.copy(exported[0] / "export.json", folder / "export.json")
        (folder / name).write_bytes(content)
    assert (answers is None) == bool(refusal) and "Traceback" not in refusal
    assert answers is None or len(answers) == len(rows)


def ask(folder, root, rows):
    """Return the model's answers and an empty text, or None and why there are none."""
    try:
        model = Model.load(folder, threads=1)
        logits, _ = model.predict_rows(rows, root, "image")
        return model.decisions(threshold=0.5).answers(model.probabilities(logits)), ""
    except BioAutoMLError as error:
        return None, str(error)


@pytest.mark.parametrize(
    ("key", "value"),
    [("center", []), ("center", "1"), ("center", 10**400), ("scale", 0.0), ("scale", True), ("transform", "exp"),
     ("columns", []), ("columns", "length_mm"), ("columns", [1])],
)  # fmt: skip
def test_a_metadata_field_that_none_could_have_learned_is_refused(exported, copy, key, value):
    folder, root, rows = copy
    content = json.loads((exported[0] / "preprocessing.json").read_text())
    number = next(field for field in content["metadata"]["fields"] if field["kind"] == "number")
    number[key] = value
    other = json.dumps(content).encode()
    info = json.loads((exported[0] / "export.json").read_bytes())
    info["sha256"]["preprocessing.json"] = hashlib.sha256(other).hexdigest()
    (folder / "export.json").write_text(json.dumps(info))
    (folder / "preprocessing.json").write_bytes(other)
    try:
        answers, refusal = ask(folder, root, rows)
    finally:
        for name in ("export.json", "preprocessing.json"):
            shutil.copy(exported[0] / name, folder / name)
    assert answers is None and "cannot be loaded" in refusal
    assert key in refusal or "int too large" in refusal
