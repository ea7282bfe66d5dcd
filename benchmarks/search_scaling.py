"""How the cost of a search step grows: python benchmarks/search_scaling.py

One step is an architecture update on one batch and a weight update on another, of the default strategy. Each setting
is varied alone around four cells, 16 channels, 64 px, batch 16, two nodes and ten operations; one thread, process time,
the least of the rounds after one to warm up. The exponent is the slope of a straight line through the logarithms: 1 is
proportional. Results are written to benchmarks/out/search_scaling.json.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import torch

warnings.simplefilter("ignore")

from kept import keep
from search_step import make_step

from bioautoml_nni.registry import plugins
from bioautoml_nni.search_spaces import MultimodalSpace
from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.utils.memory import keep_freed_memory

BASE = {"cells": 4, "channels": 16, "size": 64, "batch": 16, "nodes": 2, "operations": 10}
AXES = {
    "cells": (2, 4, 8),
    "channels": (8, 16, 32),
    "size": (32, 64, 128),
    "batch": (8, 16, 32),
    "nodes": (1, 2, 3),
    "operations": (4, 7, 10),
}


def seconds(settings: dict[str, int], rounds: int) -> float:
    """Return the least process time of a step."""
    torch.manual_seed(0)
    space = MultimodalSpace(
        10,
        modalities=("image",),
        channels=settings["channels"],
        cells=settings["cells"],
        nodes=settings["nodes"],
        operations=list(plugins("operations"))[: settings["operations"]],
    )
    step = make_step(AlternatingDARTS().mutate_model(space).train(), freeze=True)
    images = torch.randn(settings["batch"], 3, settings["size"], settings["size"])
    data = [(images, torch.arange(settings["batch"]) % 10)] * 2
    times = []
    for _ in range(rounds + 1):
        started = time.process_time()
        step(data)
        times.append(time.process_time() - started)
    return min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    result = {}
    for axis, values in AXES.items():
        found = [seconds({**BASE, axis: value}, options.rounds) for value in values]
        exponent = float(np.polyfit(np.log(values), np.log(found), 1)[0])
        result[axis] = {"values": values, "seconds": found, "exponent": exponent}
        listed = ", ".join(f"{value}: {second:.2f} s" for value, second in zip(values, found, strict=True))
        print(f"{axis:<11} {listed}   exponent {exponent:.2f}", flush=True)
    keep("search_scaling", result)


if __name__ == "__main__":
    main()
