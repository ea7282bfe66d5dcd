"""The old place of `bioautoml_nni.kernels.mixture`, for plug-ins written for 0.1; it goes with 0.3."""

import warnings

from .kernels.mixture import *  # noqa: F403

warnings.warn(
    "bioautoml_nni.mixture has moved to bioautoml_nni.kernels.mixture; import it from there.",
    DeprecationWarning,
    stacklevel=2,
)
