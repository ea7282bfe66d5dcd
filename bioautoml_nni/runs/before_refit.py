"""The network of a run as it was before it learned from the validation split too."""

from __future__ import annotations

from rich.console import Console
from torch import nn

from ..data import splits
from ..registry import get
from .directory import RunDirectory
from .greedy import kept_weights
from .networks import load_model, starting_network
from .prepared import PreparedData
from .probe import fit_classifier, learned_parts


def network_before_refit(run: RunDirectory, data: PreparedData) -> nn.Module:
    """Return a run's network that has learned from both training splits alone, in evaluation mode.

    That of a training is kept beside the refitted one; the classifier of a probe is fitted again, in seconds.

    Raises:
        RunFileError: if a file of its weights is missing or damaged.
    """
    if splits.VALIDATION not in learned_parts(run):
        return load_model(run, data)
    network, _ = starting_network(run, data)
    if "probe" in get("search_spaces", run.experiment.space.name).capabilities:
        fit_classifier(data, network, Console(quiet=True), refit=False)
    else:
        network.load_state_dict(kept_weights(run))
    return network.eval()
