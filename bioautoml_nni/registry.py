"""The one registry of plug-ins, filled from entry points.

A plug-in is a class (or function) that an installed package names in an entry-point group
``bioautoml_nni.<kind>``. The engine finds its own plug-ins in the same way as everybody else's.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from .utils.declared import Declared, NotPlainError
from .utils.errors import PluginError

Answer = TypeVar("Answer")

GROUP_PREFIX = "bioautoml_nni."

KINDS: Mapping[str, str] = {
    "search_spaces": "what can be searched: model spaces made of NNI mutables",
    "operations": "candidate operations on the edges of a cell",
    "fusions": "how image and metadata embeddings are joined",
    "strategies": "how a space is searched: NNI one-shot strategies",
    "schedules": "parts of a strategy: which batch updates which group of parameters",
    "relaxations": "parts of a strategy: from architecture parameters to mixing weights",
    "regularisers": "parts of a strategy: what is added to the loss of architecture steps",
    "sources": "data formats that become a manifest",
    "losses": "training losses",
    "encoders": "pretrained image networks: frozen features, trunks of a search, networks to fine-tune, teachers",
    "contenders": "rows of `bioautoml compare`: baselines and other searches",
}


@dataclass(frozen=True)
class Plugin:
    """One registered plug-in.

    `target` imports it, which takes seconds where it needs torch or NNI; all else is read from its source, and imports
    it only where the source does not tell (`utils.declared`).
    """

    kind: str
    name: str
    entry_point: EntryPoint

    @cached_property
    def target(self) -> Any:
        """The plug-in's class or function, imported on first use.

        Raises:
            PluginError: if the entry point cannot be imported.
        """
        try:
            return self.entry_point.load()
        except Exception as error:
            raise PluginError(
                f"{self.kind} plug-in {self.name!r} ({self.entry_point.value}) cannot be imported: {error}; "
                "reinstall or remove the package that declares it."
            ) from error

    @property
    def description(self) -> str:
        """First line of the plug-in's docstring."""
        text = self.read(Declared.docstring, lambda target: inspect.getdoc(target) or "")
        return text.split("\n", 1)[0]

    @property
    def capabilities(self) -> tuple[str, ...]:
        """Flags that the plug-in declares in its `capabilities` attribute, sorted."""
        return tuple(sorted(self.attribute("capabilities", ())))

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return a class attribute by which the plug-in says something of itself, or `default`."""
        return self.read(
            lambda declared: declared.attribute(name, default), lambda target: getattr(target, name, default)
        )

    def read(self, source: Callable[[Declared], Answer], imported: Callable[[Any], Answer]) -> Answer:
        """Ask the plug-in's source and, where that does not tell, the imported plug-in.

        Raises:
            PluginError: if it had to be imported, and cannot be.
        """
        if "target" not in vars(self):
            try:
                return source(Declared.find(self.entry_point.module, self.entry_point.attr))
            except (NotPlainError, RecursionError):
                pass
        return imported(self.target)


@cache
def plugins(kind: str) -> Mapping[str, Plugin]:
    """Return all plug-ins of a kind by name, in alphabetical order.

    Raises:
        PluginError: if there is no such kind, or if two packages claim one name.
    """
    if kind not in KINDS:
        raise PluginError(f"There is no plug-in kind {kind!r}{suggestion(kind, KINDS)}. Kinds: {', '.join(KINDS)}.")
    found: dict[str, Plugin] = {}
    for entry in sorted(_entry_points().select(group=GROUP_PREFIX + kind), key=lambda entry: (entry.name, entry.value)):
        if entry.name in found and found[entry.name].entry_point.value != entry.value:
            raise PluginError(
                f"Two packages declare {kind} plug-in {entry.name!r}: {found[entry.name].entry_point.value} and "
                f"{entry.value}; uninstall one of them."
            )
        found[entry.name] = Plugin(kind, entry.name, entry)
    return found


@cache
def _entry_points() -> Any:
    """Read all entry points once; every reading opens a file of each installed package."""
    return entry_points()


def get(kind: str, name: str) -> Plugin:
    """Return one plug-in.

    Raises:
        PluginError: if it is unknown; the message suggests the nearest name.
    """
    known = plugins(kind)
    if name not in known:
        raise PluginError(
            f"There is no {kind} plug-in {name!r}{suggestion(name, known)}. Known: {', '.join(known) or 'none'}."
        )
    return known[name]


@cache
def named_operations(capability: str) -> frozenset[str]:
    """Return the names of the registered operations with a capability."""
    return frozenset(name for name, plugin in plugins("operations").items() if capability in plugin.capabilities)


def operation_groups() -> dict[str, frozenset[str]]:
    """Return the names of skip connections and of zero operations, which a search may collapse to."""
    return {capability: named_operations(capability) for capability in ("skip", "zero")}


def suggestion(word: str, candidates: Mapping[str, Any] | list[str]) -> str:
    """Return ``; did you mean 'x'?`` for the candidate nearest to `word`, or an empty string."""
    near = difflib.get_close_matches(word, list(candidates), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
