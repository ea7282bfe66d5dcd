import ast
from pathlib import Path

import pytest

from bioautoml_nni import registry
from bioautoml_nni.utils.errors import PluginError

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_plugin_imports_and_describes_itself(kind):
    found = registry.plugins(kind)
    assert found
    for name, plugin in found.items():
        assert plugin.name == name
        assert callable(plugin.target)
        assert len(plugin.description) > 10


def test_the_ten_operations_are_registered():
    assert len(registry.plugins("operations")) == 10


def test_unknown_names_get_a_suggestion():
    with pytest.raises(PluginError, match="did you mean 'skip_connect'"):
        registry.get("operations", "skip_conect")
    with pytest.raises(PluginError, match="no plug-in kind 'operation'.*did you mean 'operations'"):
        registry.plugins("operation")


def test_a_plugin_that_cannot_be_imported_is_named(monkeypatch):
    entry = registry.EntryPoint("broken", "no_such_module:Thing", "bioautoml_nni.losses")
    with pytest.raises(PluginError, match="no_such_module:Thing"):
        _ = registry.Plugin("losses", "broken", entry).target


def test_the_engine_never_imports_a_plugin_package_by_name():
    offenders = []
    for file in (ROOT / "bioautoml_nni").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module or ''}.{alias.name}" for alias in node.names]
            for name in names:
                if {"search_spaces", "strategies"} & set(name.split(".")):
                    offenders.append((file.name, name))
    assert offenders == []


def test_importing_the_package_is_light():
    import subprocess
    import sys

    code = "import bioautoml_nni, bioautoml_nni.cli.main, sys; print('torch' in sys.modules, 'nni' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
