"""An experiment.yml from a guess at the data: every guess with its reason beside it."""

from __future__ import annotations

import json
import re
from typing import Any

from ..config.template import experiment_template
from ..data.manifest import FEATURE_ROLES
from ..utils.remote import RemotePath
from ..utils.yaml_files import entry
from ._guessed import Guess

ROLES_TOLD = ", ".join([*FEATURE_ROLES, "group", "ignored"])


def guessed_experiment(found: Guess, name: str) -> str:
    """Return the text of an experiment.yml in the folder of the data.

    Args:
        name: of the experiment, from that of the data; letters that a name cannot have are replaced.
    """
    text = experiment_template(rows=found.rows)
    safe = re.sub(r"[^\w.-]+", "-", name).strip("-") or "my-experiment"
    text = text.replace("name: my-experiment", f"name: {json.dumps(safe, ensure_ascii=False)}", 1)
    head, _, rest = text.partition("\ndata:\n")
    _, space, rest = rest.partition("\nspace:\n")
    return f"{head}\ndata:\n{_data(found)}{space}{rest}"


def _data(found: Guess) -> str:
    values = {key: value for key, value in found.values.items() if key != "columns"}
    lines = [
        "  # Guessed from names and values; `bioautoml check` says what it thinks of them.",
        _line("source", found.source, ""),
        _line("root", str(found.root), "")
        if isinstance(found.root, RemotePath)
        else "  root: .                      # relative paths start at this file's folder",
    ]
    for key, value in values.items():
        others = found.unsure.get(key, [])
        doubt = f"; or {', '.join(map(repr, others[:5]))}" if others else ""
        lines.append(_line(key, value, found.reasons.get(key, "") + doubt))
    if found.source == "csv" and "label" not in values:
        lines.append("  # label:                     # no column could be told for one: name it")
    lines.append("  image_size: 64               # pixels of the square that the network sees")
    if "columns" in found.values:
        lines.append(f"  columns:                     # roles: {ROLES_TOLD}")
        for name, role in found.values["columns"].items():
            lines.append(_line(name, role, found.reasons.get(f"columns.{name}", ""), "    "))
    if "split" not in values:
        lines.append("  split: {method: stratified}  # no column could be told for an event: group, if there is one")
    return "\n".join(lines) + "\n"


def _line(key: str, value: Any, reason: str, indent: str = "  ") -> str:
    text = entry(key, value, indent)
    return f"{text:<{28 + len(indent)}} # {' '.join(reason.split())}" if reason else text
