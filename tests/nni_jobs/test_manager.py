"""Tuners, assessors and GPUs through NNI's real manager."""

import json
import os
import subprocess
import sys

import pytest
from conftest import COMMAND, free_port, write_experiment
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
"""Python's start-up file, with which NNI's collector of GPUs finds those that the test invents."""

GPU_TRIAL = """
import os, time
import nni
nni.get_next_parameter()
time.sleep(3)
nni.report_final_result({"default": 1.0, "gpus": os.environ["CUDA_VISIBLE_DEVICES"]})
"""


GPUS = {(1, 1): {"0"}, (2, 1): {"0", "1"}, (2, 2): {"0,1"}}
"""GPUs of the machine and those that each trial asks for, and what the trials then see."""


@pytest.fixture(scope="module")
def with_gpus(tmp_path_factory):
    """The ports of an experiment for each of GPUS, whose managers work side by side."""
    folder = tmp_path_factory.mktemp("gpus")
    for name in ("home", "start"):
        (folder / name).mkdir()
    (folder / "start/sitecustomize.py").write_text(COLLECTOR)
    ports, starting = [free_port() for _ in GPUS], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder / "home"))
        patch.setenv("PYTHONPATH", str(folder / "start"))
        try:
            for port, (there, each) in zip(ports, GPUS, strict=True):
                gpus = [{"index": index, "gpuCoreUtilization": 0, "gpuMemoryUtilization": 0} for index in range(there)]
                invented = {"gpuNumber": there, "gpus": gpus, "processes": [], "success": True}
                place = folder / f"{there}-{each}"
                place.mkdir()
                (place / "trial.py").write_text(GPU_TRIAL)
                config = write_experiment(place, place)
                experiment = load_experiment(config)
                written = write_nni_files(experiment, config, tuner="Random", trials=2, concurrency=2, gpus=each)
                replace_trial_command(written[0], f"{sys.executable} trial.py")
                create = [*COMMAND, "nnictl", "create", "--config", str(written[0]), "--port", str(port)]
                environment = {**os.environ, "STAND_IN_GPUS": json.dumps(invented)}
                starting.append(
                    subprocess.Popen(
                        create, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
                    )
                )
            for process in starting:
                said = process.communicate(timeout=240)[0]
                assert process.returncode == 0, said
            yield dict(zip(GPUS, ports, strict=True))
        finally:
            for process in starting:
                process.kill()
            stop_all()


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="NNI's manager is tested on Linux only")
@pytest.mark.parametrize("case", GPUS, ids=str)
def test_trials_get_the_gpus_that_they_ask_for(with_gpus, case):
    """All that there are too, which NNI's own scheduler never gives; trials wait for one another where they must."""
    jobs = wait_for_trials(with_gpus[case], 2)
    assert [job["status"] for job in jobs] == ["SUCCEEDED"] * 2, jobs
    results = [json.loads(json.loads(job["finalMetricData"][0]["data"])) for job in jobs]
    assert {result["gpus"] for result in results} == GPUS[case]
