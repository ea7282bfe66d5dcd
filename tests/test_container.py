"""The Dockerfile keeps to what its page promises; built and asked where a Docker engine runs."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def instructions():
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    joined = re.sub(r"\\\n", " ", text)
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def test_its_bases_are_named_exactly_and_nothing_runs_as_root():
    lines = instructions()
    bases = [rest.split()[0] for word, rest in lines if word == "FROM"]
    assert bases and all(re.fullmatch(r"python:3\.\d+-slim-\w+", base) for base in bases)
    last_stage = lines[max(number for number, (word, _) in enumerate(lines) if word == "FROM") :]
    words = [word for word, _ in last_stage]
    user = [rest for word, rest in last_stage if word == "USER"]
    assert user and user[-1] not in ("root", "0")
    assert words.index("USER") > max(number for number, word in enumerate(words) if word == "RUN")
    assert "ADD" not in words and "HEALTHCHECK" in words
    [entry] = [rest for word, rest in last_stage if word == "ENTRYPOINT"]
    assert entry.startswith("[")  # no shell in between, so that signals arrive


def test_every_download_is_not_cached_and_held_to_the_tested_versions():
    runs = " ".join(rest for word, rest in instructions() if word == "RUN")
    installs = re.findall(r"pip install[^&|>]*", runs)
    assert len(installs) == 3
    for install in installs:
        assert "--no-cache-dir" in install
        assert "--no-deps" in install or "--constraint" in install or re.search(r"==\d", install), install


def test_what_it_installs_is_without_torch_and_complete():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = config["options.extras_require"]
    lines = [line for name in ("runtime", "serve") for line in extras[name].splitlines()]
    names = {re.split(r"[ <>=]", line)[0] for line in lines if line and not line.startswith("#")}
    assert {"onnxruntime", "fastapi", "uvicorn", "typer", "rich", "pandas"} <= names
    assert not names & {"torch", "nni", "timm", "pytorch-lightning"}


def has_engine():
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, timeout=60).returncode == 0


@pytest.mark.skipif(not has_engine(), reason="no Docker engine runs here")
def test_it_builds_and_answers():
    build = ["docker", "build", "--tag", "bioautoml-test", "."]
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    shown = subprocess.run(["docker", "run", "--rm", "bioautoml-test", "--help"], capture_output=True, text=True)
    assert shown.returncode == 0 and "serve" in shown.stdout
