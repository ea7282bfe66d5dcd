"""Which candidates matter: by what the trained supernet loses without each of them."""

from __future__ import annotations

import torch
from rich.console import Console

from ..architecture.derive import ArchWeights
from ..nni_engine import named_architecture_parameters
from ..registry import get
from ..runs.directory import RunDirectory
from ..runs.networks import macro_f1, strategy_arguments
from ..runs.prepared import PreparedData
from ..training.inference import Inference
from ..training.weights import restore
from ..utils.errors import RunDirectoryError
from ..utils.progress import make_progress


def perturbed(run: RunDirectory, data: PreparedData, weights: ArchWeights, console: Console) -> ArchWeights:
    """Return importances as weights (Wang et al., Rethinking Architecture Selection, arXiv 2108.04392).

    For every choice, each candidate is removed from the trained supernet in turn; its importance is what the
    validation macro-F1 loses. Importances of a choice are normalised; where nothing loses, the weights stand.
    """
    if not (run / "search/supernet.pt").is_file():
        raise RunDirectoryError(f"{run.path}: has no search/supernet.pt, which derivation.method=perturbation needs.")
    strategy = get("strategies", run.experiment.strategy.name).target(**strategy_arguments(run))
    network = strategy.mutate_model(data.search_space())
    restore(network, run / "search/supernet.pt")
    network.eval()
    names = {label: list(own) for label, own in weights.items()}
    result = {label: dict(own) for label, own in weights.items()}
    inference = Inference.on_this_machine()
    with inference.hosting(network), make_progress(console) as progress:
        alphas = named_architecture_parameters(network)
        base = macro_f1(data, network, data.supernet_image_size, inference)
        task = progress.add_task("derive", total=sum(len(own) for own in names.values()), note=f"macro-F1 {base:.3f}")
        for label, candidates in names.items():
            losses = {}
            for position, name in enumerate(candidates):
                kept = alphas[label].detach().clone()
                if len(candidates) > 1:
                    with torch.no_grad():
                        alphas[label][position] = -1e9
                    score = macro_f1(data, network, data.supernet_image_size, inference)
                    losses[name] = max(0.0, base - score)
                    with torch.no_grad():
                        alphas[label].copy_(kept)
                progress.advance(task)
            total = sum(losses.values())
            if total > 0:
                result[label] = {name: loss / total for name, loss in losses.items()}
    return result
