"""Permutation importance on a network that is known to read one column alone."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, get_ident

import numpy as np
import pytest
import torch
from torch import nn

from bioautoml_nni.data import splits
from bioautoml_nni.evaluation import importance
from bioautoml_nni.evaluation.importance import metadata_importance
from bioautoml_nni.runs import networks
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.training.inference import Inference


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


class Together:
    """A group of threads in the place of processes."""

    def __init__(self, rank, values):
        self.rank, self.size, self._values, self._barrier = rank, len(values), values, Together.barrier

    def gather(self, value):
        self._values[self.rank] = value
        self._barrier.wait(60)
        found = list(self._values)
        self._barrier.wait(60)
        return found

    def join_rows_for_all(self, own):
        return torch.cat([rows for rows in self.gather(own) if rows is not None])


@pytest.mark.parametrize("size", [2, 3])
def test_each_process_exchanges_its_share_of_the_columns(data, monkeypatch, size):
    alone = metadata_importance(data, ReadsLength(1), under_prior=False)
    groups, asked, values = {}, [], [None] * size
    monkeypatch.setattr(Together, "barrier", Barrier(size), raising=False)
    for module in (importance, networks):
        monkeypatch.setattr(module, "current_group", lambda: groups.get(get_ident()))
    whole = importance.permutation_importance
    monkeypatch.setattr(
        importance, "permutation_importance",
        lambda answers, table, *rest, **more: asked.append(list(table)) or whole(answers, table, *rest, **more),
    )  # fmt: skip

    def one(rank):
        groups[get_ident()] = Together(rank, values)
        return metadata_importance(data, ReadsLength(1), under_prior=False, inference=Inference(batch_size=4))

    with ThreadPoolExecutor(size) as pool:
        found = list(pool.map(one, range(size)))
    assert found == [alone] * size and list(found[0]) == list(alone)
    assert sorted(asked) == [["length_mm"], ["site"]], "a third process has nothing to exchange"
