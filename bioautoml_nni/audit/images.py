"""What the audit says of the images: sizes, and duplicates inside and across the parts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..artifacts.audit import ImagesRecord, Side, TwinPair, Twins
from ..data.image_store import Pixels
from ..data.manifest import ID, LABEL
from ..data.perceptual_hash import near_pairs

LIKENESS = 4
"""Most differing bits, of 64, of two images that may be nearly the same."""
CORRELATION = 0.94
"""Least correlation of the grey pixels of two images that count as nearly the same. Hashes alone also agree where a
specimen is small on an empty ground."""
BLOCK = 512
SHOWN = 20
SMALL = 32


def image_findings(
    table: pd.DataFrame, facts: pd.DataFrame, pixels: Pixels, test: np.ndarray, train: np.ndarray
) -> ImagesRecord:
    """Return sizes and duplicates of readable images.

    Args:
        table: rows with `ID`, `IMAGE` and `LABEL`.
        facts: facts of the same rows, from the image store.
        pixels: their pixels.
        test, train: masks (N,).
    """
    if table.empty:
        return ImagesRecord(checked=0)
    longest = facts[["width", "height"]].astype(int).max(axis=1)
    exact = _chain(facts["digest"])
    near = near_pairs(facts["phash"].to_numpy(np.int64), LIKENESS)
    digest = pd.factorize(facts["digest"])[0]
    near = near[digest[near[:, 0]] != digest[near[:, 1]]]
    near = near[_correlation(pixels, near) >= CORRELATION]
    return ImagesRecord(
        checked=len(table),
        longest_side=Side(least=int(longest.min()), median=int(longest.median()), most=int(longest.max())),
        smaller_than_32_px=int((longest < SMALL).sum()),
        first_of_several=int(facts["several"].sum()),
        exact_duplicates=_twins(table, exact, test, train),
        near_duplicates=_twins(table, near, test, train),
    )


def _correlation(pixels: Pixels, pairs: np.ndarray) -> np.ndarray:
    """Return the correlation of the grey pixels of each pair (P,)."""

    def centred(positions: np.ndarray) -> np.ndarray:
        grey = pixels.batch(positions).astype(np.float32).mean(axis=3).reshape(len(positions), -1)
        return grey - grey.mean(axis=1, keepdims=True)

    found = [np.zeros(0)]
    for start in range(0, len(pairs), BLOCK):
        left, right = (centred(pairs[start : start + BLOCK, side]) for side in (0, 1))
        product = (left * right).sum(axis=1)
        found.append(product / np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1) + 1e-9))
    return np.concatenate(found)


def _chain(digests: pd.Series) -> np.ndarray:
    """Return each image paired with the next one of the same content, (P, 2)."""
    codes = pd.factorize(digests)[0]
    order = np.argsort(codes, kind="stable")
    same = codes[order][1:] == codes[order][:-1]
    return np.column_stack([order[:-1][same], order[1:][same]])


def _twins(table: pd.DataFrame, pairs: np.ndarray, test: np.ndarray, train: np.ndarray) -> Twins:
    left, right = pairs[:, 0], pairs[:, 1]
    labels, ids = table[LABEL].to_numpy(), table[ID].to_numpy()
    across = (test[left] & train[right]) | (train[left] & test[right])
    first = np.argsort(~across, kind="stable")[:SHOWN]
    in_test = np.unique(np.r_[left[across & test[left]], right[across & test[right]]])
    return Twins(
        pairs=len(pairs),
        images=len(np.unique(pairs)),
        pairs_across_train_and_test=int(across.sum()),
        test_images_with_a_twin_in_training=len(in_test),
        pairs_with_different_labels=int((labels[left] != labels[right]).sum()),
        examples=[
            TwinPair(
                ids=[str(ids[left[position]]), str(ids[right[position]])],
                labels=[str(labels[left[position]]), str(labels[right[position]])],
                across_train_and_test=bool(across[position]),
            )
            for position in first
        ],
    )
