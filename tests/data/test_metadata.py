import json

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from bioautoml_nni.data.metadata import MetadataPreprocessor

ROLES = {
    "weight": "numeric",
    "length": "size",
    "day": "date",
    "lat": "latitude",
    "lon": "longitude",
    "habitat": "categorical",
}
TRAIN = pd.DataFrame(
    {
        "weight": [0.0, 2.0, None, 4.0],
        "length": [1.0, 10.0, 100.0, None],
        "day": ["2016-01-01", "2016-07-01", None, "2016-12-31"],
        "lat": [90.0, 90.0, 0.0, None],
        "lon": [0.0, 120.0, 180.0, 5.0],
        "habitat": ["wood", "meadow", None, "wood"],
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
    assert np.linalg.norm(encoded.numeric[0] - encoded.numeric[1]) > 1.9


def test_missing_and_unseen_categories_differ():
    preprocessor = MetadataPreprocessor({"habitat": "categorical"}).fit(TRAIN)
    rows = pd.DataFrame({"habitat": [None, "desert", "meadow", "wood"]})
    assert preprocessor.transform(rows).categorical[:, 0].tolist() == [0, 1, 2, 3]
    assert preprocessor.specification() == {"numeric": 0, "categories": [4], "fields": 1}


def test_whole_floats_and_integers_are_one_category():
    preprocessor = MetadataPreprocessor({"plot": "categorical"}).fit(pd.DataFrame({"plot": [1, 2]}))
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
    assert encoded.numeric.shape == (1, specification["numeric"])
    assert encoded.mask.shape == (1, specification["fields"])
    assert np.isfinite(encoded.numeric).all()
    np.testing.assert_array_equal(encoded.numeric, again.numeric)
    np.testing.assert_array_equal(encoded.categorical, again.categorical)


def test_feature_names_match_the_inputs():
    preprocessor = MetadataPreprocessor(ROLES).fit(TRAIN)
    names = preprocessor.get_feature_names_out()
    assert len(names) == preprocessor.specification()["numeric"] + len(preprocessor.specification()["categories"])
