"""Methods that had another name in a contract before: classes of other packages that define it still work."""

from __future__ import annotations

import warnings


class RenamedWarning(FutureWarning):
    """A name that has changed was used; it still works."""


def accept_former_name(cls: type, former: str, present: str) -> None:
    """Let a class that defines a method under its former name have it under the present one, and warn."""
    own = vars(cls)
    if former in own and present not in own:
        setattr(cls, present, own[former])
        warnings.warn(f"{cls.__qualname__}.{former} is now called {present}; rename it.", RenamedWarning, stacklevel=3)
