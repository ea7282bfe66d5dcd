"""Scores pooled over the four folds of a pitfall data set: python benchmarks/pitfall.py FOLDER [--modalities ...]

Runs an experiment, examples/pitfall/experiment.yml by default, once per fold of `fold_event` and modality (that fold
for test, the other three for training), puts the four test splits together, so that every specimen is predicted once by
a network that saw nothing of its trap event, and prints accuracy, balanced accuracy and macro-F1 beside the majority
class of each training split. Runs lie in --runs; a stopped one continues where it was. The table is written to
benchmarks/out/pitfall.json; --results appends a line for each fold, and one for all together, to a CSV.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from bioautoml_nni.evaluation.metrics import read_per_class

FOLDS = (1, 2, 3, 4)
HERE = Path(__file__).parent
EXPERIMENT = HERE.parent / "examples" / "pitfall" / "experiment.yml"


def run(
    experiment: Path, root: Path, output: Path, modality: str, fold: int, extra: list[str]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Train without `fold` and predict it.

    Returns:
        Label, predicted and the majority class of training; and what the run's metrics.json says.
    """
    settings = {
        "data.root": root.resolve(),
        "data.modalities": {"fused": "[image,metadata]"}.get(modality, f"[{modality}]"),
        "data.split.train": [other for other in FOLDS if other != fold],
        "data.split.test": [fold],
    }
    arguments = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    arguments += [part for setting in extra for part in ("--set", setting)]
    command = [Path(sys.executable).parent / "bioautoml", "run", experiment, "--output", output, *arguments]
    subprocess.run(command, check=True)
    predictions = pd.read_csv(output / "evaluation" / "predictions.csv", dtype=str, keep_default_na=False)
    classes = read_per_class(output / "evaluation" / "per_class.csv")
    predictions["majority"] = classes["class"][classes["train"].idxmax()]
    return predictions, json.loads((output / "evaluation" / "metrics.json").read_text(encoding="utf-8"))


def scores(label: pd.Series, predicted: pd.Series) -> dict[str, float]:
    """Return the three headline scores."""
    return {
        "accuracy": accuracy_score(label, predicted),
        "balanced_accuracy": balanced_accuracy_score(label, predicted),
        "macro_f1": f1_score(label, predicted, average="macro", labels=sorted(set(label)), zero_division=0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="the folder that holds metadata.csv and the images")
    parser.add_argument("--experiment", type=Path, default=EXPERIMENT)
    parser.add_argument("--modalities", nargs="+", default=["fused"], choices=["fused", "image", "metadata"])
    parser.add_argument("--runs", type=Path, default=HERE / "out" / "pitfall")
    parser.add_argument("--set", action="append", default=[], help="passed on to bioautoml run")
    parser.add_argument("--results", type=Path, help="CSV that gets a line for each fold, and one for all together")
    parser.add_argument("--row", help="name of these runs in --results; the experiment's by default")
    options = parser.parse_args()
    rows, lines = {}, []
    for modality in options.modalities:
        parts = {}
        for fold in FOLDS:
            output = options.runs / f"{modality}-{fold}"
            parts[fold], metrics = run(options.experiment, options.root, output, modality, fold, options.set)
            rows[f"{modality}, fold {fold}"] = scores(parts[fold]["label"], parts[fold]["predicted"])
            cost = {"parameters": metrics["parameters"], "mflops": round(metrics["flops"] / 1e6, 1)}
            lines.append({"modality": modality, "fold": fold, "seed": metrics["seed"], **cost})
            lines[-1] |= rows[f"{modality}, fold {fold}"]
        pooled = pd.concat(parts.values())
        rows[f"{modality}, pooled"] = scores(pooled["label"], pooled["predicted"])
        rows["majority, pooled"] = scores(pooled["label"], pooled["majority"])
        lines.append({"modality": modality, "fold": "pooled", "seed": metrics["seed"], **rows[f"{modality}, pooled"]})
    table = pd.DataFrame(rows).T
    print(table.round(3).to_string())
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    (out / "pitfall.json").write_text(json.dumps(rows, indent=2) + "\n")
    if options.results:
        added = pd.DataFrame(lines).round(4)
        added.insert(0, "row", options.row or options.experiment.stem)
        added.to_csv(options.results, mode="a", header=not options.results.exists(), index=False)


if __name__ == "__main__":
    main()
