"""Plug-ins of others that go wrong: what `bioautoml ls`, a search and a run say of it."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from nni.nas.nn.pytorch import InputChoice, LayerChoice, ModelSpace
from nni.nas.space import model_context
from torch import nn

from bioautoml_nni import registry, testing
from bioautoml_nni.architecture import CellTopology, EdgeTopology, Topology, derive, topology_of
from bioautoml_nni.architecture.schema import SpaceRecord
from bioautoml_nni.cli.postmortem import plugin_cause, with_suites
from bioautoml_nni.compare._base import PredictingMethod, Prediction
from bioautoml_nni.compare.rows import predicted
from bioautoml_nni.config import parse_experiment
from bioautoml_nni.config.arguments import check_arguments
from bioautoml_nni.data import splits
from bioautoml_nni.data.load import load_manifest
from bioautoml_nni.data.manifest import ID, IMAGE, LABEL, Manifest
from bioautoml_nni.nni_engine import weights_of
from bioautoml_nni.plugin_faults import plugin_fault
from bioautoml_nni.training.module import SpecimenModule
from bioautoml_nni.utils.errors import DataError, DivergenceError, PluginError
from bioautoml_nni.utils.interruption import interruptible

# Tables of sources.


def test_a_table_with_a_column_twice_is_a_sentence():
    table = pd.DataFrame([["a", "a.png", "x", "b"]], columns=[ID, IMAGE, LABEL, ID])
    with pytest.raises(AssertionError, match="lines: the table has several columns named '_id'"):
        testing.check_manifest(Manifest(table, Path("."), {}, "label"), "lines")


# Choices whose candidates are numbers.


class Numbered(ModelSpace):
    """A list of layers and a choice of inputs."""

    def __init__(self, num_classes, metadata=None, modalities=("image",)):
        super().__init__()
        self.layer = LayerChoice([nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 3, padding=1)], label="layer")
        self.source = InputChoice(2, 1, label="source")
        self.head = nn.Linear(3, num_classes)

    def forward(self, batch):
        image = batch["image"]
        return self.head(self.source([self.layer(image), self.layer(image.flip(3))]).mean((2, 3)))

    @classmethod
    def topology(cls):
        return Topology({}, (), None, {"layer": (0, 1), "source": (0, 1)})

    @staticmethod
    def build(architecture, **arguments):
        chosen = architecture.sample(Numbered.topology())
        with model_context({**chosen, "source": [chosen["source"]]}):
            return Numbered(**arguments)

    @staticmethod
    def inherit(network, supernet_state):
        return network.load_state_dict(supernet_state, strict=False).missing_keys


def test_candidates_may_be_numbers():
    testing.check_space(Numbered)
    weights = {"layer": {0: 0.2, 1: 0.8}, "source": {"0": 0.6, "1": 0.4}}  # as a strategy and as a file have them
    found = derive(Numbered.topology(), weights, SpaceRecord(name="numbered"))
    assert {label: own.choice for label, own in found.choices.items()} == {"layer": "1", "source": "0"}
    assert found.sample(Numbered.topology()) == {"layer": 1, "source": 0}


def test_candidates_of_one_name_are_refused():
    with pytest.raises(ValueError, match="choice 'layer' has several candidates of one name: 0, 0"):
        Topology({}, (), None, {"layer": (0, "0")})


# What an installed package brings.

PARTS = '''
from torch import nn

from bioautoml_nni.losses._base import Loss
from bioautoml_nni.search_spaces.operations._base import Operation


class Failing(Loss):
    """A loss that fails."""

    def forward(self, logits, target):
        return {}["weights"]


class Wide(Operation):
    """Doubles its channels."""

    def forward(self, features):
        return features.repeat(1, 2, 1, 1)[:, :, :: self.stride, :: self.stride]


class Unread(Loss):
    """Has an annotation that nobody knows."""

    def __init__(self, class_counts, rate: "Raet" = 1.0):
        super().__init__(class_counts)


class Unusual(Loss):
    """Has arguments of names and types that others have uses for."""

    def __init__(self, class_counts, copy: int = 1, _rate: float = 0.5, layer: nn.Module | None = None):
        super().__init__(class_counts)


class Untidy(Operation):
    """Says of itself what is not a tuple."""

    capabilities = "skip"


made = Wide(4, 1)
'''
ENTRIES = {
    "failing": "losses", "unread": "losses", "unusual": "losses", "made": "losses", "module": "losses",
    "ending": "losses", "wide": "operations", "untidy": "operations",
}  # fmt: skip
NAMES = {"made": "made", "module": ""}


@pytest.fixture
def careless(monkeypatch, tmp_path):
    """An installed package of plug-ins that go wrong."""
    (tmp_path / "careless_kit.py").write_text(PARTS)
    (tmp_path / "ending_kit.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    ours = [
        entry
        for kind in registry.KINDS
        for entry in registry._entry_points().select(group=registry.GROUP_PREFIX + kind)
    ]
    made = []
    for name, kind in ENTRIES.items():
        module = "ending_kit" if name == "ending" else "careless_kit"
        target = NAMES.get(name, name.title())
        value = f"{module}:{target}" if target else module
        made.append(registry.EntryPoint(name, value, registry.GROUP_PREFIX + kind))
    caches = (registry.plugins, registry.usable, registry.named_operations, registry._entry_points)
    for each in caches:
        each.cache_clear()
    monkeypatch.setattr(registry, "entry_points", lambda: registry_entries([*ours, *made]))
    yield
    monkeypatch.undo()
    for each in caches:
        each.cache_clear()
    for module in ("careless_kit", "ending_kit"):
        sys.modules.pop(module, None)


def registry_entries(given):
    from importlib.metadata import EntryPoints

    return EntryPoints(given)


def test_what_is_no_plugin_is_broken_with_its_reason(careless):
    problems = {name: registry.get(kind, name).problem or "" for name, kind in ENTRIES.items()}
    assert "is an object, a Wide, and no class; its entry point must read MODULE:CLASS" in problems["made"]
    assert "is a module, and no class" in problems["module"]
    assert "cannot be imported: SystemExit: 3" in problems["ending"]
    assert "has capabilities 'skip', which must be a tuple of texts such as ('skip',)" in problems["untidy"]
    assert not any(problems[name] for name in ("failing", "wide", "unread", "unusual"))
    assert "untidy" not in registry.usable("operations") and "wide" in registry.usable("operations")


def test_arguments_of_any_name_are_checked_and_unreadable_annotations_are_a_sentence(careless):
    [said] = check_arguments("losses", "unread", {"rate": 2}, "loss")
    assert "'unread' (careless_kit:Unread): the annotations of __init__ cannot be read: name 'Raet' is not" in said
    assert check_arguments("losses", "unusual", {"copy": 2, "_rate": 0.1}, "loss") == []
    [said] = check_arguments("losses", "unusual", {"copy": "many"}, "loss")
    assert said.startswith("loss.copy: ") and "'many'" in said


def test_an_error_within_a_plugin_names_it_and_its_method(careless):
    loss = registry.get("losses", "failing").target([1, 2])
    with pytest.raises(KeyError) as error:
        loss(torch.zeros(2, 2), torch.zeros(2))
    said = str(plugin_fault(error.value))
    assert said.startswith("losses plug-in 'failing' (careless_kit:Failing): forward() raised KeyError: 'weights'; ")
    assert "bioautoml_nni.testing.check('losses', 'failing')" in said and "\n" not in said
    assert plugin_cause(error.value) == said


def test_an_error_of_ours_on_what_a_plugin_returned_asks_the_suites_of_those_in_use(careless):
    with pytest.raises(RuntimeError) as error:
        torch.zeros(2, 3) + torch.zeros(2, 4)
    assert plugin_cause(error.value) is None, "nothing of others is in use"
    _ = registry.get("operations", "wide").target
    said = plugin_cause(error.value)
    assert said.startswith("RuntimeError: The size of tensor")
    assert "operations plug-in 'wide' (careless_kit:Wide)" in said
    assert "Wide(8, stride=1) on 16x16: gives shape (3, 16, 16, 16), not" in said and "failing" not in said


def test_numbers_that_run_away_ask_the_suites_too(careless):
    error = DataError("the loss was not finite.")
    error.__cause__ = DivergenceError("of a step")
    assert with_suites(error) == "the loss was not finite.", "nothing of others is in use"
    _ = registry.get("losses", "failing").target
    said = with_suites(error)
    assert said.startswith("the loss was not finite. What the suites of plug-ins in use say: losses plug-in 'failing'")
    assert with_suites(DataError("the table is empty.")) == "the table is empty."


def test_a_plugin_that_ends_python_is_no_interruption():
    """Lightning ends Python too, where somebody has pressed the key."""
    with pytest.raises(SystemExit), interruptible(lambda: True):
        raise SystemExit(3)
    with pytest.raises(KeyboardInterrupt), interruptible(lambda: True):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)


def test_a_topology_that_is_none_is_named():
    class Mapped(Numbered):
        @classmethod
        def topology(cls):
            return {"layer": (0, 1)}

    with pytest.raises(PluginError, match=r"Mapped: topology\(\) must return a Topology, not a dict; correct it"):
        topology_of(Mapped, {"num_classes": 3})
    with pytest.raises(ValueError, match="node_labels do not name node 1, .* among Topology.choices"):
        CellTopology((EdgeTopology(0, 1, "edge"),), {}, 2)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([0.5, 0.5], "a Prediction, not a list"),
        (Prediction(np.full((2, 3), 1 / 3), 0), r"probabilities \(2, 2\) of the test split, not \(2, 3\)"),
    ],
)
def test_a_method_that_predicts_something_else_is_named(answer, said):
    class Answering(PredictingMethod):
        def predict(self, data, seed):
            return answer

    data = SimpleNamespace(part=pd.Series([splits.TEST, splits.WEIGHTS, splits.TEST]), classes=["a", "b"])
    with pytest.raises(
        PluginError, match=rf"Answering: predict\(data, seed\) must return {said}; correct it, or leave"
    ):
        predicted(data, Answering(), 0)


# What training checks of what it is given.


@pytest.mark.parametrize(
    ("value", "said"), [(torch.zeros(4, 5), r"a tensor \(4, 5\)"), (None, "a NoneType"), (torch.zeros(4), r"\(4,\)")]
)
def test_a_network_that_gives_no_logits_is_named(value, said):
    with pytest.raises(
        PluginError, match=rf"Linear.forward\(\) gave .*{said}.* where training needs a tensor \(4, 3\)"
    ):
        SpecimenModule.require(nn.Linear(1, 1), value, (4, 3))


@pytest.mark.parametrize("exported", [None, {"edge": 1.0}, [{"edge": {"skip": 1.0}}]])
def test_a_strategy_that_exports_no_shares_is_named(exported):
    class Exporting:
        def export_probs(self):
            return exported

    with pytest.raises(
        PluginError, match=r"the strategy's Exporting: export_probs\(\) must return each candidate's share"
    ):
        weights_of(Exporting())


def read_by(loaded):
    class Given:
        """A source."""

        def __init__(self, root, **arguments):
            self.root = root

        def load(self):
            return loaded

    return Given


TABLE = pd.DataFrame({ID: ["a"], IMAGE: ["a.png"], LABEL: ["x"]})


@pytest.mark.parametrize(
    ("loaded", "said"),
    [
        (TABLE, "load() must return a Manifest, not a DataFrame"),
        (iter([TABLE]), "load() must return a Manifest, not a list_iterator"),
        (Manifest([1], Path("."), {}, "label"), "its table must be a DataFrame, not a list"),
        (Manifest(TABLE.drop(columns=LABEL), Path("."), {}, "label"), "the table lacks _label"),
        (
            Manifest(TABLE.assign(**{IMAGE: [3]}), Path("."), {}, "label"),
            "_image must hold paths below image_root, as texts",
        ),
        (
            Manifest(pd.concat([TABLE, TABLE[[ID]]], axis=1), Path("."), {}, "label"),
            "the table has several columns named '_id'",
        ),
    ],
)
def test_a_source_that_loads_something_else_is_named(loaded, said, monkeypatch, tmp_path):
    plugin = registry.get("sources", "csv")
    monkeypatch.setitem(vars(plugin), "loaded", read_by(loaded))
    experiment = parse_experiment({"name": "x", "data": {"source": "csv", "root": str(tmp_path)}})
    with pytest.raises(PluginError, match=r"sources plug-in 'csv' .*; correct it, or read the data") as error:
        load_manifest(experiment)
    assert said in str(error.value)
