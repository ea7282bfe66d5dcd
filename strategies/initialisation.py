"""What a space's author has set of a layer with open arguments: the layer that stands for it in a supernet has it too.

NNI makes a new layer of the largest values. Weights that were initialised or loaded, precision, device and frozen
parameters would silently be gone.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from nni.nas.nn.pytorch import ParametrizedModule
from torch import Tensor, nn
from torch.nn.utils import parametrize

from bioautoml_nni.utils.errors import PluginError

from .refusals import labels_of, refused

logger = logging.getLogger(__name__)


def require_plain(module: nn.Module) -> None:
    """Refuse a layer with what its stand-in cannot have.

    Raises:
        ValueError: if it has a parametrization or hooks.
    """
    if parametrize.is_parametrized(module):
        raise ValueError("its parametrization, such as a weight norm, has one shape only; make a LayerChoice of it")
    if module._forward_pre_hooks or module._forward_hooks:
        raise ValueError("its forward hooks belong to one shape only; make a LayerChoice of it")


def take_over(made: Any, given: nn.Module) -> None:
    """Give a layer of the largest values what the author has set of the one for which it stands.

    A tensor that was written since its construction is copied to where a layer of its size has it. What lies beyond
    starts as torch starts it, or has the same value where the tensor is constant; `tell_partly_set` says so.
    """
    like = next((tensor for tensor in given.state_dict().values() if tensor.is_floating_point()), None)
    if like is not None:
        made.to(like.device, like.dtype)
    sizes = {name: getattr(given, name) for name in made.mutable_arguments if hasattr(given, name)}
    blocks = made.freeze_weight(**{**made.init_arguments, **sizes})
    with torch.device("meta"):  # draws nothing
        fresh = _tensors((getattr(given, "_bound_type", None) or type(given))(**{**made.init_arguments, **sizes}))
    whole, own, partly = _tensors(made), _tensors(given), []
    with torch.no_grad():
        for name, value in own.items():
            target, block = whole.get(name), blocks.get(name)
            if target is None or name not in fresh or value._version == fresh[name]._version:
                continue
            if target.shape == value.shape:
                target.copy_(value)
            elif value.numel() and bool((value == value.flatten()[0]).all()):
                target.fill_(value.flatten()[0])
            elif _is_part_of(block, target) and block.shape == value.shape:
                block.copy_(value)
                partly.append(name)
            else:
                partly.append(name)
    made.partly_set = tuple(partly)
    for name, parameter in made.named_parameters():
        parameter.requires_grad_(getattr(own.get(name), "requires_grad", True))
    made.train(given.training)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _is_part_of(block: Any, target: Tensor) -> bool:
    return isinstance(block, Tensor) and block.untyped_storage().data_ptr() == target.untyped_storage().data_ptr()


def tell_partly_set(supernet: nn.Module) -> None:
    """Warn of weights that were set for the first value of a choice only."""
    layers = [name for name, module in supernet.named_modules() if getattr(module, "partly_set", ())]
    if layers:
        logger.warning(
            "%d layers with open arguments were initialised or loaded for the first value of their choices (%s%s); "
            "what lies beyond starts as torch starts it. List the largest value first, and all is kept.",
            len(layers),
            ", ".join(layers[:5]),
            ", ..." if len(layers) > 5 else "",
        )


def require_own_parameters(model: nn.Module) -> None:
    """Refuse layers with open arguments that share a parameter with another layer.

    Raises:
        PluginError: naming the choice and the layer.
    """
    owners: dict[int, set[int]] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), set()).add(id(module))
    for name, module in model.named_modules():
        shared = any(len(owners[id(parameter)]) > 1 for parameter in module.parameters(recurse=False))
        if shared and isinstance(module, ParametrizedModule) and labels_of(module):
            reason = "it shares a parameter with another layer, which a supernet's layers cannot; use one layer twice"
            raise PluginError(refused(module, name, reason))
