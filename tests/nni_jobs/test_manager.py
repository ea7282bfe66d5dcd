"""Two trials through NNI's real manager, started as a user starts them."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from conftest import COMMAND, bioautoml, free_port, write_experiment, write_table

from bioautoml_nni.config import load_experiment
from bioautoml_nni.nni_jobs.template import ASSESSORS, TUNERS, write_nni_files


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

    started = bioautoml("nnictl", "create", "--config", tmp_path / "nni.yml", "--port", port)
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        assert listening_addresses(port) == {"0100007F"}  # 127.0.0.1
        jobs = wait_for_trials(port, 2)
        assert [job["status"] for job in jobs] == ["SUCCEEDED", "SUCCEEDED"], jobs
        metrics = json.loads(ask(port, "metric-data"))
        for job in jobs:
            asked = json.loads(job["hyperParameters"][0])
            own = [metric for metric in metrics if metric["trialJobId"] == job["trialJobId"]]
            assert {metric["parameterId"] for metric in own} == {str(asked["parameter_id"])}
            epochs = [json.loads(json.loads(metric["data"])) for metric in own if metric["type"] == "PERIODICAL"]
            assert [epoch["searching"] for epoch in epochs] == [1.0, 0.0]
            assert {"default", "alpha_loss", "alpha_entropy", "zero_share", "learning_rate"} <= set(epochs[0])
            assert "report.html" in ask(port, f"trial-file/{job['trialJobId']}/trial.log")
        with pytest.raises(urllib.error.HTTPError, match="500"):
            ask(port, f"trial-file/{jobs[0]['trialJobId']}/..%2f..%2f..%2f..%2fdb%2fnni.sqlite")
        name = json.loads(ask(port, "experiment"))["id"]
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


LIGHT_TRIAL = """
import time
import nni
nni.get_next_parameter()
for epoch in range(8):
    nni.report_intermediate_result({"default": epoch / 10 - nni.get_sequence_id()})
    time.sleep(1.5 if nni.get_sequence_id() else 0.2)
nni.report_final_result({"default": -nni.get_sequence_id()})
"""
"""A trial that only answers; each is worse than the one before, and those after the first leave time to stop them."""

JUDGES = {"TPE": "Medianstop", "Random": "Curvefitting", "Evolution": None, "GridSearch": None}


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="reads open ports from Linux's /proc")
def test_every_tuner_and_assessor_chooses_architectures_through_the_manager(tmp_path, monkeypatch):
    """NNI's own manager and tuners on the search space that we write, side by side; only the trials are light."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    assert set(JUDGES) == set(TUNERS) and set(ASSESSORS) <= set(JUDGES.values())
    ports, starting = {tuner: free_port() for tuner in JUDGES}, []
    try:
        for tuner, assessor in JUDGES.items():
            folder = tmp_path / tuner
            folder.mkdir()
            (folder / "trial.py").write_text(LIGHT_TRIAL)
            config = write_experiment(folder, tmp_path)
            written = write_nni_files(
                load_experiment(config), config, tuner=tuner, assessor=assessor, trials=3, architectures=True
            )
            replace_trial_command(written[0], f"{sys.executable} trial.py")
            create = [*COMMAND, "nnictl", "create", "--config", str(written[0]), "--port", str(ports[tuner])]
            starting.append(subprocess.Popen(create, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        for process in starting:
            said = process.communicate(timeout=240)[0]
            assert process.returncode == 0, said
        space = json.loads((tmp_path / "TPE/search_space.json").read_text())
        for tuner, port in ports.items():
            jobs = wait_for_trials(port, 3)
            ends = [job["status"] for job in sorted(jobs, key=lambda job: job["sequenceId"])]
            if JUDGES[tuner] == "Medianstop":  # shown as what it is, and not as cancelled by the user
                assert ends == ["SUCCEEDED", "EARLY_STOPPED", "EARLY_STOPPED"], jobs
            else:
                assert ends[0] == "SUCCEEDED" and set(ends) <= {"SUCCEEDED", "EARLY_STOPPED"}, (tuner, jobs)
            settings = [json.loads(job["hyperParameters"][0])["parameters"] for job in jobs]
            assert len({json.dumps(each, sort_keys=True) for each in settings}) > 1, "a tuner tries different ones"
            for chosen in settings:
                assert chosen.keys() == space.keys()
                assert all(value in space[key]["_value"] for key, value in chosen.items())
    finally:
        for process in starting:
            process.kill()
        subprocess.run([*COMMAND, "nnictl", "stop", "--all"], capture_output=True, timeout=60)


COLLECTOR = """
import os, sys
if any("collect_gpu_info" in word for word in sys.orig_argv):
    print(os.environ["STAND_IN_GPUS"], flush=True)
    os._exit(0)
"""
"""Python's start-up file, by which NNI's collector of GPUs finds those that the test invents."""

GPU_TRIAL = """
import os, time
import nni
nni.get_next_parameter()
time.sleep(3)
nni.report_final_result({"default": 1.0, "gpus": os.environ["CUDA_VISIBLE_DEVICES"]})
"""


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="NNI's manager is tested on Linux only")
@pytest.mark.parametrize(("there", "each", "seen"), [(1, 1, {"0"}), (2, 1, {"0", "1"}), (2, 2, {"0,1"})])
def test_trials_get_the_gpus_that_they_ask_for(tmp_path, monkeypatch, there, each, seen):
    """All that there are too, which NNI's own scheduler never gives; trials wait for one another where they must."""
    gpus = [{"index": index, "gpuCoreUtilization": 0, "gpuMemoryUtilization": 0} for index in range(there)]
    (tmp_path / "start").mkdir()
    (tmp_path / "start/sitecustomize.py").write_text(COLLECTOR)
    (tmp_path / "home").mkdir()
    for name, value in {
        "HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(tmp_path / "start"),
        "STAND_IN_GPUS": json.dumps({"gpuNumber": there, "gpus": gpus, "processes": [], "success": True}),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "trial.py").write_text(GPU_TRIAL)
    config = write_experiment(tmp_path, tmp_path)
    experiment = load_experiment(config)
    written = write_nni_files(experiment, config, tuner="Random", trials=2, concurrency=2, gpus=each)
    replace_trial_command(written[0], f"{sys.executable} trial.py")
    port = free_port()
    try:
        started = bioautoml("nnictl", "create", "--config", written[0], "--port", port)
        assert started.returncode == 0, started.stdout + started.stderr
        jobs = wait_for_trials(port, 2)
        assert [job["status"] for job in jobs] == ["SUCCEEDED"] * 2, jobs
        results = [json.loads(json.loads(job["finalMetricData"][0]["data"])) for job in jobs]
        assert {result["gpus"] for result in results} == seen
    finally:
        subprocess.run([*COMMAND, "nnictl", "stop", "--all"], capture_output=True, timeout=60)


def replace_trial_command(config, command):
    """Write another command into an nni.yml of ours."""
    text = config.read_text()
    line = next(line for line in text.splitlines() if line.startswith("trialCommand"))
    config.write_text(text.replace(line, f"trialCommand: {command}"))


def ask(port, path):
    """Return what NNI's manager answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/nni/{path}", timeout=20) as answer:
        return answer.read().decode()


def wait_for_trials(port, count, seconds=240):
    """Return the trials of an experiment when `count` of them have ended."""
    deadline = time.monotonic() + seconds
    while True:
        jobs = json.loads(ask(port, "trial-jobs"))
        if len(jobs) >= count and all(job["status"] not in ("WAITING", "RUNNING") for job in jobs):
            return jobs
        assert time.monotonic() < deadline, jobs
        time.sleep(1)
