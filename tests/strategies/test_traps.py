"""Traps of NNI 3.0 and of other implementations; each test fails on the trap.

Traps that stand elsewhere: the order of architecture parameters, the weight optimiser and the initial alphas in
test_alternating.py (named, sorted, apart; validation; running statistics; gradients of the inactive group), comparing
raw logits of different edges and a derived zero in tests/architecture/test_derive.py, the second-order gradient in
test_schedules.py, resume in test_resume.py, two processes in test_processes.py, NNI's open port in
tests/nni_jobs/test_manager.py.
"""

import ast
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from nni.nas.evaluator.pytorch import DataLoader
from test_alternating import make_data, make_evaluator, make_space, run
from torch.utils.data import BatchSampler, SequentialSampler

from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.strategies import AlternatingDARTS

ROOT = Path(__file__).parents[2]
PACKAGES = ("bioautoml_nni", "search_spaces", "strategies")
FILES = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]


def calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_nni_s_list_of_parameters_is_not_what_is_trained_and_ours_is(tmp_path):
    """NNI's strategy keeps `_arch_parameters` from before the supernet exists; ours are read from its modules."""
    strategy = AlternatingDARTS(alpha_learning_rate=0.1)
    run(strategy, make_evaluator(), tmp_path=tmp_path)
    live = strategy.oneshot_module.arch_parameters()
    modules = {id(parameter) for parameter in strategy.supernet.parameters()}
    assert live and all(id(parameter) in modules for parameter in live)
    assert any(float(parameter.detach().abs().max()) > 0.05 for parameter in live), "they were trained"


def test_parameter_order_is_the_same_in_processes_with_other_hash_seeds():
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import json\n"
        "from bioautoml_nni.search_spaces import MultimodalSpace\n"
        "from bioautoml_nni.strategies import AlternatingDARTS\n"
        "from bioautoml_nni.nni_engine import named_architecture_parameters\n"
        "space = MultimodalSpace(3, modalities=('image',), channels=4, cells=3)\n"
        "print(json.dumps(list(named_architecture_parameters(AlternatingDARTS().mutate_model(space)))))"
    )
    orders = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        orders.append(json.loads(done.stdout.splitlines()[-1]))
    assert orders[0] == orders[1] == sorted(orders[0]) and len(orders[0]) == 10


class CountingSampler(SequentialSampler):
    """Counts how often it is iterated."""

    starts = 0

    def __iter__(self):
        type(self).starts += 1
        return super().__iter__()


def test_loaders_are_iterated_once_an_epoch_and_not_at_every_step(tmp_path):
    """`next(iter(loader))` at every step would always give the first batch."""
    samplers, loaders = {}, {}
    for name in ("weights", "alpha"):
        data = make_data(48)
        samplers[name] = type(name, (CountingSampler,), {})(data)
        loaders[name] = DataLoader(data, batch_sampler=BatchSampler(samplers[name], 8, drop_last=True))
    run(AlternatingDARTS(), make_evaluator(epochs=2, train=loaders), tmp_path=tmp_path)
    assert {name: type(sampler).starts for name, sampler in samplers.items()} == {"weights": 2, "alpha": 2}


def test_schedulers_step_after_the_optimiser(tmp_path):
    """torch warns where a scheduler is stepped before its optimiser; the first rate would be lost."""

    class Rates(AlternatingDARTS):
        seen: list[float] = []

        def configure_oneshot_module(self, training_module):
            module = super().configure_oneshot_module(training_module)
            original = module.advance_optimization

            def advance(*args, **kwargs):
                self.seen.append(module.weight_optimizer().param_groups[0]["lr"])
                return original(*args, **kwargs)

            module.advance_optimization = advance
            return module

    strategy, evaluator = Rates(), make_evaluator(epochs=2)

    def configure(module=evaluator.module):
        optimizer = torch.optim.SGD(module.parameters(), 0.1)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)]

    evaluator.module.configure_optimizers = configure
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*lr_scheduler.step.*before.*optimizer.step.*")
        run(strategy, evaluator, tmp_path=tmp_path)
    assert strategy.seen == [0.1] * 3 + [0.05] * 3


def test_every_architecture_parameter_gets_a_gradient_on_every_step():
    """Edge weights rebuilt from a list of numbers would detach it."""
    network = AlternatingDARTS().mutate_model(make_space(cells=3))
    network({"image": torch.randn(4, 3, 32, 32)}).square().sum().backward()
    for label, alpha in named_architecture_parameters(network).items():
        open_choice = alpha.numel() > 1
        assert alpha.grad is not None and bool(alpha.grad.any()) == open_choice, label


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_is_evaluated_unpickled_or_put_on_a_device_at_import(file):
    """No eval or exec of strings, no pickle, torch.load with weights_only, no device chosen by importing."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for call in calls(tree):
        name = ast.unparse(call.func)
        assert name not in ("eval", "exec", "pickle.load", "pickle.loads", "yaml.load", "joblib.load"), call.lineno
        if name == "torch.load":
            assert any(word.arg == "weights_only" and ast.unparse(word.value) == "True" for word in call.keywords)
    for statement in tree.body:
        if not isinstance(statement, (ast.FunctionDef, ast.ClassDef, ast.If)):
            for call in calls(statement):
                assert "cuda" not in ast.unparse(call) and "torch.device" not in ast.unparse(call), call.lineno


def test_nni_s_experiment_api_is_touched_in_one_place():
    """NNI is archived upstream; what changes because of it must change in one file, and nnictl's start in its own."""
    touching = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if any(module.startswith(("nni.nas.experiment", "nni.experiment")) for module in modules):
                touching.add(file.relative_to(ROOT).as_posix())
    assert touching == {"bioautoml_nni/nni_engine.py", "bioautoml_nni/nni_jobs/launcher.py"}


def test_every_setting_is_read_somewhere():
    """An option that nothing reads, such as a --resume that resumes nothing, is worse than none."""
    from bioautoml_nni.config.schema import Experiment

    texts = {file: file.read_text(encoding="utf-8") for file in FILES}
    sections = ROOT / "bioautoml_nni/config"
    source = "\n".join(text for file, text in texts.items() if sections not in file.parents)
    schema = "\n".join(text for file, text in texts.items() if sections in file.parents)
    unread = []

    def visit(model, path):
        for name, field in model.model_fields.items():
            inner = field.annotation
            if hasattr(inner, "model_fields"):
                visit(inner, f"{path}{name}.")
            elif f".{name}" not in source and f"self.{name}" not in schema and f'"{name}"' not in source:
                unread.append(path + name)

    visit(Experiment, "")
    assert unread == []
