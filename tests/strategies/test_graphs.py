"""Recording of passes: what is decided on the host, tested with a stand-in for the recording itself."""

import copy

import pytest
import torch
from nni.nas.evaluator.pytorch import Classification, DataLoader
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import TensorDataset

from bioautoml_nni.nni_engine import run_one_shot
from bioautoml_nni.registry import plugins
from bioautoml_nni.search_spaces import MultimodalSpace
from bioautoml_nni.strategies import AlternatingDARTS, graphs
from bioautoml_nni.strategies.finiteness import FiniteLosses
from bioautoml_nni.strategies.graphs import GraphedForward, RecordedPasses, obstacle, record_passes
from bioautoml_nni.strategies.module import AlternatingModule
from bioautoml_nni.training.teacher_features import FeatureProjection
from bioautoml_nni.utils.errors import DivergenceError

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def supernet(**settings):
    torch.manual_seed(0)
    strategy = AlternatingDARTS(**settings)
    space = MultimodalSpace(3, modalities=("image",), channels=4, cells=2, dropout=0.0)
    return strategy, strategy.mutate_model(space).train()


class Recorded:
    """Stands for a recording: counts, and answers what the pass answers."""

    made = 0

    def __init__(self, model, eager, inputs):
        type(self).made += 1
        self.eager = eager

    def __call__(self, inputs):
        return self.eager(inputs[""])


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(GraphedForward, "device_type", "cpu")
    monkeypatch.setattr(graphs, "_Recording", Recorded)
    monkeypatch.setattr(Recorded, "made", 0)


@pytest.mark.parametrize("relaxation", plugins("relaxations"))
def test_only_relaxations_that_are_alike_in_every_step_are_recorded(relaxation):
    strategy, network = supernet(relaxation=relaxation)
    reason = obstacle(network, strategy.relaxation)
    assert (reason is None) == (relaxation in ("softmax", "sigmoid"))
    assert reason is None or "changes from step to step" in reason


def test_a_network_whose_features_are_read_is_not_recorded():
    strategy, network = supernet()
    FeatureProjection(network, 8)
    assert "features that a teacher compares" in obstacle(network, strategy.relaxation)


def test_skip_dropout_is_not_recorded():
    strategy, network = supernet()
    assert obstacle(network, strategy.relaxation) is None
    next(module for module in network.modules() if hasattr(module, "skip_dropout")).skip_dropout = 0.2
    assert "skip dropout" in obstacle(network, strategy.relaxation)


def test_each_kind_and_shape_is_recorded_when_it_comes_again(stand_in):
    _, network = supernet()
    forward, batch = GraphedForward(network), torch.randn(2, 3, 16, 16)
    for kind in ("alpha", "weights", "alpha", "weights", "alpha"):
        forward(batch, kind)
    assert Recorded.made == 2
    forward(batch[:1], "alpha")
    assert Recorded.made == 2  # an incomplete batch that comes once
    assert len(forward.recorded) == 2


def test_recordings_that_an_epoch_had_no_use_for_are_forgotten(stand_in):
    _, network = supernet()
    forward = GraphedForward(network)
    for size in (8, 16, 16, 16):
        forward.start_epoch()
        for _ in range(3):
            forward(torch.randn(2, 3, size, size), "alpha")
    forward.start_epoch()
    assert len(forward.recorded) == 1 and Recorded.made == 2


def test_other_passes_run_as_they_are(stand_in):
    _, network = supernet()
    forward, batch = GraphedForward(network), torch.randn(2, 3, 16, 16)
    for _ in range(3):
        forward(batch, None)  # both groups at once
        with torch.no_grad():
            forward(batch, "alpha")
    network.eval()
    torch.testing.assert_close(forward(batch, "alpha"), network(batch))
    assert not forward.seen


def test_a_supernet_that_is_recorded_gives_what_it_gave(stand_in):
    strategy, network = supernet()
    batch, kinds = torch.randn(2, 3, 16, 16), iter(["alpha", "weights", "alpha", None])
    expected = network(batch)
    recorder = record_passes(network, strategy.relaxation, lambda: next(kinds))
    for _ in range(4):
        torch.testing.assert_close(network(batch), expected)
    assert Recorded.made == len(recorder.recorded) == 1


def test_a_loss_looked_at_later_is_refused_then():
    losses = FiniteLosses()
    losses.defers = lambda loss: True
    losses.record(torch.tensor(float("nan")))
    losses.record(torch.tensor(1.0))
    with pytest.raises(DivergenceError, match="not finite"):
        losses.check()
    losses.check()  # it has been said


def test_a_recording_that_fails_is_told_and_the_search_goes_on(stand_in, monkeypatch, caplog):
    def fails(*_):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(graphs, "_Recording", fails)
    _, network = supernet()
    forward, batch = GraphedForward(network), torch.randn(2, 3, 16, 16)
    results = [forward(batch, "alpha") for _ in range(3)]
    assert forward.failure == "operation not permitted when stream is capturing"
    assert caplog.text.count("run without CUDA graphs") == 1
    torch.testing.assert_close(results[2], results[0])


class AsksTheHost(TorchDispatchMode):
    """Counts what makes the host wait for a device: values that become Python numbers, and copies to the host."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.__name__.split(".")[0]
        self.count += name in ("_local_scalar_dense", "nonzero", "equal", "is_nonzero")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("settings", [{}, {"schedule": "per_step"}, {"relaxation": "sigmoid"}, {"partial_channels": 2}])
def test_a_step_never_makes_the_host_wait(settings, monkeypatch, tmp_path):
    counts = []
    monkeypatch.setattr(FiniteLosses, "defers", staticmethod(lambda loss: True))  # as on a GPU
    losses, backward = AlternatingModule.loss_of, AlternatingModule.manual_backward

    def counted(function):
        def inner(self, *args, **kwargs):
            with AsksTheHost() as mode:
                result = function(self, *args, **kwargs)
            counts.append(mode.count)
            return result

        return inner

    monkeypatch.setattr(AlternatingModule, "loss_of", counted(losses))
    monkeypatch.setattr(AlternatingModule, "manual_backward", counted(backward))
    images, labels = torch.randn(48, 3, 16, 16), torch.arange(48) % 3
    evaluator = Classification(
        num_classes=3,
        train_dataloaders=DataLoader(TensorDataset(images, labels), 8, shuffle=True),
        val_dataloaders=DataLoader(TensorDataset(images, labels), 8),
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    space = MultimodalSpace(3, modalities=("image",), channels=4, cells=2)
    run_one_shot(space, evaluator, AlternatingDARTS(**settings), tmp_path, None)
    assert len(counts) > 8 and not any(counts)


def test_the_count_sees_a_host_that_waits():
    with AsksTheHost() as mode:
        float(torch.ones(1).sum())
    assert mode.count == 1


def test_what_a_regulariser_does_to_the_supernet_is_seen_before_the_first_recording(monkeypatch, tmp_path):
    monkeypatch.setattr(GraphedForward, "device_type", "cpu")  # as on a GPU
    images, labels = torch.randn(48, 3, 16, 16), torch.arange(48) % 3
    evaluator = Classification(
        num_classes=3,
        train_dataloaders=DataLoader(TensorDataset(images, labels), 8, shuffle=True),
        val_dataloaders=DataLoader(TensorDataset(images, labels), 8),
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    strategy = AlternatingDARTS(regularisers=["skip_dropout"])
    run_one_shot(MultimodalSpace(3, modalities=("image",), channels=4, cells=2), evaluator, strategy, tmp_path, None)
    [passes] = [each for each in strategy.oneshot_module.search_callbacks if isinstance(each, RecordedPasses)]
    assert passes.graphs.failure == "skip dropout changes from step to step" and not passes.graphs.recorded
    assert not set(strategy.oneshot_module.search_callbacks) & set(evaluator.trainer.callbacks), "they left the trainer"


@GPU
@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_recorded_passes_equal_eager_ones(precision):
    found = []
    for recorded in (False, True):
        _, network = supernet()
        network = copy.deepcopy(network).cuda()
        forward = GraphedForward(network)
        for step in range(4):
            network.zero_grad()
            batch = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(step)).cuda()
            with torch.autocast("cuda", precision, enabled=precision is not None):
                loss = forward(batch, "alpha" if recorded else None).float().square().mean()
            loss.backward()
        assert forward.failure is None and bool(forward.recorded) == recorded
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        found.append([loss, *gradients, *network.buffers()])
    for graphed, eager in zip(*found, strict=True):
        torch.testing.assert_close(graphed, eager, rtol=1e-3, atol=1e-3)
