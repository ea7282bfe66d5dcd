"""`make images`: NNI's web UI of two short experiments on the built-in sample, as docs/nni.md shows it.

    python docs/_make/web_ui.py

Starts an experiment that tunes settings and one that chooses architectures, one after the other, in a home directory of
their own, waits for their trials, and writes stages.png (the scores of a trial's stages) and node_inputs.png (the axes
of an architecture search) to docs/images. Needs playwright, which `make install` brings, and a Chromium.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import Page, sync_playwright

from bioautoml_nni.nni_jobs.launcher import free_port

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs/images"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SHORT = {
    "search": {"epochs": 4, "batch_size": 32, "learning_rate": 0.1},
    "training": {"epochs": 8, "batch_size": 32, "learning_rate": 0.003},
    "evaluation": {"baselines": [], "examples": 0},
}
"""Sections of examples/sample/experiment.yml that make a trial a matter of a minute."""
TRIALS, LONGEST = 3, 1800.0
"""Trials of each experiment, and seconds after which they should have ended."""


def stages(page: Page, port: int) -> None:
    """Show what a trial reports of its stages."""
    page.goto(f"http://127.0.0.1:{port}/detail")
    page.get_by_title("Intermediate", exact=True).first.click()
    page.locator(".ms-Dialog-main .ms-Dropdown, .ms-Modal .ms-Dropdown").first.click()
    page.get_by_role("option").first.wait_for()
    page.wait_for_timeout(3000)  # charts are drawn after the texts
    page.screenshot(path=IMAGES / "stages.png")


def node_inputs(page: Page, port: int) -> None:
    """Show the axes of an architecture search."""
    page.set_viewport_size({"width": 2200, "height": 860})  # room for the names of the axes
    page.goto(f"http://127.0.0.1:{port}/detail")
    page.get_by_role("tab", name="Hyper-parameter").click()
    page.wait_for_timeout(3000)
    page.screenshot(path=IMAGES / "node_inputs.png", clip={"x": 60, "y": 65, "width": 2140, "height": 520})


def bioautoml(home: Path, *arguments: object) -> None:
    """Run a command in a home directory of its own, with the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": cache}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [str(Path(sys.executable).parent / "bioautoml"), *map(str, arguments)]
    subprocess.run(command, check=True, env=environment)


def wait_for_trials(port: int) -> None:
    """Wait until all trials have ended well.

    Raises:
        SystemExit: if one has not.
    """
    until = time.monotonic() + LONGEST
    jobs: list[dict[str, Any]] = []
    while time.monotonic() < until:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/nni/trial-jobs", timeout=60) as answer:
            jobs = json.load(answer)
        if len(jobs) == TRIALS and all(job["status"] not in ("WAITING", "RUNNING") for job in jobs):
            break
        time.sleep(2)
    states = [job["status"] for job in jobs]
    if states != ["SUCCEEDED"] * TRIALS:
        raise SystemExit(f"of {TRIALS} trials: {states}")


@contextmanager
def experiment(folder: Path, space: Mapping[str, Any], *options: str) -> Iterator[int]:
    """Run an NNI experiment to its end, and yield the port of its web UI.

    Args:
        space: arguments of the search space that differ from the example's.
    """
    folder.mkdir()
    home = folder / "home"
    home.mkdir()
    raw = yaml.safe_load((ROOT / "examples/sample/experiment.yml").read_text(encoding="utf-8"))
    short = {**raw, **SHORT, "space": {**raw["space"], **space}}
    (folder / "experiment.yml").write_text(yaml.safe_dump(short, sort_keys=False), encoding="utf-8")
    bioautoml(home, "nni-config", folder / "experiment.yml", "--max-trials", TRIALS, *options)
    port = free_port()
    bioautoml(home, "nnictl", "create", "--config", folder / "nni.yml", "--port", port)
    try:
        wait_for_trials(port)
        yield port
    finally:
        bioautoml(home, "nnictl", "stop", "--all")


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    shown: list[tuple[Callable[[Page, int], None], dict[str, int], list[str]]] = [
        (stages, {}, []), (node_inputs, {"nodes": 3, "cells": 1}, ["--architectures"]),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for show, space, options in shown:
            with experiment(Path(folder) / show.__name__, space, *options) as port:
                page = browser.new_page(viewport={"width": 1200, "height": 860})
                page.set_default_timeout(90_000)
                show(page, port)
        browser.close()


if __name__ == "__main__":
    main()
