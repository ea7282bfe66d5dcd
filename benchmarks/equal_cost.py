"""What a search is worth at equal cost: python benchmarks/equal_cost.py benchmarks/results/sample_compare.csv

Ordinary least squares over the networks of a comparison that are of one space, searched or drawn: macro-F1 = constant +
searched or random + MFLOPs. Rows of timm's networks and of one modality alone are of other spaces.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

OTHER_SPACES = ("timm", "image_only", "metadata")
"""How the names of rows begin that are no networks of the space."""


def advantage(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients (searched, MFLOPs) and their standard errors; rows without FLOPs are no networks."""
    networks = table[(table["flops"] > 0) & ~table["row"].str.startswith(OTHER_SPACES)]
    searched = (networks["row"] != "random").astype(float)
    design = np.column_stack([np.ones(len(networks)), searched, networks["flops"] / 1e6])
    found = np.linalg.lstsq(design, networks["macro_f1"].to_numpy(), rcond=None)[0]
    residuals = networks["macro_f1"].to_numpy() - design @ found
    variance = residuals @ residuals / (len(networks) - design.shape[1])
    errors = np.sqrt(np.diag(variance * np.linalg.inv(design.T @ design)))
    return found[1:], errors[1:]


if __name__ == "__main__":
    values, errors = advantage(pd.read_csv(sys.argv[1]))
    for name, value, error in zip(("searched", "one MFLOP more"), values, errors, strict=True):
        print(f"{name}: macro-F1 {value:+.4f} ± {error:.4f} (t = {value / error:.1f})")
