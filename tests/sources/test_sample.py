import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

from bioautoml_nni.data.manifest import IMAGE, LABEL, SPLIT
from bioautoml_nni.sources.bioscan5m import METADATA
from bioautoml_nni.sources.sample import SampleSource, _specimens
from bioautoml_nni.sources.sample_drawing import draw_specimen
from bioautoml_nni.sources.sample_orders import ORDERS
from bioautoml_nni.utils.errors import DataError

COLUMNS = [
    "processid",
    "sampleid",
    "taxon",
    "phylum",
    "class",
    "order",
    "family",
    "subfamily",
    "genus",
    "species",
    "dna_bin",
    "dna_barcode",
    "country",
    "province_state",
    "coord-lat",
    "coord-lon",
    "image_measurement_value",
    "area_fraction",
    "scale_factor",
    "inferred_ranks",
    "split",
    "index_bioscan_1M_insect",
    "chunk",
]


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    root = tmp_path_factory.mktemp("sample") / "data"
    return SampleSource(root, specimens=60, sample_seed=1)


def test_it_has_the_genuine_layout(sample):
    manifest = sample.load()
    table = pd.read_csv(sample.root / METADATA)
    assert table.columns.tolist() == COLUMNS
    assert manifest.image_root == sample.root / "bioscan5m/images/cropped_256"
    for path in manifest.table[IMAGE]:
        with Image.open(manifest.image_root / path) as image:
            assert image.size == (256, 256)
    assert set(manifest.table[SPLIT]) == {"train", "val", "test"}


def test_it_is_written_once(sample):
    sample.load()
    stamp = (sample.root / METADATA).stat().st_mtime_ns
    sample.load()
    assert (sample.root / METADATA).stat().st_mtime_ns == stamp


def test_the_real_data_set_class_finds_every_image(sample):
    from bioscan_dataset import BIOSCAN5M

    class Subset(BIOSCAN5M):
        def _check_integrity(self, verbose=1):
            return True

    sample.load()
    dataset = Subset(str(sample.root), split="train", modality="image", target_type="order", download=False)
    image, target = dataset[0]
    assert image.size == (256, 256)
    assert dataset.index2label(target) in ORDERS


def test_the_same_seed_gives_the_same_specimens():
    (first, jobs), (again, _), (other, _) = (_specimens(80, seed) for seed in (5, 5, 6))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)
    plan = ORDERS[jobs[0].drawn_as]
    twice = [np.asarray(draw_specimen(plan, 0, np.random.default_rng(3), 64)) for _ in range(2)]
    np.testing.assert_array_equal(*twice)


def test_a_thousand_specimens_have_a_long_tail_and_gaps():
    table, _ = _specimens(1000, 0)
    counts = table["order"].value_counts()
    assert len(counts) >= 8 and counts.iloc[0] > 15 * counts.iloc[-1]
    assert 0.02 < table["coord-lat"].isna().mean() < 0.05
    assert table["species"].notna().mean() < 0.2
    assert table["chunk"][table["split"] == "train"].str.fullmatch("[0-9a-f]").all()
    assert table["chunk"][table["split"] != "train"].isna().all()


def test_place_and_size_inform_without_deciding():
    table, _ = _specimens(1000, 0)
    features = table[["coord-lat", "coord-lon", "image_measurement_value", "area_fraction", "scale_factor"]].astype(
        float
    )
    score = cross_val_score(
        RandomForestClassifier(min_samples_leaf=3, random_state=0), features, table["order"], cv=3
    ).mean()
    majority = table["order"].value_counts(normalize=True).iloc[0]
    assert majority + 0.1 < score < 0.75


def test_the_image_and_the_table_say_more_together_than_either():
    table, jobs = _specimens(1000, 0)
    drawn_as = pd.Series([job.drawn_as for job in jobs])
    measured = table[["coord-lat", "image_measurement_value"]].astype(float)
    both = pd.concat([measured, pd.get_dummies(drawn_as)], axis=1)
    model = RandomForestClassifier(min_samples_leaf=3, random_state=0)
    image = (drawn_as == table["order"]).mean()
    assert 0.75 < image < 0.85
    assert cross_val_score(model, both, table["order"], cv=3).mean() > image + 0.05
    assert cross_val_score(model, measured, table["order"], cv=3).mean() < image - 0.1


def test_the_size_tells_look_alikes_apart():
    for plan in ORDERS.values():
        ratio = plan.length_mm / ORDERS[plan.look_alike].length_mm
        assert max(ratio, 1 / ratio) > 1.5


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="holds something other than the sample"):
        SampleSource(tmp_path).load()
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_labels_follow_the_rank(sample):
    table = SampleSource(sample.root, specimens=60, sample_seed=1, rank="class").load().table
    assert set(table[LABEL]) == {"Insecta", "Arachnida", "Collembola"}
