"""The contract of plug-in kind `encoders`: an image network that already knows something.

Nothing here imports torch, so that encoders can be listed at once.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..registry import get
from ..utils.errors import EncoderError

if TYPE_CHECKING:
    from torch import Tensor

    from .trunk import Trunk


@dataclass(frozen=True)
class Stage:
    """One of an encoder's feature maps.

    Attributes:
        index: from 0; what `Encoder.trunk` takes.
        channels: C of its map (N, C, h, w).
        reduction: edge of the images divided by that of the map.
        parameters: of the network up to and with this stage.
        flops: of one image up to and with this stage; a multiplication and an addition count as two.
    """

    index: int
    channels: int
    reduction: int
    parameters: int
    flops: int


class Encoder(ABC):
    """An image network, its weights, and how images must be given to it.

    A plug-in sets the attributes, on its class where they are known without building anything, and writes `build` and
    `load`. Networks (`trunk`) take normalised images, as all networks of this project do; `embed` and `feature_maps`
    take images as they are and normalise them as the encoder was trained, never by a data set's statistics.

    Attributes:
        reference: as experiment.yml names the encoder, such as ``efficientnet_lite0`` or ``timm:resnet18``.
        network: name of the architecture.
        parameters: of the network without its classifier; None where only building it tells.
        mflops: of one image at `image_size`, in millions; None where only building it tells.
        image_size: edge in pixels of the images that it was trained with.
        mean, std: per channel, of pixel values in [0, 1].
        interpolation: filter by which its training resized images, such as "bicubic"; "unknown" where nobody says.
            The image cache has filters of its own (docs/encoders.md).
        licence: of the weights; an SPDX identifier where there is one.
        origin: where the weights come from: package and version, address, or file.
        citation: of the network or the weights.
        notes: what whoever loads the weights must be told; filled by `load`.
    """

    reference: str = ""
    network: str = ""
    parameters: int | None = None
    mflops: float | None = None
    image_size: int = 224
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    interpolation: str = "unknown"
    licence: str = "unknown"
    origin: str = ""
    citation: str = ""

    @abstractmethod
    def build(self, stage: int | None = None, drop_path: float = 0.0) -> Trunk:
        """Return the network without weights of its own: whole without classifier, or up to a stage.

        Args:
            stage: index of the last stage; None is the whole network, which ends in the embedding.
            drop_path: rate of stochastic depth; networks that have none ignore it.

        Raises:
            EncoderError: if there is no such stage.
        """

    @abstractmethod
    def load(self, trunk: Trunk) -> None:
        """Give a network that `build` returned its pretrained weights; layers that it lacks are left out.

        Raises:
            EncoderError: if the weights cannot be had, are damaged, or are another network's.
        """

    @property
    def pretrained(self) -> bool:
        """Whether there are weights to load; without them an encoder is a network of random ones."""
        return True

    @cached_property
    def notes(self) -> list[str]:
        """See the class."""
        return []

    def trunk(self, stage: int | None = None, drop_path: float = 0.0) -> Trunk:
        """Return a new network with the encoder's weights, in evaluation mode; arguments as those of `build`."""
        from ..utils.seeding import isolate_rng

        with isolate_rng():  # its first weights are drawn, and replaced
            trunk: Any = self.build(stage, drop_path)
            if not hasattr(trunk, "feature_map"):
                raise EncoderError(
                    f"encoder {self.reference or type(self).__name__}: build() must return a Trunk of "
                    f"bioautoml_nni.features.trunk, not a {type(trunk).__name__}; correct it, or name another encoder."
                )
            self.load(trunk)
        return trunk.eval()

    def stages(self, size: int | None = None) -> tuple[Stage, ...]:
        """Return all stages in order, with what they cost for images of an edge in pixels, by default `image_size`."""
        from .trunk import measure_stages

        known: dict[int, tuple[Stage, ...]] = self.__dict__.setdefault("_stages", {})
        size = size or self.image_size
        if size not in known:
            known[size] = measure_stages(self, size)
        return known[size]

    def normalise(self, images: Tensor) -> Tensor:
        """Return what the network takes.

        Args:
            images: (N, 3, H, W) RGB, uint8, or floats in [0, 1].
        """
        from .trunk import normalised

        return normalised(images, self.mean, self.std)

    def embed(self, images: Tensor) -> Tensor:
        """Return embeddings (N, E) of images, on their device; see `normalise` for their form."""
        import torch

        with torch.inference_mode():
            trunk = self.loaded(None)
            return trunk(self.normalise(images.to(next(trunk.parameters()).device))).to(images.device)

    def feature_maps(self, images: Tensor, stages: Sequence[int]) -> list[Tensor]:
        """Return for each stage the feature maps (N, C, h, w) of images; see `normalise` for their form."""
        import torch

        with torch.inference_mode():
            trunk = self.loaded(max(stages))
            found = trunk.feature_maps(self.normalise(images.to(next(trunk.parameters()).device)), stages)
            return [features.to(images.device) for features in found]

    def loaded(self, stage: int | None) -> Trunk:
        """Return the network of `trunk`, the same one every time; on the first GPU if there is one."""
        kept: dict[int | None, Trunk] = self.__dict__.setdefault("_kept", {})
        if stage not in kept:
            import torch

            device = "cuda" if torch.cuda.is_available() else "cpu"
            kept[stage] = self.trunk(stage).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return kept[stage]

    @cached_property
    def weights_digest(self) -> str:
        """Digest of all arrays of the whole network: what was computed with other weights is stale."""
        digest = hashlib.blake2b(self.network.encode(), digest_size=16)
        for name, array in self.loaded(None).state_dict().items():
            digest.update(f"{name}{tuple(array.shape)}".encode())
            digest.update(array.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def record(self) -> dict[str, Any]:
        """Return what a model card says of the encoder."""
        names = ("reference", "network", "licence", "origin", "citation", "image_size", "mean", "std", "interpolation")
        return {name: getattr(self, name) for name in names} | {"pretrained": self.pretrained}


def load_encoder(reference: str, where: str = "encoder") -> Encoder:
    """Return the encoder that a reference names: ``NAME``, or ``NAME:ARGUMENT`` for plug-ins that take an argument.

    Its weights are read when they are needed.

    Args:
        where: begins the messages: the key that holds the reference.

    Raises:
        PluginError: for a plug-in that is not registered.
        EncoderError: for an argument that names nothing, or is missing.
    """
    name, _, argument = reference.partition(":")
    plugin = get("encoders", name)
    try:
        encoder: Encoder = plugin.target(*([argument] if argument else []))
    except TypeError as error:
        need = "takes no argument" if argument else "needs an argument, such as timm:resnet18"
        raise EncoderError(f"{where}: {reference}: encoder {name!r} {need}.") from error
    except EncoderError as error:
        raise EncoderError(f"{where}: {error}") from error
    if not isinstance(encoder, Encoder):
        raise EncoderError(
            f"{where}: {reference}: {plugin.entry_point.value} is not an Encoder of bioautoml_nni.features.encoder; "
            "derive it from that class, or name another encoder."
        )
    encoder.reference = reference
    return encoder
