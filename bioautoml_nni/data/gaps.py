"""What means that a value is missing: the texts that `data.missing` names, and the numbers that these write."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")


def without_gaps(column: pd.Series, missing: Collection[str]) -> pd.Series:
    """Return a column without what means that a value is missing, be the table of texts or of numbers.

    Example:
        >>> without_gaps(pd.Series([-999.0, 1.5]), ["-999"]).tolist()
        [nan, 1.5]
        >>> without_gaps(pd.Series(["-999", "oak"]), ["-999"]).isna().tolist()
        [True, False]
    """
    if not missing:
        return column
    texts = {text.strip() for text in missing}
    numbers = {float(text) for text in texts if NUMBER.fullmatch(text)}
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        gaps = column.isin(list(numbers))
    else:
        gaps = column.map(lambda value: _is_gap(value, texts, numbers)).astype(bool)
    return column.mask(gaps) if gaps.any() else column


def _is_gap(value: Any, texts: Collection[str], numbers: Collection[float]) -> bool:
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        return float(value) in numbers
    return str(value).strip() in texts
