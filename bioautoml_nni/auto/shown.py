"""Files that notebooks show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Page:
    """A page on disk that notebooks show."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        from html import escape

        text = escape(self.path.read_text(encoding="utf-8"))
        return f'<iframe srcdoc="{text}" style="width: 100%; height: 40rem; border: 0"></iframe>'


@dataclass(frozen=True)
class Drawing:
    """A drawing that notebooks show.

    Attributes:
        svg: its source.
    """

    svg: str

    def _repr_html_(self) -> str:
        return self.svg
