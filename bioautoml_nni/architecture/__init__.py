"""Architectures: their topology, their file, how they are derived from architecture weights, and how they are drawn."""

from .derive import derive
from .schema import Architecture, CellArchitecture
from .topology import CellTopology, EdgeTopology, Topology, topology_of

__all__ = ["Architecture", "CellArchitecture", "CellTopology", "EdgeTopology", "Topology", "derive", "topology_of"]
