"""The one registry of plug-ins, filled from entry points.

A plug-in is a class (or function) that an installed package names in an entry-point group
``bioautoml_nni.<kind>``. The engine finds its own plug-ins in the same way as everybody else's.
"""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from .utils.declared import Declared, NotPlainError
from .utils.errors import PluginError, in_one_line

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)

OWN_PACKAGE = "bioautoml_nni"
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
    "methods": "rows of `bioautoml compare`: baselines and other searches",
    "candidates": "what `bioautoml auto` tries: rows of `bioautoml compare` with what they need and take",
}

FORMER_KINDS: Mapping[str, str] = {"contenders": "methods"}
"""Kinds by the names that they had until 0.2, under which packages may still declare plug-ins."""


@dataclass(frozen=True)
class Plugin:
    """One registered plug-in.

    `target` imports it, which takes seconds where it needs torch or NNI; all else is read from its source, and imports
    it only where the source does not tell (`utils.declared`).
    """

    kind: str
    name: str
    entry_point: EntryPoint
    conflict: str | None = None
    """Why the name stands for nothing: two packages claim it."""

    @property
    def target(self) -> Any:
        """The plug-in's class or function, imported on first use.

        Raises:
            PluginError: see `loaded`.
        """
        vars(self)["used"] = True
        return self.loaded

    @property
    def told(self) -> str:
        """How messages name it."""
        return f"{self.kind} plug-in {self.name!r} ({self.entry_point.value})"

    @property
    def is_own(self) -> bool:
        """Whether it comes with this package."""
        return self.package == OWN_PACKAGE

    @property
    def package(self) -> str:
        """The package that it lies in."""
        return self.entry_point.module.partition(".")[0]

    @property
    def is_used(self) -> bool:
        """Whether somebody has asked for `target`, and not just whether it can be had."""
        return "used" in vars(self)

    @cached_property
    def loaded(self) -> Any:
        """What `target` is, for who only looks at it.

        Raises:
            PluginError: if the entry point cannot be imported or names no class, or another package claims its name.
        """
        if self.conflict is not None:
            raise PluginError(self.conflict)
        try:
            target = self.entry_point.load()
        except (Exception, SystemExit) as error:
            kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
            said = kind + in_one_line(error)
            raise PluginError(
                f"{self.told} cannot be imported: {said}; reinstall or remove the package that declares it."
            ) from error
        fault = _wrong_form(target)
        if fault is not None:
            raise PluginError(f"{self.told} {fault}; correct or remove the package that declares it.")
        return target

    @property
    def problem(self) -> str | None:
        """Why the plug-in cannot be used, or None; one of another package is imported to know."""
        try:
            if self.conflict is None and self.is_own:
                return None
            _ = self.loaded
        except PluginError as error:
            return str(error)
        return None

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
        """Return a class attribute in which the plug-in describes itself, or `default`."""
        return self.read(
            lambda declared: declared.attribute(name, default), lambda target: getattr(target, name, default)
        )

    def read(self, source: Callable[[Declared], Answer], imported: Callable[[Any], Answer]) -> Answer:
        """Ask the plug-in's source and, where that does not tell, the imported plug-in.

        Raises:
            PluginError: if it had to be imported, and cannot be.
        """
        if "loaded" not in vars(self) and self.conflict is None:
            try:
                return source(Declared.find(self.entry_point.module, self.entry_point.attr))
            except (NotPlainError, RecursionError):
                pass
        return imported(self.loaded)


def _wrong_form(target: Any) -> str | None:
    """Return why what an entry point names is not a plug-in, or None."""
    if not (inspect.isclass(target) or inspect.isroutine(target) or isinstance(target, partial)):
        kind = "a module" if inspect.ismodule(target) else f"an object, a {type(target).__name__}"
        return f"is {kind}, and no class; its entry point must read MODULE:CLASS"
    capabilities = getattr(target, "capabilities", ())
    sets = (tuple, list, set, frozenset)
    if not isinstance(capabilities, sets) or not all(isinstance(each, str) for each in capabilities):
        return f"has capabilities {capabilities!r}, which must be a tuple of texts such as ('skip',)"
    return None


@cache
def plugins(kind: str) -> Mapping[str, Plugin]:
    """Return all plug-ins of a kind by name, in alphabetical order; broken ones too, which fail where they are used.

    Raises:
        PluginError: if there is no such kind.
    """
    kind = FORMER_KINDS.get(kind, kind)
    if kind not in KINDS:
        raise PluginError(f"There is no plug-in kind {kind!r}{suggestion(kind, KINDS)}. Kinds: {', '.join(KINDS)}.")
    found: dict[str, Plugin] = {}
    names = [kind, *(former for former, present in FORMER_KINDS.items() if present == kind)]
    entries = [entry for name in names for entry in _entry_points().select(group=GROUP_PREFIX + name)]
    for entry in sorted(entries, key=lambda entry: (entry.name, entry.value)):
        conflict = None
        if entry.name in found and found[entry.name].entry_point.value != entry.value:
            conflict = (
                f"Two packages declare {kind} plug-in {entry.name!r}: {found[entry.name].entry_point.value} and "
                f"{entry.value}; uninstall one of them."
            )
        found[entry.name] = Plugin(kind, entry.name, entry, conflict)
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


def own_plugins(kind: str) -> list[Plugin]:
    """Return the plug-ins of a kind that come with this package, but for those whose names others claim."""
    return [plugin for plugin in plugins(kind).values() if plugin.is_own and plugin.conflict is None]


@cache
def usable(kind: str) -> tuple[str, ...]:
    """Return the names of the plug-ins of a kind that can be used; a broken one is left out with a warning.

    For whoever takes all there are; a name that somebody gives goes to `get`.
    """
    problems = {name: plugin.problem for name, plugin in plugins(kind).items()}
    for name, problem in problems.items():
        if problem:
            logger.warning("%s plug-in %r is left out: %s", kind, name, problem)
    return tuple(name for name, problem in problems.items() if problem is None)


@cache
def named_operations(capability: str) -> frozenset[str]:
    """Return the names of the usable operations with a capability."""
    return frozenset(name for name in usable("operations") if capability in plugins("operations")[name].capabilities)


def operation_groups() -> dict[str, frozenset[str]]:
    """Return the names of skip connections and of zero operations, which a search may collapse to.

    Histories know candidates by name only, so that what is told of a search goes by the registered names. Search and
    derivation ask the candidates and the space themselves (`strategies/candidates.py`, `Topology.zero`).
    """
    return {capability: named_operations(capability) for capability in ("skip", "zero")}


def suggestion(word: str, candidates: Mapping[str, Any] | list[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the candidate nearest to `word`, or an empty string."""
    near = difflib.get_close_matches(word, list(candidates), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""
