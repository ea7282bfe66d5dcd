"""AutoML for specimen images and their metadata, on Microsoft NNI.

Importing this package imports neither torch nor NNI: NNI's manager waits only ten seconds for a tuner.
"""

from ._version import __version__

__all__ = ["__version__"]
