"""Fixed networks, for `bioautoml compare`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..compare._base import RunContender
from ..errors import ConfigError


class TimmContender(RunContender):
    """timm:NAME is a network of timm from scratch, fused as the experiment is; timm:NAME@FILE starts from weights."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        if not self.argument:
            raise ConfigError(["timm: name the network, such as timm:resnet18"], "command line")
        name, _, weights = self.argument.partition("@")
        start = {"weights": weights} if weights else {}
        return {"space": {"name": "timm", "encoder": name, **start}, "retrain": {}}
