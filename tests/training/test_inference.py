"""Whatever asks a network uses the device that there is, and says what it says on the CPU."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_accelerator import DEVICE, Remote, fake_accelerator
from rich.console import Console
from teacher_logits import teacher_logits
from torch import nn

from bioautoml_nni.architecture import Architecture
from bioautoml_nni.artifacts.history import read_history
from bioautoml_nni.config.load import changed
from bioautoml_nni.data import splits
from bioautoml_nni.derivation.inherited import InheritedScore
from bioautoml_nni.derivation.perturbation import perturbed
from bioautoml_nni.evaluation.importance import metadata_importance
from bioautoml_nni.report.examples import _maps, choose_examples, read_answers
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.networks import load_model, macro_f1, predict_logits
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.stages import search
from bioautoml_nni.training.inference import Inference
from bioautoml_nni.training.weights import load_weights
from bioautoml_nni.utils.seeding import isolate_rng

SILENT = Console(quiet=True)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(finished):
    return RunDirectory.open(finished[0])


@pytest.fixture(scope="module")
def data(run):
    return PreparedData.load(run)


def inherited(run, data):
    return InheritedScore(run, data)(
        Architecture.load(run / "architecture.json"), load_weights(run / "search/supernet.pt")
    )


def perturbation(run, data):
    fusions = data.topology().choices["fusion"]
    return perturbed(run, data, {"fusion": dict.fromkeys(fusions, 1 / len(fusions))}, SILENT)


def taught(run, data):
    own = RunDirectory(run.path, changed(run.experiment, {"training.distillation": {"teacher": str(run.path)}}, "test"))
    return teacher_logits(own, data, SILENT)


CALLERS = {
    "logits": lambda run, data: predict_logits(data, load_model(run, data), splits.TEST)[0].numpy(),
    "smaller images": lambda run, data: predict_logits(data, load_model(run, data), splits.TEST, image_size=12)[
        0
    ].numpy(),
    "macro-F1": lambda run, data: macro_f1(data, load_model(run, data)),
    "importance": lambda run, data: metadata_importance(data, load_model(run, data), under_prior=True),
    "inherited": inherited,
    "perturbation": perturbation,
    "teacher": taught,
    "Grad-CAM": lambda run, data: _maps(run, data, choose_examples(read_answers(run, data), 6)),
}


@pytest.mark.parametrize("name", CALLERS)
def test_networks_and_batches_go_to_the_device_and_the_answers_are_the_same(name, run, data):
    expected = CALLERS[name](run, data)
    with fake_accelerator() as accelerator:
        found = CALLERS[name](run, data)
    np.testing.assert_equal(found, expected)
    assert not isinstance(found, torch.Tensor)
    assert accelerator.calls["convolution"] > 0 and accelerator.calls["addmm"] > 0
    images = [shape for shape in accelerator.moved if len(shape) == 4 and shape[1:] == (3, 16, 16)]
    assert images, "the bytes of the images are moved, and normalised on the device"


def test_the_device_comes_from_the_machine():
    assert Inference.on_this_machine() == Inference(torch.device("cpu"))
    with fake_accelerator():
        assert Inference.on_this_machine().device == DEVICE


class Plain(nn.Module):
    """Two outputs; says where it was asked, and refuses more than `room` rows at once."""

    def __init__(self, room: int = 10**9) -> None:
        super().__init__()
        self.layer, self.room, self.asked = nn.Linear(2, 3), room, []

    def forward(self, batch):
        rows = batch["numeric"]
        if len(rows) > self.room:
            raise torch.OutOfMemoryError
        self.asked.append((len(rows), rows.device, self.layer.weight.device))
        return self.layer(rows).double(), rows.argmax(1)


def batches(*sizes: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [{"numeric": torch.randn(size, 2, generator=generator)} for size in sizes]


def test_rows_come_back_joined_in_order_on_the_cpu_in_float32():
    network, given, counted = Plain(), batches(3, 2), []
    rows = torch.cat([batch["numeric"] for batch in given])
    with torch.no_grad():
        expected = network.layer(rows)
    with fake_accelerator():
        found, largest = Inference(DEVICE).run(network, given, advance=counted.append)
    assert found.dtype == torch.float32 and largest.dtype == torch.int64 and found.device == largest.device == CPU
    torch.testing.assert_close(found, expected)
    assert torch.equal(largest, rows.argmax(1))
    assert counted == [3, 2] and network.asked == [(3, DEVICE, DEVICE), (2, DEVICE, DEVICE)]
    assert network.layer.weight.device == CPU and not found.requires_grad
    with pytest.raises(ValueError, match="no batches"):
        Inference().run(network, [])


def test_a_network_comes_home_whatever_happens_and_is_moved_once():
    network = Plain()
    with fake_accelerator() as accelerator:
        with pytest.raises(KeyError), Inference(DEVICE).hosting(network, None):
            Inference(DEVICE).run(network, batches(4))
            assert network.layer.weight.device == DEVICE, "still held"
            Inference(DEVICE).run(network, [{"image": torch.zeros(1, 2)}])
        assert accelerator.moved[3, 2] == 1
    assert network.layer.weight.device == CPU and not isinstance(network.layer.weight, Remote)


def test_statistics_renewed_on_the_device_come_home():
    norm = nn.BatchNorm1d(2)
    with fake_accelerator(), Inference(DEVICE).hosting(norm):
        norm(batches(8)[0]["numeric"].to(DEVICE))
    assert norm.running_mean.device == CPU and norm.running_mean.any() and norm.num_batches_tracked == 1


def test_a_batch_without_room_is_asked_in_halves():
    network, given = Plain(room=3), batches(10, 1)
    with torch.no_grad():
        expected = network.layer(torch.cat([batch["numeric"] for batch in given]))
    found, _ = Inference().run(network, given)
    torch.testing.assert_close(found, expected)
    assert [rows for rows, *_ in network.asked] == [2, 3, 2, 3, 1]
    with pytest.raises(torch.OutOfMemoryError):
        Inference().run(Plain(room=0), batches(4))


def test_functions_may_use_several_modules_and_bf16_is_asked_for():
    first, second = nn.Linear(2, 4), nn.Linear(4, 1)
    given = batches(5)

    def both(batch):
        return second(first(batch["numeric"]))

    with fake_accelerator():
        exact = Inference(DEVICE).run(both, given, first, second)
    rounded = Inference(precision="bf16-mixed").run(both, given, first, second)
    with torch.no_grad():
        torch.testing.assert_close(exact, both(given[0]))
    assert rounded.dtype == torch.float32 and torch.equal(rounded, rounded.bfloat16().float())
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, atol=0.05, rtol=0.05)


def test_float32_on_nvidia_gpus_is_not_tf32_and_what_was_set_stands_again():
    before = torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision
    with Inference(torch.device("cuda"))._precise():
        assert torch.backends.cudnn.conv.fp32_precision == torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert (torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision) == before


def test_the_accelerators_random_numbers_are_isolated():
    with fake_accelerator():
        generators = torch.get_device_module()
        with isolate_rng():
            generators.set_rng_state(torch.ones(1))
        assert generators.get_rng_state().equal(torch.zeros(1))


def test_a_search_scores_on_its_own_device(run, data, monkeypatch):
    line = read_history(run / "search/history.jsonl")[-1]
    record = search._EpochRecord(run, data, has_preferences=True)
    monkeypatch.setattr(search, "weights_of", lambda module: line["shares"])
    supernet = load_weights(run / "search/supernet.pt")
    module = SimpleNamespace(model=SimpleNamespace(state_dict=lambda: supernet))
    for device in (CPU, DEVICE):
        trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=device), current_epoch=line["epoch"])
        record.score = None
        with fake_accelerator() as accelerator:
            found = record(trainer, module)
        assert found["derived_macro_f1"] == line["derived_macro_f1"]
        assert (accelerator.calls["convolution"] > 0) == (device == DEVICE)
