"""compare.json: the table of a comparison; in a run that shows it, evaluation/comparison.json."""

from __future__ import annotations

from ._base import Artifact


class Comparison(Artifact):
    """The file.

    Attributes:
        data_sha256: of the data that all rows were scored on.
        lines: texts in the order of `headings`, the best row first.
        rows: what each row is, by its name.
    """

    data_sha256: str
    caption: str
    headings: list[str]
    lines: list[list[str]]
    rows: dict[str, str]
