import copy

import pytest
import torch
from nni.nas.evaluator.pytorch import DataLoader
from nni.nas.strategy import DARTS
from test_alternating import make_data, make_evaluator, make_space, run
from torch import nn

from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.registry import plugins
from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.schedules.unrolled import unrolled_gradient
from bioautoml_nni.utils.errors import DivergenceError


def test_the_unrolled_gradient_has_the_closed_form_of_a_quadratic():
    """L_train = (w - a)^2 / 2, L_val = (w - 1)^2 / 2: w' = w - r (w - a), so dL_val/da = r (w' - 1)."""
    w, a = (
        nn.Parameter(torch.tensor([2.0], dtype=torch.float64)),
        nn.Parameter(torch.tensor([0.5], dtype=torch.float64)),
    )
    rate = 0.1
    gradient, value = unrolled_gradient(
        lambda: ((w - a) ** 2).sum() / 2, lambda: ((w - 1) ** 2).sum() / 2, [w], [a], [rate], [torch.zeros(1)]
    )
    ahead = 2.0 - rate * (2.0 - 0.5)
    assert gradient[0].item() == pytest.approx(rate * (ahead - 1), rel=1e-9)
    assert value.item() == pytest.approx((ahead - 1) ** 2 / 2)
    assert w.item() == 2.0, "the weights were not restored"


@pytest.mark.parametrize("seed", range(3))
def test_the_unrolled_gradient_is_that_of_autograd_through_one_sgd_step(seed):
    torch.manual_seed(seed)
    data = [torch.randn(8, 5, dtype=torch.float64) for _ in range(2)]
    targets = [torch.randn(8, 3, dtype=torch.float64) for _ in range(2)]
    w1, w2 = (nn.Parameter(0.5 * torch.randn(shape, dtype=torch.float64)) for shape in ((5, 6), (6, 3)))
    a = nn.Parameter(torch.randn(6, dtype=torch.float64))
    rates, directions = [0.05, 0.08], [0.3 * w1.detach(), torch.ones_like(w2)]

    def loss(part, first, second):
        hidden = torch.tanh(data[part] @ first) * torch.softmax(a, 0)
        return ((hidden @ second - targets[part]) ** 2).mean()

    grads = torch.autograd.grad(loss(0, w1, w2), [w1, w2], create_graph=True)
    ahead = [w - r * (g + d) for w, r, g, d in zip((w1, w2), rates, grads, directions, strict=True)]
    exact = torch.autograd.grad(loss(1, *ahead), a)[0]
    found, _ = unrolled_gradient(
        lambda: loss(0, w1, w2), lambda: loss(1, w1, w2), [w1, w2], [a], rates, directions, epsilon=1e-3
    )
    torch.testing.assert_close(found[0], exact, rtol=1e-5, atol=1e-9)
    first_order = torch.autograd.grad(loss(1, *[w.detach() for w in ahead]), a)[0]
    assert (first_order - exact).norm() > 1e-3 * exact.norm(), "the second-order term must matter in this test"


@pytest.mark.parametrize("schedule", list(plugins("schedules")))
def test_every_schedule_moves_both_groups(schedule, tmp_path):
    strategy = AlternatingDARTS(schedule=schedule, alpha_learning_rate=0.05)
    space = make_space()
    before = {name: value.clone() for name, value in space.state_dict().items()}
    run(strategy, make_evaluator(), space, tmp_path)
    after = strategy.supernet.state_dict()
    moved = [name for name, value in before.items() if name in after and not torch.equal(value, after[name])]
    assert any(name.endswith("weight") for name in moved)
    alphas = named_architecture_parameters(strategy.supernet)
    assert all(alpha.detach().abs().max() > 0.01 for alpha in alphas.values() if alpha.numel() > 1)


def test_per_step_is_nni_s_own_darts(tmp_path):
    """Twelve steps in float64 from the same weights and alphas, on the same batches: alphas and weights stay equal."""
    results = []
    start = make_space(dropout=0.0).double()
    data = make_data(96)
    data.tensors = (data.tensors[0].double(), data.tensors[1])
    for ours in (True, False):
        torch.manual_seed(0)
        evaluator = make_evaluator(train=DataLoader(data, 8))
        evaluator.trainer.limit_train_batches = 12
        evaluator.val_dataloaders = DataLoader(data, 8)
        settings = {"gradient_clip": 5.0, "seed": 0} if ours else {"gradient_clip_val": 5.0}
        strategy = (
            AlternatingDARTS(schedule="per_step", alpha_data="validation", alpha_learning_rate=3e-4, **settings)
            if ours
            else DARTS(arc_learning_rate=3e-4, **settings)
        )
        zeroed(strategy)
        run(strategy, evaluator, copy.deepcopy(start), tmp_path / str(ours))
        results.append((named_architecture_parameters(strategy.supernet), strategy.supernet.state_dict()))
    (ours, our_state), (theirs, their_state) = results
    for label in ours:
        torch.testing.assert_close(ours[label], theirs[label], rtol=0, atol=1e-10)
        assert ours[label].numel() == 1 or ours[label].abs().max() > 1e-3, "alphas did not move"
    weights = [name for name in our_state if name.endswith("weight") and "running" not in name]
    for name in weights:
        torch.testing.assert_close(our_state[name], their_state[name], rtol=0, atol=1e-9)


def zeroed(strategy):
    """Start all alphas at zero in float64, on both sides."""
    original = strategy.mutate_model

    def mutate(model):
        model = original(model)
        for alpha in named_architecture_parameters(model).values():
            with torch.no_grad():
                alpha.zero_()
        return model.double()

    strategy.mutate_model = mutate


def test_a_loss_that_is_not_finite_stops_the_search(tmp_path):
    data = make_data()
    data.tensors[0][5] = float("nan")
    with pytest.raises(DivergenceError, match="the loss of a search step is not finite"):
        run(AlternatingDARTS(), make_evaluator(train=DataLoader(data, 8)), tmp_path=tmp_path)
