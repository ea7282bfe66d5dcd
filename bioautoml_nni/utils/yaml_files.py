"""YAML as it was meant: no key twice, and only what can be nothing else is a number or a truth value.

PyYAML reads YAML 1.1, in which `no` is false, 007 is 7, 1:30 is 90 and 2016-06-01 a date. Here they are texts; a key
that wants a number or a truth value takes them all the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Self

import yaml

WHOLE, EXPONENT = "(?:0|[1-9][0-9]*)", "(?:[eE][-+]?[0-9]+)"
RESOLVED = (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", rf"^(?:[-+]?(?:{WHOLE}?\.[0-9]+|{WHOLE}\.){EXPONENT}?|[-+]?[0-9]+[eE][-+][0-9]+)$", "-+.0123456789"),
    ("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", "-+."),
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN\0"),
    ("merge", r"^(?:<<)$", "<"),
)  # fmt: skip


class _Written:
    """A number that knows how it was written: where a text is wanted, 1.50 is not 1.5."""

    text: str

    def __new__(cls, value: float, text: str = "") -> Self:
        made: Self = super().__new__(cls, value)  # type: ignore[call-arg]  # of the number
        made.text = text
        return made

    def __str__(self) -> str:
        return self.text


class WrittenFloat(_Written, float):
    """A broken number as it was written."""


class WrittenInt(_Written, int):
    """A whole number as it was written, such as +5."""


def without_spelling(value: Any) -> Any:
    """Return a value of `load_yaml` with plain numbers."""
    if isinstance(value, dict):
        return {without_spelling(key): without_spelling(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [without_spelling(entry) for entry in value]
    return float(value) if isinstance(value, WrittenFloat) else int(value) if isinstance(value, WrittenInt) else value


class RepeatedKeys(yaml.YAMLError):
    """Keys that stand twice in one section, each with its lines."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.repeated: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        first: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in first and key.tag != "tag:yaml.org,2002:merge":
                self.repeated.append(
                    f"key {key.value!r} stands twice in one section (lines {first[key.value]} and {line})"
                )
            first.setdefault(key.value, line)
        return super().construct_mapping(node, deep)


def _whole(loader: _Loader, node: yaml.ScalarNode) -> int:
    value = int(loader.construct_scalar(node))
    return value if str(value) == node.value else WrittenInt(value, node.value)


def _broken(loader: _Loader, node: yaml.ScalarNode) -> float:
    value = float(loader.construct_yaml_float(node))
    return value if repr(value) == node.value else WrittenFloat(value, node.value)


_Loader.add_constructor("tag:yaml.org,2002:int", _whole)
_Loader.add_constructor("tag:yaml.org,2002:float", _broken)
for _tag, _pattern, _first in RESOLVED:
    _letters = ["" if letter == "\0" else letter for letter in _first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _letters)


def load_yaml(text: str) -> Any:
    """Return what a YAML text holds; only plain values, never objects.

    Raises:
        yaml.YAMLError: if it is none.
        RepeatedKeys: if a key stands twice in one section, with all of them.
    """
    loader = _Loader(text)
    try:
        content = loader.get_single_data()
    finally:
        loader.dispose()
    if loader.repeated:
        raise RepeatedKeys("; ".join(loader.repeated))
    return content


def flow(value: Any) -> str:
    """Return a value as YAML on one line, which `load_yaml` and any other reader take for the same value."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(key)}: {flow(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in WORDS_OF_YAML:
        return value
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(sign if sign.isprintable() else f"\\U{ord(sign):08X}" for sign in escaped) + '"'
    if isinstance(value, float):
        mantissa, e, exponent = repr(value).partition("e")
        point = "" if "." in mantissa or not e else ".0"
        return mantissa.replace("inf", ".inf").replace("nan", ".nan") + point + e + exponent
    return json.dumps(value)


def _key(value: Any) -> str:
    """Return a key of a mapping as YAML; a long one needs a sign that it is a key."""
    text = flow(value)
    return text if len(text) <= LONGEST_KEY else f"? {text}"


def entry(key: str, value: Any, indent: str = "") -> str:
    """Return a key and its value as YAML: on one line, or on two if the key is long."""
    name = _key(key)
    end = f"\n{indent}" if name.startswith("? ") else ""
    return f"{indent}{name}{end}: {flow(value)}"


LONGEST_KEY = 1000
"""Letters of a key on one line with its value; readers of YAML take 1,024."""
PLAIN = re.compile(r"[^\W\d_]\w*(?:[ .-]\w+)*")
"""Texts that need no quotes."""
WORDS_OF_YAML = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))
"""Words that some reader of YAML takes for something else than a text, or that look so."""
