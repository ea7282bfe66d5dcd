"""The page that all reports share: its template, style and script, and how numbers are written on it."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pandas as pd
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..utils.progress import duration
from .words import TERMS, counted, listed, percent, plural, thousands


def page_environment(*packages: str) -> Environment:
    """Return the environment of a page; whatever came out of a table is escaped.

    Args:
        packages: those whose own templates extend ``page.html.j2``.
    """
    loaders = [*(PackageLoader(package, ".") for package in packages), PackageLoader(__package__)]
    environment = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(percent=percent, score=score, seconds=duration)
    environment.filters.update(thousands=thousands, counted=counted, plural=plural, listed=listed)
    used: dict[str, str] = {}
    environment.globals.update(term=lambda name, text=None: _term(name, text, used), terms=used, asset=_asset)
    return environment


def score(value: float | None) -> str:
    """Return a score with three digits, – for none."""
    return "–" if value is None or pd.isna(value) else f"{value:.3f}"


def _term(name: str, text: str | None, used: dict[str, str]) -> Markup:
    """Return a word that explains itself when it is chosen; the page's end holds the explanations."""
    used[name] = TERMS[name]
    return Markup('<button type="button" class="term" popovertarget="term-{}">{}</button>').format(
        name.replace(" ", "-"), text or name
    )


def _asset(name: str) -> Markup:
    """Return a style or a script, which stand in the page itself."""
    return Markup((files(__package__) / "templates" / name).read_text(encoding="utf-8"))


def render(template: str, *packages: str, **values: Any) -> str:
    """Return a page."""
    return page_environment(*packages).get_template(template).render(**values)
