"""Reading of CSV, TSV and Parquet tables as they come."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..utils.errors import DataError

SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


def read_table(path: Path) -> pd.DataFrame:
    """Read a table by its suffix (.csv, .tsv, .txt with tabs, .parquet); text is UTF-8, else Latin-1.

    Raises:
        DataError: if the file is missing, empty, of another kind or cannot be parsed.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such table; check data.table and data.root.")
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            table = pd.read_parquet(path)
        elif suffix in SEPARATORS:
            try:
                table = pd.read_csv(path, sep=SEPARATORS[suffix], encoding="utf-8-sig", low_memory=False)
            except UnicodeDecodeError:
                table = pd.read_csv(path, sep=SEPARATORS[suffix], encoding="latin-1", low_memory=False)
        else:
            raise DataError(f"{path}: unknown kind of table {suffix!r}; use .csv, .tsv or .parquet.")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a table ({str(error).strip()}); repair or re-export it.") from error
    if table.empty:
        raise DataError(f"{path}: the table has no rows; export it again with its specimens.")
    return table
