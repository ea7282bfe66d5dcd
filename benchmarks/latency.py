"""Size and delay of an exported model beside networks of timm: python benchmarks/latency.py MODEL [MODEL ...]

All are ONNX files at the first model's image size and number of classes, and answer one specimen at a time in
onnxruntime on one thread; timm's networks see the image alone and are not trained, which changes no delay. The files
take turns, 50 answers in each of several rounds. Printed and written to benchmarks/out/latency.json: parameters, bytes,
the median delay and its ratio to the first model's, and for models that were exported with int8 the same of that file.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
from kept import keep

from bioautoml_nni.export.onnx_files import write_onnx
from bioautoml_nni.runtime import Model

TIMM = ("mobilenetv3_small_100", "efficientnet_b0", "resnet18", "convnext_atto", "resnet50")
ANSWERS = 50


def sessions(
    models: list[Path], names: list[str], folder: Path
) -> dict[str, tuple[int, Path, Any, dict[str, np.ndarray]]]:
    """Return for every file its parameters, its path, a session of one thread and the inputs of one specimen."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    found: dict[str, tuple[int, Path, Any, dict[str, np.ndarray]]] = {}
    for path in models:
        for file in ("model.onnx", "model_int8.onnx"):
            if (path / file).is_file():
                model = Model.load(path, file, threads=1)
                size = model.image.edge
                image = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
                inputs = model.encode(image, pd.DataFrame(index=[0]))
                wanted = {entry.name for entry in model.session.get_inputs()}
                own = {name: value for name, value in inputs.items() if name in wanted}
                found[f"{path}: {file}"] = (model.info.parameters, path / file, model.session, own)
    first = Model.load(models[0])
    size = first.image.edge
    for name in names:
        network = timm.create_model(name, pretrained=False, num_classes=len(first.classes)).eval()
        image = torch.rand(2, 3, size, size)
        path = folder / f"{name}.onnx"
        write_onnx(network, {"image": image}, "logits", path)
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        parameters = sum(parameter.numel() for parameter in network.parameters())
        found[f"timm {name}"] = (parameters, path, session, {"image": image[:1].numpy()})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help="folders that `bioautoml export` wrote")
    parser.add_argument("--timm", nargs="*", default=list(TIMM))
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = sessions(arguments.models, arguments.timm, Path(folder))
        delays: dict[str, list[float]] = {name: [] for name in found}
        for number in range(arguments.rounds + 1):  # the first one warms up
            for name, (_, _, session, inputs) in list(found.items())[:: -1 if number % 2 else 1]:
                started = time.perf_counter()
                for _ in range(ANSWERS):
                    session.run(None, inputs)
                if number:
                    delays[name].append((time.perf_counter() - started) / ANSWERS * 1000)
        rows: list[dict[str, Any]] = [
            {"model": name, "parameters": parameters, "bytes": path.stat().st_size,
             "median_ms": statistics.median(delays[name])}
            for name, (parameters, path, _, _) in found.items()
        ]  # fmt: skip
    for row in rows:
        row["ratio"] = row["median_ms"] / rows[0]["median_ms"]
        print(
            f"{row['model']:44} {row['parameters']:>11,} parameters {row['bytes'] / 1e6:7.2f} MB "
            f"{row['median_ms']:8.2f} ms {row['ratio']:7.2f} times"
        )
    keep("latency", rows)


if __name__ == "__main__":
    main()
