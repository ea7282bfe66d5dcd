"""How good an architecture is with the weights of a supernet: nothing is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..architecture import Architecture
from ..data import splits
from ..data.dataset import make_loader
from ..registry import get
from ..runs.directory import RunDirectory
from ..runs.networks import build_network, macro_f1
from ..runs.prepared import PreparedData
from ..training.inference import Inference
from ..utils.seeding import derive_seed, seed_everything

BATCHES, BATCH = 4, 64
"""Training data that a network's batch norms see: batches, and specimens in each."""


class InheritedScore:
    """Scores architectures with weights of a supernet, by validation macro-F1.

    Batch norms see training data once more, since the supernet's statistics are those of other paths (Guo et al.,
    arXiv 1904.00420, section 3.3).

    Args:
        inference: where and how networks are asked; by default what this machine offers.

    Attributes:
        image_size: edge of the images, at first the one at the end of the search; None is that of the decoded ones.
    """

    def __init__(self, run: RunDirectory, data: PreparedData, inference: Inference | None = None) -> None:
        self.run, self.data = run, data
        self.inference = inference or Inference.on_this_machine()
        self.image_size = data.supernet_image_size
        self.space = get("search_spaces", run.experiment.space.name).target
        seed_everything(derive_seed(run.experiment.seed, "inherited"))
        self._batches: list[dict[str, Tensor]] = []
        for batch in make_loader(data.dataset(splits.TRAINING), BATCH, shuffle=True):
            self._batches.append(dict(batch))
            if len(self._batches) == BATCHES:
                break

    def __call__(self, architecture: Architecture, supernet: Mapping[str, Tensor]) -> float | None:
        """Return the macro-F1, or None if the supernet lacks weights of the network."""
        network, _ = build_network(self.run, self.data, architecture, as_searched=True)
        if self.space.inherit(network, supernet):
            return None
        with self.inference.hosting(network):
            recalibrate_batch_norm(network, self.batches())
            return macro_f1(self.data, network, self.image_size, self.inference)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        """Yield the training batches as a network sees them, without augmentation, each on the device."""
        transform = self.data.image_transform(self.run.experiment.search.augmentation, self.image_size)
        return (self.inference.inputs(batch, transform) for batch in self._batches)


@torch.no_grad()
def recalibrate_batch_norm(network: nn.Module, batches: Iterable[dict[str, Any]]) -> None:
    """Replace the running statistics of all batch norms by the mean over these batches; nothing else changes.

    Those of a frozen trunk (`keeps_statistics`) stay, and all other modules, such as dropout, are in evaluation
    mode; torch's own `update_bn` trains the whole network, trunk and dropout included. The network is in evaluation
    mode afterwards. The batches are on its device.
    """
    network.eval()
    norms = [
        each
        for each in network.modules()
        if isinstance(each, nn.modules.batchnorm._BatchNorm) and not getattr(each, "keeps_statistics", False)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
        norm.train()
    for batch in batches:
        network(dict(batch))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
