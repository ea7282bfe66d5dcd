"""Whatever a file holds, only our own errors come out: architectures, experiments, histories of shares, images."""

import io
import json

import numpy as np
import pytest
import yaml
from conftest import tiny_experiment
from damage import changed, tries, values
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bioautoml_nni.architecture import Architecture, derive, topology_of
from bioautoml_nni.architecture.schema import SpaceRecord
from bioautoml_nni.architecture.weights import sample_architecture, uniform_weights
from bioautoml_nni.config import Experiment, load_experiment, parse_experiment
from bioautoml_nni.data.decoding import decode
from bioautoml_nni.search_spaces import MultimodalSpace
from bioautoml_nni.utils.errors import ArchitectureError, BioAutoMLError, ConfigError

TOPOLOGY = topology_of(MultimodalSpace, {"num_classes": 3, "modalities": ("image",), "cells": 3})
ARCHITECTURE = derive(
    TOPOLOGY,
    sample_architecture(TOPOLOGY, uniform_weights(TOPOLOGY), np.random.default_rng(0)),
    SpaceRecord(name="multimodal"),
).model_dump(mode="json")
many = tries(300)


@many
@given(changed(ARCHITECTURE))
def test_a_changed_architecture_is_refused_or_whole(tmp_path, content):
    file = tmp_path / "architecture.json"
    file.write_text(json.dumps(content))
    try:
        architecture = Architecture.load(file)
        architecture.check(TOPOLOGY)
    except ArchitectureError as error:
        assert str(error)
        return
    network = MultimodalSpace.build(architecture, num_classes=3, modalities=("image",), channels=4, cells=3)
    assert any(True for _ in network.parameters())


@many
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_no_architecture(tmp_path, content):
    file = tmp_path / "architecture.json"
    file.write_bytes(content)
    with pytest.raises(ArchitectureError):
        Architecture.load(file)


EXPERIMENT = tiny_experiment("data")


@many
@given(changed(EXPERIMENT))
def test_a_changed_experiment_is_refused_with_reasons_or_valid(content):
    try:
        found = parse_experiment(content if isinstance(content, dict) else {})
    except ConfigError as error:
        assert error.problems and all(isinstance(problem, str) and problem for problem in error.problems)
        return
    assert parse_experiment(found.model_dump(mode="json")) == found and isinstance(found, Experiment)


@many
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode) | values.map(lambda v: yaml.dump(v).encode()))
def test_any_bytes_are_no_experiment(tmp_path, content):
    file = tmp_path / "experiment.yml"
    file.write_bytes(content)
    with pytest.raises(BioAutoMLError):
        load_experiment(file, [])


def image(kind: str) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (40, 56, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


IMAGES = [image(kind) for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP")]


@many
@given(st.sampled_from(IMAGES), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8), st.data())
def test_a_damaged_image_is_an_os_error_or_an_image(original, damage, data):
    content = bytearray(original)
    for place, value in damage:
        content[place % len(content)] = value
    content = bytes(content[: data.draw(st.integers(0, len(content)))]) if data.draw(st.booleans()) else bytes(content)
    try:
        square = decode(content, 16).square
    except OSError as error:
        assert str(error)
        return
    assert square.shape == (16, 16, 3) and square.dtype == np.uint8
