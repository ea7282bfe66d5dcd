"""Fixed networks, for `bioautoml compare`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bioautoml_nni.compare._base import RunMethod
from bioautoml_nni.utils.errors import ConfigError

PRETRAINED = "pretrained"
RECIPE: Mapping[str, Any] = {
    "retrain.cells": None,
    "retrain.channels": None,
    "retrain.trunk": {},
    "retrain.initial_weights": "scratch",
    "training.drop_path": 0.0,
    "training.auxiliary_weight": 0.0,
}
"""What the experiment may ask of a network made of cells, and of no other."""


class TimmMethod(RunMethod):
    """timm:NAME is a network of timm from scratch, fused as the experiment is; timm:NAME@FILE starts from weights,
    timm:NAME@pretrained from timm's own."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        return {"space": {"name": "timm", **encoder("timm", self.argument)}, **RECIPE}


class Probe(RunMethod):
    """A logistic regression on a frozen encoder's features and the metadata; probe:ENCODER names another encoder."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        start = {"encoder": self.argument} if self.argument else {}
        return {"space": {"name": "probe", **start}, "training.distillation": None, **RECIPE}


class TimmProbe(RunMethod):
    """timm_probe:NAME@FILE keeps the weights of a pretrained encoder and trains what stands on it by gradient descent;
    without @FILE they are timm's own."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        name, at, weights = (self.argument or "").partition("@")
        start = encoder("timm_probe", f"{name}@{weights if at else PRETRAINED}" if name else None)
        return {"space": {"name": "timm", **start, "frozen": True}, **RECIPE}


def encoder(row: str, argument: str | None) -> dict[str, Any]:
    """Return the arguments of the space that a row's NAME@FILE stands for.

    Raises:
        ConfigError: without a name.
    """
    name, _, weights = (argument or "").partition("@")
    if not name:
        raise ConfigError([f"{row}: name the network, such as {row}:resnet18"], "command line")
    start = {PRETRAINED: True} if weights == PRETRAINED else {"weights": weights} if weights else {}
    return {"encoder": name, **start}
