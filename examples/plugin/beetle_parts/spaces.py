from collections.abc import Mapping, Sequence
from typing import Any

from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from torch import Tensor, nn

from bioautoml_nni.architecture import Architecture, Topology


class OneConvolution(ModelSpace):
    """Images through one convolution, whose size is open."""

    def __init__(
        self,
        num_classes: int,
        metadata: dict[str, Any] | None = None,
        modalities: Sequence[str] = ("image",),
        width: int = 8,
        sizes: Sequence[int] = (3, 5),
    ) -> None:
        super().__init__()
        candidates = {f"conv_{size}": nn.Conv2d(3, width, size, padding="same") for size in sizes}
        self.image_encoder = nn.Sequential(LayerChoice(candidates, label="size"), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(width, num_classes))

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        return self.classifier(self.image_encoder(batch["image"]))

    @classmethod
    def topology(cls, sizes: Sequence[int]) -> Topology:
        return Topology(cells={}, operations=(), zero=None, choices={"size": tuple(f"conv_{size}" for size in sizes)})

    @staticmethod
    def build(architecture: Architecture, **arguments: Any) -> nn.Module:
        size = int(architecture.choices["size"].choice.removeprefix("conv_"))
        return OneConvolution(**{**arguments, "sizes": [size]})

    @staticmethod
    def inherit(network: nn.Module, supernet_state: Mapping[str, Tensor]) -> list[str]:
        return network.load_state_dict(supernet_state, strict=False).missing_keys
