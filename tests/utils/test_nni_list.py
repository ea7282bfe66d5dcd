"""NNI's list of experiments in the home folder, as our searches read it."""

import json

import pytest
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from nni.nas.strategy import Random
from nni.tools.nnictl.config_utils import Experiments
from torch import nn

from bioautoml_nni.nni_engine import PlainList, evolve


class TwoLayers(ModelSpace):
    def __init__(self):
        super().__init__()
        self.layer = LayerChoice([nn.Identity(), nn.ReLU()], label="layer")


def test_it_is_read_as_nni_reads_what_it_wrote(tmp_path):
    written = Experiments(str(tmp_path))
    for name in ("first", "zweites – φ"):
        written.add_experiment(name, 8080, 17, "local", name, tag=["retiarii"], webuiUrl=["http://127.0.0.1:8080"])
    read = PlainList(str(tmp_path))
    assert read.get_all_experiments() == Experiments(str(tmp_path)).get_all_experiments()
    assert list(read.get_all_experiments()) == ["first", "zweites – φ"]
    read.update_experiment("first", "status", "STOPPED")
    assert Experiments(str(tmp_path)).get_all_experiments()["first"]["status"] == "STOPPED"


@pytest.mark.parametrize("content", [None, "", '{"cut": {"id'])
def test_no_list_and_a_damaged_one_are_empty_as_they_are_to_nni(tmp_path, content):
    if content is not None:
        (tmp_path / ".experiment").write_text(content)
    assert PlainList(str(tmp_path)).get_all_experiments() == Experiments(str(tmp_path)).get_all_experiments() == {}


def test_a_search_stands_on_it_and_reads_it_so(tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setattr(Experiments.__init__, "__defaults__", (str(home),))
    monkeypatch.setattr(Experiments, "read_file", lambda self: pytest.fail("NNI's own reader was used"))
    evolve(TwoLayers(), lambda choices: 0.5, Random(), 2, tmp_path / "work")
    (entry,) = json.loads((home / ".experiment").read_text()).values()
    assert entry["status"] == "STOPPED" and entry["endTime"] > entry["startTime"] > 0
