"""The report's page in a browser: cells show their images, tables sort, terms explain themselves, also by keyboard."""

from __future__ import annotations

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_reader_chooses_cells_sorts_and_asks_for_terms(finished):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        mistakes: list[str] = []
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        page.goto((finished[0] / "report.html").as_uri())
        cell = page.locator(".cell").last
        cell.click()
        label, predicted, count = (cell.get_attribute(f"data-{name}") for name in ("true", "predicted", "count"))
        told = page.inner_text("#browser h4")
        assert label in told and predicted in told and f"{count} specimen" in told
        shown = page.locator("#browser figure")
        assert shown.count() >= 1 and {one.get_attribute("data-true") for one in shown.all()} == {label}
        assert page.inner_text("#told").startswith(f"{label} ") and cell.get_attribute("aria-pressed") == "true"
        head = page.locator("#per-class th").nth(5)
        head.locator("button").focus()
        for order in ("descending", "ascending"):
            page.keyboard.press("Enter")
            scores = [float(row.inner_text().split("\t")[5]) for row in page.locator("#per-class tbody tr").all()]
            assert head.get_attribute("aria-sort") == order
            assert scores == sorted(scores, reverse=order == "descending")
        page.locator(".term").first.click()
        assert "named correctly" in page.inner_text("[popover]:popover-open")
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert not mistakes
        browser.close()
