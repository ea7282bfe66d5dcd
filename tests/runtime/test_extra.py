"""The extra `runtime` holds all that prediction imports: on a device nothing else is installed."""

import configparser
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMPORTS = "bioautoml_nni.cli.main, bioautoml_nni.cli.deploy, bioautoml_nni.runtime.model, bioautoml_nni.runtime.predict"


def names(block):
    """The distributions of a list of requirements."""
    lines = (line.strip() for line in block.splitlines())
    return {re.split(r"[ <>=\[]", line)[0].lower() for line in lines if line and not line.startswith("#")}


def test_prediction_imports_nothing_that_the_extra_lacks():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    absent = names(config["options"]["install_requires"]) - names(config["options.extras_require"]["runtime"])
    assert {"torch", "nni", "scikit-learn", "matplotlib"} <= absent
    modules = {
        module for module, owners in packages_distributions().items() if {owner.lower() for owner in owners} <= absent
    }
    assert {"torch", "sklearn"} <= modules
    code = f"import sys; sys.modules.update(dict.fromkeys({sorted(modules)!r})); import {IMPORTS}; print('complete')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "complete", done.stderr[-2000:]
