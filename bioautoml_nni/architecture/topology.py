"""What a search space leaves open, independent of NNI and of torch."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..utils.errors import PluginError
from ..utils.signatures import constructor_values

OfLabel = TypeVar("OfLabel")

EDGE = "_edge_"
"""What stands between kind and ends of an edge in its label, and in the label of no other choice.

Whoever has a topology asks it for its edges. Labels are read where there is none: in histories, which keep weights by
label alone, and in a supernet of somebody else's space.
"""


def edge_label(kind: str, source: int, target: int) -> str:
    """Return the label of an edge.

    >>> edge_label("normal", 0, 2)
    'normal_edge_0_2'
    """
    return f"{kind}{EDGE}{source}_{target}"


def cell_kind(label: str) -> str | None:
    """Return the kind of cell that an edge belongs to by its label; None for the label of another choice.

    >>> cell_kind("normal_edge_0_2"), cell_kind("fusion")
    ('normal', None)
    """
    kind, found, _ = str(label).partition(EDGE)
    return kind if found else None


def only_edges(by_label: Mapping[str, OfLabel]) -> dict[str, OfLabel]:
    """Return the entries of edges.

    >>> only_edges({"normal_edge_0_1": 0.5, "fusion": 0.25})
    {'normal_edge_0_1': 0.5}
    """
    return {label: own for label, own in by_label.items() if cell_kind(label) is not None}


@dataclass(frozen=True)
class EdgeTopology:
    """A searchable edge from state `source` to node `target`; state 0 is the cell's input."""

    source: int
    target: int
    label: str


@dataclass(frozen=True)
class CellTopology:
    """One kind of cell.

    Attributes:
        edges: every candidate edge, by target and then source.
        node_labels: label of the input choice at each node 1..nodes.
        inputs_per_node: most inputs that a derived node keeps.

    Raises:
        ValueError: if an edge leads to a node without a label.
    """

    edges: tuple[EdgeTopology, ...]
    node_labels: Mapping[int, str]
    inputs_per_node: int

    def __post_init__(self) -> None:
        unnamed = sorted({edge.target for edge in self.edges} - set(self.node_labels))
        if unnamed:
            raise ValueError(
                f"node_labels do not name node {unnamed[0]}, to which edges lead; where nodes choose no inputs, "
                "declare every edge among Topology.choices"
            )

    @property
    def nodes(self) -> int:
        """Number of intermediate nodes."""
        return len(self.node_labels)

    def kept_inputs(self, node: int) -> int:
        """How many inputs of `node` a derived cell keeps at most."""
        return min(self.inputs_per_node, node)

    def incoming(self, node: int) -> list[EdgeTopology]:
        """Candidate edges into `node`, by source."""
        return [edge for edge in self.edges if edge.target == node]


@dataclass(frozen=True)
class Topology:
    """All open choices of a space.

    Attributes:
        cells: by kind of cell.
        operations: names of the candidates on every edge, in their order.
        zero: the candidate that means "no connection", if there is one.
        choices: further labels (the fusion) with their candidates, as texts: architectures and files know no others.
            They may be given as NNI has them, such as the numbers of a `LayerChoice` made of a list.
        values: those candidates as they were given, by label and text.
    """

    cells: Mapping[str, CellTopology]
    operations: tuple[str, ...]
    zero: str | None
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, Any]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        values = {label: {str(each): each for each in candidates} for label, candidates in self.choices.items()}
        for label, candidates in self.choices.items():
            if len(values[label]) < len(candidates):
                raise ValueError(
                    f"choice {label!r} has several candidates of one name: {', '.join(map(str, candidates))}"
                )
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "choices", {label: tuple(known) for label, known in values.items()})

    @property
    def empty(self) -> bool:
        """Whether nothing is open, so that there is nothing to search."""
        return not self.cells and all(len(names) < 2 for names in self.choices.values())


def topology_of(space: Any, arguments: Mapping[str, Any]) -> Topology:
    """Return what a search space leaves open with these constructor arguments; nothing of it is built.

    The space's class method `topology` gets those constructor arguments that its signature names, defaults filled in.
    That of a space written for 0.1 is a method of instances: such a space is built for it, until 0.3.

    Args:
        space: the plug-in's class.
        arguments: of its constructor, by name.

    Raises:
        TypeError: for arguments that the constructor does not take, or lacks.
        PluginError: if the space returns something else.
    """
    found = _asked(space, arguments)
    if not isinstance(found, Topology):
        raise PluginError(
            f"{space.__name__}: topology() must return a Topology, not a {type(found).__name__}; correct it, or name "
            "another space."
        )
    return found


def _asked(space: Any, arguments: Mapping[str, Any]) -> Any:
    method: Callable[..., Topology] = space.topology
    if not isinstance(inspect.getattr_static(space, "topology"), classmethod | staticmethod):
        warnings.warn(
            f"{space.__name__}: topology() is a method of instances, for which the whole space is built; make it a "
            "class method of those constructor arguments that decide it (CONTRIBUTING.md shows one).",
            DeprecationWarning,
            stacklevel=2,
        )
        return space(**arguments).topology()
    values = constructor_values(space, arguments)
    named = inspect.signature(method).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in named):
        return method(**values)
    return method(**{parameter.name: values[parameter.name] for parameter in named if parameter.name in values})
