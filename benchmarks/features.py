"""How fast an encoder's first pass is, and whether bfloat16 or int8 pays: python benchmarks/features.py [ENCODER]

Prints images a second and core, by processor time, which other programs on the machine lengthen less than the clock's;
and for bfloat16 (torch's autocast) and int8 (onnxruntime, quantised as exports are, with ranges from other images) the
smallest cosine between their embeddings and those of float32. Images are scikit-learn's photographs, cut into squares
at random.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

from bioautoml_nni.export.int8 import Quality, write_int8
from bioautoml_nni.export.onnx_files import write_onnx
from bioautoml_nni.features import load_encoder

ROUNDS = 3


def squares(count: int, size: int, seed: int = 0) -> Tensor:
    """Return random cuts (N, 3, S, S) uint8."""
    rng, photographs = np.random.default_rng(seed), load_sample_images().images
    cuts = []
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        top, left = (int(rng.integers(side - size)) for side in photograph.shape[:2])
        cuts.append(photograph[top : top + size, left : left + size])
    return torch.from_numpy(np.stack(cuts)).permute(0, 3, 1, 2)


def session(file: Path) -> Callable[[Tensor], Tensor]:
    """Return what an ONNX file computes, on one core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    found = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(found.run(["embedding"], {"image": images.numpy()})[0])


def in_eight_bits(trunk: nn.Module, calibrated: Tensor, folder: Path) -> Callable[[Tensor], Tensor]:
    """Return the trunk in int8: of both ways to choose ranges the one whose embeddings are nearer to float32."""
    write_onnx(trunk, {"image": calibrated[:2].contiguous()}, "embedding", folder / "float32.onnx")
    with torch.inference_mode():
        wanted = trunk(calibrated)

    def judge(file: Path) -> Quality:
        return Quality(0.0, 0.0, float((session(file)(calibrated) - wanted).square().mean().sqrt()))

    write_int8(folder / "float32.onnx", folder / "int8.onnx", {"image": calibrated}, judge, goal=1.0)
    return session(folder / "int8.onnx")


def embeddings_of(trunk: nn.Module, precision: str) -> Callable[[Tensor], Tensor]:
    """Return what the first pass computes, means of the stages aside."""
    stages = range(trunk.count_stages())  # type: ignore[operator]

    def embed(images: Tensor) -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            found: Tensor = trunk.with_stages(images, stages)[0]  # type: ignore[operator]
            return found.float()

    return embed


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
    with tempfile.TemporaryDirectory() as folder:
        calibrated = encoder.normalise(squares(options.batch, options.size, seed=1))
        ways = {name: embeddings_of(trunk, name) for name in ("float32", "bfloat16")}
        ways["int8"] = in_eight_bits(trunk, calibrated, Path(folder))
    found: dict[str, Tensor] = {}
    for name, embed in ways.items():
        seconds = []
        for _ in range(ROUNDS):
            start = time.process_time()
            found[name] = embed(inputs)
            seconds.append(time.process_time() - start)
        cosine = torch.nn.functional.cosine_similarity(found["float32"], found[name]).min()
        speed = options.batch / min(seconds)
        print(f"{name}: {speed:.1f} images a second and core, smallest cosine {cosine:.5f}", flush=True)


if __name__ == "__main__":
    main()
