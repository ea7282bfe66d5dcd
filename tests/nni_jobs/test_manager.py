"""Tuners, assessors and GPUs through NNI's real manager."""

import json
import os
import subprocess
import sys

import pytest
from conftest import COMMAND, bioautoml, free_port, write_experiment
from nni_manager import replace_trial_command, stop_all, wait_for_trials

from bioautoml_nni.config import load_experiment
from bioautoml_nni.nni_jobs.template import ASSESSORS, TUNERS, write_nni_files

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
        stop_all()


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
        stop_all()
