"""NNI's own DARTS, unchanged, under a name of the registry: the reference that ours is compared with."""

from __future__ import annotations

from nni.nas.strategy import DARTS


class NNIDarts(DARTS):
    """NNI's own DARTS, unchanged; no validation during the search and no exact resume.

    Args:
        arc_learning_rate: Adam's rate for the architecture parameters.
        gradient_clip_val: largest gradient norm of the weights.
        warmup_epochs: epochs in which only weights are trained.
    """

    capabilities = ("one_shot",)

    def __init__(self, arc_learning_rate: float = 3e-4, gradient_clip_val: float = 5.0, warmup_epochs: int = 0) -> None:
        super().__init__(
            arc_learning_rate=arc_learning_rate, gradient_clip_val=gradient_clip_val, warmup_epochs=warmup_epochs
        )
