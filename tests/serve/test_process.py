"""The service as a process: its command, its page in a browser, its schema, and its end."""

import csv
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import httpx
import pytest
from conftest import COMMAND, bioautoml

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Served:
    """A running `bioautoml serve`."""

    def __init__(self, folder, *arguments: str) -> None:
        command = [*COMMAND, "serve", str(folder), "--port", "0", *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "COLUMNS": "200"}
        )
        line = self.process.stdout.readline()
        assert "Listening on" in line, line + self.process.stdout.read()
        self.url = re.search(r"http://\S+", line)[0]
        for _ in range(200):
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError("the service did not become ready")

    def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30), self.process.stdout.read()


@pytest.fixture(scope="module")
def served(exported):
    served = Served(exported[0], "--threads", "1")
    yield served
    if served.process.poll() is None:
        served.end()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_person_drops_images_and_sees_names(served, exported, tmp_path):
    from playwright.sync_api import expect, sync_playwright

    images = exported[1].parent / "data" / "images"
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        mistakes: list[str] = []
        page.on("console", lambda message: mistakes.append(message.text))
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        page.goto(served.url)
        expect(page.locator("#title")).to_have_text("tiny: name a specimen")
        assert page.locator("datalist option").count() == 3  # the sites that are known
        page.fill("input[name=length_mm]", "2,5")  # as half of the world writes it
        page.set_input_files("#files", [images / "0.png", images / "1.png", broken])
        page.locator("#again:enabled").wait_for()
        names = page.locator("#strip button")
        expect(names).to_have_count(3)
        expect(names.nth(2)).to_have_text("unreadable")
        shown = page.locator("#name").inner_text()
        assert shown in {"ant", "bee", "cicada"} and shown == names.nth(0).inner_text()
        assert page.locator("#bars tr").count() == 3
        expect(page.locator("#legend")).to_contain_text(shown)
        assert page.locator("#specimen").evaluate("image => image.naturalWidth") == 16
        page.uncheck("#look")
        expect(page.locator("#legend")).to_have_text("0.png")
        names.nth(2).click()
        expect(page.locator("#problem")).to_contain_text("broken.png: ")
        expect(page.locator("#answer")).to_be_hidden()
        page.fill("input[name=length_mm]", "long")
        page.click("#again")
        page.locator("#again:enabled").wait_for()
        expect(page.locator("#problem")).to_contain_text("length_mm: long is not a number")
        page.fill("input[name=length_mm]", "3 weeks")  # which the service is asked about, and cannot read
        names.nth(0).click()
        page.click("#again")
        page.locator("#again:enabled").wait_for()
        expect(page.locator("#doubts")).to_contain_text("3 weeks")
        page.fill("input[name=length_mm]", "")
        page.locator("#threshold").fill("0.99")  # which answers at once
        expect(names.nth(1)).to_have_text("not sure")
        names.nth(0).click()
        expect(page.locator("#name")).to_have_text("Not sure")
        page.locator("#threshold").fill("0")
        page.locator("#threshold").dispatch_event("change")  # at once, without the button
        expect(page.locator("#name")).to_have_text(re.compile("ant|bee|cicada"))
        page.locator("#again:enabled").wait_for()
        with page.expect_download() as saved:
            page.click("#download")
        with open(saved.value.path(), newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [row["image"] for row in rows] == ["0.png", "1.png", "broken.png"]
        assert rows[0]["prediction"] == page.locator("#name").inner_text() and 0 < float(rows[0]["confidence"]) <= 1
        assert rows[2]["prediction"] == "" and rows[2]["error"]
        assert not mistakes
        expect(page.locator("#camera")).to_be_hidden()  # a desk has none; on a phone it opens the camera
        for width in (390, 1200):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        browser.close()


# A valid request may still name a class or pipeline that this model lacks, hence no positive_data_acceptance. On the
# wire, a part of an upload is bytes whatever the schema calls its type, hence no negative_data_rejection there.
@pytest.mark.parametrize(
    ("paths", "count", "checks"),
    [
        (["--exclude-path", "/upload"], 6, "unsupported_method,positive_data_acceptance"),
        (["--include-path", "/upload"], 1, "unsupported_method,positive_data_acceptance,negative_data_rejection"),
    ],
)
def test_requests_made_up_from_the_schema_get_answers_that_the_schema_allows(served, tmp_path, paths, count, checks):
    command = [
        COMMAND[0].replace("bioautoml", "schemathesis"), "run", f"{served.url}/openapi.json", "--max-examples", "40",
        "--seed", "1", "--exclude-checks", checks, "--no-color", *paths,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)  # it leaves a folder
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"Tested: {count}\n" in done.stdout


def test_what_was_asked_before_the_end_is_answered(exported):
    served = Served(exported[0])
    content = (exported[1].parent / "data/images/0.png").read_bytes()
    files = [("images", (f"{n}.png", content)) for n in range(64)]
    answers: list[httpx.Response] = []
    asking = [
        threading.Thread(target=lambda: answers.append(httpx.post(f"{served.url}/upload", files=files, timeout=60)))
        for _ in range(3)
    ]
    for thread in asking:
        thread.start()
    for _ in range(1000):
        if "bioautoml_specimens_in_work 192.0" in httpx.get(f"{served.url}/metrics").text or len(answers) == 3:
            break
    code, said = served.end()
    for thread in asking:
        thread.join(60)
    assert code == 0 and "Stopped" in said
    assert [response.status_code for response in answers] == [200] * 3
    assert all(len(response.json()["detections"]) == 64 for response in answers)


def test_a_port_that_is_taken_and_a_folder_without_a_model_are_named(served, exported, tmp_path):
    port = served.url.rsplit(":", 1)[1]
    done = bioautoml("serve", exported[0], "--port", port)
    assert done.returncode == 2 and "choose another --port" in done.stderr and "Traceback" not in done.stderr
    done = bioautoml("serve", tmp_path)
    assert done.returncode == 2 and "holds no exported model" in done.stderr
