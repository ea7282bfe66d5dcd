"""`bioautoml export`: a trained run as a folder of files that predict without it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from torch import Tensor, nn

from .._version import __version__
from ..architecture import Architecture
from ..architecture.budgets import BUDGETS
from ..artifacts.calibration import Calibration
from ..artifacts.exported import ExportRecord
from ..artifacts.metrics import Metrics
from ..data import splits
from ..data.own_csv import csv_text
from ..evaluation.calibration import calibrated
from ..evaluation.cost import count_parameters, specimen_flops
from ..evaluation.explanations import has_feature_map
from ..evaluation.metrics import read_per_class
from ..export.deployable import FusedModel, ImageModel, MappedImagePart, deployable
from ..export.explain import write_gradcam
from ..export.inputs import model_inputs
from ..export.onnx_files import (
    OPSET,
    TOLERANCE,
    join_onnx,
    logit_tolerance,
    run_onnx,
    write_exported_program,
    write_onnx,
)
from ..registry import get
from ..report.card import model_card
from ..runs.directory import RunDirectory
from ..runs.lock import locked
from ..runs.networks import build_network, load_model
from ..runs.prepared import PreparedData
from ..training.inference import Inference
from ..utils.atomic import remove_leftovers, replacing_folder, write_json, write_text
from ..utils.errors import ExportError
from ..utils.quiet import quiet
from .export_int8 import write_judged_int8

PARITY_SPECIMENS = 256
INT8_LOSS = 0.02
"""Of macro-F1: beyond it a model of eight bits is refused unless the user allows it."""


def export(
    run: RunDirectory,
    folder: Path,
    console: Console,
    target: str | None = None,
    int8: bool = False,
    int8_loss: float = INT8_LOSS,
) -> None:
    """Write `folder` with the model, what it needs and what is known of it; an old folder is replaced at the end.

    Args:
        target: a place of `BUDGETS` that the model must fit.
        int8: also write model_int8.onnx, with the loss of macro-F1 that it costs.
        int8_loss: most of the validation split's macro-F1 that it may lose.

    Raises:
        ExportError: if the model breaks the budget of its target, or a file computes something else than the network.
    """
    run.require("evaluate")
    quiet()
    _require_whole(run / "evaluation")
    data = PreparedData.load(run).as_images()
    network = load_model(run, data)
    if target is not None:
        _require_budget(run, data, network, target)
    if folder.exists() and not (folder / "export.json").is_file() and any(folder.iterdir()):
        raise ExportError(f"{folder}: is not empty and holds no export; choose another --output.")
    with locked(run.path):
        remove_leftovers(folder.parent, folder.name)
        with replacing_folder(folder) as temporary:
            _write(run, data, network, temporary, console, int8, int8_loss)


def _require_whole(evaluation: Path) -> None:
    """Check before the work that what the export will say of the network can be read."""
    Metrics.read(evaluation / "metrics.json")
    Calibration.read(evaluation / "calibration.json")
    read_per_class(evaluation / "per_class.csv")


def _write(
    run: RunDirectory, data: PreparedData, network: nn.Module, folder: Path, console: Console, int8: bool,
    int8_loss: float,
) -> None:  # fmt: skip
    under_prior = run.experiment.evaluation.decision == "training_prior"
    zeros = torch.zeros(len(data.classes))
    shift = (data.loss().prior_logits(zeros[None])[0] if under_prior else zeros).detach()
    model = deployable(network, data.image.mean, data.image.std, shift)
    inputs = model_inputs(data, splits.TEST, PARITY_SPECIMENS)
    console.print("export: ONNX and torch.export files")
    written = _write_models(model, inputs, folder, console)
    reference = _reference(data, network, inputs) + shift
    parity = _parity(folder, written, inputs, reference)
    quantised: dict[str, Any] = {}
    if int8:
        if not data.uses_images:
            raise ExportError("export: int8 is for models with images; this one reads metadata alone.")
        console.print("export: int8, ranges from the training split, choices by the validation split")
        quantised = write_judged_int8(data, folder, int8_loss, console)
    _describe(
        folder, data, run / "evaluation", parity, run.experiment.data.modalities, count_parameters(network),
        run.metrics().flops, quantised,
    )  # fmt: skip


def export_file(
    data: PreparedData, model: Path, probabilities: np.ndarray, evaluation: Path, modalities: Sequence[str],
    folder: Path,
) -> None:  # fmt: skip
    """Write `folder` with an ONNX file that is not a network of ours, and all that an export says beside it.

    Args:
        model: the file; it computes ``logits`` (N, K) of the decision that ships.
        probabilities: what it must answer on the test split, in the data's order.
        evaluation: folder of `write_evaluation`.
        modalities: what it reads.

    Raises:
        ExportError: if it answers something else.
    """
    inputs = {name: value.numpy() for name, value in model_inputs(data, splits.TEST, PARITY_SPECIMENS).items()}
    with replacing_folder(folder) as temporary:
        shutil.copyfile(model, temporary / "model.onnx")
        found = calibrated(run_onnx(temporary / "model.onnx", inputs).astype(np.float64), 1.0)
        difference = float(np.abs(found - probabilities[: len(found)]).max())
        if difference > TOLERANCE:
            raise ExportError(
                f"{model}: its probabilities differ from those of the model by {difference:.2g}, more than "
                f"{TOLERANCE:g}; it is not exported faithfully."
            )
        parity = {
            "tolerance": TOLERANCE,
            "specimens": len(found),
            "largest_difference": {"model.onnx": difference},
        }
        metrics = Metrics.read(evaluation / "metrics.json")
        _describe(
            temporary, data, evaluation, parity, modalities, metrics.parameters, metrics.flops, {}
        )  # fmt: skip


def _describe(
    folder: Path, data: PreparedData, evaluation: Path, parity: dict[str, Any], modalities: Sequence[str],
    parameters: int, flops: int, quantised: dict[str, Any],
) -> None:  # fmt: skip
    """Write what is known of the model files in `folder`: preprocessing, classes, calibration, card, export.json."""
    run = data.run
    column = run.experiment.data.arguments.get("image", "image")
    described = run.preprocessing().exported(data.image.mean, data.image.std, column)
    described.write(folder / "preprocessing.json")
    Calibration.read(evaluation / "calibration.json").write(folder / "calibration.json")
    write_json(folder / "parity.json", parity)
    write_text(folder / "classes.csv", csv_text(_classes(data)))
    write_text(folder / "MODEL_CARD.md", model_card(run, data, parity, quantised, evaluation))
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}
    ExportRecord(
        name=run.experiment.name,
        release=__version__,
        opset=OPSET,
        rank=data.rank,
        modalities=list(modalities),
        decision=run.experiment.evaluation.decision,
        brand=data.brand,
        parameters=parameters,
        flops=flops,
        int8=quantised,
        sha256=digests,
    ).write(folder / "export.json")


def _reference(data: PreparedData, network: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Return the trained network's logits (N, K); on the CPU, where the files that are compared with it run."""
    return Inference().run(network, [inputs], images=data.image_transform(data.run.experiment.training.augmentation))


def _write_models(model: nn.Module, inputs: dict[str, Tensor], folder: Path, console: Console) -> list[str]:
    """Write every file of the model and return the names of those that compute logits."""
    few = {name: value[:2] for name, value in inputs.items()}
    write_exported_program(model, few, folder / "model.pt2")
    if not isinstance(model, FusedModel | ImageModel):
        write_onnx(model, few, "logits", folder / "model.onnx")
        return ["model.onnx", "model.pt2"]
    image = {"image": few.pop("image")}
    if has_feature_map(model.image.encoder):
        part = MappedImagePart(model.image)
        with torch.no_grad():
            embedding, features = part(image["image"])
        write_onnx(part, image, ["embedding", "features"], folder / "image_encoder.onnx")
        try:
            few_once = {name: value[:1] for name, value in few.items()}
            write_gradcam(model, features[:1], few_once, folder / "gradcam.onnx")
        except torch.onnx.OnnxExporterError:  # answers do not need it, and `Model.explains` says that it is missing
            console.print(
                "[yellow]warning:[/] export: ONNX has no gradient for this head, so there is no gradcam.onnx."
            )
    else:
        with torch.no_grad():
            embedding = model.image(image["image"])
        write_onnx(model.image, image, "embedding", folder / "image_encoder.onnx")
    write_onnx(model.head, {"embedding": embedding, **few}, "logits", folder / "fusion_head.onnx")
    join_onnx(folder / "image_encoder.onnx", folder / "fusion_head.onnx", "embedding", folder / "model.onnx")
    return ["model.onnx", "model.pt2", "fusion_head.onnx"]


@torch.no_grad()
def _parity(folder: Path, written: list[str], inputs: dict[str, Tensor], reference: Tensor) -> dict[str, Any]:
    """Compare every file with the trained network on real specimens.

    Raises:
        ExportError: if logits differ by more than the tolerance.
    """
    arrays = {name: value.numpy() for name, value in inputs.items()}
    differences: dict[str, float] = {}
    for name in written:
        if name == "model.pt2":
            found = torch.export.load(str(folder / name)).module()(*inputs.values()).numpy()
        elif name == "fusion_head.onnx":
            embedding = run_onnx(folder / "image_encoder.onnx", arrays)
            found = run_onnx(folder / name, {"embedding": embedding, **arrays})
        else:
            found = run_onnx(folder / name, arrays)
        differences[name] = float(np.abs(found - reference.numpy()).max())
    tolerance = logit_tolerance(reference.numpy())
    for name, difference in differences.items():
        if difference > tolerance:
            raise ExportError(
                f"{name}: its logits differ from the trained network's by {difference:.2g}, more than {tolerance:.2g}; "
                "an operation or fusion of the space is not exported faithfully, search without it."
            )
    return {"tolerance": tolerance, "specimens": len(reference), "largest_difference": differences}


def _classes(data: PreparedData) -> pd.DataFrame:
    """Return index, name, rank, training specimens, and the coarser taxa that every training specimen agrees on."""
    table = pd.DataFrame(
        {"index": range(len(data.classes)), "name": data.classes, "rank": data.rank, "train": data.class_counts()}
    )
    for rank, taxa in data.taxa().items():
        table[rank] = taxa
    return table


def _require_budget(run: RunDirectory, data: PreparedData, network: nn.Module, target: str) -> None:
    if target not in BUDGETS:
        raise ExportError(f"--target {target}: is unknown; choose {', '.join(BUDGETS)}.")
    budget = BUDGETS[target]
    broken = budget.excess(count_parameters(network), specimen_flops(data, network))
    if not broken:
        return
    _, arguments = build_network(run, data)
    space = get("search_spaces", run.experiment.space.name).target
    architecture = Architecture.load(run / "architecture.json")
    advice = "search and retrain with fewer cells"
    for channels in range(_stem_width(network) - 1, 3, -1):
        smaller = space.build(architecture, **{**arguments, "channels": channels})
        if not budget.excess(count_parameters(smaller), specimen_flops(data, smaller)):
            advice = (
                f"`bioautoml retrain {run.path} --set retrain.channels={channels}` keeps the architecture and fits; a "
                "new search with the regulariser expected_cost finds a cheaper one"
            )
            break
    raise ExportError(f"{run.path}: breaks the budget of {target!r}: {'; '.join(broken)}. What helps: {advice}.")


def _stem_width(network: nn.Module) -> int:
    """Return the width after the first convolution; 0 for a network without images."""
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    first = next(convolutions, None)
    return first.out_channels if first is not None else 0
