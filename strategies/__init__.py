"""Search strategies: how a space is searched, as NNI one-shot strategies."""

from .alternating import AlternatingDARTS
from .stock import NNIDarts

__all__ = ["AlternatingDARTS", "NNIDarts"]
