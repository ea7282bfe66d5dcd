"""What each part of the training's recipe is worth: python benchmarks/recipe.py RUN [--seeds 0 1] [--only NAME ...]

Takes the architecture and the data of a finished run and trains the network from scratch, once with the recipe of the
run and once for each part that is added to it or taken away, all with the same seeds and splits. Prints the best mean
validation macro-F1 of five epochs, to choose a recipe by, and the scores on the test split beside those of
the majority; writes benchmarks/out/recipe.csv, from which a second call goes on.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from bioautoml_nni.config.load import changed
from bioautoml_nni.data import splits
from bioautoml_nni.evaluation.metrics import majority_baseline
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.networks import build_network, predict_logits
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.runs.teacher import distillation
from bioautoml_nni.runs.train import train
from bioautoml_nni.stages.evaluate import headline
from bioautoml_nni.training.weights import restore
from bioautoml_nni.utils.atomic import write_text
from bioautoml_nni.utils.quiet import quiet
from bioautoml_nni.utils.seeding import derive_seed, seed_everything

OUTPUT = Path(__file__).parent / "out" / "recipe.csv"
VARIANTS: dict[str, dict[str, object]] = {
    "the run's own recipe": {},
    "without the moving average": {"training.ema_decay": 0.0},
    "plain cross-entropy": {"loss": {"name": "cross_entropy"}},
    "label smoothing 0.1": {"loss.label_smoothing": 0.1},
    "random erasing 0.25": {"training.augmentation.erasing": 0.25},
    "mixup 0.2": {"training.mixup": 0.2},
    "CutMix 1.0": {"training.cutmix": 1.0},
    "drop-path 0.1": {"training.drop_path": 0.1},
    "auxiliary head 0.4": {"training.auxiliary_weight": 0.4},
    "balanced sampler, plain cross-entropy": {"training.sampler": "balanced", "loss": {"name": "cross_entropy"}},
    "distilled from the run itself": {"training.distillation.teacher": None},
    "half as many epochs again": {"training.epochs": 1.5},
    "auxiliary head, half as many epochs again": {"training.auxiliary_weight": 0.4, "training.epochs": 1.5},
    "the same and random erasing": {
        "training.auxiliary_weight": 0.4,
        "training.augmentation.erasing": 0.25,
        "training.epochs": 1.5,
    },
}
SILENT = Console(quiet=True)


def scores(run: RunDirectory, data: PreparedData, settings: dict[str, object], seed: int) -> dict[str, float]:
    """Train once and return the test scores and the seconds of training."""
    own = dict(settings)
    if "training.distillation.teacher" in own:
        own["training.distillation.teacher"] = str(run.path.resolve())
    if "training.epochs" in own:
        own["training.epochs"] = round(1.5 * run.experiment.training.epochs)
    other = RunDirectory(run.path, changed(run.experiment, {**own, "seed": seed}, "benchmark"))
    taught = distillation(other, data, SILENT)
    data.run = other
    seed_everything(derive_seed(seed, "retrain"))
    network, _ = build_network(other, data)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        kept = train(other, data, network, Path(folder), "train", SILENT, distillation=taught)
        restore(network, kept.best_weights)
    seconds = time.perf_counter() - started
    logits, target = predict_logits(data, network.eval(), splits.TEST)
    return {"validation": kept.best, **headline(target, logits.double().numpy()), "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a finished run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="NAME")
    arguments = parser.parse_args()
    quiet()
    run = RunDirectory.open(arguments.run)
    run.require("retrain")
    data = PreparedData.load(run)
    wanted = [(name, seed) for seed in arguments.seeds for name in arguments.only]
    for name, seed in track(wanted, description="recipe"):
        rows = pd.read_csv(OUTPUT) if OUTPUT.is_file() else pd.DataFrame(columns=["run", "recipe", "seed"])
        if ((rows["run"] == str(run.path)) & (rows["recipe"] == name) & (rows["seed"] == seed)).any():
            continue
        found = scores(run, data, VARIANTS[name], seed)
        rows = pd.read_csv(OUTPUT) if OUTPUT.is_file() else pd.DataFrame()  # others may have written meanwhile
        row = pd.DataFrame([{"run": str(run.path), "recipe": name, "seed": seed, **found}])
        write_text(OUTPUT, pd.concat([rows, row]).to_csv(index=False))
    rows = pd.read_csv(OUTPUT)
    rows = rows[(rows["run"] == str(run.path)) & rows["seed"].isin(arguments.seeds)]
    test = data.targets_of(splits.TEST)
    majority = majority_baseline(test, np.array(data.class_counts()))
    print(f"{len(test)} test specimens, {len(data.classes)} classes, seeds {sorted(rows['seed'].unique())}")
    keys = ("validation", "macro_f1", "balanced_accuracy", "accuracy")
    print(f"{'':44} {'validation':>14} | test: {'macro-F1':>9} {'balanced':>14} {'accuracy':>14} {'seconds':>8}")
    for name in arguments.only:
        own = rows[rows["recipe"] == name]
        cells = [f"{own[key].mean():.3f} ± {own[key].std():.3f}" for key in keys]
        print(f"{name:44} {cells[0]:>14} | {cells[1]:>15} {cells[2]:>14} {cells[3]:>14} {own['seconds'].mean():>8.0f}")
    cells = [f"{majority[key]:.3f}" for key in keys[1:]]
    print(f"{'majority answer':44} {'':>14} | {cells[0]:>15} {cells[1]:>14} {cells[2]:>14}")


if __name__ == "__main__":
    main()
