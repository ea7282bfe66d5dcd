"""Whether a strategy updates both groups by the same batches, told from its source."""

import subprocess
import sys
from itertools import product

import pytest

from bioautoml_nni.config.contradictions import has_separate_data
from bioautoml_nni.registry import get, plugins
from bioautoml_nni.strategies import AlternatingDARTS


@pytest.mark.parametrize(
    ("schedule", "alpha_data"), list(product(plugins("schedules"), ["disjoint", "shared", "validation"]))
)
def test_what_the_source_says_is_what_the_strategy_does(schedule, alpha_data):
    strategy = get("strategies", "alternating_darts")
    arguments = {"schedule": {"name": schedule}, "alpha_data": alpha_data}
    assert has_separate_data(strategy, arguments) == (AlternatingDARTS(**arguments).training_data == "separate")


def test_what_is_left_out_has_its_default_and_other_strategies_say_it_plainly():
    found = {name: has_separate_data(get("strategies", name), {}) for name in plugins("strategies")}
    assert found == {"alternating_darts": True, "nni_darts": True, "random_paths": False}


def test_an_experiment_with_a_teacher_in_one_kind_of_steps_is_read_without_torch():
    code = (
        "import sys\n"
        "from bioautoml_nni.config import parse_experiment\n"
        "from bioautoml_nni.utils.errors import ConfigError\n"
        "raw = {'name': 'x', 'data': {'source': 'csv', 'root': '.'}, 'strategy': {'name': 'alternating_darts', "
        "'schedule': 'single_level'}, 'search': {'distillation': {'teacher': 'a', 'steps': 'weights'}}}\n"
        "try:\n"
        "    parse_experiment(raw)\n"
        "except ConfigError as error:\n"
        "    print('same batches' in str(error), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"], done.stderr
