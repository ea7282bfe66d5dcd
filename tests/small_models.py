"""A model of images that needs no training: its logits are the means of the three colours."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
from onnx import TensorProto, helper

from bioautoml_nni.artifacts.calibration import Calibration
from bioautoml_nni.artifacts.exported import ExportRecord
from bioautoml_nni.artifacts.preprocessing import ImageInput, Preprocessing
from bioautoml_nni.runtime import Model
from bioautoml_nni.runtime.export_files import DESCRIPTIONS


def colour_model(folder: Path, size: int = 16) -> Model:
    """Return a model that calls an image by its strongest colour."""
    folder.mkdir(parents=True, exist_ok=True)
    session = onnxruntime.InferenceSession(colour_graph(size), providers=["CPUExecutionProvider"])
    info = ExportRecord(name="colours", rank="label", modalities=["image"], brand="", parameters=0, sha256={})
    calibration = Calibration(temperature=1.0)
    classes = pd.DataFrame({"index": [0, 1, 2], "name": ["ant", "bee", "cicada"]})
    return Model(folder, info, colour_preprocessing(size), calibration, classes, session)


def colour_preprocessing(size: int) -> Preprocessing:
    """Return how specimens become its inputs."""
    return Preprocessing(
        classes=["ant", "bee", "cicada"], rank="label", modalities=["image"], image=ImageInput(size=size),
        metadata={"version": 2, "roles": {}, "fields": []},
    )  # fmt: skip


def write_colour_model(folder: Path, size: int = 16) -> Path:
    """Write such a model as an export and return its folder."""
    model = colour_model(folder, size)
    (folder / "model.onnx").write_bytes(colour_graph(size))
    model.classes.to_csv(folder / "classes.csv", index=False)
    model.calibration.write(folder / "calibration.json")
    colour_preprocessing(size).write(folder / "preprocessing.json")
    names = ("model.onnx", *DESCRIPTIONS)
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    model.info.model_copy(update={"sha256": digests}).write(folder / "export.json")
    return folder


def colour_graph(size: int) -> bytes:
    """Return the network: the mean of each colour."""
    nodes = [
        helper.make_node("Cast", ["image"], ["colours"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["colours", "axes"], ["logits"], keepdims=0),
    ]
    axes = onnx.numpy_helper.from_array(np.array([2, 3], np.int64), "axes")
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 3, size, size])
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_model(
        helper.make_graph(nodes, "colours", [image], [output], [axes]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    return bytes(graph.SerializeToString())
