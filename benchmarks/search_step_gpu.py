"""Time and memory of a search step on a GPU, ours against NNI's own DARTS: python benchmarks/search_step_gpu.py

As benchmarks/search_step.py, whose supernets it builds: one step is an architecture update on one batch and a weight
update on another, on equal weights, alphas and batches. Loss and alpha gradients of all exact variants are compared in
float64 on the same GPU first. Memory is what a variant makes PyTorch reserve, its weights, work spaces and recordings
included. Rounds are interleaved, every other one in reversed order; wall time between two synchronisations, medians of
ratios. Results are written to benchmarks/out/search_step_gpu.json.

  nni                 NNI's DARTS as shipped
  nni_channels_last   the same with channels_last set by hand
  fast                AlternatingDARTS(), passes not recorded
  graphs              the same, passes recorded as CUDA graphs: the default
  graphs_bf16         the same under bf16 autocast (search.precision: bf16-mixed); not exact
  nni_bf16            NNI's DARTS with channels_last under the same autocast
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from pathlib import Path
from typing import Any

import search_step
import torch
from torch import nn

from bioautoml_nni.strategies.graphs import GraphedForward

VARIANTS = ("nni", "nni_channels_last", "nni_bf16", "fast", "graphs", "graphs_bf16")


def form(variant: str) -> str:
    """Return the supernet of benchmarks/search_step.py that a variant runs."""
    return {"nni": "nni", "nni_channels_last": "nni_channels_last", "nni_bf16": "nni_channels_last"}.get(
        variant, "fast"
    )


def make_step(network: nn.Module, variant: str) -> Any:
    """Return the step of benchmarks/search_step.py, recorded and under autocast as the variant says."""
    graphs = GraphedForward(network) if variant.startswith("graphs") else None

    def forward(images: torch.Tensor, group: int) -> torch.Tensor:
        with torch.autocast("cuda", torch.bfloat16, enabled=variant.endswith("bf16")):
            logits = graphs(images, ("alpha", "weights")[group]) if graphs else network(images)
        assert not (graphs and graphs.failure), graphs and graphs.failure
        return logits.float()

    return search_step.make_step(network, form(variant) == "fast", forward)


def launches(step: Any, data: Any) -> int:
    """Return how many kernels and graphs the host launches in one step."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        step(data)
        torch.cuda.synchronize()
    names = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch")
    return sum(event.count for event in found.key_averages() if event.key in names)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return medians, ratios and peaks for one size of batch."""
    data = [(images.cuda(), labels.cuda()) for images, labels in search_step.batches(options)]
    steps, peaks, first = {}, {}, {}
    for name in options.variants:
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved()
        steps[name] = make_step(search_step.build(form(name), options).cuda(), name)
        for number in range(4):
            losses = steps[name](data)
            if number == 0:
                first[name] = [float(loss) for loss in losses]
        last = [float(loss) for loss in losses]
        peaks[name] = (torch.cuda.memory_reserved() - before) / 2**20
        print(f"  {name}: losses of the first step {first[name]}, of the fourth {last}", flush=True)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(options.rounds):
        for name in list(steps)[:: -1 if number % 2 else 1]:
            torch.cuda.synchronize()
            started = time.perf_counter()
            for _ in range(options.steps):
                steps[name](data)
            torch.cuda.synchronize()
            seconds[name].append((time.perf_counter() - started) / options.steps)
    return {
        "milliseconds": {name: 1000 * statistics.median(values) for name, values in seconds.items()},
        "times_as_fast_as_nni": {
            name: statistics.median(theirs / own for theirs, own in zip(seconds["nni"], values, strict=True))
            for name, values in seconds.items()
        },
        "range": {
            name: [f(theirs / own for theirs, own in zip(seconds["nni"], values, strict=True)) for f in (min, max)]
            for name, values in seconds.items()
        },
        "reserved_megabytes": peaks,
        "first_losses": first,
        "launches": {name: launches(step, data) for name, step in steps.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[64])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=6)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "out")
    options = parser.parse_args()
    options.batch = 8
    exact = {name: search_step.build(name, options).cuda() for name in ("nni", "nni_channels_last", "fast")}
    difference = search_step.assert_equal(exact, options)
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(), "torch": torch.__version__, "float64_difference": difference,
        **{name: getattr(options, name) for name in ("size", "channels", "cells", "rounds", "steps")},
        "batches": {},
    }  # fmt: skip
    del exact
    print(f"{result['device']}, torch {torch.__version__}; float64 agrees to {difference:.0e}", flush=True)
    for batch in options.batches:
        options.batch = batch
        gc.collect()
        torch.cuda.empty_cache()
        result["batches"][batch] = found = measure(options)
        print(f"{options.cells} cells, {options.channels} channels, {options.size} px, batch {batch}")
        for name, value in found["milliseconds"].items():
            low, high = found["range"][name]
            print(
                f"  {name:<18} {value:8.1f} ms a step, {found['times_as_fast_as_nni'][name]:5.2f} "
                f"[{low:.2f}..{high:.2f}] times as fast as nni, {found['launches'][name]:6} launches, "
                f"{found['reserved_megabytes'][name]:6.0f} MB",
                flush=True,
            )
        options.output.mkdir(exist_ok=True)
        (options.output / "search_step_gpu.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
