"""Lines written into somebody's experiment.yml: their comments, their order and all else stay."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..utils.atomic import write_text
from ..utils.encodings import read_text
from ..utils.errors import ConfigError
from ..utils.yaml_files import load_yaml


def amend(path: Path, changes: Sequence[tuple[str, Any]]) -> Path:
    """Set dotted keys of an experiment file, and return where the file as it was is kept.

    Args:
        path: it is replaced at once, or stays as it is.
        changes: key and value; a mapping is added to one that stands there, a list to a list.

    Raises:
        ConfigError: if the file cannot be changed without changing what else it says.
    """
    from ruamel.yaml.error import YAMLError

    before = read_text(path)
    wanted = load_yaml(before)
    for key, value in changes:
        _set(wanted, key.split("."), value)
    try:
        after = _amended(before, changes)
        same = load_yaml(after) == wanted
    except (YAMLError, yaml.YAMLError, ValueError):
        same = False
    if not same:
        raise ConfigError(["its lines cannot be changed without changing others; write them yourself"], str(path))
    backup = _free_name(path)
    shutil.copy2(path, backup)
    write_text(path.resolve(), after)
    return backup


def _amended(text: str, changes: Sequence[tuple[str, Any]]) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.util import load_yaml_guess_indent

    _, indent, block = load_yaml_guess_indent(text)
    editor = YAML()
    editor.width = 1 << 20
    editor.preserve_quotes = True
    editor.indent(mapping=2, sequence=indent or 2, offset=block or 0)
    content = editor.load(text)

    def in_one_line() -> CommentedMap:
        made = CommentedMap()
        made.fa.set_flow_style()
        return made

    for key, value in changes:
        _set(content, key.split("."), value, in_one_line)
    written = io.StringIO()
    editor.dump(content, written)
    return written.getvalue().replace("\n", "\r\n") if "\r\n" in text else written.getvalue()


def _set(section: Any, keys: Sequence[str], value: Any, make: Any = dict) -> None:
    """Set a value in nested mappings; sections that are not there are made."""
    *parents, last = keys
    for name in parents:
        if not isinstance(section.get(name), Mapping):
            section[name] = make()
        section = section[name]
    if isinstance(value, Mapping):
        if not isinstance(section.get(last), Mapping) or not section[last]:
            section[last] = make()
        for name, entry in value.items():
            _set(section[last], [name], entry, make)
    elif isinstance(value, (list, tuple)) and isinstance(section.get(last), list):
        section[last] += [entry for entry in value if entry not in section[last]]
    elif isinstance(value, (list, tuple)):
        section[last] = _one_line_list(value) if make is not dict else list(value)
    else:
        section[last] = value


def _one_line_list(values: Sequence[Any]) -> Any:
    from ruamel.yaml.comments import CommentedSeq

    made = CommentedSeq(values)
    made.fa.set_flow_style()
    return made


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.before{number or ''}") for number in range(10_000))
    return next(name for name in names if not name.exists())
