"""What test_group.py starts once: it imports everything, then forks processes as torchrun would start them.

Each scenario leaves what its processes said, their exit codes and what else it found in a folder of its own.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from rich.console import Console
from torch.distributed import TCPStore

import bioautoml_nni.stages.evaluate
import bioautoml_nni.stages.report
import bioautoml_nni.stages.retrain
import bioautoml_nni.stages.search
from bioautoml_nni.cli import main as command_line
from bioautoml_nni.config import load_experiment
from bioautoml_nni.config.schema import TrainingConfig
from bioautoml_nni.data.dataset import SpecimenDataset, make_loader
from bioautoml_nni.data.metadata import EncodedMetadata
from bioautoml_nni.losses.cross_entropy import CrossEntropy
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.networks import starting_network
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.stages.run import run_stages
from bioautoml_nni.training.group import EndsAtOnce, Group, SharedStatistics, weights_digest
from bioautoml_nni.training.inference import Inference
from bioautoml_nni.training.retraining import RetrainModule
from bioautoml_nni.utils.errors import DataError

for package in ("gcsfs", "s3fs"):  # Lightning imports them to save a checkpoint, in each process again if not here
    with suppress(ImportError):
        importlib.import_module(package)


def fork(folder: Path, work: Callable[[int], None], processes: int = 2, end_together: bool = False) -> list[int]:
    """Do work in processes that are told what torchrun tells; return their exit codes, negative for signals.

    Args:
        end_together: whether the first that fails ends the others, as torchrun sees to.
    """
    folder.mkdir(exist_ok=True)
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    children = []
    for rank in range(processes):
        child = os.fork()
        if not child:
            with (folder / f"said-{rank}.txt").open("w") as said:
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
            told = {
                "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes,
                "GROUP_RANK": 0, "GROUP_WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port,
                "TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_USE_AGENT_STORE": "True",
            }  # fmt: skip
            os.environ.update({name: str(value) for name, value in told.items()})
            os._exit(_code(work, rank))
        children.append(child)
    ended = dict([os.wait()]) if end_together else {}
    for child in children:
        if any(ended.values()) and child not in ended:
            os.kill(child, signal.SIGTERM)
    ended |= dict(os.waitpid(child, 0) for child in children if child not in ended)
    codes = [os.waitstatus_to_exitcode(ended[child]) for child in children]
    (folder / "codes.json").write_text(json.dumps(codes))
    return codes


def _code(work: Callable[[int], None], rank: int) -> int:
    try:
        work(rank)
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def command(folder: Path, arguments: Sequence[str], upset: Callable[[int, int], None] = lambda rank, epoch: None):
    """Fork processes that each give the same command; `upset` is called at the start of every epoch."""

    def work(rank: int) -> None:
        train, start = bioautoml_nni.stages.retrain.train, RetrainModule.on_train_epoch_start

        def noted(run, data, network, *others, **named):
            result = train(run, data, network, *others, **named)
            with (folder / f"weights-{rank}.txt").open("a") as file:
                file.write(weights_digest(network.state_dict()) + "\n")
            return result

        def upset_start(module):
            upset(rank, module.trainer.current_epoch)
            start(module)

        bioautoml_nni.stages.retrain.train = noted
        RetrainModule.on_train_epoch_start = upset_start
        sys.argv = ["bioautoml", *arguments]
        command_line.main()

    return fork(folder, work)


class Network(torch.nn.Linear):
    def __init__(self, inputs, classes):
        super().__init__(inputs, classes)
        self.unread = torch.nn.Linear(2, 2)

    def forward(self, batch):
        return super().forward(batch["numeric"])


def fit(loaders_of: tuple[int, int], **arguments) -> dict:
    """Train a linear network, which has no batch statistics, and return its weights, their average and all metrics."""
    rng = np.random.default_rng(0)
    targets = np.arange(47) % 3
    numeric = (rng.normal(size=(47, 4)) + np.eye(4)[targets]).astype(np.float32)
    metadata = EncodedMetadata(numeric, np.zeros((47, 0), np.int64), np.ones((47, 4), np.float32))
    rows = np.arange(47)
    learned, unseen = (SpecimenDataset(None, metadata, targets, part) for part in (rows[:32], rows[32:]))
    train = make_loader(learned, 8, shuffle=True, balance=0.5, share=loaders_of)
    recipe = TrainingConfig(
        epochs=3, batch_size=8, warmup_steps=2, accumulate=2, ema_decay=0.8, learning_rate=0.1, gradient_clip=0.5
    )
    module = RetrainModule(3, CrossEntropy([11, 11, 10]), None, recipe, len(train), seed=5)
    torch.manual_seed(loaders_of[0])  # only the first process starts with the right weights
    module.set_model(Network(4, 3))
    trainer = pl.Trainer(
        max_epochs=3, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        accumulate_grad_batches=2, num_sanity_val_steps=0, gradient_clip_val=0.5, **arguments,
    )  # fmt: skip
    trainer.fit(module, train, make_loader(unseen, 8, shuffle=False, share=loaders_of))
    weights = {f"model.{name}": value for name, value in module.model.state_dict().items()}
    weights |= {f"averaged.{name}": value for name, value in module.averaged.state_dict().items()}
    return {"weights": weights, "metrics": {name: float(value) for name, value in trainer.callback_metrics.items()}}


def fit_together(folder: Path) -> None:
    """Train that network in two processes."""

    def work(rank: int) -> None:
        group = Group.join()
        with group.together():
            found = fit((rank, 2), **group.trainer_arguments(unread=True), callbacks=[SharedStatistics()])
            torch.save(found, folder / f"fit-{rank}.pt")

    fork(folder, work)


def copy_of(run: Path, folder: Path) -> Path:
    """Return a copy of a run that is yet to be trained."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(run, folder / "run")
    shutil.rmtree(folder / "run/retrain")
    return folder / "run"


def interrupted(run: Path, folder: Path) -> None:
    """End a training by an error in one process, then by a kill of it; the third attempt ends well."""

    def broken(rank: int, epoch: int) -> None:
        if (rank, epoch) == (1, 1):
            raise DataError("images/7.png: cannot be read any more; bring it back.")

    def killed(rank: int, epoch: int) -> None:
        if (rank, epoch) == (1, 2):
            os.kill(os.getpid(), signal.SIGKILL)

    here = copy_of(run, folder)
    for name, upset in {"broken": broken, "killed": killed}.items():
        command(folder / name, ["retrain", str(here)], upset)
    (folder / "whole").mkdir()
    with (folder / "whole/said-0.txt").open("w") as said:
        launched = [sys.executable, "-W", "ignore", "-m", "bioautoml_nni", "retrain", str(here), "--set", "devices=2"]
        code = subprocess.run(launched, stdout=said, stderr=said, check=False).returncode
    (folder / "whole/codes.json").write_text(json.dumps([code]))


class UpsetSearch(EndsAtOnce):
    """Upsets a search at the start of its second epoch."""

    upset: Callable[[pl.LightningModule], None]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            self.upset(pl_module)


def upset_searches(run: Path, folder: Path) -> None:
    """Kill a process of a search, and go on; then let one process have other weights than the other."""
    here = folder / "run"
    folder.mkdir()
    shutil.copytree(run, here, ignore=shutil.ignore_patterns("search", "retrain", "evaluation"))
    (here / "architecture.json").unlink()

    def killed(module: pl.LightningModule) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def changed(module: pl.LightningModule) -> None:
        with torch.no_grad():
            next(module.parameters()).add_(1)

    for name, upset in (("killed", killed), ("whole", None), ("changed", changed)):

        def work(rank: int, upset: Callable[[pl.LightningModule], None] | None = upset) -> None:
            if rank == 1 and upset is not None:
                UpsetSearch.upset = staticmethod(upset)
                bioautoml_nni.stages.search.EndsAtOnce = UpsetSearch
            sys.argv = ["bioautoml", "search", str(here)]
            command_line.main()

        if name == "changed":
            shutil.copytree(here / "search", folder / "search")
            shutil.rmtree(here / "search")
        fork(folder / name, work)


def fine_tuned(experiment: Path, folder: Path) -> None:
    """Fine-tune an encoder in two processes, and keep the network that they start from."""
    folder.mkdir()
    run = RunDirectory.create(folder / "run", load_experiment(experiment))
    run_stages(run, ("prepare", "search", "derive"), Console(quiet=True))
    command(folder / "together", ["retrain", str(run.path)])
    network, _ = starting_network(run, PreparedData.load(run))
    torch.save(network.state_dict(), folder / "start.pt")


def other_data(run: Path, folder: Path) -> None:
    """Let the second process see another splits.csv by the path that the command names."""
    copies = [copy_of(run, folder)]
    copies.append(copy_of(run, folder / "second"))
    lines = (copies[1] / "splits.csv").read_text().splitlines()
    lines[1] = lines[1].rpartition(",")[0] + (",test" if lines[1].endswith("weights") else ",weights")
    (copies[1] / "splits.csv").write_text("\n".join(lines) + "\n")

    def work(rank: int) -> None:
        os.chdir(copies[rank].parent)
        sys.argv = ["bioautoml", "retrain", "run"]
        command_line.main()

    fork(folder / "processes", work)


def evaluated_alone(run: Path, folder: Path) -> None:
    """Evaluate a copy of a run in one process, which torchrun has not started."""
    shutil.copytree(run, folder / "run")
    shutil.rmtree(folder / "run/evaluation")
    if not (child := os.fork()):
        sys.argv = ["bioautoml", "evaluate", str(folder / "run")]
        os._exit(_code(lambda rank: command_line.main(), 0))
    (folder / "code.txt").write_text(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))


def killed_while_evaluating(run: Path, folder: Path) -> None:
    """Kill the second process in its share, then both while the first one writes; the third attempt ends well."""
    shutil.copytree(run, folder / "run")
    shutil.rmtree(folder / "run/evaluation")
    stage = bioautoml_nni.stages.evaluate

    def kill(*ranks: int) -> None:
        for rank in ranks:
            os.kill(int((folder / f"{rank}.pid").read_text()), signal.SIGKILL)

    def upset(rank: int, name: str) -> None:
        if (rank, name) == (1, "second"):
            stage.metadata_importance = lambda *given: kill(1)
        if (rank, name) == (0, "both"):
            stage._write_curves = lambda *given: kill(1, 0)

    for name in ("second", "both", "whole"):

        def work(rank: int, name: str = name) -> None:
            (folder / f"{rank}.pid").write_text(str(os.getpid()))
            upset(rank, name)
            sys.argv = ["bioautoml", "evaluate", str(folder / "run"), "--set", "devices=2"]
            command_line.main()

        fork(folder / name, work, end_together=name == "second")
        left = folder / "run/evaluation"
        (folder / name / "left.json").write_text(json.dumps(sorted(map(str, left.glob("*"))) if left.is_dir() else []))


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    Inference.on_this_machine = classmethod(lambda cls: cls(batch_size=4))  # more batches than processes
    run = folder / "whole/run"
    (folder / "fit").mkdir()
    fit_together(folder / "fit")
    command(folder / "refused", ["compare", str(folder / "experiment.yml")])
    arguments = [str(folder / "experiment.yml"), "--no-baselines", "--output", str(run)]
    command(folder / "whole", ["run", *arguments])
    (folder / "alone").mkdir()
    evaluated_alone(run, folder / "alone")
    killed_while_evaluating(run, folder / "killed")
    interrupted(run, folder / "interrupted")
    other_data(run, folder / "other")
    upset_searches(run, folder / "searches")
    fine_tuned(folder / "finetune/experiment.yml", folder / "tuned")


if __name__ == "__main__":
    main()
