"""A search that goes on from a checkpoint ends bit for bit like one that was never interrupted, whatever its parts."""

from __future__ import annotations

import pytest
import torch
from bioautoml_nni.strategies import AlternatingDARTS
from test_alternating import make_evaluator, make_space, run

from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.registry import plugins
from bioautoml_nni.training.history import CheckpointCallback

PARTS = [
    *({"schedule": name} for name in plugins("schedules")),
    *({"relaxation": name} for name in plugins("relaxations") if name != "softmax"),
    {"regularisers": ["skip_dropout", "beta_decay", "entropy"], "most_skips": 9},
]


class Kept(CheckpointCallback):
    """Keeps a copy of the checkpoint of the second epoch, as a kill in the third would leave it."""

    def on_train_epoch_end(self, trainer, pl_module):
        super().on_train_epoch_end(trainer, pl_module)
        if trainer.current_epoch == 1:
            (self.folder / "second.ckpt").write_bytes(self.last.read_bytes())


def search(folder, parts, resume=None):
    """Search three epochs and return the parameters by name."""
    evaluator = make_evaluator(epochs=3, callbacks=[Kept(folder)])
    evaluator.fit_kwargs["weights_only"] = True
    if resume is not None:
        evaluator.fit_kwargs["ckpt_path"] = str(resume)
    strategy = AlternatingDARTS(alpha_learning_rate=0.05, seed=3, **parts)
    run(strategy, evaluator, make_space(dropout=0.2), folder / "nni")
    return strategy.supernet.state_dict(), named_architecture_parameters(strategy.supernet)


@pytest.mark.parametrize("parts", PARTS, ids=lambda parts: "-".join(f"{key}={value}" for key, value in parts.items()))
def test_resuming_is_exact(parts, tmp_path):
    folder = tmp_path / "whole"
    folder.mkdir()
    whole, alphas = search(folder, parts)
    again = tmp_path / "again"
    again.mkdir()
    torch.manual_seed(99)  # whatever went on before in the new process
    resumed, resumed_alphas = search(again, parts, folder / "second.ckpt")
    assert list(alphas) == list(resumed_alphas)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert any(float(alpha.detach().abs().max()) > 0.05 for alpha in alphas.values())
