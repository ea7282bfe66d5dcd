"""Comparison of the experiment with baselines and other searches, under one protocol.

The package is also the function ``bioautoml_nni.compare(...)``: whatever imports a module of it puts the package where
the function of that name is looked for.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """A package that can be called as the function of its name."""

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """See `bioautoml_nni.auto.functions.compare`."""
        from importlib import import_module

        return import_module("bioautoml_nni.auto.functions").compare(*arguments, **keywords)


sys.modules[__name__].__class__ = _CallablePackage
