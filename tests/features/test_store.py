"""The feature store: computed once per content, complete after a kill, never stale, never above its limit."""

import numpy as np
import pytest
import torch
from fake_accelerator import DEVICE, fake_accelerator

from bioautoml_nni.features import load_encoder
from bioautoml_nni.features.store import POOLED, FeatureStore, seen
from bioautoml_nni.utils.errors import DataError

SIZE = 32


class Images:
    """Pixels in memory that count how often they are asked for."""

    workers = 0

    def __init__(self, count: int) -> None:
        self.squares = np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
        self.asked = 0

    def batch(self, positions: np.ndarray) -> np.ndarray:
        self.asked += len(positions)
        return self.squares[positions]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("timm:test_resnet@random")


def names(count: int) -> list[str]:
    return [f"content-{number}" for number in range(count)]


def test_features_are_those_of_the_encoder_and_computed_once(encoder, tmp_path):
    images, store = Images(5), FeatureStore(encoder, SIZE, tmp_path)
    found = store.ensure(names(5), images, [POOLED, 2])
    tensor = torch.from_numpy(images.squares).permute(0, 3, 1, 2)
    maps = encoder.feature_maps(tensor, [1, 2])
    together = found[POOLED].pooled([1, 2])
    expected = torch.cat([*(features.mean((2, 3)) for features in maps), encoder.embed(tensor)], 1).numpy()
    assert together == pytest.approx(expected, rel=2e-3, abs=2e-3)
    assert found[2].batch(np.arange(5)) == pytest.approx(maps[1].numpy(), rel=2e-3, abs=2e-3)
    assert found[2].values.dtype == np.float16
    images.asked = 0
    again = FeatureStore(encoder, SIZE, tmp_path).ensure(names(5), images, [POOLED, 2])
    assert images.asked == 0 and np.array_equal(again[POOLED].batch(np.arange(5)), found[POOLED].batch(np.arange(5)))


def test_contents_that_are_the_same_are_computed_once_and_new_ones_added(encoder, tmp_path):
    images, store = Images(4), FeatureStore(encoder, SIZE, tmp_path)
    store.ensure(["a", "b", "a"], images)
    assert images.asked == 2
    found = store.ensure(["c", "a"], Images(2))[POOLED]
    assert images.asked == 2 and found.rows[:, 0].tolist() == [2, 0]


def test_views_are_the_eight_of_a_square(encoder, tmp_path):
    images = Images(2)
    tensor = torch.from_numpy(images.squares).permute(0, 3, 1, 2)
    different = {seen(tensor[0], view).numpy().tobytes() for view in range(8)}
    assert len(different) == 8
    found = FeatureStore(encoder, SIZE, tmp_path).ensure(names(2), images, views=8)[POOLED]
    assert found.rows.shape == (2, 8)
    mirrored = encoder.embed(tensor.flip(-1)).numpy()
    assert found.pooled([], view=1) == pytest.approx(mirrored, rel=2e-3, abs=2e-3)


def test_other_weights_have_a_place_of_their_own(encoder, tmp_path):
    with torch.no_grad():
        state = encoder.trunk().body.state_dict()
    state["conv1.0.weight"] = state["conv1.0.weight"] + 1e-3
    torch.save(state, tmp_path / "other.pth")
    other = load_encoder(f"timm:test_resnet@{tmp_path / 'other.pth'}")
    assert FeatureStore(encoder, SIZE).folder(POOLED) != FeatureStore(other, SIZE).folder(POOLED)
    assert FeatureStore(encoder, SIZE).folder(POOLED) != FeatureStore(encoder, 48).folder(POOLED)
    assert FeatureStore(encoder, SIZE).folder(POOLED) != FeatureStore(encoder, SIZE).folder(2)
    same = load_encoder("timm:test_resnet@random")
    assert FeatureStore(same, SIZE).folder(POOLED) == FeatureStore(encoder, SIZE).folder(POOLED)


def test_a_killed_pass_goes_on_and_damage_is_repaired(encoder, tmp_path, monkeypatch):
    monkeypatch.setattr("bioautoml_nni.features.store.BLOCK", 2)
    images, store = Images(6), FeatureStore(encoder, SIZE, tmp_path)
    expected = FeatureStore(encoder, SIZE, tmp_path / "whole").ensure(names(6), images)[POOLED].batch(np.arange(6))

    def killed(count: int) -> None:
        if count == 2 and images.asked >= 4:
            raise KeyboardInterrupt

    images.asked = 0
    with pytest.raises(KeyboardInterrupt):
        store.ensure(names(6), images, advance=killed)
    images.asked = 0
    values = store.folder(POOLED) / "values.f16"
    with open(values, "ab") as file:  # a block whose place was not yet written down
        file.write(b"half a row")
    found = store.ensure(names(6), images)[POOLED].batch(np.arange(6))
    assert images.asked == 2 and np.array_equal(found, expected)
    with open(values, "r+b") as file:
        file.seek(7)
        file.write(b"\xff\xff")
    images.asked = 0
    assert np.array_equal(store.ensure(names(6), images)[POOLED].batch(np.arange(6)), expected)
    assert images.asked == 1
    (store.folder(POOLED) / "index.sqlite").write_bytes(b"no database" * 100)
    assert np.array_equal(store.ensure(names(6), images)[POOLED].batch(np.arange(6)), expected)


def test_a_limit_is_kept_by_what_was_used_longest_ago_or_by_a_sentence(encoder, tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    (old / "pixels.u8").write_bytes(bytes(3000))
    FeatureStore(encoder, SIZE, tmp_path, max_gb=4e-6).ensure(names(2), Images(2))
    assert not old.exists()
    with pytest.raises(
        DataError, match=r"cache.max_gb: the features of 2 images and views take .* GB, more than 1e-06"
    ):
        FeatureStore(encoder, SIZE, tmp_path, max_gb=1e-6).ensure(names(2), Images(2))


def test_a_network_on_an_accelerator_is_given_its_images_there(encoder, tmp_path):
    images = Images(3)
    expected = FeatureStore(encoder, SIZE, tmp_path / "here").ensure(names(3), images, [POOLED, 2])
    with fake_accelerator():
        there = load_encoder(encoder.reference)
        there.__dict__["_kept"] = {None: there.trunk().to(DEVICE)}  # as `Encoder.loaded` has it where there is a GPU
        found = FeatureStore(there, SIZE, tmp_path / "there").ensure(names(3), images, [POOLED, 2])
    for output in (POOLED, 2):
        assert found[output].batch(np.arange(3)) == pytest.approx(expected[output].batch(np.arange(3)), abs=2e-3)
    assert found[POOLED].widths == expected[POOLED].widths


def test_features_that_half_precision_cannot_hold_are_not_kept(tmp_path):
    encoder = load_encoder("timm:test_resnet@random")
    trunk = encoder.loaded(None)
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter.mul_(1e6)
    store = FeatureStore(encoder, SIZE, tmp_path)
    for _ in range(2):  # nor taken for stored the next time
        with pytest.raises(DataError, match="makes features of these images that are not finite, or"):
            store.ensure(names(2), Images(2))


def test_what_is_lacking_is_counted_without_computing_it(encoder, tmp_path):
    images, store = Images(4), FeatureStore(encoder, SIZE, tmp_path / "cache")
    assert store.lacking(names(4), [POOLED], 2) == 8 and not (tmp_path / "cache").exists()
    store.ensure(names(3), images, [POOLED])
    store.ensure(names(2), images, [2], views=2)
    images.asked = 0
    assert store.lacking(names(4), [POOLED], 1) == 1 and store.lacking(names(4), [2], 2) == 4
    assert store.lacking(names(4), [POOLED, 2], 1) == 2, "both outputs have to be there"
    assert images.asked == 0
    sizes = {output: (store.folder(output) / "values.f16").stat().st_size for output in (POOLED, 2)}
    assert store.row_bytes([POOLED]) == sizes[POOLED] / 3 and store.row_bytes([2]) == sizes[2] / 4
