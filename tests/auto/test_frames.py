"""What a classifier makes of tables in memory, images without files, and labels beside them."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bioautoml_nni
from bioautoml_nni.auto.frames import as_labels, as_table, write_frame
from bioautoml_nni.utils.errors import ConfigError, DataError, PluginError

SPECIMENS = pd.DataFrame({"species": ["ant", "bee", "ant"], "length": [1.0, np.nan, 3.0]})


def written(frame, folder, image=None):
    path, _, _, root = write_frame(frame, folder, image, None, None)
    return pd.read_parquet(path), root


ODD = {
    "lists": [[1, 2], [3], None], "mappings": [{"a": 1}] * 3, "complex": np.array([1j, 2j, 3j]),
    "intervals": pd.cut(pd.Series([1.0, 2.0, 3.0]), 2), "bytes": [b"x"] * 3,
    "deltas": pd.to_timedelta([1, 2, 3], unit="h"),
    "periods": pd.period_range("2020", periods=3), "sparse": pd.arrays.SparseArray([1.0, 2.0, 3.0]),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_cells_of_any_type_are_kept_as_files_hold_them(kind, tmp_path):
    table, _ = written(SPECIMENS.assign(odd=ODD[kind]), tmp_path)
    assert len(table) == 3 and table["odd"].map(lambda value: value is None or np.isscalar(value)).all()
    assert table["length"].isna().tolist() == [False, True, False]


def test_columns_are_named_once_and_by_texts():
    assert as_table(SPECIMENS.rename(columns={"length": 5}), None).columns.tolist() == ["species", "5"]
    with pytest.raises(DataError, match="several columns named 'species'; rename or drop them"):
        as_table(pd.concat([SPECIMENS, SPECIMENS[["species"]]], axis=1), None)
    with pytest.raises(DataError, match="several columns named '5'"):
        as_table(SPECIMENS.set_axis([5, "5"], axis=1), None)
    with pytest.raises(DataError, match="names of several levels"):
        as_table(SPECIMENS.set_axis(pd.MultiIndex.from_product([["a"], SPECIMENS]), axis=1), None)


GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.mark.parametrize(
    "image", [GREY, GREY[:, :, None], Image.fromarray(GREY), Image.fromarray(GREY.astype("uint16"))]
)
def test_grey_images_are_one_image_each_whatever_holds_them(image, tmp_path):
    table = as_table(image, "image")
    assert len(table) == 1
    names, root = written(table, tmp_path, "image")
    kept = np.asarray(Image.open(root / names["image"][0]).convert("RGB"))
    np.testing.assert_array_equal(kept[:, :, 1], GREY, "16 bits are scaled, as those of files are")


@pytest.mark.parametrize("image", [np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 5), np.uint8)])
def test_arrays_that_are_no_images_are_named_by_shape_and_type(image, tmp_path):
    with pytest.raises(DataError, match=rf"\(\d, 4.*{image.dtype}.*\(H, W, 3\)"):
        write_frame(as_table([image], "image"), tmp_path, "image", None, None)


def test_images_beside_empty_cells_are_saved(tmp_path):
    table, root = written(pd.DataFrame({"image": [np.nan, GREY, None]}), tmp_path, "image")
    assert table["image"].isna().tolist() == [True, False, True] and len(list(root.iterdir())) == 1


def test_paths_may_come_from_a_generator():
    assert as_table((name for name in ("a.png", "b.png")), "image")["image"].tolist() == ["a.png", "b.png"]


@pytest.mark.parametrize(
    "given", [["a", "b", "a"], ("a", "b", "a"), SPECIMENS[["species"]], SPECIMENS["species"], iter("aba")]
)
def test_labels_come_in_any_sequence(given):
    assert len(as_labels(given, 3, "fit")) == 3


@pytest.mark.parametrize("given", ["aba", 5, None, {"a": 1}, np.zeros((3, 2)), np.array(3), SPECIMENS])
def test_what_is_no_sequence_of_labels_is_named(given):
    with pytest.raises(DataError, match=r"fit: y is a \w+; give one label for each specimen"):
        as_labels(given, 3, "fit")
    with pytest.raises(DataError, match="fit: X has 3 specimens and y 2 labels"):
        as_labels(["a", "b"], 3, "fit")


# The functions beside the classifier.


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: bioautoml_nni.run(5), ConfigError, "config: 5 is not a path"),
        (lambda: bioautoml_nni.check(None), ConfigError, "config: None is not a path"),
        (lambda: bioautoml_nni.load(None), ConfigError, "folder: None is not a path"),
        (lambda: bioautoml_nni.list_plugins(5), PluginError, "5 is not a plug-in kind"),
        (
            lambda: bioautoml_nni.check({}, overrides={"a": 1}),
            ConfigError,
            "overrides: {'a': 1} is not a list of texts",
        ),
        (lambda: bioautoml_nni.check({}, overrides="seed"), ConfigError, "--set seed: write it as key.subkey=value"),
    ],
)
def test_arguments_of_the_wrong_kind_are_named(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_a_comparison_needs_rows_seeds_and_jobs():
    sample = {"name": "sample", "data": {"source": "sample"}}
    with pytest.raises(ConfigError) as error:
        bioautoml_nni.compare(sample, rows=[], seeds=0, jobs=0)
    assert [problem.partition(":")[0] for problem in error.value.problems] == ["seeds", "jobs", "rows"]
