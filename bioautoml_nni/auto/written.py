"""experiment.yml as `bioautoml auto` leaves it: every value, and beside those that were guessed the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


def experiment_text(values: Mapping[str, Any], reasons: Mapping[str, str], command: str) -> str:
    """Return a commented experiment file.

    Args:
        values: sections of the experiment.
        reasons: by dotted key.
        command: that made it.
    """
    lines = [
        "# What `bioautoml auto` was asked, and what it guessed; comments say why.",
        f"# Made by: {command}",
        "# One experiment as configured here: bioautoml run experiment.yml",
    ]
    path: list[str] = []
    for line in yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=1000).splitlines():
        indent = len(line) - len(line.lstrip())
        key, colon, _ = line.strip().partition(":")
        if colon and not line.lstrip().startswith("- "):
            path = [*path[: indent // 2], key]
            reason = reasons.get(".".join(path))
            if reason:
                lines.append(f"{' ' * indent}# {' '.join(reason.split())}")
            if indent == 0 and line.endswith(":"):
                lines.append("")
        lines.append(line)
    return "\n".join(lines) + "\n"
