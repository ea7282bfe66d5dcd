"""Two trials through NNI's real manager, started as a user starts them."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from conftest import COMMAND, bioautoml, write_experiment, write_table


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening_addresses(port: int) -> set[str]:
    """Return the local addresses on which a TCP port is open, as Linux tells them."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(table):
            continue
        with open(table) as lines:
            for line in list(lines)[1:]:
                address, number = line.split()[1].split(":")
                if int(number, 16) == port and line.split()[3] == "0A":
                    found.add(address)
    return found


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="reads open ports from Linux's /proc")
def test_two_trials_run_to_the_end_in_the_web_ui_and_only_this_machine_can_see_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    write_table(tmp_path / "data")
    one = {"epochs": 1, "batch_size": 8}
    experiment = write_experiment(tmp_path, tmp_path / "data", search=one, training={**one, "warmup_steps": 2})
    assert bioautoml("nni-config", experiment, "--max-trials", 2, "--concurrency", 2).returncode == 0
    port = free_port()

    def get(path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/nni/{path}", timeout=20) as answer:
            return answer.read().decode()

    started = bioautoml("nnictl", "create", "--config", tmp_path / "nni.yml", "--port", port)
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        assert listening_addresses(port) == {"0100007F"}  # 127.0.0.1
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            jobs = json.loads(get("trial-jobs"))
            if len(jobs) == 2 and all(job["status"] not in ("WAITING", "RUNNING") for job in jobs):
                break
            time.sleep(1)
        assert [job["status"] for job in jobs] == ["SUCCEEDED", "SUCCEEDED"], jobs
        metrics = json.loads(get("metric-data"))
        for job in jobs:
            asked = json.loads(job["hyperParameters"][0])
            own = [metric for metric in metrics if metric["trialJobId"] == job["trialJobId"]]
            assert {metric["parameterId"] for metric in own} == {str(asked["parameter_id"])}
            epochs = [json.loads(json.loads(metric["data"])) for metric in own if metric["type"] == "PERIODICAL"]
            assert [epoch["searching"] for epoch in epochs] == [1.0, 0.0]
            assert {"default", "alpha_loss", "alpha_entropy", "zero_share", "learning_rate"} <= set(epochs[0])
            assert "report.html" in get(f"trial-file/{job['trialJobId']}/trial.log")
        with pytest.raises(urllib.error.HTTPError, match="500"):
            get(f"trial-file/{jobs[0]['trialJobId']}/..%2f..%2f..%2f..%2fdb%2fnni.sqlite")
        name = json.loads(get("experiment"))["id"]
        listed = bioautoml("trials", name)
        assert listed.returncode == 0 and "loss.tau" in listed.stdout, listed.stdout + listed.stderr
        runs = [path for path in (tmp_path / "home/nni-experiments" / name / "runs").iterdir() if path.is_dir()]
        assert len(runs) == 2 and all((run / "report.html").is_file() for run in runs)
        used = [json.loads((run / "trial.json").read_text()) for run in runs]
        by_job = {entry["trials"][0]: entry["parameters"] for entry in used}
        for job in jobs:
            assert by_job[job["trialJobId"]] == json.loads(job["hyperParameters"][0])["parameters"]
    finally:
        subprocess.run([*COMMAND, "nnictl", "stop", "--all"], capture_output=True, timeout=60)
