"""Numbers that make sense, as annotations of plug-ins' constructors; the configuration refuses others by their key."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1)]
"""How many of something there are: 1 at least."""
WholeNumber = Annotated[int, Field(ge=0)]
"""How many, and perhaps none."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A rate, a temperature, a length."""
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A weight or a limit that 0 switches off."""
Rate = Annotated[float, Field(ge=0, lt=1)]
"""A share of values that are dropped: not all of them."""
Share = Annotated[float, Field(ge=0, le=1)]
"""From nothing to everything."""
