"""The dominant eigenvalue of the alpha Hessian, against closed forms and against autograd's own Hessian."""

import pytest
import torch
from pytorch_lightning import Callback
from test_alternating import make_evaluator, make_space, run
from torch import nn

from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.curvature import dominant_eigenvalue


def gradient_of(loss, parameters):
    return lambda: torch.autograd.grad(loss(), parameters)


@pytest.mark.parametrize("largest", [3.0, -5.0])
def test_of_a_quadratic_it_is_that_of_the_matrix(largest):
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64)).Q
    matrix = basis @ torch.diag(torch.tensor([largest, 1.0, 0.5, -1.0, 0.2, 0.0], dtype=torch.float64)) @ basis.T
    parts = [nn.Parameter(torch.randn(size, dtype=torch.float64)) for size in (2, 4)]
    before = [part.detach().clone() for part in parts]
    found = dominant_eigenvalue(
        gradient_of(lambda: torch.cat(parts) @ matrix @ torch.cat(parts) / 2, parts), parts, iterations=40
    )
    assert found == pytest.approx(largest, rel=1e-6)
    assert all(torch.equal(part, old) for part, old in zip(parts, before, strict=True))


def test_of_a_mixture_it_is_that_of_autograd():
    torch.manual_seed(1)
    outputs, target = torch.randn(5, 7, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    alpha = nn.Parameter(torch.randn(5, dtype=torch.float64))

    def loss(parameter):
        return nn.functional.cross_entropy(torch.einsum("o,onk->nk", parameter.softmax(0), outputs), target)

    exact = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, alpha.detach()))
    largest = float(exact[exact.abs().argmax()])
    found = dominant_eigenvalue(gradient_of(lambda: loss(alpha), [alpha]), [alpha], iterations=60, epsilon=1e-4)
    assert found == pytest.approx(largest, rel=1e-4)


def test_a_loss_without_curvature_has_none():
    flat = nn.Parameter(torch.ones(3))
    assert dominant_eigenvalue(lambda: [torch.ones(3)], [flat]) == 0


class Values(Callback):
    def __init__(self):
        self.values = []

    def on_train_epoch_end(self, trainer, pl_module):
        self.values.append(float(trainer.callback_metrics["alpha_hessian_eigenvalue"]))


@pytest.mark.parametrize("schedule", ["odd_even", "single_level"])
def test_it_is_logged_and_changes_nothing(schedule, tmp_path):
    states, seen = [], Values()
    for log in (True, False):
        strategy = AlternatingDARTS(schedule, alpha_learning_rate=0.05, log_curvature=log, seed=3)
        evaluator = make_evaluator(epochs=2, callbacks=[seen] if log else [])
        run(strategy, evaluator, make_space(dropout=0.2), tmp_path / str(log))
        states.append(strategy.supernet.state_dict())
    assert len(seen.values) == 2 and all(value != 0 for value in seen.values)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0] if "num_batches" not in name)
