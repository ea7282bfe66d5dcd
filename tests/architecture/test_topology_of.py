"""What a space leaves open is read from its arguments: as the built supernet says it, and without building one."""

import dataclasses
import json
import shutil
import warnings

import pytest
from conftest import tiny_experiment, write_table
from nni.mutable import Categorical
from nni.nas.nn.pytorch import InputChoice, LayerChoice, ModelSpace
from rich.console import Console
from torch import nn

from bioautoml_nni import testing
from bioautoml_nni.architecture import Topology, topology_of
from bioautoml_nni.config import parse_experiment
from bioautoml_nni.nni_jobs.template import architecture_search_space
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.search_spaces import MultimodalSpace
from bioautoml_nni.search_spaces.timm_network import TimmSpace
from bioautoml_nni.stages.derive import derive
from bioautoml_nni.stages.report import report
from bioautoml_nni.stages.run import run_stages
from bioautoml_nni.utils.errors import ConfigError
from bioautoml_nni.utils.signatures import constructor_values

METADATA = {"numeric_fields": [0], "categories": [], "category_fields": [], "fields": 1}
ARGUMENTS = {"num_classes": 3, "metadata": METADATA, "channels": 4, "cells": 3, "metadata_features": 4}
SILENT = Console(quiet=True)
OPTIONS = [
    {},
    {"modalities": ["image"]},
    {"modalities": ["metadata"]},
    {"cells": 1},
    {"cells": 4, "nodes": 1, "inputs_per_node": 1},
    {"nodes": 3, "inputs_per_node": 2},
    {"cell_sharing": "none"},
    {"operations": ["conv_1x1", "skip_connect"]},
    {"operations": ["zero", "conv_1x1"], "fusions": ["gated"]},
    {"fusions": ["gated", "concatenation"], "stem_stride": 1, "dropout": 0.5},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_topology_is_that_of_the_built_supernet(options):
    """Labels, candidates in their order, edges and kept inputs, read from NNI's mutables."""
    arguments = {**ARGUMENTS, **options}
    topology = topology_of(MultimodalSpace, arguments)
    space = MultimodalSpace(**arguments)
    edges, nodes, choices = {}, {}, {}
    for path, module in space.named_modules():
        if isinstance(module, InputChoice):
            nodes.setdefault(module.label, set()).add((int(path.rsplit(".")[-1]), module.n_candidates, module.n_chosen))
        elif isinstance(module, LayerChoice) and ".edges." in path:
            ends = tuple(map(int, path.rsplit(".")[-1].split("_")))
            edges.setdefault(module.label, set()).add((ends, tuple(module.names)))
        elif isinstance(module, LayerChoice):
            choices[module.label] = tuple(module.names)
    cells = topology.cells.values()
    assert edges == {
        edge.label: {((edge.source, edge.target), topology.operations)} for cell in cells for edge in cell.edges
    }
    assert nodes == {
        label: {(node, node, cell.kept_inputs(node))} for cell in cells for node, label in cell.node_labels.items()
    }
    assert choices == dict(topology.choices)
    assert topology.zero == ("zero" if "zero" in topology.operations else None)


@pytest.fixture
def unbuildable(monkeypatch):
    """Let no space of ours be built."""

    def refuse(space, *arguments, **keywords):
        raise AssertionError(f"{type(space).__name__} is built")

    for space in (MultimodalSpace, TimmSpace):
        monkeypatch.setattr(space, "__init__", refuse)
    with pytest.raises(AssertionError, match="MultimodalSpace is built"):
        MultimodalSpace(**ARGUMENTS)


def test_deriving_from_shares_and_reporting_build_no_space(finished, tmp_path, unbuildable):
    shutil.copytree(finished[0], tmp_path / "run")
    run, before = RunDirectory.open(tmp_path / "run"), (finished[0] / "architecture.json").read_text()
    for name in ("architecture.json", "report.html"):
        (run / name).unlink()
    derive(run, SILENT)
    assert (run / "architecture.json").read_text() == before
    report(run, SILENT)
    assert (run / "report.html").is_file() and len(list((run / "search/cells").iterdir())) == 2


def test_nnis_search_space_and_a_search_without_choices_build_no_space(tmp_path, unbuildable):
    write_table(tmp_path / "data", rows=24)
    experiment = parse_experiment(tiny_experiment(tmp_path / "data", space={"name": "multimodal", "nodes": 2}))
    assert len(architecture_search_space(experiment)) == 2 * 3 + 1
    fixed = parse_experiment(tiny_experiment(tmp_path / "data", space={"name": "timm", "encoder": "test_resnet"}))
    run = RunDirectory.create(tmp_path / "run", fixed)
    run_stages(run, ["prepare", "search", "derive"], SILENT)
    assert json.loads((run / "search/shares.json").read_text()) == {}


def test_mistakes_of_a_space_without_choices_are_told_before_anything_is_trained(tmp_path):
    write_table(tmp_path / "data", rows=24)
    wrong = parse_experiment(tiny_experiment(tmp_path / "data", space={"name": "timm", "encoder": "test_resnit"}))
    with pytest.raises(ConfigError, match="did you mean 'test_resnet"):
        run_stages(RunDirectory.create(tmp_path / "run", wrong), ["prepare", "search"], SILENT)


class Old(ModelSpace):
    """A space written for 0.1, with one choice."""

    def __init__(self, num_classes, metadata=None, modalities=("image",), width=4):
        super().__init__()
        self.layer = LayerChoice({"a": nn.Conv2d(3, width, 1), "b": nn.Conv2d(3, width, 3)}, label="layer")
        self.classifier = nn.Linear(width, num_classes)

    def topology(self):
        return Topology({}, (), None, {"layer": tuple(self.layer.names)})


class New(Old):
    """The same for today."""

    @classmethod
    def topology(cls, width, **others):
        assert others == {"num_classes": 3, "metadata": None, "modalities": ("image",)}
        return Topology({}, (), None, {"layer": ("a", "b")} if width == 4 else {})


def test_a_space_of_the_last_version_keeps_working_and_is_told_what_to_do():
    with pytest.warns(DeprecationWarning, match="Old: topology.. is a method of instances.*make it a class method"):
        old = topology_of(Old, {"num_classes": 3})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert topology_of(New, {"num_classes": 3}) == old
        assert topology_of(New, {"num_classes": 3, "width": 5}).empty


def test_arguments_are_completed_and_checked_as_the_constructor_would():
    assert constructor_values(New, {"num_classes": 2, "width": 9}) == {
        "num_classes": 2, "metadata": None, "modalities": ("image",), "width": 9,
    }  # fmt: skip
    for arguments in ({}, {"num_classes": 3, "depth": 1}):
        with pytest.raises(TypeError, match=r"num_classes|depth"):
            topology_of(New, arguments)


class Wrong(MultimodalSpace):
    """A space whose class method forgets an operation."""

    @classmethod
    def topology(cls, **arguments):
        whole = topology_of(MultimodalSpace, arguments)
        return dataclasses.replace(whole, operations=whole.operations[1:])


def test_the_conformance_suite_compares_candidates_with_nnis():
    with pytest.raises(AssertionError, match="NNI sees the choices .*reduction_edge_0_1.* otherwise than topology"):
        testing.check_space(Wrong, channels=4, cells=2)


class Worded(MultimodalSpace):
    """A space whose nodes name their inputs in words, as far as NNI sees."""

    def simplify(self):
        found = super().simplify()
        label = next(label for label in found if "_node_" in label)
        return {**found, label: Categorical(["first", "second"], label=label)}


def test_the_conformance_suite_wants_the_inputs_of_nodes_as_numbers():
    with pytest.raises(AssertionError, match="Worded: the inputs of a node must be numbers, or sets of them such as 0"):
        testing.check_space(Worded, channels=4, cells=2)
