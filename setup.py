"""Which packages there are, as they lie in folders; all else stands in setup.cfg.

`search_spaces/` and `strategies/` lie at the top, where their users look for them, and install below `bioautoml_nni`.
setup.cfg can either list packages or find them where they lie, so that they would have to be listed there one by one.
"""

from setuptools import find_packages, setup

BESIDE = find_packages(include=["search_spaces*", "strategies*"])

setup(packages=[*find_packages(include=["bioautoml_nni*"]), *(f"bioautoml_nni.{name}" for name in BESIDE)])
