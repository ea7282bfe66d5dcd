"""Students of examples/pitfall/student.yml with and without their teacher, on the same architecture of the same seed.

    python benchmarks/students.py FOLDER --seeds 0 1 2 3 4

Each seed is searched once; the network that was found is then trained by the experiment's recipe with its teacher, and
by the same recipe without. `--networks` trains small networks of timm by the same recipe and teacher, not cells:

    python benchmarks/students.py FOLDER --networks mobilenetv3_small_050 --seeds 0

Lines go to benchmarks/results/pitfall_student.csv, which holds what was measured for docs/transfer.md; a line that is
there is not measured again. FOLDER holds metadata.csv and images/ as pitfall.py takes them. Afterwards

    python benchmarks/students.py --table

prints the mean of all seeds, and the difference that the teacher makes, seed by seed.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pitfall import scores
from rich.console import Console

from bioautoml_nni.config import load_experiment
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.stages.run import run_stages

HERE = Path(__file__).resolve().parent
EXPERIMENT = HERE.parent / "examples" / "pitfall" / "student.yml"
RESULTS = HERE / "results" / "pitfall_student.csv"
FOLD = 4
SCORES = ["accuracy", "balanced_accuracy", "macro_f1"]
STAGES = ("prepare", "search", "derive", "retrain", "evaluate")


def run(output: Path, overrides: list[str]) -> RunDirectory:
    """Run the stages up to the test scores."""
    found = RunDirectory.create(output, load_experiment(EXPERIMENT, overrides))
    run_stages(found, STAGES, Console())
    return found


def without_teacher(taught: RunDirectory, output: Path) -> RunDirectory:
    """Train the architecture of a run once more, by the labels alone."""
    if not output.exists():
        shutil.copytree(taught.path, output, ignore=shutil.ignore_patterns("retrain", "evaluation", "teacher*"))
    found = RunDirectory.open(output, ["training.distillation=null"])
    run_stages(found, ("retrain", "evaluate"), Console())
    return found


def line(found: RunDirectory, row: str, seed: int, teacher: str) -> dict[str, Any]:
    """Return what a run adds to the results."""
    metrics = json.loads((found / "evaluation/metrics.json").read_text(encoding="utf-8"))
    cost = {"parameters": metrics["parameters"], "mflops": round(metrics["flops"] / 1e6, 1)}
    predictions = pd.read_csv(found / "evaluation/predictions.csv", dtype=str, keep_default_na=False)
    own = scores(predictions["label"], predictions["predicted"])
    rounded = {name: round(float(own[name]), 4) for name in SCORES}
    return {"row": row, "fold": FOLD, "seed": seed, "teacher": teacher, **cost, **rounded}


def known() -> pd.DataFrame:
    """Return the results so far."""
    if RESULTS.is_file():
        return pd.read_csv(RESULTS, keep_default_na=False)
    return pd.DataFrame(columns=["row", "fold", "seed", "teacher", "parameters", "mflops", *SCORES])


def add(entry: dict[str, Any]) -> None:
    """Add a line to the results."""
    table = pd.concat([known(), pd.DataFrame([entry])], ignore_index=True)
    table.to_csv(RESULTS, index=False)
    print(entry, flush=True)


def has(row: str, seed: int, teacher: str) -> bool:
    """Whether a line is there."""
    table = known()
    return bool(((table["row"] == row) & (table["seed"] == seed) & (table["teacher"] == teacher)).any())


def teacher_of(folder: Path, extra: list[str]) -> str:
    """Return the name of the teacher: an encoder, or the file of a run or an experiment."""
    teacher = load_experiment(EXPERIMENT, [f"data.root={folder}", *extra]).training.distillation
    assert teacher is not None, "the example names one"
    return Path(teacher.teacher).name


def students(folder: Path, runs: Path, seed: int, extra: list[str]) -> None:
    """Measure one seed of the searched student."""
    name = teacher_of(folder, extra)
    if has("student", seed, name) and has("student", seed, "none"):
        return
    taught = run(runs / f"student-{seed}-taught", [f"data.root={folder}", f"seed={seed}", *extra])
    if not has("student", seed, name):
        add(line(taught, "student", seed, name))
    if not has("student", seed, "none"):
        add(line(without_teacher(taught, runs / f"student-{seed}-alone"), "student", seed, "none"))


def network(folder: Path, runs: Path, name: str, seed: int, extra: list[str]) -> None:
    """Measure a network of timm, from scratch, by the same recipe and teacher."""
    teacher = teacher_of(folder, extra)
    if has(name, seed, teacher):
        return
    overrides = [f"data.root={folder}", f"seed={seed}", f"space={{name: timm, encoder: {name}}}"]
    overrides += ["derivation={}", "retrain.channels=null", "retrain.trunk={}", *extra]
    add(line(run(runs / f"{name}-{seed}", overrides), name, seed, teacher))


def table() -> str:
    """Return means and standard deviations over seeds, and what the teacher brings."""
    found = known()
    grouped = found.groupby(["row", "teacher"])[["parameters", "mflops", *SCORES]]
    text = [grouped.agg(["mean", "std"]).round(3).to_string(), grouped.size().to_string()]
    own = found[found["row"] == "student"].pivot(index="seed", columns="teacher", values=SCORES)
    names = [name for name in own.columns.levels[1] if name != "none"] if len(own) else []
    for name in names:
        difference = pd.DataFrame({score: own[score][name] - own[score]["none"] for score in SCORES})
        text += [f"with the teacher {name} less without:", difference.round(4).to_string()]
        text += [difference.agg(["mean", "std"]).round(4).to_string()]
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--networks", nargs="*", default=[], help="names of timm, in place of searched cells")
    parser.add_argument("--runs", type=Path, default=HERE / "out" / "students")
    parser.add_argument("--set", action="append", default=[], help="overrides of the experiment")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table or options.folder is None:
        print(table())
        return
    torch.set_num_threads(1)
    extra = ["threads=1", *options.set]
    for seed in options.seeds:
        for name in options.networks:
            network(options.folder.resolve(), options.runs, name, seed, extra)
        if not options.networks:
            students(options.folder.resolve(), options.runs, seed, extra)


if __name__ == "__main__":
    main()
