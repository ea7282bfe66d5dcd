"""Networks of the timm collection as encoders."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from bioautoml_nni.registry import suggestion
from bioautoml_nni.utils.errors import EncoderError

from ._on_timm import EncoderOnTimm

PRETRAINED, RANDOM = "pretrained", "random"


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Keep what the hub's client logs of its attempts, since one sentence says how they ended."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


class TimmEncoder(EncoderOnTimm):
    """timm:NAME has timm's own weights, from its cache or hub; timm:NAME@FILE those of a file, timm:NAME@random none.

    Normalisation, size and licence are those of timm's configuration of NAME, which may carry a tag, such as
    ``vit_base_patch16_clip_224.openai``. A file's weights are read by timm's own filters, those of open_clip (BioCLIP)
    included.

    Args:
        argument: what stands after ``timm:``.

    Raises:
        EncoderError: for a name that timm does not have.
    """

    def __init__(self, argument: str) -> None:
        import timm

        name, _, weights = argument.partition("@")
        if not timm.is_model(name):
            known = timm.list_models() + timm.list_pretrained()
            raise EncoderError(f"timm has no model {name!r}{suggestion(name, known)}.")
        self.network = name
        self.weights = weights or PRETRAINED
        self._configuration: dict[str, Any] = timm.get_pretrained_cfg(name).to_dict()  # type: ignore[union-attr]
        self.image_size = int(self._configuration["input_size"][-1])
        self.mean, self.std = (tuple(self._configuration[key]) for key in ("mean", "std"))
        self.interpolation = str(self._configuration.get("interpolation") or "unknown")

    @property
    def pretrained(self) -> bool:
        return self.weights != RANDOM

    @property
    def licence(self) -> str:  # type: ignore[override]
        """Of timm's weights; what a file's is, only its origin tells."""
        if self.weights == PRETRAINED:
            return str(self._configuration.get("license") or "unknown")
        return "none, random weights" if self.weights == RANDOM else "that of the file, unknown"

    @property
    def origin(self) -> str:  # type: ignore[override]
        """Address of timm's weights, or the file's name."""
        if self.weights == PRETRAINED:
            hub, url = (self._configuration.get(key) for key in ("hf_hub_id", "url"))
            return f"huggingface.co/{hub}" if hub else str(url)
        return "random weights" if self.weights == RANDOM else f"file {Path(self.weights).name}"

    @property
    def citation(self) -> str:  # type: ignore[override]
        """What timm names as the weights' paper."""
        paper = self._configuration.get("paper_ids")
        return ", ".join(paper) if isinstance(paper, (list, tuple)) else str(paper or "Wightman: timm")

    @cached_property
    def parameters(self) -> int:  # type: ignore[override]
        """Counted on the network."""
        from bioautoml_nni.features.trunk import count_parameters

        return count_parameters(self.build())

    @cached_property
    def mflops(self) -> float:  # type: ignore[override]
        """Counted on the network."""
        from bioautoml_nni.features.trunk import flops

        return flops(self.build().to("meta").eval(), self.image_size) / 1e6

    def read_arrays(self) -> dict[str, Any]:
        sources = {PRETRAINED: self._published, RANDOM: self._drawn}
        return sources.get(self.weights, self._from_file)()

    def _drawn(self) -> dict[str, Any]:
        """Return random weights, the same ones always, so that all stages belong to one network."""
        import torch

        from ._network import create_network

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return create_network(self.network, 0.0).state_dict()

    def _published(self) -> dict[str, Any]:
        from ._network import create_network

        try:
            with _quiet_hub():
                return create_network(self.network, 0.0, pretrained=True).state_dict()
        except Exception as error:  # timm passes on whatever its hub, the file system or torch raises
            reason = " ".join(str(error).split())[:200]
            raise EncoderError(
                f"timm:{self.network}: its weights are not in timm's cache and cannot be fetched ({reason}); connect "
                f"this machine, or name a file of them: timm:{self.network}@FILE."
            ) from error

    def _from_file(self) -> dict[str, Any]:
        from ._network import create_network
        from ._weights import fitting_weights

        arrays, by_position = fitting_weights(Path(self.weights), self.network, create_network(self.network, 0.0))
        note = (
            f"{self.weights}: its names are not those of timm's {self.network}; {len(arrays)} arrays were taken by "
            "their position, where all shapes agree."
        )
        if by_position:
            self.notes.append(note)
        return arrays
