import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_derive import RECORD, make_shares, make_topology

from bioautoml_nni.architecture import Architecture, derive
from bioautoml_nni.utils.errors import ArchitectureError


def make(seed: int = 0) -> Architecture:
    topology = make_topology(2, 2)
    return derive(topology, make_shares(topology, np.random.default_rng(seed)), RECORD, {"seed": seed})


@given(st.integers(0, 10_000))
def test_a_file_round_trip_keeps_everything(tmp_path_factory, seed):
    path = tmp_path_factory.mktemp("architecture") / "architecture.json"
    architecture = make(seed)
    architecture.save(path)
    assert Architecture.load(path) == architecture
    assert json.loads(path.read_text())["schema_version"] == 1


def broken(change) -> dict:
    value = json.loads(make().model_dump_json())
    change(value)
    return value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(schema_version=2), "schema_version"),
        (lambda v: v.update(extra=1), "extra"),
        (lambda v: v["cells"]["normal"].update(edges=[]), "no edge connects"),
        (lambda v: v["cells"]["normal"]["edges"][0].update(source=5), "does not lead forward"),
        (lambda v: v["cells"]["normal"]["edges"][0].update(operation_share=1.5), "operation_share"),
        (lambda v: v["cells"]["normal"]["edges"].append(v["cells"]["normal"]["edges"][0]), "stands twice"),
        (lambda v: v.pop("space"), "space"),
    ],
)
def test_faults_are_named_with_the_file(tmp_path, change, message):
    path = tmp_path / "architecture.json"
    path.write_text(json.dumps(broken(change)))
    with pytest.raises(ArchitectureError, match=message) as caught:
        Architecture.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[1]", "__import__('os')", "\x00"])
def test_what_is_no_architecture_is_refused(tmp_path, content):
    path = tmp_path / "architecture.json"
    path.write_text(content)
    with pytest.raises(ArchitectureError):
        Architecture.load(path)


def test_an_unknown_operation_does_not_fit_the_space():
    value = broken(lambda v: v["cells"]["normal"]["edges"][0].update(operation="os.system"))
    with pytest.raises(ArchitectureError, match="'os.system', which the space does not have"):
        Architecture.model_validate(value).sample(make_topology(2, 2))
