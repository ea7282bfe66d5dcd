"""Two trials through NNI's real manager, started as a user starts them, by its answers and in a browser."""

import json
import os
import re
import shutil
import socket
import urllib.error
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import bioautoml, free_port, in_process, write_experiment, write_table
from nni_manager import ask, listening_addresses, stop_all, wait_for_trials

from bioautoml_nni.nni_jobs.web_ui import Known, find_experiment, manager_is_gone, open_addresses

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCREENSHOTS = Path(__file__).parents[2] / "artifacts/web-ui"
pytestmark = pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="reads open ports from Linux's /proc")


@dataclass(frozen=True)
class Ended:
    """An NNI experiment whose trials have ended, and whose web UI is still there."""

    home: Path
    port: int
    jobs: list
    said: str

    @property
    def name(self):
        return json.loads(ask(self.port, "experiment"))["id"]


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ended")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder / "home"))
        (folder / "home").mkdir()
        write_table(folder / "data")
        one = {"epochs": 1, "batch_size": 8}
        experiment = write_experiment(folder, folder / "data", search=one, training={**one, "warmup_steps": 2})
        assert bioautoml("nni-config", experiment, "--max-trials", 2, "--concurrency", 2).returncode == 0
        port = free_port()
        started = bioautoml("nnictl", "create", "--config", folder / "nni.yml", "--port", port)
        try:
            assert started.returncode == 0, started.stdout + started.stderr
            yield Ended(folder / "home", port, wait_for_trials(port, 2), started.stdout + started.stderr)
        finally:
            stop_all()


def test_only_this_machine_can_see_it(ended):
    assert listening_addresses(ended.port) == {"0100007F"}  # 127.0.0.1
    with pytest.raises(urllib.error.HTTPError, match="500"):
        ask(ended.port, f"trial-file/{ended.jobs[0]['trialJobId']}/..%2f..%2f..%2f..%2fdb%2fnni.sqlite")


def test_the_web_ui_is_found_and_one_that_is_open_to_the_network_is_warned_of(ended, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(ended.home))
    for name in (ended.name, "tiny", ended.home / "nni-experiments" / ended.name):
        code, said = in_process(capsys, "ui", name)
        assert code == 0 and f"http://127.0.0.1:{ended.port} " in said and "warning" not in said, said
    code, said = in_process(capsys, "ui", "no-such")
    assert code == 2 and ended.name in said and "tiny" in said
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        assert open_addresses(port) == ["0.0.0.0"] and open_addresses(ended.port) == []
        monkeypatch.setattr("bioautoml_nni.nni_jobs.web_ui.find_experiment", lambda text: Known("abc", port))
        code, said = in_process(capsys, "ui", "abc")
        assert code == 0 and "open to the network at 0.0.0.0" in said and "nnictl stop abc" in said


def test_an_experiment_whose_manager_was_killed_is_said_to_be_gone(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "nni-experiments").mkdir()
    entry = {"experimentName": "mine", "startTime": 1, "port": free_port(), "status": "RUNNING"}
    (tmp_path / "nni-experiments/.experiment").write_text(
        json.dumps({"killed": entry, "ended": {**entry, "experimentName": "other", "status": "STOPPED"}})
    )
    assert find_experiment("mine") == Known("killed", None, gone=True) and manager_is_gone("killed")
    assert find_experiment("other") == Known("ended", None) and not manager_is_gone("ended")
    assert not manager_is_gone("never")
    (tmp_path / "nni-experiments/killed/runs/a").mkdir(parents=True)
    (tmp_path / "nni-experiments/killed/runs/a/trial.json").write_text(json.dumps({"parameters": {}}))
    code, said = in_process(capsys, "trials", "killed")
    assert code == 0 and "the manager of killed is gone" in said and "nnictl resume killed" in said


def test_only_the_address_is_printed_on_which_something_listens(ended):
    assert re.findall(r"http://[\w.:]+", ended.said) == [f"http://127.0.0.1:{ended.port}"]


def test_two_trials_run_to_the_end_with_their_numbers_and_runs(ended):
    assert [job["status"] for job in ended.jobs] == ["SUCCEEDED", "SUCCEEDED"], ended.jobs
    metrics = json.loads(ask(ended.port, "metric-data"))
    for job in ended.jobs:
        asked = json.loads(job["hyperParameters"][0])
        own = [metric for metric in metrics if metric["trialJobId"] == job["trialJobId"]]
        assert {metric["parameterId"] for metric in own} == {str(asked["parameter_id"])}
        epochs = [json.loads(json.loads(metric["data"])) for metric in own if metric["type"] == "PERIODICAL"]
        assert [epoch["searching"] for epoch in epochs] == [1.0, 0.0, 0.0]  # an epoch each, and the curve's end
        (final,) = [json.loads(json.loads(metric["data"])) for metric in own if metric["type"] == "FINAL"]
        assert (final["default"] if isinstance(final, dict) else final) == epochs[-1]["default"]
        assert {"default", "alpha_loss", "alpha_entropy", "zero_share", "learning_rate"} <= set(epochs[0])
        assert "report.html" in ask(ended.port, f"trial-file/{job['trialJobId']}/trial.log")
    listed = bioautoml("trials", ended.home / "nni-experiments" / ended.name)
    assert listed.returncode == 0 and "loss.tau" in listed.stdout, listed.stdout + listed.stderr
    runs = [path for path in (ended.home / "nni-experiments" / ended.name / "runs").iterdir() if path.is_dir()]
    assert len(runs) == 2 and all((run / "report.html").is_file() for run in runs)
    used = [json.loads((run / "trial.json").read_text()) for run in runs]
    by_job = {entry["trials"][0]: entry["parameters"] for entry in used}
    for job in ended.jobs:
        assert by_job[job["trialJobId"]] == json.loads(job["hyperParameters"][0])["parameters"]


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium or Chrome")
def test_the_web_ui_shows_trials_curves_settings_and_logs(ended):
    from playwright.sync_api import expect, sync_playwright

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    scores = [float(json.loads(json.loads(job["finalMetricData"][0]["data"]))["default"]) for job in ended.jobs]
    names = [job["trialJobId"] for job in ended.jobs]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1200})
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)

        def show(name, *texts):
            body = page.locator("body")
            for text in texts:
                expect(body).to_contain_text(text)
            page.wait_for_timeout(500)  # charts are drawn after the texts
            page.screenshot(path=SCREENSHOTS / f"{name}.png")

        page.goto(f"http://127.0.0.1:{ended.port}/oview")
        best = f"{max(scores):.6f}".rstrip("0").rstrip(".")
        show("overview", "tiny", ended.name, best, "bioautoml trial --config experiment.yml", "TPE", *names)

        page.goto(f"http://127.0.0.1:{ended.port}/detail")
        rows = page.locator("[data-automation-key=id]")
        expect(rows).to_have_count(2)
        show("trials", *names, "SUCCEEDED", "(FINAL)")
        assert drawn(page.locator("canvas").first)

        page.get_by_role("tab", name="Hyper-parameter").click()
        axes = page.locator("svg text")
        expect(axes.filter(has_text="strategy.alpha_learning_rate")).to_have_count(1)
        show("hyper-parameters", "training.learning_rate", "space.cells", "loss.tau", "parameters", "flops")

        page.get_by_role("tab", name="Intermediate result").click()
        show("intermediate-results", "# Intermediate result")
        assert drawn(page.locator("canvas").first)

        page.locator("[data-automation-key=_expand] i").first.click()
        page.get_by_role("tab", name="Log").click()
        show("trial", "LogPath", names[0])
        with page.expect_popup() as opened:
            page.get_by_role("button", name="View trial log").click()
        log = opened.value
        expect(log.locator("body")).to_contain_text("architecture.svg")
        expect(log.locator("body")).to_contain_text("Report: ")
        log.screenshot(path=SCREENSHOTS / "trial-log.png")
        browser.close()


def drawn(canvas):
    """Whether a canvas has pixels of more than one colour."""
    return canvas.evaluate(
        "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size > 10"
    )
