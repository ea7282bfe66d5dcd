"""From a label as it is written to the name of its class, by rules that a model takes along."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .label_names import WAYS, key_of, shown_name


@dataclass(frozen=True)
class Naming:
    """How labels become names of classes.

    Attributes:
        ways: in what spellings may differ and are one; see `label_names`.
        synonyms: accepted name by the key of another.
        names: name of a class by its key, of all labels that the data hold.
        written: number of specimens by label, as the data have it; no part of what a model takes along.
    """

    ways: tuple[str, ...] = ()
    synonyms: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    written: Mapping[str, int] = field(default_factory=dict)

    def accepted(self, label: str) -> str:
        """Return the accepted name of a label, in its own spelling."""
        return self.synonyms.get(key_of(label, self.ways), label)

    def name(self, label: str) -> str:
        """Return the name of a label's class; of a label that the data do not hold, its accepted name."""
        accepted = self.accepted(label)
        return self.names.get(key_of(accepted, self.ways), shown_name(accepted, self.ways))

    def joining(self, joined: Collection[str], name: str) -> Naming:
        """Return rules that make the classes `joined` one of another name."""
        names = {key: name if known in joined else known for key, known in self.names.items()}
        return replace(self, names=names)

    def state(self) -> dict[str, Any]:
        """Return what `restore_naming` needs, ready for JSON."""
        return {"merge": list(self.ways), "synonyms": dict(self.synonyms), "names": dict(self.names)}


def restore_naming(state: Any) -> Naming:
    """Rebuild rules from `Naming.state`; runs and exports made before there were any have none.

    Raises:
        ValueError: for a state that no rules have.
    """
    if state is None:
        return Naming()
    if not isinstance(state, Mapping) or not isinstance(state.get("merge"), list):
        raise ValueError(f"rules of labels: {state!r:.60}")
    if not set(map(str, state["merge"])) <= set(WAYS):
        raise ValueError(f"rules of labels: {state['merge']!r:.60}")
    return Naming(tuple(state["merge"]), _names(state.get("synonyms")), _names(state.get("names")))


def _names(part: Any) -> dict[str, str]:
    if not isinstance(part, Mapping) or not all(isinstance(text, str) for text in part.values()):
        raise ValueError(f"rules of labels: {part!r:.60}")
    return dict(part)
