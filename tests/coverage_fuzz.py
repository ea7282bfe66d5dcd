"""The fuzz tests driven by atheris, which keeps the inputs that reach new lines: python tests/coverage_fuzz.py

    python tests/coverage_fuzz.py [--runs 20000] [--only NAME ...]

Each target is the body of a test that hypothesis drives otherwise; it runs in a process of its own. A table says how
many inputs each had, how many branches they reached, and whether anything but our own errors came out; the exit code is
1 if so, and the input that did it is kept in the folder that is named then. Needs the extra `fuzz`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import atheris
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path[:0] = [str(Path(__file__).parent / folder) for folder in (".", "sources", "training", "runtime")]
instrumented = atheris.instrument_imports(include=["bioautoml_nni"]) if "--here" in sys.argv else nullcontext()
with instrumented:
    import test_damaged_archives
    import test_damaged_exports
    import test_fuzzing
    import test_weights
    from conftest import bioautoml, write_experiment, write_table

EXPORTED = ("export.json", *test_damaged_exports.DESCRIPTIONS, "model.onnx")
FEWER = 10
"""By how much fewer inputs a target has that loads a model for each."""


def body(test: Callable[..., None], *fixed: object) -> Callable[..., None]:
    """Return the body of a hypothesis test with its first arguments given."""
    inner = test.hypothesis.inner_test
    return lambda *drawn: inner(*fixed, *drawn)


def archive(kind: str, folder: Path) -> tuple[object, ...]:
    """Return what the test of damaged archives wants."""
    write, read = test_damaged_archives.KINDS[kind]
    whole = folder / "whole"
    write(whole)
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    return whole, folder / "place", [path for path in files if path.suffix not in test_damaged_archives.IMAGES], read


def export() -> Path:
    """Make a run in a new folder, export it, and return the folder."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    write_table(folder / "data")
    bioautoml("run", write_experiment(folder, folder / "data"), "--output", folder / "run").check_returncode()
    bioautoml("export", folder / "run", "--output", folder / "whole").check_returncode()
    return folder


def exported(whole: Path, folder: Path) -> tuple[tuple[Path, Path], tuple[object, ...]]:
    """Return what the test of damaged exports wants."""
    shutil.copytree(whole / "whole", folder / "model")
    rows = pd.read_csv(whole / "data/metadata.csv").head(2)
    return (whole / "whole", whole / "run"), (folder / "model", whole / "data", rows)


TARGETS: dict[str, Callable[[Path], tuple[Callable[..., None], tuple[st.SearchStrategy, ...]]]] = {
    "experiment": lambda folder: (
        body(test_fuzzing.test_a_changed_experiment_is_refused_with_reasons_or_valid),
        (test_fuzzing.changed(test_fuzzing.EXPERIMENT),),
    ),
    "experiment, bytes": lambda folder: (
        body(test_fuzzing.test_any_bytes_are_no_experiment, folder), (st.binary(max_size=300),)
    ),
    "architecture": lambda folder: (
        body(test_fuzzing.test_a_changed_architecture_is_refused_or_whole, folder),
        (test_fuzzing.changed(test_fuzzing.ARCHITECTURE),),
    ),
    "weights": lambda folder: (
        body(test_weights.test_damaged_weights_are_refused_or_fit, test_weights.weights(), folder), (st.data(),)
    ),
    "image": lambda folder: (
        body(test_fuzzing.test_a_damaged_image_is_an_os_error_or_an_image),
        (
            st.sampled_from(test_fuzzing.IMAGES),
            st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8),
            st.data(),
        ),
    ),
    **{
        f"source {kind}": lambda folder, kind=kind: (
            body(test_damaged_archives.test_a_damaged_archive_is_refused_or_sound, archive(kind, folder)), (st.data(),)
        )
        for kind in test_damaged_archives.KINDS
    },
    **{
        name: lambda folder, name=name: (
            body(
                test_damaged_exports.test_what_somebody_made_up_is_refused_or_answers,
                *exported(folder.parent, folder), name,
            ),
            (st.data(),),
        )
        for name in EXPORTED
    },
}  # fmt: skip


def fuzz(name: str, runs: int, folder: Path) -> None:
    """Fuzz one target in this process, which ends with it."""
    test, strategies = TARGETS[name](folder)
    quick = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    one = quick(given(st.tuples(*strategies))(lambda drawn: test(*drawn)))
    (folder / "corpus").mkdir()
    options = [f"-runs={runs}", "-max_len=4096", "-len_control=0", f"-artifact_prefix={folder}/", "-seed=1"]
    atheris.Setup([sys.argv[0], *options, str(folder / "corpus")], one.hypothesis.fuzz_one_input)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20_000, help="inputs of each target; fewer where each is slow")
    parser.add_argument("--only", nargs="+", choices=list(TARGETS), default=list(TARGETS), metavar="NAME")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        fuzz(arguments.only[0], arguments.runs, Path(arguments.here))
    failed = []
    print(f"{'target':28} {'inputs':>8} {'branches':>9}  outcome")
    made = export() if set(arguments.only) & set(EXPORTED) else None
    for name in arguments.only:
        runs = max(1, arguments.runs // FEWER) if name in EXPORTED else arguments.runs
        folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=made))
        command = [sys.executable, __file__, "--runs", str(runs), "--only", name, "--here", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        said = done.stdout + done.stderr
        tried, reached = re.findall(r"^#(\d+)\s", said, re.M), re.findall(r"cov: (\d+)", said)
        (folder / "said.txt").write_text(said)
        outcome = "only our errors" if done.returncode == 0 else f"FAILED, see {folder}/said.txt"
        failed += [name] if done.returncode else []
        print(f"{name:28} {tried[-1] if tried else 0:>8} {reached[-1] if reached else 0:>9}  {outcome}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
