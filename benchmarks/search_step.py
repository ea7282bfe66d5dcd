"""Time of a search step, ours against NNI's own DARTS: python benchmarks/search_step.py

One step is an architecture update on one batch and a weight update on another, with equal weights, alphas and batches
on both sides. The order of the two is reversed in every other round; process time, one thread. Equality of the loss is
asserted in float64 first. Only the ratio means something on a shared machine.
"""

import argparse
import copy
import json
import statistics
import time
import warnings
from pathlib import Path

import torch

warnings.simplefilter("ignore")

from bioautoml_nni.search_spaces import MultimodalSpace
from bioautoml_nni.strategies import AlternatingDARTS
from nni.nas.strategy import DARTS

from bioautoml_nni.nni_engine import named_architecture_parameters


def make_step(network, freeze: bool):
    """Return a function that updates alphas on one batch and weights on another."""
    alphas = list(named_architecture_parameters(network).values())
    chosen = {id(parameter) for parameter in alphas}
    weights = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
    optimizers = (torch.optim.Adam(alphas, 3e-4), torch.optim.SGD(weights, 0.025, momentum=0.9))

    def step(batches) -> None:
        for group, (images, labels) in enumerate(batches):
            if freeze:
                for number, parameters in enumerate((alphas, weights)):
                    for parameter in parameters:
                        parameter.requires_grad_(number == group)
            optimizers[group].zero_grad()
            torch.nn.functional.cross_entropy(network(images), labels).backward()
            optimizers[group].step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=6)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    space = MultimodalSpace(10, modalities=("image",), channels=arguments.channels, cells=arguments.cells, dropout=0.0)
    theirs, ours = DARTS().mutate_model(copy.deepcopy(space)), AlternatingDARTS().mutate_model(space)
    source = named_architecture_parameters(ours)
    for label, parameter in named_architecture_parameters(theirs).items():
        parameter.data.copy_(source[label].data)
    batches = [
        (torch.randn(arguments.batch, 3, arguments.size, arguments.size), torch.randint(0, 10, (arguments.batch,)))
        for _ in range(2)
    ]
    images = batches[0][0][:4].double()
    losses = [copy.deepcopy(network).double()(images).square().sum().item() for network in (ours, theirs)]
    assert abs(losses[0] - losses[1]) <= 1e-9 * abs(losses[1]), losses
    steps = {"ours": make_step(ours, freeze=True), "nni": make_step(theirs, freeze=False)}
    ratios = []
    for number in range(-2, arguments.rounds):
        seconds = {}
        for name in sorted(steps, reverse=number % 2 == 1):
            started = time.process_time()
            steps[name](batches)
            seconds[name] = time.process_time() - started
        if number >= 0:
            ratios.append(seconds["nni"] / seconds["ours"])
    median = statistics.median(ratios)
    print(f"NNI's DARTS takes {median:.2f} [{min(ratios):.2f}..{max(ratios):.2f}] times our process time per step")
    target = Path(__file__).parent / "out" / "search_step.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"vs_nni": median, "ratios": ratios, **vars(arguments)}, indent=2) + "\n")


if __name__ == "__main__":
    main()
