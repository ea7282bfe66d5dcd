"""Nothing that others wrote is ever run: no eval, no pickle, no unsafe YAML, no shell, no unpacking without a look."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bioautoml_nni", "search_spaces", "strategies")
FORBIDDEN_MODULES = {"pickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "read_pickle", "extractall", "system", "popen"}
SAFE_ONLY_WITH = {
    "torch.load": ("weights_only", True),
    "torch.jit.load": None,
    "yaml.load": None,
    "yaml.load_all": None,
}


def found(source: str) -> list[str]:
    """Return what a file does that could run or unpack what others wrote."""
    reasons = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        reasons += [name for name in names if name.split(".")[0] in FORBIDDEN_MODULES]
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        last = name.rpartition(".")[2]
        keywords = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
        if last in FORBIDDEN_CALLS and (last not in ("eval", "compile", "system") or name in (last, f"os.{last}")):
            reasons.append(name)
        for call, needed in SAFE_ONLY_WITH.items():
            if name == call and (needed is None or keywords.get(needed[0]) is not needed[1]):
                reasons.append(name)
        if keywords.get("shell") or keywords.get("allow_pickle") or keywords.get("weights_only") is False:
            reasons.append(name)
    return reasons


@pytest.mark.parametrize("package", PACKAGES)
def test_the_sources_run_nothing_of_others(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) > 5
    assert {path.relative_to(ROOT).as_posix(): reasons for path in files if (reasons := found(path.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)", "import pickle",
        "from joblib import load", "torch.load(path)", "torch.load(p, weights_only=False)",
        "yaml.load(text, Loader=Loader)", "np.load(path, allow_pickle=True)", "pd.read_pickle(path)", "os.system(text)",
        "subprocess.run(text, shell=True)", "archive.extractall(folder)", "exec(text)", "torch.jit.load(path)",
    ],
)  # fmt: skip
def test_the_look_finds_each(source):
    assert found(source)


@pytest.mark.parametrize("source", ["network.eval()", "torch.load(path, weights_only=True)", "yaml.safe_load(text)"])
def test_what_is_safe_passes(source):
    assert not found(source)
