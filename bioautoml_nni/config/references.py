"""What a reference to a teacher names."""

from __future__ import annotations

from pathlib import Path

from ..registry import plugins


def is_encoder(reference: str) -> bool:
    """Whether it names an encoder: its plug-in stands before the colon, and there is no such folder."""
    return reference.partition(":")[0] in plugins("encoders") and not Path(reference).is_dir()
