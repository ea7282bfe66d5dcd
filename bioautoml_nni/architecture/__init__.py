"""Architectures: their topology, their file, how they are derived from shares, and how they are drawn."""

from .derive import derive
from .schema import Architecture, CellArchitecture
from .topology import CellTopology, EdgeTopology, Topology

__all__ = ["Architecture", "CellArchitecture", "CellTopology", "EdgeTopology", "Topology", "derive"]
