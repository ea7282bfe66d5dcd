"""Methods and arguments that had another name before: what others wrote with it still works."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any


class RenamedWarning(FutureWarning):
    """A name that has changed was used; it still works."""


def accept_former_name(cls: type, former: str, present: str) -> None:
    """Let a class that defines a method under its former name have it under the present one, and warn."""
    own = vars(cls)
    if former in own and present not in own:
        setattr(cls, present, own[former])
        warnings.warn(f"{cls.__qualname__}.{former} is now called {present}; rename it.", RenamedWarning, stacklevel=3)


def present_arguments(function: str, given: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return arguments that came under former names by their present ones, and warn of each.

    Args:
        function: what was called, for the messages.
        given: the arguments that the function does not know.
        names: present names by former ones.

    Raises:
        TypeError: if an argument never had such a name, as Python raises it.
    """
    for former in given:
        if former not in names:
            raise TypeError(f"{function} got an unexpected keyword argument {former!r}")
        warnings.warn(f"{function}: {former} is now called {names[former]}; rename it.", RenamedWarning, stacklevel=3)
    return {names[former]: value for former, value in given.items()}
