import math

import pytest
import torch
from test_alternating import make_evaluator, run

from bioautoml_nni.architecture.weights import entropy, skip_counts
from bioautoml_nni.config import parse_experiment
from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.registry import get, plugins
from bioautoml_nni.search_spaces import MultimodalSpace
from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.guards import Guards
from bioautoml_nni.strategies.supernet import MixedOperation
from bioautoml_nni.utils.errors import ConfigError

SKIPS = frozenset({"skip"})


def weights(best, rest=0.1):
    return {
        label: {name: 0.8 if name == chosen else rest for name in ("skip", "conv", "pool")}
        for label, chosen in best.items()
    }


def test_skips_are_counted_per_kind_of_cell():
    found = weights({"normal_edge_0_1": "skip", "normal_edge_0_2": "skip", "reduction_edge_0_1": "conv"})
    assert skip_counts(found, SKIPS) == {"normal": 2, "reduction": 0}
    assert Guards(max_skips=2).reason_to_stop(found, SKIPS) is None
    assert "2 edges of the normal cell" in Guards(max_skips=1).reason_to_stop(found, SKIPS)
    assert Guards(max_skips=1).unsound(found, SKIPS) and not Guards(max_skips=2).unsound(found, SKIPS)


def test_entropy_is_in_nats_and_stops_a_decided_search():
    assert entropy({"a": 0.5, "b": 0.5}) == pytest.approx(math.log(2))
    assert entropy({"a": 1.0, "b": 0.0}) == 0
    decided = {"normal_edge_0_1": {"skip": 0.0, "conv": 1.0}}
    assert "below min_entropy" in Guards(min_entropy=0.1).reason_to_stop(decided, SKIPS)
    assert Guards().reason_to_stop(decided, SKIPS) is None


def test_a_collapsing_search_stops_and_keeps_the_last_sound_architecture(tmp_path):
    class Collapsing(AlternatingDARTS):
        """Pushes every edge towards the skip connection after the second epoch."""

        def configure_oneshot_module(self, training_module):
            module = super().configure_oneshot_module(training_module)
            ordinary = module.on_train_epoch_end

            def push():
                if module.trainer.current_epoch == 2:
                    for part in module.model.modules():
                        if isinstance(part, MixedOperation) and "_edge_" in str(part.label):
                            with torch.no_grad():
                                part._arch_alpha[part.names.index("skip_connect")] = 9.0
                ordinary()

            module.on_train_epoch_end = push
            return module

    strategy = Collapsing(alpha_learning_rate=0.01, max_skips=2)
    evaluator = make_evaluator(epochs=6)
    run(strategy, evaluator, tmp_path=tmp_path)
    module = strategy.oneshot_module
    assert module.stopped.startswith("after epoch 3: 3 edges of the")
    assert evaluator.trainer.current_epoch == 3
    assert max(float(alpha.max()) for alpha in module.arch_parameters()) < 1


@pytest.mark.parametrize("name", list(plugins("regularisers")))
def test_every_regulariser_takes_part_in_a_search(name, tmp_path):
    strategy = AlternatingDARTS(regularisers=[name], alpha_learning_rate=0.01)
    run(strategy, make_evaluator(epochs=2), tmp_path=tmp_path)
    assert all(torch.isfinite(alpha).all() for alpha in strategy.oneshot_module.arch_parameters())


def penalty(name, alphas, progress=1.0, relaxation="softmax", supernet=None, **arguments):
    part = get("regularisers", name).target(**arguments)
    relaxed = get("relaxations", relaxation).target()
    relaxed.start_step(progress)
    return part.penalty(supernet if supernet is not None else torch.nn.Identity(), alphas, relaxed, progress)


def test_beta_decay_is_the_mean_logsumexp_and_grows():
    alphas = {"a": torch.tensor([0.0, 0.0]), "b": torch.tensor([1.0, 1.0])}
    expected = (math.log(2) + math.log(2 * math.e)) / 2
    assert float(penalty("beta_decay", alphas, weight=3.0)) == pytest.approx(3 * expected)
    assert float(penalty("beta_decay", alphas, progress=0.25, weight=4.0)) == pytest.approx(expected)


def test_entropy_annealing_sets_in_late():
    alphas = {"a": torch.zeros(4)}
    assert float(penalty("entropy", alphas, progress=0.5, weight=2.0, start=0.5)) == 0
    assert float(penalty("entropy", alphas, progress=0.75, weight=2.0, start=0.5)) == pytest.approx(math.log(4))


def supernet():
    torch.manual_seed(0)
    space = MultimodalSpace(num_classes=3, modalities=("image",), channels=4, cells=2, dropout=0.0)
    network = AlternatingDARTS().mutate_model(space)
    network(torch.randn(2, 3, 16, 16))
    return network


def test_zero_one_is_least_at_zero_and_one():
    network = supernet()
    alphas = named_architecture_parameters(network)
    undecided = {label: torch.zeros_like(alpha) for label, alpha in alphas.items()}
    decided = {label: torch.full_like(alpha, 20.0) for label, alpha in alphas.items()}
    assert float(penalty("zero_one", undecided, supernet=network, weight=2.0)) == 0
    assert float(penalty("zero_one", decided, supernet=network, weight=2.0)) == pytest.approx(-0.5, abs=1e-6)


def edges(network, label):
    return [m for m in network.modules() if isinstance(m, MixedOperation) and m.label == label]


def test_the_expected_number_of_parameters_is_that_of_the_candidates():
    network = supernet()
    table = get("regularisers", "expected_cost").target(unit="parameters").table(network)
    found = edges(network, "reduction_edge_0_1")
    expected = sum(p.numel() for module in found for p in module["dil_conv_3x3"].parameters())
    assert table["reduction_edge_0_1"][found[0].names.index("dil_conv_3x3")] == expected > 0
    assert table["reduction_edge_0_1"][found[0].names.index("zero")] == 0


def test_choices_of_other_layers_have_no_cost():
    """The fusion is a LayerChoice too, but what goes in is a pair of embeddings."""
    metadata = {"numeric_fields": [0], "categories": [], "category_fields": [], "fields": 1}
    space = MultimodalSpace(num_classes=3, metadata=metadata, channels=4, cells=2, dropout=0.0)
    network = AlternatingDARTS().mutate_model(space)
    batch = {"image": torch.randn(2, 3, 16, 16), "numeric": torch.zeros(2, 1), "mask": torch.ones(2, 1)}
    network({**batch, "categorical": torch.zeros(2, 0, dtype=torch.long)})
    value = penalty("expected_cost", named_architecture_parameters(network), supernet=network)
    assert torch.isfinite(value) and float(value) > 0
    table = get("regularisers", "expected_cost").target().table(network)
    assert "fusion" in named_architecture_parameters(network) and "fusion" not in table
    assert set(table) == {label for label in named_architecture_parameters(network) if "_edge_" in label}


def test_flops_are_those_of_the_shapes_at_work():
    network = supernet()
    table = get("regularisers", "expected_cost").target(unit="flops").table(network)
    found = edges(network, "reduction_edge_1_2")
    shapes = [module.input_shape[1:] for module in found]
    expected = sum(2 * channels * channels * 9 * height * width for channels, height, width in shapes)
    assert table["reduction_edge_1_2"][found[0].names.index("dil_conv_3x3")] == expected


def test_flops_grow_with_the_images():
    network, part = supernet(), get("regularisers", "expected_cost").target(unit="flops")
    position = edges(network, "reduction_edge_1_2")[0].names.index("dil_conv_3x3")
    small = part.table(network)["reduction_edge_1_2"][position]
    network(torch.randn(2, 3, 32, 32))
    assert part.table(network)["reduction_edge_1_2"][position] == 4 * small > 0


def test_a_target_counts_what_exceeds_its_limits(monkeypatch):
    from bioautoml_nni.architecture import budgets

    network = supernet()
    alphas = named_architecture_parameters(network)
    part = get("regularisers", "expected_cost").target
    even = {
        unit: sum(float(cost.mean()) for cost in part().table(network, unit).values())
        for unit in ("parameters", "flops")
    }
    equal = {label: torch.zeros_like(alpha) for label, alpha in alphas.items()}
    assert float(penalty("expected_cost", equal, supernet=network, target="trap")) == 0
    monkeypatch.setitem(budgets.BUDGETS, "trap", budgets.Budget(even["parameters"] / 2, even["flops"] / 4))
    value = penalty("expected_cost", equal, supernet=network, target="trap", weight=0.5)
    assert float(value) == pytest.approx(0.5 * (1 + 3), rel=1e-5)
    with pytest.raises(ValueError, match="trap, pi, station"):
        part(target="moon")


def test_the_penalty_leads_to_cheaper_architectures(tmp_path):
    """With the penalty alone, alphas move towards what costs little, until the budget is met."""
    network = supernet()
    alphas = named_architecture_parameters(network)
    part = get("regularisers", "expected_cost").target(unit="flops", budget=0.2)
    relaxed = get("relaxations", "softmax").target()
    optimizer = torch.optim.Adam(alphas.values(), 0.1)
    for _ in range(200):
        optimizer.zero_grad()
        value = part.penalty(network, alphas, relaxed, 0.5)
        if float(value) == 0:
            break
        value.backward()
        optimizer.step()
    assert float(value) == 0
    module = next(m for m in network.modules() if isinstance(m, MixedOperation) and m.label == "reduction_edge_0_1")
    found = module.export_probs({})["reduction_edge_0_1"]
    assert found["dil_conv_5x5"] < 0.05 < found["sep_conv_3x3"]


def test_dropout_on_skips_falls_to_zero():
    network = supernet()
    part = get("regularisers", "skip_dropout").target(rate=0.4, end=0.8)
    rates = []
    for progress in (0.0, 0.4, 0.8, 1.0):
        part.start_step(network, progress)
        rates.append(next(m.skip_dropout for m in network.modules() if isinstance(m, MixedOperation)))
    assert rates == pytest.approx([0.4, 0.2, 0.0, 0.0])


def test_parts_are_configured_by_name_or_with_arguments():
    regularisers = ["entropy", {"name": "beta_decay", "weight": 1.0}]
    strategy = AlternatingDARTS("per_step", {"name": "gumbel", "start": 2.0}, regularisers)
    assert strategy.relaxation.start == 2.0 and strategy.regularisers[1].weight == 1.0
    assert [type(part).__name__ for part in strategy.regularisers] == ["EntropyAnnealing", "BetaDecay"]


def test_mistakes_in_parts_are_all_named():
    raw = {
        "name": "x",
        "data": {"source": "sample"},
        "strategy": {
            "name": "alternating_darts",
            "schedule": "odd_evn",
            "relaxation": {"name": "gumbel", "strat": 2.0},
            "regularisers": ["entropy", {"weight": 1.0}],
        },
    }
    with pytest.raises(ConfigError) as error:
        parse_experiment(raw)
    text = str(error.value)
    assert "strategy.schedule.name: There is no schedules plug-in 'odd_evn' (did you mean 'odd_even'?" in text
    assert "strategy.relaxation.strat: 'gumbel' has no such argument (did you mean 'start'?" in text
    assert "strategy.regularisers.1: give a name of `bioautoml ls regularisers`" in text
