import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from bioautoml_nni.data.metadata import MetadataPreprocessor
from bioautoml_nni.data.tables import TableFile
from bioautoml_nni.sources.csv import CsvSource

ROLES = {
    "weight": "numeric",
    "length": "size",
    "day": "date",
    "lat": "latitude",
    "lon": "longitude",
    "habitat": "categorical",
    "cover": "fraction",
    "caught": "hour",
    "notes": "text",
}
PLACE = {"lat": "latitude", "lon": "longitude"}
TRAIN = pd.DataFrame(
    {
        "weight": [0.0, 2.0, None, 4.0],
        "length": [1.0, 10.0, 100.0, None],
        "day": ["2016-01-01", "2016-07-01", None, "2016-12-31"],
        "lat": [90.0, 90.0, 0.0, None],
        "lon": [0.0, 120.0, 180.0, 5.0],
        "habitat": ["wood", "meadow", None, "wood"],
        "cover": [0.0, 0.5, 1.0, None],
        "caught": ["23:30", "00:30", None, "12:00"],
        "notes": ["on a leaf", None, "under bark, on oak", "leaf a on"],
    }
)


def test_numbers_agree_with_scikit_learn():
    encoded = MetadataPreprocessor({"weight": "numeric"}).fit(TRAIN).transform(TRAIN)
    reference = StandardScaler().fit_transform(TRAIN[["weight"]])
    present = TRAIN["weight"].notna().to_numpy()
    np.testing.assert_allclose(encoded.numeric[present], reference[present], rtol=1e-6)


def test_zero_is_a_value_and_a_gap_is_not():
    encoded = MetadataPreprocessor({"weight": "numeric"}).fit(TRAIN).transform(TRAIN)
    assert encoded.mask[:, 0].tolist() == [1, 1, 0, 1]
    assert encoded.numeric[2, 0] == 0
    assert encoded.numeric[0, 0] < 0


def test_the_pole_is_one_place_whatever_its_longitude():
    encoded = MetadataPreprocessor({"lat": "latitude", "lon": "longitude"}).fit(TRAIN).transform(TRAIN)
    np.testing.assert_allclose(encoded.numeric[0], encoded.numeric[1], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(encoded.numeric[:3], axis=1), 1, rtol=1e-6)
    assert encoded.mask[:, 0].tolist() == [1, 1, 1, 0]


def test_the_turn_of_the_year_is_no_border():
    encoded = MetadataPreprocessor({"day": "date"}).fit(TRAIN).transform(TRAIN)
    assert np.linalg.norm(encoded.numeric[0] - encoded.numeric[3]) < 0.05
    assert np.linalg.norm(encoded.numeric[0, :2] - encoded.numeric[1, :2]) > 1.9


def test_midnight_is_no_border():
    encoded = MetadataPreprocessor({"caught": "hour"}).fit(TRAIN).transform(TRAIN)
    near, far = (np.linalg.norm(encoded.numeric[0] - encoded.numeric[row]) for row in (1, 3))
    assert near < 0.6 < far
    hours = MetadataPreprocessor({"caught": "hour"}).fit(TRAIN).transform(pd.DataFrame({"caught": [23.5, 0.5, 25.0]}))
    np.testing.assert_allclose(hours.numeric[:2], encoded.numeric[:2], atol=1e-6)
    assert hours.mask[:, 0].tolist() == [1, 1, 0]


def test_a_date_with_times_of_day_tells_both():
    train = pd.DataFrame({"when": ["2016-06-01T06:00:00Z", "2016-06-01T18:00:00+02:00", None]})
    preprocessor = MetadataPreprocessor({"when": "date"}).fit(train)
    assert [name.split("_")[1] for name in preprocessor.get_feature_names_out()] == ["day"] * 4 + ["hour"] * 4
    encoded = preprocessor.transform(train)
    np.testing.assert_allclose(encoded.numeric[0, :4], encoded.numeric[1, :4])
    np.testing.assert_allclose(encoded.numeric[:2, 4], [1, -1], atol=1e-6)  # sine of a quarter and three quarters
    assert encoded.mask.tolist() == [[1, 1], [1, 1], [0, 0]]


def test_finer_places_tell_neighbours_apart():
    table = pd.DataFrame({"lat": [50.0, 50.0], "lon": [8.0, 8.1]})  # seven kilometres

    def gap(resolution):
        encoded = MetadataPreprocessor(PLACE, place_resolution_km=resolution).fit(table).transform(table)
        return np.linalg.norm(encoded.numeric[0] - encoded.numeric[1])

    assert gap(0) < 0.002 < 1 < gap(20)


def test_sizes_are_logs_and_fractions_logits():
    encoded = MetadataPreprocessor({"length": "size"}).fit(TRAIN).transform(TRAIN)
    reference = StandardScaler().fit_transform(np.log1p(TRAIN[["length"]].to_numpy()[:3]))
    np.testing.assert_allclose(encoded.numeric[:3], reference, rtol=1e-5)
    cover = MetadataPreprocessor({"cover": "fraction"}).fit(TRAIN).transform(TRAIN)
    np.testing.assert_allclose(cover.numeric[:, 0], [-np.sqrt(1.5), 0, np.sqrt(1.5), 0], rtol=1e-5, atol=1e-6)
    outside = MetadataPreprocessor({"cover": "fraction"}).fit(TRAIN).transform(pd.DataFrame({"cover": [1.5, -1]}))
    assert outside.mask[:, 0].tolist() == [0, 0]


def test_rare_categories_share_the_unknown_one():
    train = pd.DataFrame({"habitat": ["wood"] * 5 + ["bog"] * 2 + ["sea"]})
    preprocessor = MetadataPreprocessor({"habitat": "categorical"}, rare_below=3).fit(train)
    assert preprocessor.transform(train).categorical[:, 0].tolist() == [2] * 5 + [1] * 3


def test_a_text_is_its_words_in_any_order():
    preprocessor = MetadataPreprocessor({"notes": "text"}, text_width=16).fit(TRAIN)
    encoded = preprocessor.transform(TRAIN)
    np.testing.assert_allclose(np.linalg.norm(encoded.numeric, axis=1), [1, 0, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(encoded.numeric[0], encoded.numeric[3])
    assert encoded.mask[:, 0].tolist() == [1, 0, 1, 1]


def test_missing_and_unseen_categories_differ():
    preprocessor = MetadataPreprocessor({"habitat": "categorical"}, rare_below=1).fit(TRAIN)
    rows = pd.DataFrame({"habitat": [None, "desert", "meadow", "wood"]})
    assert preprocessor.transform(rows).categorical[:, 0].tolist() == [0, 1, 2, 3]
    assert preprocessor.specification() == {
        "numeric_fields": [],
        "categories": [4],
        "category_fields": [0],
        "fields": 1,
    }


def test_whole_floats_and_integers_are_one_category():
    preprocessor = MetadataPreprocessor({"plot": "categorical"}, rare_below=1).fit(pd.DataFrame({"plot": [1, 2]}))
    assert preprocessor.transform(pd.DataFrame({"plot": [1.0, None]})).categorical[:, 0].tolist() == [2, 0]


def test_fitting_sees_only_the_rows_it_is_given():
    other = TRAIN.assign(weight=1e9, habitat="sea")
    preprocessor = MetadataPreprocessor(ROLES).fit(TRAIN)
    before = json.dumps(preprocessor.to_dict())
    preprocessor.transform(other)
    assert json.dumps(preprocessor.to_dict()) == before
    assert "sea" not in before


@given(st.lists(st.sampled_from(sorted(ROLES)), unique=True), st.integers(0, 3))
def test_any_row_with_any_gaps_is_finite_and_survives_json(missing, row):
    preprocessor = MetadataPreprocessor(ROLES).fit(TRAIN)
    restored = MetadataPreprocessor.from_dict(json.loads(json.dumps(preprocessor.to_dict())))
    rows = TRAIN.iloc[[row]].drop(columns=missing)
    encoded, again = preprocessor.transform(rows), restored.transform(rows)
    specification = preprocessor.specification()
    assert encoded.numeric.shape == (1, len(specification["numeric_fields"]))
    assert encoded.mask.shape == (1, specification["fields"])
    assert np.isfinite(encoded.numeric).all()
    np.testing.assert_array_equal(encoded.numeric, again.numeric)
    np.testing.assert_array_equal(encoded.categorical, again.categorical)


def test_feature_names_match_the_inputs():
    preprocessor = MetadataPreprocessor(ROLES).fit(TRAIN)
    names = preprocessor.get_feature_names_out()
    specification = preprocessor.specification()
    assert len(names) == len(set(names)) == len(specification["numeric_fields"]) + len(specification["categories"])


def test_truth_values_are_one_however_they_are_written():
    train = pd.DataFrame({"wet": ["TRUE", "FALSE", "TRUE"]})
    fitted = MetadataPreprocessor({"wet": "categorical"}, rare_below=1).fit(train)
    asked = pd.DataFrame({"wet": [True, "true", "True", False, "yes"]}, dtype=object)
    places = fitted.transform(asked).categorical[:, 0].tolist()
    known = fitted.transform(train).categorical[:, 0].tolist()
    assert places == [known[0], known[0], known[0], known[1], 1]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_what_meant_a_gap_in_training_means_one_in_every_later_table(tmp_path, suffix):
    """A cell of -999 is no number of a specimen, be it text or number, in training, a table, a frame or a request."""
    weights = [float(number % 7) if number % 4 else -999.0 for number in range(60)]
    table = pd.DataFrame({"label": list("ab") * 30, "weight": weights, "site": ["oak", "NA", "elm"] * 20})
    path = tmp_path / f"table.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    columns = {"weight": "numeric", "site": "categorical"}
    missing = ["-999", "-999.0", "NA"]
    manifest = CsvSource(tmp_path, path.name, image=None, columns=columns, missing=missing).load()
    fitted = MetadataPreprocessor(manifest.features(), missing=manifest.missing).fit(manifest.table)
    own = fitted.transform(manifest.table)
    assert own.mask[:, 0].tolist() == [number % 4 > 0 for number in range(60)] and abs(own.numeric).max() < 3
    kept = MetadataPreprocessor.from_dict(json.loads(json.dumps(fitted.to_dict())))
    (raw,) = TableFile(path).blocks(99)
    for later in (raw, table, table.astype(object), raw.iloc[:1]):
        read = kept.readable(later)
        again = kept.transform(read)
        for found, wanted in zip(vars(again).values(), vars(own).values(), strict=True):
            assert np.array_equal(found, wanted[: len(later)])
        assert not kept.doubts(read)
    assert "missing" not in MetadataPreprocessor({}).to_dict()  # as releases before it wrote


@pytest.mark.parametrize("roles", [PLACE, {"place": "coordinates"}])
def test_the_place_zero_zero_is_missing_wherever_it_comes_from(roles):
    rows = pd.DataFrame({"lat": ["0", "0", "52.5", "0.0"], "lon": ["0.0", "13.4", "0", ""]})
    table = rows if "lat" in roles else pd.DataFrame({"place": ["0, 0", "0, 13.4", "52.5, 0", ""]})
    fitted = MetadataPreprocessor(roles).fit(table)
    exported = MetadataPreprocessor.from_dict(json.loads(json.dumps(fitted.to_dict())))
    for preprocessor in (fitted, exported):
        assert preprocessor.transform(table).mask[:, 0].tolist() == [0, 1, 1, 0]
        assert any("(0, 0)" in what for _, what, _ in preprocessor.doubts(table))
    state = fitted.to_dict()
    del state["fields"][0]["nowhere"]  # as earlier exports are, which answer as they did
    assert MetadataPreprocessor.from_dict(state).transform(table).mask[:, 0].tolist() == [1, 1, 1, 0]
