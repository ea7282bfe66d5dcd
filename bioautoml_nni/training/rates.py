"""Learning rates of a pretrained trunk: smaller than those of what is new, and smaller towards the image."""

from __future__ import annotations

from typing import Any

from torch import nn


def rate_scales(network: nn.Module, trunk_rate: float, layer_decay: float) -> dict[int, float]:
    """Return by parameter (its id) the factor of the learning rate; parameters outside of trunks have none.

    Layer-wise decay is that of Howard and Ruder (ULMFiT, arXiv 1801.06146) and Bao et al. (BEiT, arXiv 2106.08254).

    Args:
        network: its trunks are the modules with `parameter_layers`, which lists parameters by layer from the image on.
        trunk_rate: factor of a trunk's last layer.
        layer_decay: factor of every layer in terms of the one after it.
    """
    scales: dict[int, float] = {}
    for trunk in trunks(network):
        layers = trunk.parameter_layers()
        for depth, layer in enumerate(layers):
            factor = trunk_rate * layer_decay ** (len(layers) - 1 - depth)
            scales |= {id(parameter): factor for parameter in layer}
    return scales


def freeze_batch_norm(network: nn.Module) -> None:
    """Put the batch norms of trunks into evaluation mode, in which their statistics stay as they are."""
    for trunk in trunks(network):
        for module in trunk.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def trunks(network: nn.Module) -> list[Any]:
    """Return the pretrained trunks in a network."""
    return [module for module in network.modules() if hasattr(module, "parameter_layers")]
