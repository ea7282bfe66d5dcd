"""What encoders whose network is one of timm's share."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from bioautoml_nni.features.encoder import Encoder

if TYPE_CHECKING:
    from bioautoml_nni.features.trunk import Trunk


class EncoderOnTimm(Encoder):
    """An encoder that builds timm's network of its name; a subclass says where the arrays of its weights come from."""

    def build(self, stage: int | None = None, drop_path: float = 0.0) -> Trunk:
        from ._network import TimmTrunk

        return TimmTrunk(self.network, stage, drop_path)

    def load(self, trunk: Trunk) -> None:
        body: Any = trunk.body
        body.load_state_dict({key: self._arrays[key] for key in body.state_dict()})

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        return self.read_arrays()

    def read_arrays(self) -> dict[str, Any]:
        """Return the arrays of all weights under the names of timm's network.

        Raises:
            EncoderError: if they cannot be had.
        """
        raise NotImplementedError
