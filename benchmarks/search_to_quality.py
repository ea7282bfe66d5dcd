"""What a search costs until its network is as good as NNI's DARTS finds: python benchmarks/search_to_quality.py

Searches of different lengths, each followed by the same retraining, through `bioautoml compare` on the sample or on
another experiment. The target is the mean test macro-F1 over seeds that NNI's DARTS reaches with the most epochs, less
its standard error. For every method: the fewest epochs from which on its mean reaches the target, and how many times
cheaper that search is than the cheapest of NNI's that does. Runs lie in --runs,
and a stopped benchmark goes on. Written to benchmarks/out/search_to_quality.csv.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "examples" / "sample" / "experiment.yml"
REFERENCE = "nni_darts"
ROWS = ("as_configured", "with:search.image_sizes=[32,48]", "gumbel_hard")


def compare(options: argparse.Namespace, epochs: int) -> pd.DataFrame:
    """Return row, seed, macro-F1 and seconds of the searches of one length."""
    folder = options.runs / f"{epochs}-epochs"
    settings = [f"search.epochs={epochs}", f"strategy.warmup_epochs={epochs // 5}", *options.set]
    command = [
        str(Path(sys.executable).parent / "bioautoml"),
        "compare",
        str(options.experiment),
        "--output",
        str(folder),
    ]
    command += ["--rows", ",".join((REFERENCE, *options.rows)), "--seeds", str(options.seeds), "--jobs", "1"]
    for setting in settings:
        command += ["--set", setting]
    subprocess.run(command, check=True)
    return pd.read_csv(folder / "compare.csv").assign(epochs=epochs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", type=Path, default=SAMPLE)
    parser.add_argument("--epochs", type=int, nargs="+", default=[2, 5, 15])
    parser.add_argument("--rows", nargs="+", default=ROWS, help="of bioautoml compare, beside NNI's DARTS")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=HERE / "out" / "search_to_quality")
    parser.add_argument("--set", action="append", default=[], help="passed on to bioautoml compare")
    options = parser.parse_args()
    table = pd.concat([compare(options, epochs) for epochs in sorted(options.epochs)])
    table.to_csv(HERE / "out" / "search_to_quality.csv", index=False)
    found = table.groupby(["row", "epochs"]).agg(
        macro_f1=("macro_f1", "mean"), spread=("macro_f1", "std"), seconds=("search_seconds", "median")
    )
    reference = found.loc[REFERENCE].iloc[-1]
    target = reference["macro_f1"] - reference["spread"] / options.seeds**0.5
    print(found.round(3).to_string())
    print(f"target: macro-F1 {target:.3f}, seeds 0 to {options.seeds - 1}")
    cheapest = {row: _cheapest(found.loc[row], target) for row in found.index.unique("row")}
    for row, seconds in cheapest.items():
        if seconds is None:
            print(f"  {row}: never reaches it")
        else:
            print(f"  {row}: {seconds:.0f} s, {cheapest[REFERENCE] / seconds:.1f} times as cheap as {REFERENCE}")


def _cheapest(lengths: pd.DataFrame, target: float) -> float | None:
    """Return the seconds of the shortest search from which on all reach the target."""
    reaches = lengths["macro_f1"] >= target
    lasting = reaches[::-1].cummin()[::-1]
    return float(lengths["seconds"][lasting].iloc[0]) if lasting.any() else None


if __name__ == "__main__":
    main()
