"""A candidate of `bioautoml auto`."""

from collections.abc import Mapping
from typing import Any

from bioautoml_nni.auto._base import Candidate, Work, scaled_epochs


class WiderCandidate(Candidate):
    """The experiment with 32 channels, where there are images."""

    row = "wider:32"
    needs = ("image",)
    least = 0.5

    def seconds(self, work: Work) -> float:
        return 0.02 * work.trained * work.experiment.training.epochs

    def settings(self, work: Work, share: float) -> Mapping[str, Any]:
        return {"training.epochs": scaled_epochs(work.experiment.training.epochs, share, 3)}
