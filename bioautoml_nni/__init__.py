"""AutoML for specimen images and their metadata, on Microsoft NNI.

What there is: `SpecimenClassifier` (from a table to the best model for its device), `run`, `check`, `compare` and
`load` (the commands as functions), `experiment` (a configuration as NNI's `NasExperiment`), `list_plugins`, and the
plug-ins `MultimodalSpace` and `AlternatingDARTS` for those who write NNI code themselves.

Importing this package imports neither torch nor NNI: NNI's manager waits only ten seconds for a tuner.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .auto.classifier import SpecimenClassifier
    from .auto.functions import check, compare, list_plugins, load, run
    from .nas_experiment import experiment

    MultimodalSpace: type
    AlternatingDARTS: type

__all__ = [
    "AlternatingDARTS", "MultimodalSpace", "SpecimenClassifier", "__version__", "check", "compare", "experiment",
    "list_plugins", "load", "run",
]  # fmt: skip

_MODULES = {
    "SpecimenClassifier": "auto.classifier",
    "check": "auto.functions",
    "experiment": "nas_experiment",
    "list_plugins": "auto.functions",
    "load": "auto.functions",
    "run": "auto.functions",
}
_PLUGINS = {"AlternatingDARTS": ("strategies", "alternating_darts"), "MultimodalSpace": ("search_spaces", "multimodal")}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for."""
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    if name in _PLUGINS:
        from .registry import get

        return get(*_PLUGINS[name]).target
    if name == "compare":
        return import_module(".compare", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
