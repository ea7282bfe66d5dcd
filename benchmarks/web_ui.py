"""Images of NNI's web UI of running or finished experiments, as docs/nni.md shows them.

    bioautoml nni-config tuned/experiment.yml
    bioautoml nnictl create --config tuned/nni.yml --port 8080
    bioautoml nni-config cells/experiment.yml --architectures
    bioautoml nnictl create --config cells/nni.yml --port 8081
    python benchmarks/web_ui.py --settings 8080 --architectures 8081 --chromium /usr/bin/chromium

Needs playwright, which `make install` brings, and a Chromium. Writes stages.png (the scores of a trial's stages) and
node_inputs.png (the axes of an architecture search) to docs/images.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parents[1] / "docs/images"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def stages(page: Page, port: int, folder: Path) -> None:
    """Show what a trial reports of its stages."""
    page.goto(f"http://127.0.0.1:{port}/detail")
    page.get_by_title("Intermediate", exact=True).first.click()
    page.locator(".ms-Dialog-main .ms-Dropdown, .ms-Modal .ms-Dropdown").first.click()
    print("\n".join(page.get_by_role("option").all_inner_texts()))
    page.wait_for_timeout(3000)  # charts are drawn after the texts
    page.screenshot(path=folder / "stages.png")


def node_inputs(page: Page, port: int, folder: Path) -> None:
    """Show the axes of an architecture search."""
    page.set_viewport_size({"width": 2200, "height": 860})  # room for the names of the axes
    page.goto(f"http://127.0.0.1:{port}/detail")
    page.get_by_role("tab", name="Hyper-parameter").click()
    page.wait_for_timeout(3000)
    page.screenshot(path=folder / "node_inputs.png", clip={"x": 60, "y": 65, "width": 2140, "height": 520})
    print("\n".join(text for text in page.locator("svg text").all_text_contents() if "_" in text))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=int, help="port of an experiment that tunes settings")
    parser.add_argument("--architectures", type=int, help="port of one that chooses architectures")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.chromium, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1200, "height": 860})
        page.set_default_timeout(90_000)
        for port, show in ((arguments.settings, stages), (arguments.architectures, node_inputs)):
            if port:
                show(page, port, arguments.folder)
        browser.close()


if __name__ == "__main__":
    main()
