"""A search strategy."""

from nni.nas.strategy import GumbelDARTS


class NNIGumbel(GumbelDARTS):
    """NNI's GumbelDARTS: weights by Gumbel-softmax, at a falling temperature."""

    def __init__(self, start: float = 1.0, end: float = 0.33, rate: float = 3e-4) -> None:
        super().__init__(temperature=(start, end), arc_learning_rate=rate)
