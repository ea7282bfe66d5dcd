"""What a command says of an error that plug-ins of other packages have part in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..plugin_faults import plugin_fault, suite_of, used_plugins
from ..utils.errors import BioAutoMLError, DivergenceError, in_one_line

if TYPE_CHECKING:
    from ..registry import Plugin

WITHOUT_ARGUMENTS = frozenset({"operations", "fusions", "losses", "schedules", "relaxations", "regularisers"})
"""Kinds whose suites take seconds and mostly need no arguments."""


def plugin_cause(error: Exception) -> str | None:
    """Return a sentence if an error came through a plug-in of another package, or may come of what one returned.

    An error that ours raise on what a plug-in returned names no plug-in; the suites of those in use then tell which
    does not do what it must. Without any in use it is not theirs.
    """
    fault = plugin_fault(error)
    if fault is not None:
        return str(fault)
    used = used_plugins()
    if not used:
        return None
    said = f"{type(error).__name__}: {in_one_line(error)}"
    found = _complaints(used)
    if found:
        return f"{said}. What the suites of plug-ins in use say: {' '.join(found)} Correct them, or leave them out."
    names = ", ".join(plugin.told for plugin in used)
    return (
        f"{said}. Plug-ins of other packages are in use: {names}; try without them, or with their suites, as "
        f"{suite_of(used[0])}. --debug shows the traceback."
    )


def with_suites(error: BioAutoMLError) -> str:
    """Return what one of our errors says; where numbers ran away, what the suites of others' plug-ins say too."""
    found = _complaints(used_plugins()) if isinstance(error.__cause__, DivergenceError) else []
    said = (
        [f"What the suites of plug-ins in use say: {' '.join(found)} Correct them, or leave them out."] if found else []
    )
    return " ".join([str(error), *said])


def _complaints(used: Sequence[Plugin]) -> list[str]:
    """Return what the suites of plug-ins say."""
    from ..testing import check

    found = []
    for plugin in used:
        if plugin.kind not in WITHOUT_ARGUMENTS:
            continue
        try:
            check(plugin.kind, plugin.name)
        except AssertionError as error:
            found.append(f"{plugin.told}: {error}.")
    return found
