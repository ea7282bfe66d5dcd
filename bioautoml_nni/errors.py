"""The old place of `bioautoml_nni.utils.errors`, for plug-ins written for 0.1; it goes with 0.3."""

import warnings

from .utils.errors import *  # noqa: F403

warnings.warn(
    "bioautoml_nni.errors has moved to bioautoml_nni.utils.errors; import it from there.",
    DeprecationWarning,
    stacklevel=2,
)
