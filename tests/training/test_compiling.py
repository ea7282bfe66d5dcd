"""A network whose passes torch.compile makes; a backend without a compiler stands for the usual one where it can."""

import shutil

import pytest
import torch
from rich.console import Console
from torch import nn

from bioautoml_nni.artifacts.history import read_history
from bioautoml_nni.config.load import changed
from bioautoml_nni.data import splits
from bioautoml_nni.data.dataset import make_loader
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.networks import build_network
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.stages.retrain import retrain
from bioautoml_nni.training import compiling
from bioautoml_nni.training.compiling import compiled_passes
from bioautoml_nni.training.weights import restore


class ImagesOnly(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, batch):
        return self.layers(batch["image"].flatten(1))


def told(caplog):
    """What was said at the level of a warning, which is what a user sees."""
    return [record.getMessage() for record in caplog.records if record.name == compiling.logger.name]


@pytest.fixture(autouse=True)
def rebuilt():
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_passes_are_those_of_the_network(backend, monkeypatch, caplog):
    if backend == "inductor" and shutil.which("g++") is None:
        pytest.skip("needs a C++ compiler")
    monkeypatch.setattr(compiling, "BACKEND", backend)
    torch.manual_seed(0)
    network, batch = ImagesOnly(), {"image": torch.randn(5, 3, 2)}
    before = {name: value.clone() for name, value in network.state_dict().items()}
    drawn = torch.get_rng_state()
    passes = compiled_passes(network, batch)
    assert not told(caplog) and getattr(passes, "__self__", None) is not network
    assert torch.equal(drawn, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    passes(batch).square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in network.parameters()]
    network.zero_grad()
    network.load_state_dict(before)
    network(batch).square().sum().backward()
    for found, parameter in zip(gradients, network.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad, rtol=1e-4, atol=1e-5)


def test_without_a_compiler_training_goes_on_and_says_why(monkeypatch, caplog):
    def fails(graph, inputs):
        raise RuntimeError("no compiler found\nmore")

    monkeypatch.setattr(compiling, "BACKEND", fails)
    network, batch = ImagesOnly(), {"image": torch.randn(5, 3, 2)}
    passes = compiled_passes(network, batch)
    torch.testing.assert_close(passes(batch), network(batch))
    [message] = told(caplog)
    assert "continues without torch.compile" in message and "no compiler found" in message


def test_a_derived_network_is_one_graph_whatever_drop_path_is(finished):
    run = RunDirectory.open(finished[0])
    data = PreparedData.load(run)
    network = build_network(run, data)[0].train()
    batch = next(iter(make_loader(data.dataset([splits.WEIGHTS]), 8, shuffle=False)))
    batch = {**batch, "image": data.image_transform(run.experiment.training.augmentation)(batch["image"])}
    for rate in (0.0, 0.2):
        network.set_drop_path(rate)
        found = torch._dynamo.explain(network)(batch)
        assert (found.graph_count, found.graph_break_count) == (1, 0), found.break_reasons


def test_a_whole_training_is_compiled(finished, tmp_path, monkeypatch):
    made = []

    def counted(graph, inputs):
        made.append(graph)
        return graph.forward

    monkeypatch.setattr(compiling, "BACKEND", counted)
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    opened = RunDirectory.open(run)
    settings = {"training.compile": True, "training.drop_path": 0.2, "training.auxiliary_weight": 0.4,
                "training.ema_decay": 0.5, "training.epochs": 3}  # fmt: skip
    opened = RunDirectory(run, changed(opened.experiment, settings, "test"))
    opened._save_experiment()
    for file in ("retrain/last.ckpt", "retrain/history.jsonl"):
        (run / file).unlink()
    retrain(opened, Console(quiet=True))
    assert 1 <= len(made) <= 3, "for drop-path at zero and above it"
    plain = build_network(opened, PreparedData.load(opened))[0]
    restore(plain, run / "retrain/model.pt")
    checkpoint = torch.load(run / "retrain/last.ckpt", weights_only=True)
    assert not [name for name in checkpoint["state_dict"] if "_orig_mod" in name or "_passes" in name]
    assert len(read_history(run / "retrain/history.jsonl")) == 3
