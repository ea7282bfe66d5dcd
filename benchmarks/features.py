"""How fast an encoder's first pass is, and whether bfloat16 pays: python benchmarks/features.py [ENCODER] [--size 160]

Prints images a second and core, by processor time, which other programs on the machine lengthen less than the clock's;
and for bfloat16 the smallest cosine between its embeddings and those of float32. Images are scikit-learn's photographs,
cut into squares at random.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from sklearn.datasets import load_sample_images

from bioautoml_nni.features import load_encoder

ROUNDS = 3


def squares(count: int, size: int) -> torch.Tensor:
    """Return random cuts (N, 3, S, S) uint8."""
    rng, photographs = np.random.default_rng(0), load_sample_images().images
    cuts = []
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        top, left = (int(rng.integers(side - size)) for side in photograph.shape[:2])
        cuts.append(photograph[top : top + size, left : left + size])
    return torch.from_numpy(np.stack(cuts)).permute(0, 3, 1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", nargs="?", default="efficientnet_lite0")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder = load_encoder(options.encoder)
    images, trunk = squares(options.batch, options.size), encoder.trunk().to(memory_format=torch.channels_last)
    inputs = encoder.normalise(images).contiguous(memory_format=torch.channels_last)
    stages = range(trunk.count_stages())
    found = {}
    for name in ("float32", "bfloat16"):
        seconds = []
        for _ in range(ROUNDS):
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=name == "bfloat16"):
                start = time.process_time()
                found[name] = trunk.with_stages(inputs, stages)[0].float()
                seconds.append(time.process_time() - start)
        print(f"{name}: {options.batch / min(seconds):.1f} images a second and core", flush=True)
    cosine = torch.nn.functional.cosine_similarity(found["float32"], found["bfloat16"])
    print(f"smallest cosine of the two: {cosine.min():.5f}")


if __name__ == "__main__":
    main()
