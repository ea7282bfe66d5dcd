"""Search spaces: what can be searched, declared as NNI mutables, and the pretrained encoders that they can stand on.

Import `MultimodalSpace` from here; everything in this package reaches the engine through entry points. NNI and torch
are imported when a space is asked for, not with the package, so that plug-ins can be listed at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .multimodal import MultimodalSpace

__all__ = ["MultimodalSpace"]


def __getattr__(name: str) -> Any:
    if name == "MultimodalSpace":
        from .multimodal import MultimodalSpace

        return MultimodalSpace
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
