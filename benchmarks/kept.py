"""Where benchmarks keep what they measured: out/NAME.json beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def keep(name: str, result: Any) -> None:
    """Write a benchmark's result."""
    target = Path(__file__).parent / "out" / f"{name}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
