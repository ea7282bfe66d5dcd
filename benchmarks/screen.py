"""The leakage screen on a table of BIOSCAN-5M's shape: python benchmarks/screen.py [--rows 5150000]

Makes a random table with BIOSCAN-5M's 23 columns and about their numbers of different values, screens it in a process
of its own, and prints rows per second and the process's peak memory with and without the table. Written to
benchmarks/out/screen.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time

import numpy as np
import pandas as pd
from kept import keep

from bioautoml_nni.audit.columns import screen


def bioscan_shaped(rows: int, seed: int = 0) -> pd.DataFrame:
    """Return the table, with dtypes as bioscan-dataset reads them."""
    rng = np.random.default_rng(seed)
    species = np.minimum(rng.zipf(1.3, rows), 22_000) - 1  # a long tail
    genus, family, order = species // 3, species // 20 % 930, species // 20 % 930 // 24
    site = rng.integers(0, 1600, rows)
    places = np.column_stack([rng.uniform(-50, 70, 1600).round(3), rng.uniform(-120, 150, 1600).round(3)])[site]

    def names(codes: np.ndarray, word: str, known: float) -> pd.Categorical:
        codes = np.where(rng.random(rows) < known, codes, -1)
        return pd.Categorical.from_codes(codes, [f"{word}{n}" for n in range(codes.max() + 1)])

    numbers = pd.Series(np.arange(rows)).astype(str)
    return pd.DataFrame(
        {
            "processid": "P" + numbers,
            "sampleid": "S" + numbers,
            "taxon": names(species, "taxon", 1.0),
            "phylum": names(np.zeros(rows, int), "phylum", 1.0),
            "class": names(order // 10, "class", 0.99),
            "order": names(order, "order", 0.99),
            "family": names(family, "family", 0.958),
            "subfamily": names(family, "subfamily", 0.28),
            "genus": names(genus, "genus", 0.238),
            "species": names(species, "species", 0.092),
            "dna_bin": names(species * 3 + rng.integers(0, 3, rows), "bin", 1.0),
            "dna_barcode": "ACGT" + numbers,
            "country": names(site // 34, "country", 1.0),
            "province_state": names(site // 4, "province", 1.0),
            "coord-lat": places[:, 0],
            "coord-lon": places[:, 1],
            "image_measurement_value": rng.lognormal(9, 1, rows).round(),
            "area_fraction": rng.random(rows).round(5),
            "scale_factor": rng.choice([1.0, 1.5, 2.0], rows),
            "inferred_ranks": rng.integers(0, 3, rows).astype(np.uint8),
            "split": rng.choice(["pretrain", "train", "val", "test"], rows, p=[0.92, 0.05, 0.01, 0.02]),
            "index_bioscan_1M_insect": pd.array(np.arange(rows), dtype="Int64"),
            "chunk": rng.choice(list("0123456789abcdef"), rows),
        }
    )


def run(rows: int, queue: multiprocessing.Queue) -> None:
    """Make and screen a table; put rows, seconds and memory in GB."""
    table = bioscan_shaped(rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    test = (table["split"] == "test").to_numpy()
    start = time.perf_counter()
    found = screen(table.drop(columns="family"), table["family"].astype(object).fillna("none"), ~test, test)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    verdicts = {
        verdict: sum(f.verdict == verdict for f in found.findings) for verdict in ("refuse", "drop", "warn", "pass")
    }
    queue.put(
        {
            "rows": rows,
            "seconds": seconds,
            "rows_per_s": rows / seconds,
            "table_gb": before,
            "peak_gb": peak,
            "verdicts": verdicts,
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[500_000, 5_150_000])
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    results = []
    for rows in options.rows:
        queue = context.Queue()
        process = context.Process(target=run, args=(rows, queue))
        process.start()
        result = queue.get()
        process.join()
        results.append(result)
        print(
            f"{rows:>10,} rows x 22 columns: {result['seconds']:7.1f} s, {result['rows_per_s']:>9,.0f} rows/s, "
            f"peak memory {result['peak_gb']:.1f} GB, of which {result['table_gb']:.1f} GB to make and hold the table; "
            f"verdicts {result['verdicts']}"
        )
    keep("screen", results)


if __name__ == "__main__":
    main()
