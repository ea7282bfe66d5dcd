"""A small sample of what tests/fuzz_images.py tries by the hundred thousand."""

import time

import fuzz_images
import pytest

SAMPLE = 25


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", fuzz_images.formats())
def test_byte_changed_images_are_pixels_or_a_sentence_within_bounds(kind):
    clock, found = time.process_time(), []
    for data in fuzz_images.images(kind, 0, SAMPLE):
        found.append(fuzz_images.outcome(data))
    assert set(found) <= {"pixels", "sentence"}, found
    assert "sentence" in found  # or nothing was changed
    assert time.process_time() - clock < SAMPLE * fuzz_images.SECONDS


def test_what_the_fuzzer_makes_is_images_before_it_changes_them():
    for kind in fuzz_images.formats():
        assert {fuzz_images.outcome(data) for data in fuzz_images.originals(kind)} == {"pixels"}, kind


def test_the_same_numbers_give_the_same_images():
    assert list(fuzz_images.images("PNG", 3, 2)) == list(fuzz_images.images("PNG", 0, 5))[3:]
