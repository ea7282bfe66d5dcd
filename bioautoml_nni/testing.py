"""Conformance suites for plug-ins, for the tests of whoever writes one.

    from bioautoml_nni.testing import check
    check("operations", "asymmetric_conv")

Each suite raises `AssertionError` with one sentence that says which part of the contract does not hold, also where the
plug-in itself fails. Networks get what training feeds: a dictionary with normalised images as float32 and, where the
space takes metadata, with `numeric`, `categorical` and `mask`. `check` looks a plug-in up in the registry; the
functions of each kind take the plug-in itself, and arguments where it needs some.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from .architecture import Architecture, Topology, derive, topology_of
from .architecture.schema import SpaceRecord
from .architecture.weights import sample_architecture, uniform_weights
from .config import Experiment
from .data.decoding import ImageReference, require_below
from .data.manifest import ID, IMAGE, LABEL, SPLIT, Manifest, Role, Source
from .features.encoder import Encoder, Stage
from .features.trunk import count_parameters, flops
from .kernels.mixture import Mixture
from .nni_engine import named_architecture_parameters, run_one_shot
from .registry import get
from .utils.errors import DataError, EncoderError

SPACE: str = Experiment.model_fields["space"].default.name
"""The space in which strategies and their parts are tried."""
SMALL: Mapping[str, Any] = {"num_classes": 3, "modalities": ("image",), "channels": 4, "cells": 2}
"""Its arguments."""


def check(kind: str, name: str, **arguments: Any) -> None:
    """Run the suite of a registered plug-in.

    Args:
        kind: "operations", "fusions", "losses", "search_spaces", "strategies", "relaxations", "regularisers",
            "sources" or "encoders".
        arguments: further constructor arguments: of a space or a strategy the choices, of a source where its data lies,
            of an encoder of a family which network.

    Raises:
        AssertionError: naming what does not hold.
        ValueError: for a kind without a suite.
    """
    suites: Mapping[str, Callable[..., None]] = {
        "operations": check_operation,
        "fusions": check_fusion,
        "losses": check_loss,
        "search_spaces": check_space,
        "strategies": check_strategy,
        "relaxations": check_relaxation,
        "regularisers": check_regulariser,
        "sources": check_source,
        "encoders": check_encoder,
    }
    if kind not in suites:
        raise ValueError(f"there is no suite for {kind!r}; suites: {', '.join(suites)}")
    plugin = get(kind, name)
    _tried(f"{name}: its entry point {plugin.entry_point.value} must be importable", lambda: plugin.target)
    assert len(plugin.description) > 10, f"{name}: needs a docstring whose first line describes it in `bioautoml ls`"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"nni\.")  # of torch's own parts, which NNI does not know
        suites[kind](plugin.target, **arguments)


def _tried(what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return function(*args, **kwargs); an error of the plug-in becomes a sentence that starts with `what`."""
    try:
        return function(*args, **kwargs)
    except AssertionError as error:
        text = str(error).partition("\n")[0] or "without a text"
        raise AssertionError(f"{what}, but fails an assertion of its own: {text[:300]}") from error
    except Exception as error:
        text = " ".join(str(error).split()) or "without a text"
        raise AssertionError(f"{what}, but {type(error).__name__}: {text[:300]}") from error


def _module(name: str, part: Any, contract: str, *args: Any) -> Any:
    """Build a plug-in that has to be a module."""
    _class(name, part, contract)
    module = _tried(f"{name}: must be built as {contract}", part, *args)
    assert isinstance(module, nn.Module), f"{name}: must be a torch.nn.Module, {contract}, not {_kind(module)}"
    assert _defines(module, "forward", nn.Module), f"{name}: must define forward"
    return module


def _class(name: str, part: Any, contract: str) -> None:
    is_object = isinstance(part, nn.Module) or not callable(part)
    assert not is_object, f"{name}: the entry point must name the class itself, {contract}, not {_kind(part)}"


def _name(part: Any) -> str:
    return str(getattr(part, "__name__", type(part).__name__))


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}" if value is not None else "None"


def _defines(module: Any, method: str, base: type) -> bool:
    """Whether a method is there, and not the base's own, which only raises."""
    own = getattr(type(module), method, None)
    return own is not None and own is not getattr(base, method, None)


def _tensor(what: str, value: Any) -> Tensor:
    assert isinstance(value, Tensor), f"{what}: must give a tensor, not {_kind(value)}"
    return value


def check_operation(operation: type[nn.Module]) -> None:
    """Check a candidate operation: shapes, gradients, and that its faster forms compute what `forward` computes."""
    zero = "zero" in getattr(operation, "capabilities", ())
    name, contract = _name(operation), "Operation(channels, stride)"
    capabilities = getattr(operation, "capabilities", ())
    assert not isinstance(capabilities, str), f"{name}: capabilities must be a tuple such as ('skip',), not a text"
    for stride in (1, 2):
        for channels, height, width in ((8, 16, 16), (6, 7, 5)):
            module = _module(name, operation, contract, channels, stride).double()
            where = f"{name}({channels}, stride={stride}) on {height}x{width}"
            features = _random(3, channels, height, width).requires_grad_()
            result = _tensor(where, _tried(f"{where}: must map a feature map", module, features))
            wanted = (3, channels, -(-height // stride), -(-width // stride))
            assert result.shape == wanted, f"{where}: gives shape {tuple(result.shape)}, not {wanted}"
            assert torch.isfinite(result).all(), f"{where}: gives values that are not finite"
            if zero:
                assert not result.any(), f"{where}: declares 'zero' and gives something else than zeros"
            else:
                assert result.requires_grad, f"{where}: lets no gradient through"
                result.square().sum().backward()
                assert features.grad is not None, f"{where}: lets no gradient through"
                assert torch.isfinite(features.grad).all(), f"{where}: its gradient is not finite"
            _check_faster_forms(module, features.detach(), where)
            _check_rows_apart(module, features.detach(), where)
            layout = features.detach().contiguous(memory_format=torch.channels_last)
            same = torch.allclose(module(layout), module(features.detach()))
            assert same, f"{where}: gives something else in channels_last"
    _check_state(lambda: operation(8, 1), _random(2, 8, 6, 6).float(), name)
    try:
        operation(8, 3)
    except ValueError:
        return
    except Exception as error:
        wrong = type(error).__name__
        raise AssertionError(f"{name}: must refuse a stride other than 1 or 2 with ValueError, not {wrong}") from error
    raise AssertionError(f"{name}: must refuse a stride other than 1 or 2 with ValueError")


def _check_faster_forms(module: Any, features: Tensor, where: str) -> None:
    if not hasattr(module, "add_to"):
        return
    weight, expected = torch.tensor(0.37, dtype=features.dtype), module(features)
    mixture = Mixture(features.clone())
    mixture.add(torch.ones_like(expected))
    _tried(f"{where}: add_to(mixture, weight) must add to the mixture", module.add_to, mixture, weight)
    difference = (mixture.result() - 1 - weight * expected).abs().max()
    assert difference < 1e-9, f"{where}: add_to() adds something else than weight * forward(), by {difference:.2g}"


def check_fusion(fusion: type[nn.Module]) -> None:
    """Check a fusion: shape, and that both embeddings matter."""
    name = _name(fusion)
    module = _module(name, fusion, "Fusion(image_features, metadata_features, features)", 6, 4, 9)
    image, metadata = _random(5, 6).float().requires_grad_(), _random(5, 4).float().requires_grad_()
    what = f"{name}: must map one pair of embeddings, forward((image, metadata))"
    joint = _tensor(name, _tried(what, module, (image, metadata)))
    assert joint.shape == (5, 9), f"{name}: gives shape {tuple(joint.shape)}, not (5, 9)"
    assert torch.isfinite(joint).all(), f"{name}: gives values that are not finite"
    assert joint.requires_grad, f"{name}: lets no gradient through"
    joint.square().sum().backward()
    for embedding, word in ((image, "image"), (metadata, "metadata")):
        reached = embedding.grad is not None and bool(embedding.grad.abs().sum() > 0)
        assert reached, f"{name}: the {word} embedding has no influence"
    module.eval()
    with torch.no_grad():
        alone = module((image[:1], metadata[:1]))
        assert torch.allclose(alone, module((image, metadata))[:1], atol=1e-5), f"{name}: rows influence each other"


def check_loss(loss: type[nn.Module]) -> None:
    """Check a loss: a finite scalar mean, also for classes without training specimens, that falls with the truth."""
    name, counts = _name(loss), [30, 0, 9]
    module: Any = _module(name, loss, "Loss(class_counts)", counts)
    logits, target = (3 * _random(6, 3)).requires_grad_(), torch.tensor([0, 1, 2, 2, 0, 0])
    what = f"{name}: must give the mean loss, forward(logits, target)"
    value = _tensor(name, _tried(what, module, logits, target))
    assert value.shape == (), f"{name}: gives shape {tuple(value.shape)}, not a scalar"
    assert torch.isfinite(value), f"{name}: is not finite where a class has no training specimen"
    assert value.requires_grad, f"{name}: lets no gradient through to the logits"
    value.backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all(), f"{name}: its gradient is not finite"
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    moved = module(logits.detach()[order], target[order])
    assert torch.allclose(moved, value.detach()), f"{name}: depends on the order of the batch"
    for truth in range(3):
        right = 8 * torch.nn.functional.one_hot(torch.tensor([truth]), 3).double()
        wrong = right.roll(1)
        one = torch.tensor([truth])
        assert module(right, one) < module(wrong, one), f"{name}: does not prefer the right answer for class {truth}"
    wanted = "prior_logits(logits), as the base class bioautoml_nni.losses._base.Loss has"
    assert hasattr(module, "prior_logits"), f"{name}: must have {wanted}"
    start = getattr(module, "start_epoch", None)
    if start is not None:
        _tried(f"{name}: start_epoch(progress) must take a number from 0 to 1", start, 0.5)
    prior = _tensor(name, _tried(f"{name}: must give {wanted}", module.prior_logits, logits.detach()))
    assert prior.shape == logits.shape, f"{name}: prior_logits changes the shape"
    assert not prior.isnan().any(), f"{name}: prior_logits are not numbers"


METADATA: Mapping[str, Any] = {
    "fields": 2,
    "numeric_fields": [0],
    "categories": [4],
    "category_fields": [1],
}
"""What a space is told of metadata in its suite: a number and a category of four values."""


def training_batch(rows: int, modalities: Sequence[str], size: int = 32) -> dict[str, Tensor]:
    """Return what a network gets in training, on random specimens.

    Returns:
        `image` (N, 3, S, S) float32, normalised, and for metadata `numeric` (N, 1) float32, `categorical` (N, 1) int64
        and `mask` (N, 2) float32; `target` (N,) int64 too, which a network leaves alone.
    """
    batch = {"image": _random(rows, 3, size, size).float()}
    if "metadata" in modalities:
        batch |= {
            "numeric": _random(rows, 1).float(),
            "categorical": torch.arange(rows).remainder(4).view(-1, 1),
            "mask": torch.ones(rows, 2),
        }
    return {**batch, "target": torch.arange(rows) % 3}


def check_space(space: Any, **arguments: Any) -> None:
    """Check a search space: its topology, its supernet under NNI's own DARTS, and random architectures of it.

    It is built for images alone; with `modalities=("image", "metadata")` among the arguments for both. All arguments go
    to the space, whose choices they may restrict.
    """
    from nni.nas.nn.pytorch import ModelSpace
    from nni.nas.strategy import DARTS

    modalities = arguments.get("modalities", ("image",))
    metadata = dict(METADATA) if "metadata" in modalities else None
    inputs = {"num_classes": 3, "metadata": metadata, "modalities": modalities, **arguments}
    name, contract = _name(space), "Space(num_classes, metadata, modalities, ...)"
    _class(name, space, contract)
    for method in ("topology", "build"):
        assert callable(getattr(space, method, None)), f"{name}: must have {_SPACE_METHODS[method]}"
    made = _tried(f"{name}: must be built as {contract}", space, **inputs)
    assert isinstance(made, ModelSpace), f"{name}: must derive from nni.nas.nn.pytorch.ModelSpace, not be {_kind(made)}"
    topology = _tried(f"{name}: must have {_SPACE_METHODS['topology']}", topology_of, space, inputs)
    assert isinstance(topology, Topology), f"{name}: topology() must return a Topology, not {_kind(topology)}"
    if not topology.empty:  # a space without choices has no supernet whose weights a network could take
        assert callable(getattr(space, "inherit", None)), f"{name}: must have {_SPACE_METHODS['inherit']}"
    batch = training_batch(4, modalities)
    assert topology.zero is None or topology.zero in topology.operations, (
        f"{name}: topology().zero {topology.zero!r} is none of its operations {', '.join(topology.operations)}"
    )
    labels = {label: list(candidates) for label, candidates in uniform_weights(topology).items()}
    if not topology.empty:
        simplified = _tried(f"{name}: is a ModelSpace, whose choices NNI reads", space(**inputs).simplify)
        declared = {str(label): list(choice.values) for label, choice in simplified.items()}
        odd = sorted(label for label in {*declared, *labels} if declared.get(label) != labels.get(label))
        assert not odd, f"{name}: NNI sees the choices {odd} otherwise than topology()"
        supernet = _tried(f"{name}: NNI's DARTS must make a supernet of it", DARTS().mutate_model, space(**inputs))
        what = f"{name}: its supernet must take what training feeds, forward({{{', '.join(batch)}}})"
        logits = _tensor(f"{name}: the supernet", _tried(what, supernet, batch))
        assert logits.shape == (4, 3), f"{name}: the supernet gives shape {tuple(logits.shape)}, not (4, 3)"
        logits.square().sum().backward()
        idle = [label for label, alpha in named_architecture_parameters(supernet).items() if alpha.grad is None]
        assert not idle, f"{name}: the choices {idle} have no influence on the supernet"
    record = SpaceRecord(name=name, arguments=json.loads(json.dumps(arguments)))  # as a file keeps them
    rng = np.random.default_rng(0)
    for _ in range(5):
        architecture = derive(topology, sample_architecture(topology, uniform_weights(topology), rng), record)
        again = Architecture.model_validate(architecture.model_dump(mode="json"))
        assert again == architecture, f"{name}: its architecture does not survive writing and reading"
        network = _tried(f"{name}: must have {_SPACE_METHODS['build']}", space.build, architecture, **inputs)
        assert isinstance(network, nn.Module), f"{name}: build() must return a network, not {_kind(network)}"
        network.eval()
        with torch.no_grad():
            result = _tensor(name, _tried(f"{name}: a built network must take what training feeds", network, batch))
            assert result.shape == (4, 3), f"{name}: a built network gives shape {tuple(result.shape)}, not (4, 3)"
            alone = network({key: value[:1] for key, value in batch.items()})
        assert torch.allclose(alone, result[:1], atol=1e-4), f"{name}: rows of a batch influence each other"
        unseen = [key for key in batch if key not in ("image", "mask", "target") and not _matters(network, batch, key)]
        assert not unseen, f"{name}: the metadata {', '.join(unseen)} have no influence"
    if not topology.empty:
        missing = _tried(
            f"{name}: must have {_SPACE_METHODS['inherit']}", space.inherit, network, supernet.state_dict()
        )
        texts = isinstance(missing, list) and all(isinstance(own, str) for own in missing)
        assert texts, f"{name}: inherit() must return the list of names without a match, not {_kind(missing)}"


_SPACE_METHODS: Mapping[str, str] = {
    "topology": "the class method topology(...), which returns a bioautoml_nni.architecture.Topology",
    "build": "build(architecture, **arguments), which returns a network",
    "inherit": "inherit(network, supernet_state), which returns the names that found no match",
}


def _matters(network: nn.Module, batch: Mapping[str, Tensor], key: str) -> bool:
    with torch.no_grad():
        return not torch.equal(network(batch), network({**batch, key: batch[key].flip(0)}))


def check_strategy(strategy: Callable[..., Any], **arguments: Any) -> None:
    """Check a one-shot strategy: in NNI's engine it searches a small space, reproducibly, with weights that sum to one.

    `arguments` go to the strategy; a seed among them if it takes one.
    """
    from nni.nas.evaluator.pytorch import Classification, DataLoader
    from nni.nas.oneshot.pytorch.strategy import OneShotStrategy
    from nni.nas.strategy.base import Strategy

    name, contract = _name(strategy), "an NNI one-shot strategy, such as a subclass of nni.nas.strategy.DARTS"
    made = _tried(f"{name}: must be built from its arguments", strategy, **arguments) if callable(strategy) else None
    assert isinstance(made, Strategy), f"{name}: must be {contract}, not {_kind(strategy if made is None else made)}"
    several = isinstance(made, OneShotStrategy)
    assert several, (
        f"{name}: is a multi-trial strategy, which trains one network after the other; it must be {contract}"
    )
    images, classes = _random(32, 3, 16, 16).float(), torch.arange(32) % 3
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        space = _small_space()
        topology = topology_of(get("search_spaces", SPACE).target, SMALL)
        loaders = {
            part: DataLoader(TensorDataset(images, classes), 8, shuffle=part == "train_dataloaders")
            for part in ("train_dataloaders", "val_dataloaders")
        }
        evaluator = Classification(
            num_classes=3, max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, **loaders,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            searched = _tried(
                f"{name}: must search a small space in NNI's engine",
                run_one_shot, space, evaluator, strategy(**arguments), Path(folder), None,
            )  # fmt: skip
            weights, state = searched
        assert isinstance(weights, Mapping), (
            f"{name}: export_probs() must return architecture weights by label, not {_kind(weights)}"
        )
        wanted = {edge.label for cell in topology.cells.values() for edge in cell.edges}
        assert wanted <= set(weights), f"{name}: exports no weights for {sorted(wanted - set(weights))}"
        for label, own in weights.items():
            total = sum(float(share) for share in own.values())
            assert abs(total - 1) < 1e-4, f"{name}: the weights of {label} sum to {total:.4f}, not to 1"
        derive(topology, weights, SpaceRecord(name=SPACE))
        finite = all(torch.isfinite(value).all() for value in state.values() if value.is_floating_point())
        assert finite, f"{name}: leaves weights that are not finite"
        found.append(weights)
    assert found[0] == found[1], f"{name}: two searches from one seed differ"


def check_relaxation(relaxation: Callable[..., Any], **arguments: Any) -> None:
    """Check a relaxation: weights between zero and one that sum to one, and weights with a gradient."""
    alpha, name = _random(6).float().requires_grad_(), _name(relaxation)
    part = _tried(f"{name}: must be built from its arguments", relaxation, **arguments)
    _has(name, part, "start_step(progress)", "weights(label, alpha, training)", "probabilities(alpha)")
    torch.manual_seed(0)
    _tried(f"{name}: must have start_step(progress)", part.start_step, 0.5)
    weights = _tensor(f"{name}: shares", _tried(f"{name}: must have probabilities(alpha)", part.probabilities, alpha))
    assert weights.shape == alpha.shape, f"{name}: weights have shape {tuple(weights.shape)}, not {tuple(alpha.shape)}"
    assert abs(float(weights.detach().sum()) - 1) < 1e-5, f"{name}: weights do not sum to one"
    assert bool((weights >= 0).all()), f"{name}: a share is negative"
    what = f"{name}: must have weights(label, alpha, training)"
    weights = _tensor(f"{name}: weights", _tried(what, part.weights, "edge", alpha, True))
    assert weights.shape == alpha.shape, f"{name}: weights have shape {tuple(weights.shape)}"
    assert torch.equal(weights, part.weights("edge", alpha, True)), f"{name}: cells of one label differ within a step"
    if part.hard:
        assert int((weights.detach().abs() > 1e-6).sum()) == 1, f"{name}: is hard and has several weights above zero"
    assert weights.requires_grad, f"{name}: no gradient reaches the architecture parameters"
    (weights * torch.arange(6.0)).sum().backward()
    reached = alpha.grad is not None and bool(alpha.grad.abs().sum() > 0)
    assert reached, f"{name}: no gradient reaches the architecture parameters"
    still = part.weights("edge", alpha, False)
    part.start_step(0.5)
    assert torch.equal(still, part.weights("edge", alpha, False)), f"{name}: is random outside of training"


def check_regulariser(regulariser: Callable[..., Any], **arguments: Any) -> None:
    """Check a regulariser: a finite scalar for the parameters of a real supernet, at every progress of the search."""
    space = _small_space()
    supernet = get("strategies", Experiment.model_fields["strategy"].default.name).target().mutate_model(space)
    supernet({"image": _random(2, 3, 16, 16).float()})
    alphas, name = named_architecture_parameters(supernet), _name(regulariser)
    part = _tried(f"{name}: must be built from its arguments", regulariser, **arguments)
    _has(name, part, "start_step(supernet, progress)", "penalty(supernet, alphas, relaxation, progress)")
    relaxation = get("relaxations", "softmax").target()
    for progress in (0.0, 0.5, 1.0):
        relaxation.start_step(progress)
        _tried(f"{name}: must have start_step(supernet, progress)", part.start_step, supernet, progress)
        what = f"{name}: must have penalty(supernet, alphas, relaxation, progress)"
        value = _tensor(f"{name}: penalty", _tried(what, part.penalty, supernet, alphas, relaxation, progress))
        assert value.shape == (), f"{name}: gives shape {tuple(value.shape)}, not a scalar"
        assert torch.isfinite(value), f"{name}: is not finite at progress {progress}"


def check_encoder(encoder: Callable[..., Encoder], **arguments: Any) -> None:
    """Check an encoder: its figures, its normalisation, its weights, and every stage it can be cut behind."""
    name = _name(encoder)
    own = _tried(f"{name}: must be built from its arguments", encoder, **arguments)
    for attribute in ("network", "licence", "origin", "citation", "interpolation"):
        assert getattr(own, attribute), f"{name}: says nothing of its {attribute}"
    assert len(own.mean) == len(own.std) == 3 and min(own.std) > 0, f"{name}: mean and std must have three values each"
    whole = own.trunk()
    found = {"parameters": count_parameters(whole), "mflops": flops(whole, own.image_size) / 1e6}
    for attribute, value in found.items():
        declared = getattr(own, attribute)
        same = declared is None or abs(declared - value) < 1e-3 * value
        assert same, f"{name}: declares {attribute} {declared}, its network has {value:.1f}"
    size = _smallest_size(own)
    pixels = torch.randint(256, (2, 3, size, size), generator=torch.Generator().manual_seed(0))
    images, bytes_ = pixels / 255, pixels.to(torch.uint8)
    embeddings = own.embed(images)
    assert embeddings.shape == (2, whole.features), (
        f"{name}: embeds as {tuple(embeddings.shape)}, not (2, {whole.features})"
    )
    assert torch.isfinite(embeddings).all(), f"{name}: its embeddings are not finite"
    assert torch.allclose(own.embed(bytes_), embeddings, atol=1e-4), f"{name}: embeds bytes otherwise than floats"
    assert torch.allclose(own.embed(images[:1]), embeddings[:1], atol=1e-3), (
        f"{name}: rows of a batch influence each other"
    )
    with torch.no_grad():
        other = encoder(**arguments).trunk()(own.normalise(images))
    assert torch.allclose(other, embeddings, atol=1e-4), f"{name}: has other weights the second time"
    stages = own.stages(size)
    together = own.feature_maps(images, [stage.index for stage in stages]) if stages else []
    for stage, features in zip(stages, together, strict=True):
        _check_stage(own, stage, own.normalise(images), features, f"{name}, stage {stage.index}")
    beyond = len(stages)
    try:
        own.build(beyond)
    except EncoderError:
        return
    raise AssertionError(f"{name}: must refuse stage {beyond}, which it lacks, with EncoderError")


def _smallest_size(encoder: Encoder) -> int:
    """Return an edge that is quick to compute, or the encoder's own if it takes no other."""
    try:
        encoder.embed(torch.zeros(1, 3, 64, 64))
    except (AssertionError, RuntimeError):
        return encoder.image_size
    return 64


def _check_stage(encoder: Encoder, stage: Stage, images: Tensor, expected: Tensor, where: str) -> None:
    trunk = encoder.trunk(stage.index)
    assert expected.shape[1] == stage.channels == trunk.features, f"{where}: has {expected.shape[1]} channels"
    with torch.no_grad():
        assert torch.allclose(trunk.feature_map(images), expected, atol=1e-3), f"{where}: the cut network differs"
        embedding, (features,) = trunk.with_stages(images, [stage.index])
        assert torch.allclose(features, expected, atol=1e-3), f"{where}: with_stages() gives another map"
        assert torch.allclose(trunk(images), embedding, atol=1e-3), f"{where}: with_stages() gives another embedding"
    assert count_parameters(trunk) == stage.parameters, f"{where}: has other parameters than stages() counts"
    trunk.train()(images).square().sum().backward()
    dead = [key for key, parameter in trunk.named_parameters() if parameter.grad is None]
    assert not dead, f"{where}: holds layers that its map does not depend on, such as {dead[0]}"


def check_source(source: Callable[..., Source], **arguments: Any) -> None:
    """Check a source on data that it can read: the manifest's contract, twice the same."""
    name = _name(source)
    made = _tried(f"{name}: must be built as Source(root, ...)", source, **arguments)
    _has(name, made, "load()")
    first, second = (_tried(f"{name}: must read its data, load()", own.load) for own in (made, source(**arguments)))
    check_manifest(first, name)
    assert first.table.equals(second.table), f"{name}: reads something else the second time"


def check_manifest(manifest: Manifest, name: str, images_exist: bool = True) -> None:
    """Check what a source has read; `name` stands in the messages.

    Args:
        images_exist: whether the images that it names must exist, too; those of damaged tables need not.
    """
    assert isinstance(manifest, Manifest), f"{name}: load() must return a Manifest, not {_kind(manifest)}"
    assert isinstance(manifest.table, pd.DataFrame), f"{name}: table must be a DataFrame, not {_kind(manifest.table)}"
    assert isinstance(manifest.roles, Mapping), f"{name}: roles must be a mapping from columns to roles"
    table = manifest.table
    missing = {ID, IMAGE, LABEL} - set(table)
    assert not missing, f"{name}: the table lacks {sorted(missing)}"
    assert len(table), f"{name}: the table is empty"
    for column in (ID, LABEL):
        assert table[column].notna().all(), f"{name}: {column} has gaps"
        assert all(isinstance(value, str) and value for value in table[column]), f"{name}: {column} must be strings"
    assert table[ID].is_unique, f"{name}: {ID} is not unique"
    root = Path(manifest.image_root)
    try:
        paths = [ImageReference.parse(path).path for path in table[IMAGE].dropna()]
        require_below(root, paths)
    except (DataError, TypeError, AttributeError) as error:
        raise AssertionError(f"{name}: {IMAGE} must hold paths below image_root: {error}") from error
    lost = [str(path) for path in dict.fromkeys(paths) if not (root / path).is_file()]
    assert not (images_exist and lost), (
        f"{name}: {len(lost)} of its images do not exist below image_root, the first is {lost[0]}"
    )
    unknown = set(manifest.roles) - set(table)
    assert not unknown, f"{name}: has roles for columns that are not in the table: {sorted(unknown)}"
    wrong = {column: role for column, role in manifest.roles.items() if role not in get_args(Role)}
    assert not wrong, f"{name}: has roles that do not exist: {wrong}"
    reserved = {ID, IMAGE, LABEL, SPLIT} & set(manifest.features())
    assert not reserved, f"{name}: reserved columns cannot be features: {sorted(reserved)}"
    assert manifest.rank, f"{name}: must say what the label is (rank)"


def _has(name: str, part: Any, *methods: str) -> None:
    """Ask for methods, each written as it is called."""
    for method in methods:
        own = getattr(part, method.partition("(")[0], None)
        assert callable(own), f"{name}: must have {method}"


def _check_rows_apart(module: nn.Module, features: Tensor, where: str) -> None:
    mode = module.training
    with torch.no_grad():
        whole = module.eval()(features)
        alone = module(features[:1])
    module.train(mode)
    assert torch.allclose(alone, whole[:1]), f"{where}: rows of a batch influence each other outside of training"


def _check_state(make: Callable[[], nn.Module], example: Tensor, name: str) -> None:
    first, second = make(), make()
    first(example)
    what = f"{name}: its state_dict must load into another one"
    _tried(what, second.load_state_dict, first.state_dict())
    with torch.no_grad():
        same = torch.equal(first.eval()(example), second.eval()(example))
    assert same, f"{name}: its state_dict does not hold all that decides its result"


def _random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def _small_space() -> Any:
    return get("search_spaces", SPACE).target(**SMALL)
