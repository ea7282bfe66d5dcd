import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from bioautoml_nni.data.perceptual_hash import distances, near_pairs, perceptual_hash


def image(seed, size=64):
    small = np.random.default_rng(seed).integers(0, 255, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)


def distance(first, second):
    hashes = [np.array([perceptual_hash(np.asarray(image))]) for image in (first, second)]
    return int(distances(*hashes)[0])


@pytest.mark.parametrize("seed", range(8))
def test_edits_keep_the_hash_near_and_other_images_are_far(seed, tmp_path):
    original = image(seed)
    original.save(tmp_path / "again.jpg", quality=60)
    assert distance(original, Image.open(tmp_path / "again.jpg")) <= 4
    assert distance(original, original.resize((48, 48)).resize((64, 64))) <= 4
    assert distance(original, original.filter(ImageFilter.GaussianBlur(0.7))) <= 4
    assert distance(original, original.point(lambda value: min(255, value + 12))) <= 6
    assert distance(original, image(seed + 100)) > 12


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=30), st.integers(0, 5), st.data())
def test_near_pairs_are_those_of_brute_force(values, limit, data):
    if values:  # add neighbours, since random hashes are far from each other
        base = data.draw(st.sampled_from(values))
        flips = data.draw(st.lists(st.integers(0, 62), max_size=5))
        values = [*values, *(base ^ (1 << bit) for bit in flips), base]
    hashes = np.array(values, dtype=np.int64)
    expected = {
        (first, second)
        for first in range(len(values))
        for second in range(first + 1, len(values))
        if bin((values[first] ^ values[second]) & (2**64 - 1)).count("1") <= limit
    }
    assert {tuple(pair) for pair in near_pairs(hashes, limit).tolist()} == expected
