"""Eight bits where they cost nothing, floating point where they would."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from bioautoml_nni.export.int8 import Quality, write_int8
from bioautoml_nni.export.onnx_files import run_onnx, write_onnx


class Network(nn.Module):
    """Four convolutions; between the second and the third, channels differ in size by a factor."""

    def __init__(self, factor):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(*(nn.Conv2d(3 if n == 0 else 8, 8, 3, padding=1) for n in range(4)))
        scale = torch.logspace(0, float(np.log10(factor)), 8)
        with torch.no_grad():  # what the one layer enlarges the next one makes small again: a network like any other
            self.layers[1].weight.mul_(scale[:, None, None, None])
            self.layers[1].bias.mul_(scale)
            self.layers[2].weight.div_(scale[None, :, None, None])
        self.head = nn.Linear(8, 5)

    def forward(self, image):
        for layer in self.layers:
            image = torch.relu(layer(image))
        return self.head(image.mean(dim=(2, 3)) * 20)


def quantised(tmp_path, factor, goal=0.01, **extra):
    images = torch.rand(96, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    source, target = tmp_path / "model.onnx", tmp_path / "model_int8.onnx"
    write_onnx(Network(factor).eval(), {"image": images[:2]}, "logits", source)
    held = {"image": images[64:].numpy()}
    reference = run_onnx(source, held)

    def judge(path):
        logits = run_onnx(path, held)
        distance = float(np.sqrt(((logits - reference) ** 2).mean()) / reference.std())
        return Quality(distance, distance, distance)  # stands for a score: what moves answers costs as much

    return write_int8(source, target, {"image": images[:64]}, judge, goal, **extra), target, judge


def quantised_layers(path):
    graph = onnx.load(str(path)).graph
    made = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    return [node.name for node in graph.node if node.op_type == "Conv" and node.input[0] in made]


def test_a_network_that_bears_it_is_quantised_but_for_its_first_layer(tmp_path):
    found, target, judge = quantised(tmp_path, factor=1, goal=0.1)
    assert found.floats == () and len(quantised_layers(target)) == 3
    assert judge(target) == found.quality and found.quality.within(0.1)


def test_single_layers_are_measured_on_few_specimens_and_told_one_by_one(tmp_path):
    seen, told = [], []

    def sense(path):
        seen.append(tuple(quantised_layers(path)))
        return float(len(seen))  # the last one is said to cost most

    found, _, _ = quantised(
        tmp_path, 1e5, goal=0.0, sense=sense, advance=lambda done, total: told.append((done, total))
    )
    assert [len(layers) for layers in seen] == [1, 1, 1], "each by itself"
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert found.floats[0] == seen[-1][0]


def test_layers_that_cost_most_stay_in_floating_point(tmp_path):
    broken, _, _ = quantised(tmp_path, factor=1e5, goal=np.inf)
    found, target, judge = quantised(tmp_path, factor=1e5, goal=0.1)
    assert broken.floats == () and broken.quality.distance > 0.1
    assert 1 <= len(found.floats) <= 3 and found.quality.distance < broken.quality.distance
    assert not set(found.floats) & set(quantised_layers(target))
    assert judge(target).distance == pytest.approx(found.quality.distance)
