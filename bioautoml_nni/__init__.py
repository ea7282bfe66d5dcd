"""AutoML for specimen images and their metadata, on Microsoft NNI.

Importing this package imports neither torch nor NNI: NNI's manager waits only ten seconds for a tuner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .nni_engine import SurroundedExperiment

__all__ = ["__version__", "experiment"]


def experiment(*arguments: Any, **keywords: Any) -> SurroundedExperiment:
    """Return a ready `NasExperiment` of NNI; `bioautoml_nni.nas_experiment.experiment` tells the arguments."""
    from .nas_experiment import experiment as make

    return make(*arguments, **keywords)
