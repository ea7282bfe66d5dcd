"""The wheel, installed in a clean environment, finds its plug-ins."""

import configparser
import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from bioautoml_nni.config import load_experiment, parse_experiment
from bioautoml_nni.nni_jobs.template import Remote, nni_files

ROOT = Path(__file__).parents[1]


def files_of(wheel):
    """Names below the package in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if name.startswith("bioautoml_nni/")}


def expected_files(source):
    """Every file of the three packages, where the wheel should have it."""
    found = set()
    for package, place in [
        ("bioautoml_nni", ""),
        ("search_spaces", "bioautoml_nni/"),
        ("strategies", "bioautoml_nni/"),
    ]:
        kept = [path for path in (source / package).rglob("*") if path.is_file() and path.suffix != ".md"]
        found |= {place + path.relative_to(source).as_posix() for path in kept}
    return found


def test_the_wheel_works_in_a_clean_environment(tmp_path):
    source = tmp_path / "source"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(tmp_path / "dist"),
        str(source),
    ]
    subprocess.run(build, check=True, capture_output=True, cwd=tmp_path)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    checked = [sys.executable, "-m", "twine", "check", "--strict", str(wheel)]
    subprocess.run(checked, check=True, capture_output=True, cwd=tmp_path)
    assert files_of(wheel) >= expected_files(source)
    environment = tmp_path / "environment"
    venv.create(environment)
    python = environment / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", str(wheel)],
        check=True,
        capture_output=True,
    )
    # The dependencies (gigabytes) come from the environment that runs the tests; the package itself does not: only
    # its site-packages are added, behind the wheel's own, and without the hooks of an editable installation.
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    check = "import bioautoml_nni, bioautoml_nni.search_spaces as s; print(bioautoml_nni.__file__); print(s.__file__)"
    found = subprocess.run(
        [python, "-c", check], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout.split()
    assert all(path.startswith(site) for path in found)
    listed = subprocess.run(
        [environment / "bin" / "bioautoml", "ls"], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    for name in ("multimodal", "dil_conv_5x5", "modulation", "alternating_darts", "sample", "logit_adjusted"):
        assert name in listed
    assert {file.name for file in (ROOT / "bioautoml_nni/report/templates").iterdir()} == {
        file.name for file in (Path(site) / "bioautoml_nni/report/templates").iterdir()
    }


def test_every_dependency_has_its_reason():
    lines = (ROOT / "setup.cfg").read_text().splitlines()
    start = lines.index("install_requires =")
    block = []
    for line in lines[start + 1 :]:
        if not line.startswith("    "):
            break
        block.append(line.strip())
    requirements = [number for number, line in enumerate(block) if not line.startswith("#")]
    assert len(requirements) > 10
    for number in requirements:
        assert block[number - 1].startswith("#"), block[number]


def test_setuptools_stays_below_81():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    assert "setuptools <81" in parser["options"]["install_requires"]


EXPERIMENTS = sorted(path for path in (ROOT / "examples").glob("*/*.yml") if not path.name.startswith("nni"))
NNI_FILES = sorted((ROOT / "examples").glob("*/nni*.yml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_configurations_are_valid(path):
    raw = yaml.safe_load(path.read_text())
    raw["data"].setdefault("root", "somewhere")
    assert parse_experiment(raw).name in (path.parent.name, f"{path.parent.name}-{path.stem}")


@pytest.mark.parametrize("path", NNI_FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_files_for_nni_are_those_that_nni_config_writes(path):
    own = yaml.safe_load(path.read_text())
    machines = own["trainingService"].get("machineList", [])
    remote = None
    if machines:
        places = [f"{each['user']}@{each['host']}:{each['port']}" for each in machines]
        remote = Remote(places, machines[0]["sshKeyFile"], machines[0]["pythonPath"])
    written = nni_files(
        load_experiment(path.parent / "experiment.yml"), "experiment.yml", tuner=own["tuner"]["name"],
        assessor=own["assessor"]["name"], trials=own["maxTrialNumber"], concurrency=own["trialConcurrency"],
        remote=remote,
    )  # fmt: skip
    assert yaml.safe_load(written["nni.yml"]) == own
    assert json.loads(written["search_space.json"]) == json.loads((path.parent / "search_space.json").read_text())


def test_the_python_example_runs():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "examples/nas_experiment.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "normal_edge_0_1" in done.stdout
