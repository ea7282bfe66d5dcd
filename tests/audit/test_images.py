import numpy as np
import pandas as pd

from bioautoml_nni.audit.images import image_findings
from bioautoml_nni.data.image_store import CachedPixels
from bioautoml_nni.data.manifest import ID, IMAGE, LABEL


def test_duplicates_are_counted_inside_and_across_the_parts():
    table = pd.DataFrame({ID: list("abcdefg"), IMAGE: list("abcdefg"), LABEL: ["x", "x", "y", "y", "x", "x", "y"]})
    hashes = [0, 0, 2**40 - 1, 2**40 - 2, -1, 2**40 - 1, 2**40 - 1]
    facts = pd.DataFrame(
        {
            "digest": ["1", "1", "2", "3", "4", "2", "5"],
            "phash": np.array(hashes, dtype=np.int64),
            "width": [10, 10, 40, 40, 40, 40, 40],
            "height": [20, 20, 30, 30, 30, 30, 30],
            "several": [0, 0, 1, 0, 0, 1, 0],
        }
    )
    rng = np.random.default_rng(0)
    a, c, other = (rng.integers(0, 200, (8, 8, 3)) for _ in range(3))
    memory = np.stack([a, a, c, c + rng.integers(0, 9, c.shape), other, c, 200 - c]).astype(np.uint8)
    test = np.array([False, True, False, False, True, False, True])
    found = image_findings(table, facts, CachedPixels(memory, np.arange(7)), test, ~test)
    assert found.exact_duplicates.pairs == 2  # a = b across the parts, c = f with different labels inside
    assert found.exact_duplicates.pairs_across_train_and_test == 1
    assert found.exact_duplicates.test_images_with_a_twin_in_training == 1
    assert found.exact_duplicates.pairs_with_different_labels == 1
    assert found.exact_duplicates.examples[0].ids == ["a", "b"]
    # c and f are near d, and one another exactly; g has the hash of c and looks like its negative
    assert found.near_duplicates.pairs == 2
    assert found.near_duplicates.pairs_across_train_and_test == 0
    assert found.smaller_than_32_px == 2 and found.first_of_several == 2
    assert found.longest_side.model_dump() == {"least": 20, "median": 40, "most": 40}
