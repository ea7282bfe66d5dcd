"""Search spaces: what can be searched, declared as NNI mutables.

Import `MultimodalSpace` from here; everything in this package reaches the engine through entry points.
"""

from .multimodal import MultimodalSpace

__all__ = ["MultimodalSpace"]
