"""`make images`: the images of README and documentation, from a finished run and its export.

    python docs/_make/images.py RUN

RUN is a run with an export (`make demo`, then `bioautoml export runs/sample`). Every image is made again from what it
holds, the leaderboard from benchmarks/results/sample_compare.csv; Chromium takes the screenshots.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from diagrams import DIAGRAMS
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from bioautoml_nni.architecture import Architecture
from bioautoml_nni.architecture.draw import draw
from bioautoml_nni.compare.tables import write_tables
from bioautoml_nni.config import load_experiment

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs/images"
COLOURS = 96
DARK = {
    "#1b1f24": "#e6edf3", "#57606a": "#9aa4af", "#eaf2fb": "#13233a", "#0b5cad": "#6cb0f5", "#8c959f": "#6e7681",
    "stroke:#fff": "stroke:#0d1117", "fill:#fff": "fill:#0d1117",
}  # fmt: skip
SECONDS_PER_EPOCH = 0.8


def dark(svg: str) -> str:
    """Return a drawing of an architecture for a dark page."""
    for light, other in DARK.items():
        svg = svg.replace(light, other)
    return svg


def animated(drawings: list[str]) -> str:
    """Return one SVG that shows drawings one after the other, and the last one longest."""
    height = max(int(re.search(r'viewBox="0 0 \d+ (\d+)"', text)[1]) for text in drawings)  # type: ignore[index]
    head = re.search(r"<style>(.*?)</style>(<defs>.*?</defs>)", drawings[0], re.DOTALL)
    assert head is not None
    count, frames = len(drawings), []
    total = SECONDS_PER_EPOCH * (count + 3)
    for number, text in enumerate(drawings):
        body = re.sub(r"^.*?</defs><rect[^>]*/>", "", text, flags=re.DOTALL).removesuffix("</svg>")
        body = re.sub(r"(\d+\.\d)\d{4,}", r"\1", body)
        end = 1.0 if number == count - 1 else (number + 1) * SECONDS_PER_EPOCH / total
        times = f"0;{number * SECONDS_PER_EPOCH / total:.4f};{end:.4f}"
        frames.append(
            f'<g visibility="{"visible" if number == count - 1 else "hidden"}"><animate attributeName="visibility" '
            f'calcMode="discrete" values="hidden;visible;hidden" keyTimes="{times}" dur="{total}s" '
            f'repeatCount="indefinite"/>{body}<text x="740" y="{height - 24}" text-anchor="end" class="title">'
            f"after epoch {number + 1}</text></g>"
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="architecture" viewBox="0 0 760 {height}" role="img" '
        f'aria-label="The cells that '
        f'would be derived after each of {count} epochs of the search"><style>{head[1]}</style>{head[2]}'
        f'<rect width="760" height="{height}" class="ground"/>{"".join(frames)}</svg>'
    )


def small(png: bytes, path: Path) -> None:
    """Write a screenshot with few colours, which text and plain surfaces do not show."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def page(browser: Browser, address: str, width: int, height: int, scheme: Any = "light") -> Any:
    """Open a page in a window of this size."""
    opened = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=1.5)
    opened.goto(address)
    opened.wait_for_load_state("networkidle")
    return opened


@contextmanager
def service(export: Path) -> Iterator[str]:
    """Serve an export on a free port, and yield its address."""
    command = [str(Path(sys.executable).parent / "bioautoml"), "serve", str(export), "--port", "0", "--threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://\S+?:\d+", said)
        assert found is not None, said
        yield found[0]
    finally:
        process.terminate()
        process.wait(timeout=30)


def of_the_service(browser: Browser, export: Path, images: list[Path]) -> None:
    """Show three specimens on the page of the service, and its answer to the first."""
    with service(export) as address:
        opened = page(browser, address, 980, 640)
        opened.set_input_files("#files", [str(path) for path in images])
        opened.wait_for_selector("#answer:not([hidden])")
        opened.wait_for_load_state("networkidle")
        opened.wait_for_timeout(1500)
        small(opened.screenshot(), IMAGES / "service.png")


def leaderboard(browser: Browser) -> None:
    """Show the table that `bioautoml compare` writes, of the runs that benchmarks/ keeps."""
    runs = pd.read_csv(ROOT / "benchmarks/results/sample_compare.csv")
    with tempfile.TemporaryDirectory() as folder:
        write_tables(runs, load_experiment(ROOT / "examples/sample/experiment.yml"), Path(folder), "")
        board = page(browser, (Path(folder) / "compare.html").as_uri(), 1660, 600)
        board.add_style_tag(content="body { max-width: none; }")
        small(board.screenshot(full_page=True), IMAGES / "leaderboard.png")


def test_images(run: Path, count: int) -> list[Path]:
    """Return files of test specimens that were answered rightly and surely."""
    answers = pd.read_csv(run / "evaluation/predictions.csv", dtype={"id": str})
    right = answers[answers["label"] == answers["predicted"]].sort_values("confidence", ascending=False)
    cache = Path.home() / ".cache/bioautoml-nni"
    files = {path.stem: path for path in cache.rglob("*.jpg")}
    chosen = right.drop_duplicates("label")["id"].map(files).dropna()
    return list(chosen[:count])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    given = parser.parse_args()
    for name, drawing in DIAGRAMS.items():
        (IMAGES / f"{name}.svg").write_text(drawing() + "\n", encoding="utf-8")
    cell = draw(Architecture.load(given.run / "architecture.json"))
    (IMAGES / "cell.svg").write_text(cell + "\n", encoding="utf-8")
    (IMAGES / "cell-dark.svg").write_text(dark(cell) + "\n", encoding="utf-8")
    epochs = [path.read_text(encoding="utf-8") for path in sorted((given.run / "search/cells").glob("epoch-*.svg"))]
    (IMAGES / "search.svg").write_text(animated(epochs) + "\n", encoding="utf-8")
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme, name in (("light", "report.png"), ("dark", "report-dark.png")):
            report = page(browser, (given.run / "report.html").resolve().as_uri(), 960, 738, scheme)
            small(report.screenshot(), IMAGES / name)
        if (given.run / "export").is_dir():
            of_the_service(browser, given.run / "export", test_images(given.run, 3))
        leaderboard(browser)
        browser.close()
    for path in sorted(IMAGES.iterdir()):
        print(f"{path.name:<18} {path.stat().st_size / 1000:6.1f} kB")


if __name__ == "__main__":
    main()
