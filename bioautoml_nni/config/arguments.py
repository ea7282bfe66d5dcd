"""Validation of plug-in arguments against the plug-in's own constructor."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, Field, ValidationError, create_model

from ..registry import Plugin, get, suggestion
from ..utils import signatures
from ..utils.errors import PluginError

SUPPLIED: Mapping[str, frozenset[str]] = {
    "sources": frozenset({"root"}),
    "search_spaces": frozenset({"num_classes", "metadata", "modalities"}),
    "strategies": frozenset({"seed"}),
    "losses": frozenset({"class_counts"}),
}
"""Arguments that the engine passes itself."""


def constructor(plugin: Plugin) -> Any:
    """Return the plug-in's own `__init__`."""
    return signatures.constructor(plugin.target)


def constructor_arguments(plugin: Plugin) -> dict[str, inspect.Parameter]:
    """Return the arguments of a plug-in that a configuration may set, by name, with evaluated annotations.

    Raises:
        PluginError: if the plug-in has to be imported for them, and cannot be.
    """
    supplied = SUPPLIED.get(plugin.kind, frozenset())
    parameters = plugin.read(lambda source: source.parameters(supplied), lambda _: _imported_parameters(plugin))
    return {
        name: parameter
        for name, parameter in parameters.items()
        if name not in supplied and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def _imported_parameters(plugin: Plugin) -> dict[str, inspect.Parameter]:
    function = constructor(plugin)
    try:
        parameters = inspect.signature(function).parameters
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, SyntaxError, TypeError, ValueError, AttributeError) as error:
        raise PluginError(
            f"{plugin.told}: the annotations of __init__ cannot "
            f"be read: {error}; name types that its module knows, or leave them out."
        ) from error
    return {
        name: parameter.replace(annotation=hints.get(name, parameter.empty))
        for name, parameter in parameters.items()
        if name != "self"
    }


def check_arguments(kind: str, name: str, arguments: Mapping[str, Any], path: str, name_key: str = "name") -> list[str]:
    """Return one sentence per mistake in the arguments of a plug-in.

    Args:
        path: dotted path of the section, for the messages.
        name_key: key of the section that names the plug-in.
    """
    try:
        plugin = get(kind, name)
        if plugin.problem:
            return [f"{path}.{name_key}: {plugin.problem}"]
        known = constructor_arguments(plugin)
    except PluginError as error:
        return [f"{path}.{name_key}: {error}"]
    nested = plugin.attribute("parts", {})
    problems = [
        f"{path}.{key}: {name!r} has no such argument{suggestion(key, list(known))}. Known: {', '.join(known)}."
        for key in arguments
        if key not in known
    ]
    fields: dict[str, Any] = {  # under names of their own: pydantic has uses for `copy`, `schema` and `_rate`
        f"argument_{number}": (
            Any if parameter.annotation is parameter.empty else parameter.annotation,
            Field(... if parameter.default is parameter.empty else parameter.default, alias=key),
        )
        for number, (key, parameter) in enumerate(known.items())
    }
    for key, part_kind in nested.items():
        given = arguments.get(key)
        for number, part in enumerate(given if isinstance(given, list) else [given] if given is not None else []):
            place = f"{path}.{key}.{number}" if isinstance(given, list) else f"{path}.{key}"
            problems += _check_part(part_kind, part, place)
    config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, arbitrary_types_allowed=True)
    model = create_model("Arguments", __config__=config, **fields)
    try:
        model.model_validate(dict(arguments))
    except ValidationError as error:
        for fault in error.errors():
            location = ".".join(str(part) for part in fault["loc"])
            problems.append(f"{path}.{location}: {fault['msg']} (found {fault['input']!r}).")
    return problems


def as_annotated(kind: str, name: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of a plug-in in which a text that stands for a number or a truth value is one, and a number that
    stands for a text, such as the label 7, is a text; what does not fit stays as it is, for `check_arguments`."""
    result = dict(arguments)
    try:
        plugin = get(kind, name)
        if plugin.problem:
            return result
        hints = {key: parameter.annotation for key, parameter in constructor_arguments(plugin).items()}
    except (PluginError, TypeError):
        return result
    for key, value in arguments.items():
        try:
            config = ConfigDict(coerce_numbers_to_str=True, arbitrary_types_allowed=True)
            hint = hints.get(key, inspect.Parameter.empty)
            known = Any if hint is inspect.Parameter.empty else hint
            model = create_model("Argument", __config__=config, value=(known, ...))
        except TypeError:
            continue
        # Of a source, a single text where a list is wanted is one of the list, as for keys of `data` itself.
        single = kind == "sources" and isinstance(value, (str, int, float)) and not isinstance(value, bool)
        for given in (value, [value]) if single else (value,):
            try:
                result[key] = _settled(given, model(value=given).value)  # type: ignore[attr-defined]
                break
            except (ValidationError, TypeError):
                continue
    for key, part_kind in plugin.attribute("parts", {}).items():
        part = result.get(key)
        if isinstance(part, Mapping) and "name" in part:
            own = {name: value for name, value in part.items() if name != "name"}
            result[key] = {"name": part["name"], **as_annotated(part_kind, part["name"], own)}
    return result


def _settled(raw: Any, fitted: Any) -> Any:
    if isinstance(raw, dict) and isinstance(fitted, dict) and len(raw) == len(fitted):
        return {_settled(*keys): _settled(raw[keys[0]], fitted[keys[1]]) for keys in zip(raw, fitted, strict=True)}
    if isinstance(raw, list) and isinstance(fitted, list):
        return [_settled(one, other) for one, other in zip(raw, fitted, strict=True)]
    if isinstance(raw, str) and isinstance(fitted, (bool, int, float)):
        return fitted
    if isinstance(raw, (int, float)) and not isinstance(raw, bool) and isinstance(fitted, str):
        return fitted
    return raw


def _check_part(kind: str, part: Any, path: str) -> list[str]:
    """Check a plug-in inside a plug-in: a name, or a dictionary with ``name`` and arguments."""
    if isinstance(part, str):
        part = {"name": part}
    if not isinstance(part, Mapping) or not isinstance(part.get("name"), str):
        return [f"{path}: give a name of `bioautoml ls {kind}`, or a mapping with `name` (found {part!r})."]
    return check_arguments(kind, part["name"], {key: value for key, value in part.items() if key != "name"}, path)
