"""Images a second of a derived network beside networks of timm: python benchmarks/throughput.py RUN [--threads 1]

Training (forward, backward and a step of AdamW on one batch) and inference, on images alone, all networks in
channels_last at the run's image size. `folded` is the derived network with its batch norms folded into the
convolutions, as it is exported. The networks take turns in several rounds; medians. FLOPs are those of one image, and
GFLOP/s, rate times cost (three times it in training), are what rates can be compared by at unequal cost. Printed and
written to benchmarks/out/throughput.json.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn
from torch.nn import functional

warnings.simplefilter("ignore")

from kept import keep

from bioautoml_nni.evaluation.cost import count_flops, count_parameters
from bioautoml_nni.export.deployable import fold_batch_norms
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.networks import build_network
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.utils.memory import keep_freed_memory
from bioautoml_nni.utils.quiet import quiet

TIMM = ("mobilenetv3_small_050", "mobilenetv3_small_100", "mobilenetv4_conv_small", "resnet10t", "convnext_atto")


class ImagesOnly(nn.Module):
    """A network that takes a batch's images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.network(batch["image"])


def derived(path: Path) -> tuple[nn.Module, int, int]:
    """Return a run's image encoder with a linear classifier, image size and number of classes."""
    run = RunDirectory.open(path)
    run.require("derive")
    data = PreparedData.load(run)
    encoder = build_network(run, data)[0].image_encoder
    size, classes = data.image.edge, len(data.classes)
    width = encoder.eval()(torch.zeros(1, 3, size, size)).shape[1]
    return nn.Sequential(encoder, nn.Linear(width, classes)), size, classes


def seconds_of(function, rounds: int) -> float:
    started = time.perf_counter()
    for _ in range(rounds):
        function()
    return (time.perf_counter() - started) / rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run whose architecture is derived; its data have images")
    parser.add_argument("--timm", nargs="*", default=list(TIMM))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    quiet()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    torch.manual_seed(0)
    own, size, classes = derived(options.run)
    networks = {"derived": own} | {name: timm.create_model(name, num_classes=classes) for name in options.timm}
    folded = fold_batch_norms(copy.deepcopy(own).eval())
    networks = {name: ImagesOnly(network) for name, network in networks.items()}
    answering = {"derived": networks["derived"], "derived, folded": ImagesOnly(folded)} | networks
    batch = {"image": torch.randn(options.batch, 3, size, size).to(memory_format=torch.channels_last)}
    target = torch.randint(0, classes, (options.batch,))
    optimizers = {name: torch.optim.AdamW(network.parameters(), 1e-4) for name, network in networks.items()}

    def train(name: str) -> None:
        network = networks[name].train()
        functional.cross_entropy(network(batch), target).backward()
        optimizers[name].step()
        optimizers[name].zero_grad()

    def answer(name: str) -> None:
        with torch.inference_mode():
            answering[name].eval()(batch)

    passes = {"training": (train, list(networks)), "inference": (answer, list(answering))}
    seconds = timed(passes, options.rounds)
    print(f"{size} px, batch {options.batch}, {options.threads} threads, {options.rounds} rounds")
    keep("throughput", told(answering, batch, options.batch, seconds))


def timed(passes: dict[str, tuple[Callable[[str], None], list[str]]], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of each pass by kind and network, in turns that go there and back."""
    seconds: dict[str, dict[str, list[float]]] = {kind: {} for kind in passes}
    for number in range(rounds + 1):  # the first one warms up
        for kind, (function, names) in passes.items():
            for name in names[:: -1 if number % 2 else 1]:
                taken = seconds_of(lambda name=name, function=function: function(name), 2)
                if number:
                    seconds[kind].setdefault(name, []).append(taken)
    return seconds


def told(
    networks: dict[str, nn.Module],
    batch: dict[str, torch.Tensor],
    size: int,
    seconds: dict[str, dict[str, list[float]]],
) -> list[dict[str, Any]]:
    """Print a line for each network and return them: images a second, and how much arithmetic that is."""
    rows = []
    for name, network in networks.items():
        flops = count_flops(network, batch)
        row = {"network": name, "parameters": count_parameters(network), "mflops": flops / 1e6}
        for kind, passes in (("training", 3), ("inference", 1)):
            if name in seconds[kind]:
                row[kind] = size / statistics.median(seconds[kind][name])
                row[f"{kind}_gflops"] = row[kind] * flops * passes / 1e9
        rows.append(row)
        rates = "  ".join(
            f"{kind} {row[kind]:7.0f} /s {row[f'{kind}_gflops']:6.1f} GFLOP/s" for kind in seconds if kind in row
        )
        print(f"  {name:<24} {row['parameters']:>10,} parameters {row['mflops']:7.1f} MFLOPs  {rates}")
    return rows


if __name__ == "__main__":
    main()
