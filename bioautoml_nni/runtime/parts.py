"""The file of one part of a prediction: the user's rows, and their logits in one column, since classes may be many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from .request import LOGITS


def write_part(path: Path, table: pd.DataFrame, logits: np.ndarray) -> None:
    """Write rows with their logits (N, K)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(logits).reshape(-1)), logits.shape[1])
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False).append_column(LOGITS, column), path)


def read_part(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the rows of a part, and their logits (N, K) in double precision."""
    import pyarrow.parquet as pq

    whole = pq.read_table(path)
    column = whole[LOGITS].combine_chunks()
    logits = column.flatten().to_numpy(zero_copy_only=False).reshape(len(whole), column.type.list_size)
    return whole.drop_columns([LOGITS]).to_pandas(), logits.astype(np.float64)
