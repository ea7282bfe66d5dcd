"""Other searches, for `bioautoml compare`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bioautoml_nni.compare._base import RunMethod


class PaperRule(RunMethod):
    """The paper's rule alone, with the rate of DARTS: no warm-up, no penalties, no guards."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        return {"strategy": {"name": "alternating_darts", "alpha_learning_rate": 3e-4}}


class NNIDartsSearch(RunMethod):
    """NNI's own DARTS."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        return {"strategy": {"name": "nni_darts"}}


class ScoredBySupernet(RunMethod):
    """A supernet trained on random paths (NNI's RandomOneShot), whose weights score the candidates of evolution."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        return {"strategy": {"name": "random_paths"}, "derivation.method": "evolution", "derivation.seed": seed}


class HardGumbel(RunMethod):
    """The experiment's strategy with hard Gumbel samples: one operation is computed on every edge."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        return {"strategy.relaxation": "gumbel_hard"}


class PartialChannels(RunMethod):
    """The experiment's strategy on a quarter of the channels of every edge (PC-DARTS)."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        return {"strategy.partial_channels": 4}
