"""The constructor of a plug-in, as its author wrote it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any


def constructor(target: Any) -> Any:
    """Return the `__init__` of a class; NNI hides that of a model space behind a wrapper without a signature.

    A space that inherits its constructor has the wrapper of its base in both places, so that one is passed over.
    """
    if not isinstance(target, type):
        return target.__init__
    for number, owner in enumerate(target.__mro__):
        written = owner.__dict__.get("_init_wrapped") or owner.__dict__.get("__init__")
        wrappers = [base.__dict__.get("__init__") for base in target.__mro__[number + 1 :]]
        if written is not None and not any(written is wrapper for wrapper in wrappers):
            return written
    raise AssertionError("unreachable: object has a constructor")


def constructor_values(target: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments of a constructor by name: the given ones, and the defaults of the others.

    Raises:
        TypeError: for arguments that it does not take, or lacks.
    """
    signature = inspect.signature(constructor(target))
    bound = signature.bind(None, **arguments)
    bound.apply_defaults()
    values = dict(list(bound.arguments.items())[1:])  # without self
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            values |= values.pop(parameter.name)
    return values
