"""The built-in sample: drawn arthropods, written once in BIOSCAN-5M's layout and read like the genuine data."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..data.manifest import Manifest
from ..data.own_csv import csv_text
from ..utils.atomic import replacing_folder, write_json
from ..utils.errors import DataError
from .bioscan5m import IMAGES, METADATA, Bioscan5MSource
from .sample_drawing import draw_specimen
from .sample_orders import ORDERS

REVISION = 2
LOOK_ALIKES = 0.2
MARKER = "sample.json"
PACKAGE: Literal["cropped_256"] = "cropped_256"
PROVINCES = (("Costa Rica", "Guanacaste"), ("Canada", "Ontario"), ("Norway", "Viken"), ("South Africa", "Limpopo"),
             ("Pakistan", "Punjab"), ("Malaysia", "Selangor"))  # fmt: skip
LATITUDES = np.array([10.5, 44.0, 60.0, -24.0, 31.0, 3.0])
LONGITUDES = np.array([-85.4, -79.5, 10.8, 29.0, 73.0, 101.5])


class SampleSource:
    """A thousand drawn arthropods of ten orders with a long tail, in BIOSCAN-5M's layout.

    One specimen in five looks like another order (mimics, nymphs, worn specimens), which only its size in the table
    tells: neither the images nor the table alone say what both say together.

    Args:
        root: folder to write the sample to and read it from; a folder in the user's cache by default.
        specimens: number of specimens.
        sample_seed: the same seed draws the same specimens.
        rank: label column: class, order or family.
    """

    capabilities = ("makes_its_data", "official_split")
    root_is_optional = True

    def __init__(
        self,
        root: Path | None = None,
        specimens: int = 1000,
        sample_seed: int = 0,
        rank: Literal["class", "order", "family"] = "order",
    ) -> None:
        if specimens < 40:
            raise ValueError("specimens must be at least 40, so that every order is present")
        name = f"sample-r{REVISION}-n{specimens}-s{sample_seed}"
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.root = root if root is not None else cache / "bioautoml-nni" / name
        self.specimens = specimens
        self.sample_seed = sample_seed
        self.rank = rank

    def load(self) -> Manifest:
        """Write the sample unless it is there, then read it; see `Source.load`."""
        if not (self.root / MARKER).is_file():
            if self.root.exists() and any(self.root.iterdir()):
                raise DataError(f"{self.root}: holds something other than the sample; choose another data.root.")
            write_sample(self.root, self.specimens, self.sample_seed)
        return Bioscan5MSource(self.root, self.rank, image_package=PACKAGE).load()


def write_sample(root: Path, specimens: int, seed: int) -> None:
    """Draw the sample below `root`; the folder appears only when it is complete."""
    with replacing_folder(root) as building:
        table, jobs = _specimens(specimens, seed)
        (building / METADATA).parent.mkdir(parents=True)
        (building / METADATA).write_text(csv_text(table), encoding="utf-8", newline="")
        for folder in {job.path.parent for job in jobs}:
            (building / folder).mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=get_context("spawn")) as pool:
            list(pool.map(_draw, [building] * len(jobs), jobs, chunksize=32))
        write_json(building / MARKER, {"revision": REVISION, "specimens": specimens, "seed": seed})


@dataclass(frozen=True)
class _Job:
    path: Path
    drawn_as: str
    family: int
    seed: int


def _draw(root: Path, job: _Job) -> None:
    image = draw_specimen(ORDERS[job.drawn_as], job.family, np.random.default_rng(job.seed))
    image.save(root / job.path, quality=92)


def _specimens(count: int, seed: int) -> tuple[pd.DataFrame, list[_Job]]:
    rng = np.random.default_rng(seed)
    weights = np.array([plan.weight for plan in ORDERS.values()])
    counts = np.maximum(4, np.floor(weights / weights.sum() * count)).astype(int)
    counts[0] += count - counts.sum()
    names = rng.permutation(np.repeat(list(ORDERS), counts))
    rows: list[dict[str, Any]] = []
    jobs: list[_Job] = []
    placed: dict[str, int] = {}
    for number, order in enumerate(names):
        family = int(rng.random() < 0.5)
        placed[order] = placed.get(order, 0) + 1
        row = _row(number, str(order), family, placed[order], rng)
        relative = IMAGES / PACKAGE / row["split"] / (row["chunk"] or "") / f"{row['processid']}.jpg"
        rows.append(row)
        drawn_as = ORDERS[order].look_alike if rng.random() < LOOK_ALIKES else str(order)
        jobs.append(_Job(relative, drawn_as, family, int(rng.integers(2**31))))
    return pd.DataFrame(rows), jobs


def _identified(family: str, rng: np.random.Generator) -> tuple[str | None, str | None, str | None]:
    """Return family, genus and species, as far as somebody has identified them."""
    family_known, genus_known, species_known = rng.random() < 0.96, rng.random() < 0.24, rng.random() < 0.38
    genus = f"{family[:-4]}ia" if family_known and genus_known else None
    species = f"{genus} {'prima' if rng.random() < 0.5 else 'altera'}" if genus and species_known else None
    return family if family_known else None, genus, species


def _row(number: int, order: str, family: int, nth: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return one row with BIOSCAN-5M's 23 columns; every seventh of an order goes to validation, two to test."""
    plan = ORDERS[order]
    processid = f"SMPL{number:05d}-26"
    split = {3: "val", 5: "test", 0: "test"}.get(nth % 7, "train")
    chunk = hashlib.md5(processid.encode(), usedforsecurity=False).hexdigest()[0] if split == "train" else None
    length = plan.length_mm * float(np.exp(rng.normal(0, 0.22)))
    scale = float(rng.choice([1.0, 1.5, 2.0]))
    north = (np.abs(LATITUDES) - 3) / 57
    odds = np.exp(-((north - plan.north) ** 2) / (2 * 0.28**2)) + 0.15
    site = int(rng.choice(len(PROVINCES), p=odds / odds.sum()))
    family_name, genus, species = _identified(plan.families[family], rng)
    located = rng.random() < 0.97
    measured = rng.random() < 0.95
    return {
        "processid": processid,
        "sampleid": f"SAMPLE-{number:05d}",
        "taxon": species or genus or family_name or order,
        "phylum": "Arthropoda",
        "class": plan.taxonomic_class,
        "order": order,
        "family": family_name,
        "subfamily": None,
        "genus": genus,
        "species": species,
        "dna_bin": f"BOLD:S{list(ORDERS).index(order):02d}{family}{int(rng.integers(4))}",
        "dna_barcode": "".join(rng.choice(list("ACGT"), 60)),
        "country": PROVINCES[site][0],
        "province_state": PROVINCES[site][1] if rng.random() < 0.98 else None,
        "coord-lat": round(float(LATITUDES[site] + rng.normal(0, 0.6)), 4) if located else None,
        "coord-lon": round(float(LONGITUDES[site] + rng.normal(0, 0.6)), 4) if located else None,
        "image_measurement_value": round(float((length * 120) ** 2 * 0.22 * rng.lognormal(0, 0.1)))
        if measured
        else None,
        "area_fraction": round(float(np.clip(rng.normal(0.32, 0.08), 0.05, 0.9)), 5) if measured else None,
        "scale_factor": scale if measured else None,
        "inferred_ranks": 0,
        "split": split,
        "index_bioscan_1M_insect": None,
        "chunk": chunk,
    }
