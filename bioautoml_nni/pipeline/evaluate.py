"""Stage `evaluate`: score the trained network once on the test part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from torch import nn

from ..atomic import write_json, write_text
from ..data import splits
from ..data.dataset import make_loader
from ..data.manifest import ID
from ..evaluation.cost import count_flops, count_parameters
from ..evaluation.figures import confusion_figure, roc_figure
from ..evaluation.metrics import classification_metrics, majority_baseline, per_class_table
from ..progress import make_progress
from .prepared import PreparedData
from .retrain import load_model
from .run_directory import RunDirectory


def evaluate(run: RunDirectory, console: Console) -> None:
    """Write evaluation/: metrics.json, per_class.csv, predictions.csv, confusion.png and roc.png."""
    data = PreparedData.load(run)
    network = load_model(run, data)
    with make_progress(console) as progress:
        task = progress.add_task("evaluate", total=int((data.part == splits.TEST).sum()), note="")
        logits, target = predict_logits(data, network, splits.TEST, lambda count: progress.advance(task, count))
    natural = run.experiment.evaluation.decision == "natural"
    probabilities = torch.softmax(data.loss().natural_logits(logits) if natural else logits, dim=1).double().numpy()
    counts = np.array(data.class_counts())
    folder = run / "evaluation"
    folder.mkdir(exist_ok=True)
    present = np.unique(target)
    metrics: dict[str, Any] = {
        "rank": data.rank,
        "split": {
            "method": run.experiment.data.split.method,
            "group": run.experiment.data.split.group,
            "scored": splits.TEST,
            "sizes": {part: int((data.part == part).sum()) for part in splits.PARTS},
        },
        "classes": len(data.classes),
        "classes_in_test": len(present),
        "modalities": list(run.experiment.data.modalities),
        "metadata_columns": data.metadata_columns,
        "seed": run.experiment.seed,
        "decision": run.experiment.evaluation.decision,
        "brand": data.brand,
        "majority_baseline": majority_baseline(target, counts),
        **classification_metrics(target, probabilities),
        "parameters": count_parameters(network),
        "flops": specimen_flops(run, data, network),
    }
    metrics["majority_baseline"]["class"] = data.classes[metrics["majority_baseline"]["class"]]
    write_text(
        folder / "per_class.csv", per_class_table(target, probabilities, data.classes, counts).to_csv(index=False)
    )
    predicted = probabilities.argmax(axis=1)
    rows = data.table[(data.part == splits.TEST).to_numpy()]
    table = pd.DataFrame(
        {
            "id": rows[ID].to_numpy(),
            "label": [data.classes[index] for index in target],
            "predicted": [data.classes[index] for index in predicted],
            "confidence": probabilities.max(axis=1).round(6),
        }
    )
    write_text(folder / "predictions.csv", table.to_csv(index=False))
    confusion_figure(folder / "confusion.png", target, predicted, data.classes, data.brand)
    roc_figure(folder / "roc.png", target, probabilities, data.classes, data.brand)
    write_json(folder / "metrics.json", metrics)


@torch.no_grad()
def predict_logits(
    data: PreparedData, network: nn.Module, part: str, advance: Callable[[int], None] = lambda count: None
) -> tuple[torch.Tensor, np.ndarray]:
    """Return logits (N, K) and targets (N,) of one part, in the manifest's order."""
    transform = data.image_transform(data.run.experiment.training.augmentation)
    logits: list[torch.Tensor] = []
    targets: list[torch.Tensor] = []
    for batch in make_loader(data.dataset([part]), 256, shuffle=False):
        inputs = dict(batch)
        if transform is not None:
            inputs["image"] = transform.eval()(batch["image"])
        logits.append(network(inputs))
        targets.append(batch["target"])
        advance(len(batch["target"]))
    return torch.cat(logits), torch.cat(targets).numpy()


def specimen_flops(run: RunDirectory, data: PreparedData, network: nn.Module) -> int:
    batch = next(iter(make_loader(data.dataset([splits.TEST]), 1, shuffle=False)))
    if "image" in batch:
        batch["image"] = batch["image"].float()
    return count_flops(network, batch)
