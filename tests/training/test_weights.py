"""Damaged checkpoints and weights are one sentence with the file's name, and nothing in them is run."""

import io
import os
import pickle

import pytest
import torch
from damage import damaged, tries
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bioautoml_nni.training.weights import checkpoint_to_resume, load_weights, restore
from bioautoml_nni.utils.errors import RunDirectoryError


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


@pytest.fixture(scope="module")
def whole():
    return weights()


def weights():
    content = io.BytesIO()
    torch.save(network().state_dict(), content)
    return content.getvalue()


@tries(300)
@given(st.data())
def test_damaged_weights_are_refused_or_fit(whole, tmp_path, data):
    path = tmp_path / "model.pt"
    path.write_bytes(data.draw(damaged(whole)))
    into = network()
    try:
        restore(into, path)
    except RunDirectoryError as error:
        assert str(error).startswith(f"{path}: is damaged") and len(str(error)) < 400 + len(str(path))
        return
    assert into.state_dict().keys() == network().state_dict().keys()


class Evil:
    """What a pickle can do to those who load it."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_code_in_a_checkpoint_is_not_run(write, tmp_path):
    write({"state_dict": Evil(tmp_path / "ran")}, tmp_path / "last.ckpt")
    for read in (load_weights, checkpoint_to_resume):
        with pytest.raises(RunDirectoryError, match="is damaged"):
            read(tmp_path / "last.ckpt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "reason"), [([1], "holds a list"), ({"a": 1}, "something other"), ({}, "another network")]
)
def test_what_holds_no_weights_of_this_network_is_named(content, reason, tmp_path):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(RunDirectoryError, match=reason):
        restore(network(), tmp_path / "model.pt")


def test_a_checkpoint_is_resumed_only_if_it_is_whole(tmp_path):
    path = tmp_path / "last.ckpt"
    assert checkpoint_to_resume(path) is None
    torch.save({"state_dict": {}, "epoch": 1}, path)
    with pytest.raises(RunDirectoryError, match="lacks callbacks, loops, optimizer_states"):
        checkpoint_to_resume(path)
    torch.save({"state_dict": {}, "epoch": 1, "callbacks": {}, "loops": {}, "optimizer_states": []}, path)
    assert checkpoint_to_resume(path) == path
