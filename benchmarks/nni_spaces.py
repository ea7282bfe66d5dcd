"""Which spaces can be searched by which strategy: spaces of NNI's own forms and hub, our strategies and NNI's.

    python benchmarks/nni_spaces.py [--spaces NAME ...] [--strategies NAME ...] [--markdown FILE]

A cell is `yes` if the strategy searched the space for an epoch, exported an architecture, and the supernet's frozen
network with its weights and a fresh network of the same architecture give logits. Otherwise it says which step failed.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from nni.nas import strategy as nni_strategies
from nni.nas.evaluator.pytorch import Classification, DataLoader
from nni.nas.experiment import NasExperiment
from nni.nas.space import model_context
from spaces_of_nni import CLASSES, SPACES
from torch.utils.data import TensorDataset

from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.random_paths import RandomPaths
from bioautoml_nni.utils.errors import PluginError

STRATEGIES: dict[str, Callable[[], Any]] = {
    "alternating_darts": AlternatingDARTS,
    "alternating_darts, gumbel_hard": lambda: AlternatingDARTS(relaxation="gumbel_hard"),
    "random_paths": RandomPaths,
    "NNI DARTS": nni_strategies.DARTS,
    "NNI GumbelDARTS": nni_strategies.GumbelDARTS,
    "NNI Proxyless": nni_strategies.Proxyless,
    "NNI RandomOneShot": nni_strategies.RandomOneShot,
}
OURS = tuple(name for name in STRATEGIES if not name.startswith("NNI"))


def attempt(space_name: str, strategy_name: str, folder: Path) -> str:
    """Return `yes`, or which step failed and why."""
    torch.manual_seed(0)
    images, classes = torch.randn(8, 3, 32, 32), torch.arange(8) % CLASSES
    loader = DataLoader(TensorDataset(images, classes), 2)
    evaluator = Classification(
        num_classes=CLASSES, max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, train_dataloaders=loader, val_dataloaders=loader,
    )  # fmt: skip
    step = "refused"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = SPACES[space_name]()
            if "LazyConv2d" in str(made):  # the width of a cell is known to its forward pass
                made.train()(images)
            strategy = STRATEGIES[strategy_name]()
            experiment = NasExperiment(made, evaluator, strategy)
            experiment.config.experiment_working_directory = str(folder)
            step = "search"
            experiment.run()
            experiment.stop()
            step = "export"
            sample = strategy.oneshot_module.export()
            step = "freeze"
            frozen = strategy.supernet.freeze(sample).eval()
            with torch.no_grad():
                frozen(images[:2])
            step = "fresh network"
            with model_context(sample):
                fresh = SPACES[space_name]()
            with torch.no_grad():
                fresh.eval()(images[:2])
        except PluginError as error:  # by our strategies, before the first batch
            return f"refused: {' '.join(str(error).split())}"
        except Exception as error:  # any failure is what is measured
            return f"{step}: {' '.join(str(error).split()) or type(error).__name__}"
    return "yes"


def main() -> None:
    """Print the matrix."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", nargs="+", choices=list(SPACES), default=list(SPACES), metavar="NAME")
    parser.add_argument("--strategies", nargs="+", choices=list(STRATEGIES), default=list(STRATEGIES), metavar="NAME")
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    logging.disable(logging.ERROR)
    notes: dict[str, int] = {}
    lines = ["| space | " + " | ".join(arguments.strategies) + " |", "|---" * (len(arguments.strategies) + 1) + "|"]
    with tempfile.TemporaryDirectory() as folder:
        print(*lines, sep="\n", flush=True)
        for name in arguments.spaces:
            cells = []
            for strategy in arguments.strategies:
                found = attempt(name, strategy, Path(folder))
                if found != "yes":
                    number = notes.setdefault(found[:300], len(notes) + 1)
                    found = f"{found.partition(':')[0]} [{number}]"
                cells.append(found)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    lines += ["", *(f"{number}. {note}" for note, number in notes.items())]
    print("", *lines[-len(notes) :], sep="\n")
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
