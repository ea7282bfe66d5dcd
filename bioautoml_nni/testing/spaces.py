"""The suite of search spaces."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..architecture import Architecture, Topology, derive, topology_of
from ..architecture.schema import SpaceRecord
from ..architecture.weights import sample_architecture, uniform_weights, with_positions
from ..nni_engine import named_architecture_parameters
from ._base import kind_of, name_of, random_tensor, require_class, require_tensor, suite, tried, unchanged

METADATA: Mapping[str, Any] = {
    "fields": 2,
    "numeric_fields": [0],
    "categories": [4],
    "category_fields": [1],
}
"""What a space is told of metadata in its suite: a number and a category of four values."""


_SPACE_METHODS: Mapping[str, str] = {
    "topology": "the class method topology(...), which returns a bioautoml_nni.architecture.Topology",
    "build": "build(architecture, **arguments), which returns a network",
    "inherit": "inherit(network, supernet_state), which returns the names that found no match",
}


def training_batch(rows: int, modalities: Sequence[str], size: int = 32) -> dict[str, Tensor]:
    """Return what a network gets in training, on random specimens.

    Returns:
        `image` (N, 3, S, S) float32, normalised, and for metadata `numeric` (N, 1) float32, `categorical` (N, 1) int64
        and `mask` (N, 2) float32; `target` (N,) int64 too, which a network leaves alone.
    """
    batch = {"image": random_tensor(rows, 3, size, size).float()}
    if "metadata" in modalities:
        batch |= {
            "numeric": random_tensor(rows, 1).float(),
            "categorical": torch.arange(rows).remainder(4).view(-1, 1),
            "mask": torch.ones(rows, 2),
        }
    return {**batch, "target": torch.arange(rows) % 3}


@suite
def check_space(space: Any, **arguments: Any) -> None:
    """Check a search space: its topology, its supernet under NNI's own DARTS, and random architectures of it.

    It is built for images alone; with `modalities=("image", "metadata")` among the arguments for both. All arguments go
    to the space, whose choices they may restrict.
    """
    modalities = arguments.get("modalities", ("image",))
    metadata = dict(METADATA) if "metadata" in modalities else None
    inputs = {"num_classes": 3, "metadata": metadata, "modalities": modalities, **arguments}
    name = name_of(space)
    topology = _declared(name, space, inputs)
    batch = training_batch(4, modalities)
    supernet = None if topology.empty else _supernet(name, space, inputs, topology, batch)
    record = SpaceRecord(name=name, arguments=json.loads(json.dumps(arguments)))  # as a file keeps them
    rng = np.random.default_rng(0)
    found: dict[str, tuple[str, Tensor]] = {}
    for _ in range(5):
        architecture = derive(topology, sample_architecture(topology, uniform_weights(topology), rng), record)
        again = Architecture.model_validate(architecture.model_dump(mode="json"))
        assert again == architecture, f"{name}: its architecture does not survive writing and reading"
        torch.manual_seed(0)  # what is built alike answers alike
        network = tried(f"{name}: must have {_SPACE_METHODS['build']}", space.build, architecture, **inputs)
        found[architecture.model_dump_json()] = str(network), _check_network(name, network, batch)
    (text, answer), *others = found.values()
    heeded = not others or any(own != text or not torch.equal(other, answer) for own, other in others)
    assert heeded, f"{name}: build(architecture) returns the same network whatever the architecture"
    if supernet is not None:
        _check_inheritance(name, space, network, supernet)


def _check_inheritance(name: str, space: Any, network: nn.Module, supernet: nn.Module) -> None:
    """Check that `inherit` names exactly what it leaves as it was; a copy is filled with a number to see that."""
    heir, never = deepcopy(network), 12345.0
    with torch.no_grad():
        for own in heir.state_dict().values():
            if own.is_floating_point():
                own.fill_(never)
    missing = tried(f"{name}: must have {_SPACE_METHODS['inherit']}", space.inherit, heir, supernet.state_dict())
    texts = isinstance(missing, list) and all(isinstance(own, str) for own in missing)
    assert texts, f"{name}: inherit() must return the list of names without a match, not {kind_of(missing)}"
    state = heir.state_dict()
    odd = [own for own in missing if own not in state]
    assert not odd, f"{name}: inherit() returns {odd[0]!r}, which is not a name of the network's state_dict"
    kept = [
        own for own, value in state.items()
        if own not in missing and value.numel() and value.is_floating_point() and bool((value == never).all())
    ]  # fmt: skip
    assert not kept, (
        f"{name}: inherit() leaves {kept[0]!r} as it was, and does not return it among those without a match"
    )


def _declared(name: str, space: Any, inputs: Mapping[str, Any]) -> Topology:
    """Check that a space can be built and has the methods that it needs, and return its topology."""
    from nni.nas.nn.pytorch import ModelSpace

    contract = "Space(num_classes, metadata, modalities, ...)"
    require_class(name, space, contract)
    for method in ("topology", "build"):
        assert callable(getattr(space, method, None)), f"{name}: must have {_SPACE_METHODS[method]}"
    made = tried(f"{name}: must be built as {contract}", space, **inputs)
    assert isinstance(made, ModelSpace), (
        f"{name}: must derive from nni.nas.nn.pytorch.ModelSpace, not be {kind_of(made)}"
    )
    topology: Topology = tried(f"{name}: must have {_SPACE_METHODS['topology']}", topology_of, space, inputs)
    if not topology.empty:  # a space without choices has no supernet whose weights a network could take
        assert callable(getattr(space, "inherit", None)), f"{name}: must have {_SPACE_METHODS['inherit']}"
    assert topology.zero is None or topology.zero in topology.operations, (
        f"{name}: topology().zero {topology.zero!r} is none of its operations {', '.join(topology.operations)}"
    )
    return topology


def _supernet(
    name: str, space: Any, inputs: Mapping[str, Any], topology: Topology, batch: Mapping[str, Tensor]
) -> nn.Module:
    """Check that NNI sees the choices of the topology, each with an influence, and return NNI's supernet."""
    from nni.nas.strategy import DARTS

    labels = {label: _texts(candidates) for label, candidates in uniform_weights(topology).items()}
    simplified = tried(f"{name}: is a ModelSpace, whose choices NNI reads", space(**inputs).simplify)
    named = {str(label): dict.fromkeys(_texts(choice.values), 1.0) for label, choice in simplified.items()}
    inputs_of_nodes = f"{name}: the inputs of a node must be numbers, or sets of them such as 0+2"
    declared = {label: _texts(own) for label, own in tried(inputs_of_nodes, with_positions, named, topology).items()}
    odd = sorted(label for label in {*declared, *labels} if declared.get(label) != labels.get(label))
    assert not odd, f"{name}: NNI sees the choices {odd} otherwise than topology()"
    supernet = tried(f"{name}: NNI's DARTS must make a supernet of it", DARTS().mutate_model, space(**inputs))
    what = f"{name}: its supernet must take what training feeds, forward({{{', '.join(batch)}}})"
    logits = require_tensor(f"{name}: the supernet", tried(what, supernet, batch))
    assert logits.shape == (4, 3), f"{name}: the supernet gives shape {tuple(logits.shape)}, not (4, 3)"
    logits.square().sum().backward()
    idle = [label for label, alpha in named_architecture_parameters(supernet).items() if alpha.grad is None]
    assert not idle, f"{name}: the choices {idle} have no influence on the supernet"
    return supernet


def _check_network(name: str, network: Any, batch: Mapping[str, Tensor]) -> Tensor:
    """Check that a built network answers each row by itself, and heeds all metadata; return its answer."""
    assert isinstance(network, nn.Module), f"{name}: build() must return a network, not {kind_of(network)}"
    network.eval()
    with torch.no_grad():
        what = f"{name}: a built network must take what training feeds"
        compare, keys = unchanged(f"{name}: a built network changes its batch", *batch.values()), list(batch)
        result = require_tensor(name, tried(what, network, batch))
        assert list(batch) == keys, f"{name}: a built network adds or removes keys of its batch, which others read"
        compare()
        assert result.shape == (4, 3), f"{name}: a built network gives shape {tuple(result.shape)}, not (4, 3)"
        row = {key: value[:1] for key, value in batch.items() if key != "target"}
        alone = tried(f"{name}: a built network must take a single row, without the target", network, row)
    assert torch.allclose(alone, result[:1], atol=1e-4), f"{name}: rows of a batch influence each other"
    unseen = [key for key in batch if key not in ("image", "mask", "target") and not _matters(network, batch, key)]
    assert not unseen, f"{name}: the metadata {', '.join(unseen)} have no influence"
    return result


def _texts(candidates: Iterable[Any]) -> list[str]:
    return [str(each) for each in candidates]


def _matters(network: nn.Module, batch: Mapping[str, Tensor], key: str) -> bool:
    with torch.no_grad():
        return not torch.equal(network(batch), network({**batch, key: batch[key].flip(0)}))
