"""`bioautoml auto` on the folds of a pitfall data set: python benchmarks/auto_pitfall.py FOLDER [--target station]

Runs `bioautoml auto examples/pitfall/experiment.yml` once per fold of `fold_event` (that fold for test, the others for
training and validation), and puts the test splits together, so that every specimen is predicted by a model that saw
nothing of its trap event. Each fold has its own minutes. Folders lie in --runs; a stopped portfolio is continued.
A line for each fold and candidate, and for all folds together one for what was chosen and one for each candidate that
every fold has, is added to --results: scores over the classes that occur.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from pitfall import EXPERIMENT, FOLDS, HERE, scores

CHOSEN = "chosen"


def portfolio(root: Path, output: Path, fold: int, options: argparse.Namespace) -> pd.DataFrame:
    """Run the portfolio of a fold, and return its leaderboard."""
    others = [other for other in FOLDS if other != fold]
    settings = {"data.root": root.resolve(), "data.split.train": others, "data.split.test": [fold]}
    arguments = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    arguments += [part for setting in options.set for part in ("--set", setting)]
    command = [Path(sys.executable).parent / "bioautoml", "auto", EXPERIMENT, "--output", output, *arguments]
    command += ["--target", options.target, "--minutes", str(options.minutes), "--seed", str(options.seed)]
    subprocess.run(command, check=True)
    return pd.read_csv(output / "leaderboard.csv")


def predictions(output: Path, name: str) -> pd.DataFrame:
    """Return label and prediction of each test specimen by a candidate."""
    file = output / "candidates" / name / "evaluation" / "predictions.csv"
    return pd.read_csv(file, dtype=str, keep_default_na=False)[["label", "predicted"]]


def pooled(answers: dict[str, list[pd.DataFrame]], folds: int) -> list[dict[str, Any]]:
    """Return the scores of every candidate that answered in all folds, over all their answers."""
    wholes = {name: pd.concat(parts) for name, parts in answers.items() if len(parts) == folds}
    return [
        {"fold": "pooled", "candidate": name, "chosen": name == CHOSEN, **scores(whole["label"], whole["predicted"])}
        for name, whole in wholes.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="the folder that holds metadata.csv and the images")
    parser.add_argument("--target", default="station")
    parser.add_argument("--minutes", type=float, default=30, help="of each fold")
    parser.add_argument("--folds", type=int, nargs="+", default=list(FOLDS), choices=FOLDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="passed on to bioautoml auto")
    parser.add_argument("--runs", type=Path, default=HERE / "out" / "auto")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "pitfall_auto.csv")
    options = parser.parse_args()
    facts = {
        "target": options.target,
        "minutes": options.minutes,
        "seed": options.seed,
        "cores": len(os.sched_getaffinity(0)),
    }
    lines: list[dict[str, Any]] = []
    answers: dict[str, list[pd.DataFrame]] = {CHOSEN: []}
    for fold in options.folds:
        output = options.runs / f"{options.target}-{options.minutes:g}-{options.seed}-{fold}"
        board = portfolio(options.root, output, fold, options)
        winner = json.loads((output / "choice.json").read_text(encoding="utf-8"))["winner"]
        for line in board[board["test_macro_f1"].notna()].to_dict("records"):
            name = line["candidate"]
            found = predictions(output, name)
            answers.setdefault(name, []).append(found)
            if name == winner:
                answers[CHOSEN].append(found)
            costs = {key: line[key] for key in ("parameters", "mflops", "latency_ms", "seconds", "validation_macro_f1")}
            told = {"fold": fold, "candidate": name, "chosen": name == winner}
            lines.append({**facts, **told, **costs, **scores(found["label"], found["predicted"])})
    if len(options.folds) > 1:
        lines += [{**facts, **line} for line in pooled(answers, len(options.folds))]
    added = pd.DataFrame(lines).round(4)
    print(added.to_string(index=False))
    options.results.parent.mkdir(exist_ok=True)
    added.to_csv(options.results, mode="a", header=not options.results.exists(), index=False)


if __name__ == "__main__":
    main()
