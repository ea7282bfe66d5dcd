"""A pretrained image network."""

from bioautoml_nni.search_spaces.encoders.timm_collection import TimmEncoder


class SmallResnet(TimmEncoder):
    """A tiny residual network: small_resnet:FILE has the weights of a file, small_resnet:random none."""

    def __init__(self, argument: str) -> None:
        super().__init__(f"test_resnet@{argument}")
