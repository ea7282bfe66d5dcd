"""The one module that touches NNI's experiment API.

NNI is archived upstream; whatever has to change because of it changes here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, chdir, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import nni
from nni.nas.evaluator import FunctionalEvaluator
from nni.nas.evaluator.pytorch import Lightning
from nni.nas.experiment import NasExperiment
from nni.nas.experiment import experiment as nas_experiment
from nni.nas.experiment.config import NasExperimentConfig
from nni.runtime.log import silence_stdout, start_stdout_logging
from nni.tools.nnictl.config_utils import Experiments
from torch import Tensor, nn

from .utils.errors import PluginError
from .utils.interruption import interruptible
from .utils.nni_locks import remove_left_over_locks
from .utils.quiet import quiet


def run_one_shot(
    space: Any, evaluator: Lightning, strategy: Any, working_directory: Path, resume_from: Path | None
) -> tuple[Mapping[str, Mapping[Any, float]], Mapping[str, Tensor]]:
    """Search in this process with NNI's sequential engine.

    Args:
        space: an NNI model space; it becomes the supernet in place.
        evaluator: a Lightning evaluator.
        strategy: an NNI one-shot strategy.
        working_directory: where NNI keeps its own files.
        resume_from: a Lightning checkpoint of an interrupted search; it is passed on explicitly because after a
            hard kill NNI's own record of the newest checkpoint is out of date.

    Returns:
        The final architecture weights of all choices by label, and the supernet's state by name.
    """
    experiment = one_shot_experiment(space, evaluator, strategy, working_directory, resume_from)
    try:
        with _silent(), interruptible(lambda: evaluator.trainer.interrupted):
            experiment.run()
        return _exported(strategy.oneshot_module), strategy.supernet.state_dict()
    finally:
        experiment.stop()


def _exported(module: Any) -> Mapping[str, Mapping[Any, float]]:
    """Return the architecture weights of a strategy's Lightning module.

    Raises:
        PluginError: if the strategy's are not weights by label and candidate.
    """
    weights = module.export_probs()
    if not isinstance(weights, Mapping) or not all(isinstance(own, Mapping) for own in weights.values()):
        raise PluginError(
            f"the strategy's {type(module).__name__}: export_probs() must return each candidate's share by label, not "
            f"a {type(weights).__name__} of {weights!r:.80}; correct it, or name another strategy."
        )
    return weights


@contextmanager
def _silent() -> Iterator[None]:
    """Keep NNI's messages out of the console; they stay in its log file, and what fails is raised."""
    silence_stdout()
    try:
        yield
    finally:
        start_stdout_logging()


class PlainList(Experiments):
    """NNI's list of experiments in the home folder, read as the plain JSON that it is.

    NNI's own looks for comments and encoded types; where three thousand experiments are listed, the six times that a
    search reads the list then take it two seconds.
    """

    def read_file(self) -> dict[str, Any]:
        """Return the experiments by id; none if there is no list or it is no JSON, as NNI does."""
        try:
            found: dict[str, Any] = json.loads(Path(self.experiment_file).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            found = {}
        return found


nas_experiment.Experiments = PlainList


class HookedExperiment(NasExperiment):
    """NNI's experiment with something that has to happen before and after its strategy's work."""

    surrounding: Callable[[], AbstractContextManager[object]] = nullcontext

    def __init__(self, *args: Any, **keywords: Any) -> None:
        remove_left_over_locks()
        super().__init__(*args, **keywords)

    def _start_engine_and_strategy(self) -> None:
        with self.surrounding():
            super()._start_engine_and_strategy()


def one_shot_experiment(
    space: Any, evaluator: Lightning, strategy: Any, working_directory: Path, resume_from: Path | None
) -> HookedExperiment:
    """Return NNI's experiment of a one-shot search, for the arguments of `run_one_shot`."""
    quiet()
    evaluator.fit_kwargs["weights_only"] = True
    if resume_from is not None:
        evaluator.fit_kwargs["ckpt_path"] = str(resume_from)
    config = NasExperimentConfig.default(space, evaluator, strategy)
    config.experiment_working_directory = str(working_directory)
    return HookedExperiment(space, evaluator, strategy, config=config)


def trial_experiment(
    space: Any, evaluator: Any, strategy: Any, working_directory: Path, code: Path
) -> HookedExperiment:
    """Return NNI's experiment of a multi-trial strategy on this machine.

    Args:
        working_directory: where NNI keeps its experiments.
        code: a folder of which every trial gets a copy; NNI's own would copy the working directory and all below.
    """

    class FromFolder(NasExperimentConfig):
        def _canonicalize(self, parents: Any) -> None:
            with chdir(code):
                super()._canonicalize(parents)

    FromFolder.__name__ = NasExperimentConfig.__name__  # NNI asks for the name of the class
    config = FromFolder("ts", "simplified", "local")
    config.experiment_working_directory = str(working_directory)
    return HookedExperiment(space, evaluator, strategy, config=config)


def evolve(
    space: Any, score: Callable[[Mapping[str, Any]], float], strategy: Any, count: int, working_directory: Path
) -> None:
    """Let a multi-trial strategy of NNI propose candidates in this process, one after the other.

    Args:
        space: an NNI model space.
        score: the score of a candidate's choices by label; more is better.
        strategy: such as NNI's RegularizedEvolution.
        count: how many candidates.
        working_directory: where NNI keeps its own files.
    """
    quiet()
    config = NasExperimentConfig("sequential", "raw", "local")
    config.experiment_working_directory = str(working_directory)
    config.max_trial_number = count
    evaluator = FunctionalEvaluator(lambda model: nni.report_final_result(score(nni.get_current_parameter().sample)))
    experiment = HookedExperiment(space, evaluator, strategy, config=config)
    try:
        with _silent():
            experiment.run()
    finally:
        experiment.stop()


def weights_of(oneshot_module: Any) -> dict[str, dict[str, float]]:
    """Return the present architecture weights of all choices of a one-shot module, with plain string keys."""
    probabilities = _exported(oneshot_module)
    return {
        str(label): {str(choice): float(share) for choice, share in weights.items()}
        for label, weights in sorted(probabilities.items())
    }


def named_architecture_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the architecture parameters of a supernet by label, sorted; modules of one label share one parameter."""
    found: dict[str, nn.Parameter] = {}
    for module in model.modules():
        alpha = getattr(module, "_arch_alpha", None)
        if isinstance(alpha, nn.Parameter):
            found[str(module.label)] = alpha
        elif isinstance(alpha, nn.ParameterDict):
            found.update({str(label): parameter for label, parameter in alpha.items()})
    return dict(sorted(found.items()))
