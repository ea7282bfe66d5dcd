"""A fusion."""

from torch import Tensor, nn

from bioautoml_nni.search_spaces.fusions._base import Fusion


class SumFusion(Fusion):
    """Both embeddings, each through a linear layer, added."""

    def __init__(self, image_features: int, metadata_features: int, features: int) -> None:
        super().__init__(image_features, metadata_features, features)
        self.image, self.metadata = nn.Linear(image_features, features), nn.Linear(metadata_features, features)

    def forward(self, embeddings: tuple[Tensor, Tensor]) -> Tensor:
        image, metadata = embeddings
        return self.image(image) + self.metadata(metadata)
