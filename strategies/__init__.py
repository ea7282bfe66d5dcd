"""Search strategies: how a space is searched, as NNI one-shot strategies."""

from .alternating import AlternatingDARTS
from .nni_darts import NNIDarts

__all__ = ["AlternatingDARTS", "NNIDarts"]
