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
                package = "bioautoml_nni." if node.level else ""
                names = [f"{package}{node.module or ''}.{alias.name}" for alias in node.names]
            for name in names:
                ours = name.split(".")[0] in ("bioautoml_nni", "search_spaces", "strategies")
                if ours and {"search_spaces", "strategies"} & set(name.split(".")):
                    offenders.append((file.name, name))
    assert offenders == []


def test_importing_the_package_is_light():
    import subprocess
    import sys

    code = "import bioautoml_nni, bioautoml_nni.cli.main, sys; print('torch' in sys.modules, 'nni' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def entries(*given):
    """Stand for the entry points of installed packages, beside our own."""
    from importlib.metadata import EntryPoints, entry_points

    ours = [entry for kind in registry.KINDS for entry in entry_points(group=registry.GROUP_PREFIX + kind)]
    return EntryPoints([*ours, *(registry.EntryPoint(*each) for each in given)])


@pytest.fixture
def broken(monkeypatch, tmp_path):
    """A package with a plug-in that cannot be imported, and one whose name is taken."""
    source = 'import a_package_that_is_not_there\n\n\nclass Thing:\n    """A thing."""\n'
    (tmp_path / "careless_parts.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    group = "bioautoml_nni.operations"
    made = entries(("careless", "careless_parts:Thing", group), ("zero", "other_parts:Zero", group))
    caches = (registry.plugins, registry.usable, registry.named_operations, registry._entry_points)
    for each in caches:
        each.cache_clear()
    monkeypatch.setattr(registry, "entry_points", lambda: made)
    yield
    monkeypatch.undo()
    for each in caches:
        each.cache_clear()


def test_a_broken_plugin_is_listed_with_its_reason_and_everything_else_too(broken, monkeypatch):
    from typer.testing import CliRunner

    from bioautoml_nni.cli.main import app, console

    monkeypatch.setattr(console, "_width", 300)  # the console has its width since it was made
    done = CliRunner().invoke(app, ["ls"])
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert "careless operations plug-in 'careless' (careless_parts:Thing) cannot be imported" in text
    assert "a_package_that_is_not_there" in text and "Two packages declare operations plug-in 'zero'" in text
    assert "sep_conv_3x3" in text and "logit_adjusted" in text


def test_only_what_uses_a_broken_plugin_fails_at_once(broken, caplog):
    from bioautoml_nni.config import parse_experiment
    from bioautoml_nni.utils.errors import ConfigError

    assert "careless" not in registry.usable("operations") and "skip_connect" in registry.usable("operations")
    assert "operations plug-in 'careless' is left out" in caplog.text
    assert registry.named_operations("skip") == {"skip_connect"}
    parse_experiment({"name": "x", "data": {"source": "sample"}})
    with pytest.raises(PluginError, match="'careless'.*cannot be imported"):
        _ = registry.get("operations", "careless").target
    with pytest.raises((ConfigError, PluginError), match="careless"):
        parse_experiment({"name": "x", "data": {"source": "sample"}, "space": {"operations": ["careless", "zero"]}})
