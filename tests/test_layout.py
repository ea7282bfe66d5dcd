"""Old import paths work for one version, and say where their modules are now."""

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("bioautoml_nni.mixture", "bioautoml_nni.kernels.mixture", ("Mixture", "Term")),
        ("bioautoml_nni.errors", "bioautoml_nni.utils.errors", ("BioAutoMLError", "DataError", "PluginError")),
    ],
)
def test_old_paths_lead_to_the_same_objects_and_name_the_new_one(old, new, names):
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=new):
        found = importlib.import_module(old)
    for name in names:
        assert getattr(found, name) is getattr(importlib.import_module(new), name)
