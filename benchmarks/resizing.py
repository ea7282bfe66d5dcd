"""How much it matters by which filter images are resized for an encoder: python benchmarks/resizing.py FOLDER

Encoders of timm were trained with bicubic interpolation. The image cache takes means over areas where an image shrinks,
and is bilinear where it grows. This makes the embeddings of all images of FOLDER (metadata.csv and images, as
pitfall.py takes them) both ways, and prints how alike they are, and what a logistic regression on them scores over the
four folds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bioautoml_nni.data.decoding import decode
from bioautoml_nni.features.encoder import Encoder, load_encoder

BATCH = 64
DECAYS = (0.003, 0.01, 0.03)
"""Inverse strengths of the regularisation, C of scikit-learn."""


def cached(file: Path, size: int) -> np.ndarray:
    """Return an image (S, S, 3) as the cache has it."""
    return decode(file.read_bytes(), size).square


def bicubic(file: Path, size: int) -> np.ndarray:
    """Return it by Pillow's bicubic filter, which averages where it shrinks; the borders are those of `cached`."""
    square = cached(file, size)
    with Image.open(file) as image:
        scale = size / max(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        pixels = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC))
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square


def embeddings(encoder: Encoder, files: list[Path], size: int, of: Callable[[Path, int], np.ndarray]) -> np.ndarray:
    """Return the embeddings (N, E) of images that `of` reads."""
    found = []
    for start in range(0, len(files), BATCH):
        pixels = np.stack([of(file, size) for file in files[start : start + BATCH]])
        found.append(encoder.embed(torch.from_numpy(pixels).permute(0, 3, 1, 2)).numpy())
    return np.concatenate(found)


def pooled(features: np.ndarray, labels: np.ndarray, folds: np.ndarray, decay: float) -> tuple[float, float]:
    """Return accuracy and macro-F1 of all folds together, each predicted by what the others taught."""
    predicted = np.empty(len(labels), object)
    for fold in np.unique(folds):
        own = folds == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(C=decay, max_iter=300))
        predicted[own] = model.fit(features[~own], labels[~own]).predict(features[own])
    return accuracy_score(labels, predicted), f1_score(labels, predicted, average="macro", zero_division=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", default="efficientnet_lite0")
    parser.add_argument("--size", type=int, default=160)
    options = parser.parse_args()
    table = pd.read_csv(options.folder / "metadata.csv", dtype=str)
    files = [options.folder / name for name in table["image"]]
    encoder = load_encoder(options.encoder)
    ways = {"area and bilinear": cached, "bicubic": bicubic}
    found = {name: embeddings(encoder, files, options.size, of) for name, of in ways.items()}
    first, second = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in found.values())
    low, middle = np.percentile((first * second).sum(1), [5, 50])
    print(f"cosine of both embeddings of an image: {middle:.4f} in the median, {low:.4f} or less in one of twenty")
    labels, folds = table["label"].to_numpy(), table["fold_event"].to_numpy()
    for decay in DECAYS:
        for name, features in found.items():
            accuracy, macro_f1 = pooled(features, labels, folds, decay)
            print(f"C = {decay}, {name}: accuracy {accuracy:.3f}, macro-F1 {macro_f1:.3f}", flush=True)


if __name__ == "__main__":
    main()
