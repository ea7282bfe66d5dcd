"""A row of comparisons."""

from collections.abc import Mapping
from typing import Any

from bioautoml_nni.compare._base import RunMethod


class Wider(RunMethod):
    """The experiment with other channels: wider:32."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        return {"space.channels": int(self.argument or 32)}
