"""What frozen first stages save in fine-tuning: python benchmarks/frozen_stages.py [--size 160] [--batch 32]

A training pass (forward and backward, batch norms frozen) of EfficientNet-Lite0 from images, and from the stored map of
each stage on, and the forward pass that computes that map once. Processor time of one thread, the least of several
rounds in turn, per image; the ratio to a whole pass is what counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from bioautoml_nni.features.encoder import load_encoder


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=160, help="edge of the images in pixels")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    trunk = load_encoder("efficientnet_lite0").trunk().eval()
    images = torch.randn(options.batch, 3, options.size, options.size).contiguous(memory_format=torch.channels_last)
    last = trunk.count_stages() - 1
    with torch.no_grad():
        maps: list[Tensor] = trunk.feature_maps(images, range(last))

    def from_stage(stage: int) -> None:
        features, _ = trunk.continue_from(stage, maps[stage], [])
        trunk.pool(features).sum().backward()

    def kept(stage: int) -> None:
        with torch.no_grad():
            trunk.feature_maps(images, [stage])

    work: dict[str, Callable[[], object]] = {"images": lambda: trunk(images).sum().backward()}
    for stage in range(last):
        work[f"stage {stage}"] = lambda stage=stage: from_stage(stage)
        work[f"once: stage {stage}"] = lambda stage=stage: kept(stage)
    least = {name: seconds(each) for name, each in work.items()}
    for _ in range(options.rounds):
        least = {name: min(least[name], seconds(each)) for name, each in work.items()}
    print(f"{'from':>16} {'ms an image':>12} {'of a whole pass':>16}")
    for name, value in least.items():
        print(f"{name:>16} {1000 * value / options.batch:12.1f} {value / least['images']:16.2f}")


if __name__ == "__main__":
    main()
