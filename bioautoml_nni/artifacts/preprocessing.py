"""preprocessing.json: how specimens become inputs, in a run and in its export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._base import Artifact, Part


class ImageInput(Part):
    """How images become inputs; size, mean and std are None without images.

    Attributes:
        size: edge of the decoded squares in pixels.
        mean, std: by channel, of values in [0, 1].
        revision: of the rules of normalisation that were current when the data were prepared.
        column: in an export, of the table with the images.

    >>> ImageInput(size=64).edge
    64
    """

    size: int | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    revision: int = 1
    column: str | None = None

    @property
    def edge(self) -> int:
        """The size, where images are used."""
        if self.size is None:
            raise ValueError("preprocessing.json states no image.size")
        return self.size

    @property
    def normalisation(self) -> tuple[list[float], list[float]]:
        """Mean and deviation, where images are used."""
        if self.mean is None or self.std is None:
            raise ValueError("preprocessing.json states no image.mean and image.std")
        return self.mean, self.std


class Preprocessing(Artifact):
    """The file.

    Attributes:
        rank: of the classes.
        image_root: where the images of a run lay; an export does not say.
        metadata: the fitted state of `MetadataPreprocessor`.
        labels: the rules of `Naming`; None in files from before there were any.
        brand: a warning that every output has to carry, empty if there is none.
    """

    classes: list[str]
    rank: str
    modalities: list[str]
    image: ImageInput
    image_root: str | None = None
    metadata: dict[str, Any]
    labels: Any = None
    brand: str = ""

    def exported(self, mean: Sequence[float] | None, std: Sequence[float] | None, column: str) -> Preprocessing:
        """Return it as an export has it: without a path of the machine that trained it.

        Args:
            mean, std: that the network was trained with.
            column: see `ImageInput`.
        """
        record = self.record()
        del record["image_root"]
        image = {**record["image"], "mean": mean, "std": std, "column": column}
        return Preprocessing.model_validate({**record, "image": image})
