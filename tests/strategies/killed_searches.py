"""Searches that are killed (SIGKILL) in the middle of their third epoch, one process each, forked from this one."""

import json
import os
import signal
import sys
from pathlib import Path

import torch
from pytorch_lightning import Callback
from ready import import_everything
from test_alternating import make_evaluator, make_space, run

from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.training.history import CheckpointCallback

EPOCHS = 4


class Kill(Callback):
    """Kills the process after the second batch of the third epoch."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == 2 and batch_idx == 1:
            os.kill(os.getpid(), signal.SIGKILL)


def search(folder, parts, resume=None, kill=False):
    """Search and return state and architecture parameters by name; checkpoints go to `folder`."""
    callbacks = [CheckpointCallback(folder), *([Kill()] if kill else [])]
    evaluator = make_evaluator(epochs=EPOCHS, callbacks=callbacks)
    evaluator.fit_kwargs["weights_only"] = True
    if resume is not None:
        evaluator.fit_kwargs["ckpt_path"] = str(resume)
    strategy = AlternatingDARTS(alpha_learning_rate=0.05, seed=3, **parts)
    run(strategy, evaluator, make_space(dropout=0.2), folder / "nni")
    return strategy.supernet.state_dict(), named_architecture_parameters(strategy.supernet)


if __name__ == "__main__":
    import_everything()
    torch.set_num_threads(1)  # a forked process has none of the others
    for number, parts in enumerate(json.loads(sys.argv[2])):
        folder = Path(sys.argv[1]) / str(number)
        folder.mkdir()
        child = os.fork()
        if child == 0:
            search(folder, parts, kill=True)
            os._exit(3)  # it should have been killed
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (parts, status)
        assert (folder / "last.ckpt").is_file()
