"""Permutation importance on a network that is known to read one column alone."""

import numpy as np
import pytest
import torch
from torch import nn

from bioautoml_nni.data import splits
from bioautoml_nni.evaluation.importance import metadata_importance
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.prepared import PreparedData


class ReadsLength(nn.Module):
    """Answers by the length alone, exactly as the data were made: longer from ant to bee to cicada."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    def image_encoder(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))

    def join(self, image: torch.Tensor, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        assert len(image) == len(inputs["numeric"])
        return inputs["numeric"][:, :1]

    def classifier(self, joint: torch.Tensor) -> torch.Tensor:
        return -((joint - torch.tensor([[-0.9, 0.0, 0.9]])) ** 2)


@pytest.fixture
def data(finished):
    return PreparedData.load(RunDirectory.open(finished[0]))


def test_only_the_column_that_is_read_matters(data):
    found = metadata_importance(data, ReadsLength(1), under_prior=False)
    assert list(found) == data.metadata_columns == ["length_mm", "site"]
    assert found["site"] == {"mean": 0.0, "std": 0.0}
    assert found["length_mm"]["mean"] > 0.1
    assert found == metadata_importance(data, ReadsLength(1), under_prior=False)  # the seed decides


def test_every_image_keeps_its_own_metadata(data):
    """A network that compares each image with its metadata finds them together only where nothing was exchanged."""
    rows = np.flatnonzero((data.part == splits.TEST).to_numpy())
    numeric = torch.from_numpy(data.metadata.numeric[rows])
    target = torch.from_numpy(data.targets[rows])

    class Pairs(ReadsLength):
        def join(self, image, inputs):
            same = torch.isclose(inputs["numeric"][:, 0], numeric[:, 0])
            return torch.where(same, target, (target + 1) % 3)

        def classifier(self, joint):
            return nn.functional.one_hot(joint, 3).float()

    found = metadata_importance(data, Pairs(1), under_prior=False)
    assert found["site"]["mean"] == 0.0 and found["length_mm"]["mean"] > 0.5
