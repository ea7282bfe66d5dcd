"""Images per second into normalised batches: python benchmarks/loader.py [--csv-root FOLDER]

Compares, on the same files and with 1 and 2 workers, the usual loader (Pillow, resize, float tensor, normalise, one by
one in worker processes), ours that decodes files (libjpeg-turbo at a fraction of their size, uint8, normalised per
batch) and ours from the cache. The order is reversed in every other round; medians of the rounds and ratios to the
usual loader are printed and written to benchmarks/out/loader.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from kept import keep
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from bioautoml_nni.config.schema import Augmentation
from bioautoml_nni.data.dataset import SpecimenDataset, make_loader
from bioautoml_nni.data.image_store import DecodedPixels, ImageStore, Pixels
from bioautoml_nni.data.metadata import EncodedMetadata
from bioautoml_nni.sources.sample import SampleSource
from bioautoml_nni.training.augment import ImageTransform

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
BATCH = 64


class UsualDataset(Dataset[torch.Tensor]):
    """One float tensor per file, as in the tutorials."""

    def __init__(self, root: Path, names: list[str], size: int) -> None:
        self.root, self.names = root, names
        self.transform = transforms.Compose(
            [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.root / self.names[index]) as image:
            return self.transform(image.convert("RGB"))


def usual(root: Path, names: list[str], size: int, workers: int) -> Callable[[], int]:
    """Return a pass over the usual loader; it gives the number of images."""
    loader = DataLoader(UsualDataset(root, names, size), BATCH, num_workers=workers, persistent_workers=True)
    return lambda: sum(len(batch) for batch in loader)


def ours(pixels: Pixels, count: int) -> Callable[[], int]:
    """Return a pass over our loader, normalisation of each batch included."""
    empty = EncodedMetadata(np.zeros((count, 0), np.float32), np.zeros((count, 0), np.int64), np.zeros((count, 0)))
    dataset = SpecimenDataset(pixels, empty, np.zeros(count, np.int64), np.arange(count))
    loader = make_loader(dataset, BATCH, shuffle=False)
    normalise = ImageTransform(MEAN, STD, Augmentation()).eval()
    return lambda: sum(len(normalise(batch["image"])) for batch in loader)


def measure(root: Path, names: list[str], size: int, rounds: int) -> list[dict[str, object]]:
    """Return one row per loader and number of workers."""
    store = ImageStore(root, size, Path(__file__).parent / "out" / "cache")
    facts = store.ensure(names)
    rows = []
    for workers in (1, 2):
        ways = {
            "Pillow, float, one by one": usual(root, names, size, workers),
            "ours, decoding files": ours(DecodedPixels(root, names, size, workers), len(names)),
            "ours, from the cache": ours(store.pixels(facts), len(names)),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name in list(ways)[:: 1 if number % 2 else -1]:
                start = time.perf_counter()
                assert ways[name]() == len(names)
                if number:  # the first round warms up
                    seconds[name].append(time.perf_counter() - start)
        base = statistics.median(seconds["Pillow, float, one by one"])
        for name, times in seconds.items():
            median = statistics.median(times)
            rows.append(
                {"loader": name, "workers": workers, "images_per_s": len(names) / median, "ratio": base / median}
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv-root", type=Path, help="a folder with metadata.csv that has a column image")
    parser.add_argument("--size", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)  # idle threads of the main process would spin beside the workers
    sample = SampleSource().load()
    sets = {"sample (256 px)": (sample.image_root, sample.table["_image"].tolist())}
    if options.csv_root:
        names = pd.read_csv(options.csv_root / "metadata.csv")["image"].tolist()
        sets[options.csv_root.name] = (options.csv_root, names)
    results = {}
    for title, (root, names) in sets.items():
        for size in options.size:
            heading = f"{title}: {len(names)} images to {size} px, batches of {BATCH}, {os.cpu_count()} cores"
            results[heading] = measure(root, names, size, options.rounds)
            print(heading)
            for row in results[heading]:
                print(
                    f"  {row['workers']} workers  {row['loader']:<28} {row['images_per_s']:>9,.0f} images/s  "
                    f"{row['ratio']:>6.2f} x"
                )
    keep("loader", results)


if __name__ == "__main__":
    main()
