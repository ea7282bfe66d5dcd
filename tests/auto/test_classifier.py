"""SpecimenClassifier: scikit-learn's conventions, what goes in, what comes out."""

import configparser
import copy
import doctest
import importlib
import pickle
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import write_table
from PIL import Image
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.validation import check_is_fitted

import bioautoml_nni
from bioautoml_nni import SpecimenClassifier
from bioautoml_nni.utils.errors import ConfigError, DataError, ExportError, RunDirectoryError

FEW = ("majority", "metadata_boosting", "metadata_logistic")


def few_candidates(patch):
    """Let a portfolio have the candidates on metadata alone."""
    import bioautoml_nni.auto.plan as plan

    known = plan.plugins("candidates")
    patch.setattr(plan, "plugins", lambda kind: {name: known[name] for name in FEW} if kind == "candidates" else {})


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    """The tests' table with absolute image paths."""
    folder = tmp_path_factory.mktemp("frame")
    table = pd.read_csv(write_table(folder))
    return table.assign(image=[str(folder / name) for name in table["image"]])


@pytest.fixture(scope="module")
def fitted(frame):
    with pytest.MonkeyPatch.context() as patch:
        few_candidates(patch)
        model = SpecimenClassifier(label="label", minutes=5, verbose=False, overrides=["data.image_size=16"])
        return model.fit(frame)


@pytest.fixture(scope="module")
def of_images(exported):
    """A classifier of images and metadata, from the export of the tiny run, and the folder of its data."""
    model, run = exported
    return SpecimenClassifier.load(model), run.parent / "data"


def test_parameters_are_kept_as_they_are_and_cloned():
    overrides = ["data.image_size=16"]
    model = SpecimenClassifier(label="species", target="pi", minutes=3, overrides=overrides)
    assert model.get_params()["overrides"] is overrides
    other = clone(model).set_params(target="trap")
    assert other.get_params() == {**model.get_params(), "target": "trap", "overrides": overrides}
    with pytest.raises(NotFittedError, match="call fit, or load a saved one"):
        model.predict(pd.DataFrame())
    with pytest.raises(NotFittedError):
        check_is_fitted(model)


CHECKS = (
    "check_do_not_raise_errors_in_init_or_set_params", "check_estimator_cloneable",
    "check_estimator_repr", "check_estimator_tags_renamed",
    "check_get_params_invariance", "check_mixin_order", "check_no_attributes_set_in_init",
    "check_parameters_default_constructible", "check_set_params", "check_valid_tag_types",
)  # fmt: skip
"""Those of scikit-learn's checks that fit no estimator on numbers, of which ours makes nothing."""


@pytest.mark.parametrize("check", CHECKS)
def test_scikit_learn_finds_its_conventions(check):
    getattr(estimator_checks, check)("SpecimenClassifier", SpecimenClassifier())


def test_scikit_learn_knows_what_it_is():
    assert is_classifier(SpecimenClassifier())
    tags = get_tags(SpecimenClassifier())
    assert tags.no_validation and not tags.input_tags.two_d_array and not tags.target_tags.required


ASKED = {
    "predict": ["images"], "predict_proba": ["images"], "evaluate": ["new.csv"], "score": ["new.csv"],
    "leaderboard": [], "report": [], "audit": [], "architecture": [], "save": ["export"],
}  # fmt: skip


@pytest.mark.parametrize("method", ASKED)
def test_what_is_not_fitted_says_so(method):
    with pytest.raises(NotFittedError, match="call fit, or load a saved one"):
        getattr(SpecimenClassifier(), method)(*ASKED[method])


def test_notebooks_show_the_leaderboard_once_there_is_one(fitted):
    shown = fitted._repr_mimebundle_()["text/html"]
    assert "<table" in shown and "metadata_logistic" in shown
    assert "metadata_logistic" not in SpecimenClassifier()._repr_mimebundle_()["text/html"]


def test_copies_and_pickles_answer_alike(fitted, frame):
    for other in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        check_is_fitted(other)
        pd.testing.assert_frame_equal(other.predict_proba(frame), fitted.predict_proba(frame))
        pd.testing.assert_frame_equal(other.leaderboard(), fitted.leaderboard())
        with pytest.raises(DataError, match="is kept where the classifier was fitted"):
            other.report()
    assert pickle.loads(pickle.dumps(SpecimenClassifier(target="pi"))).target == "pi"


def test_after_fit_there_are_classes_a_leaderboard_and_a_report(fitted):
    check_is_fitted(fitted)
    assert fitted.classes_.tolist() == ["ant", "bee", "cicada"]
    board = fitted.leaderboard()
    assert set(board["candidate"]) >= set(FEW) and board.loc[0, "status"] == "winner"
    assert "<table" in fitted._repr_html_() and "<iframe" in fitted.report()._repr_html_()
    assert {"level", "topic", "text"} == set(fitted.audit().columns)
    with pytest.raises(DataError, match="is not a network"):
        fitted.architecture()


def test_images_of_a_frame_are_found_by_their_names_as_training_finds_them(of_images):
    model, folder = copy.copy(of_images[0]), of_images[1]
    model.image_root = folder
    table = pd.read_csv(folder / "metadata.csv")[:4]
    odd = table.assign(image=["images/0", "IMAGES/1.PNG", "images\\2.png", "images/3.png|images/4.png"])
    pd.testing.assert_frame_equal(model.predict_proba(odd), model.predict_proba(table))
    answers = model.predict(odd.set_index(pd.Index(list("abcd"))))
    assert (answers["error"] == "").all() and list(answers.index) == list("abcd")


def test_predictions_and_probabilities_keep_the_index(fitted, frame):
    some = frame.sample(9, random_state=0)
    answers, probabilities = fitted.predict(some), fitted.predict_proba(some)
    assert answers.index.equals(some.index) and probabilities.index.equals(some.index)
    assert list(probabilities.columns) == list(fitted.classes_) and np.allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.idxmax(axis=1) == answers["prediction"]).all()
    scores = fitted.evaluate(some)
    assert scores["accuracy"] == (answers["prediction"] == some["label"]).mean() == fitted.score(some)
    assert scores["specimens"] == 9


def test_labels_may_be_given_beside(fitted, frame):
    assert fitted.evaluate(frame.drop(columns="label"), frame["label"])["accuracy"] == fitted.score(frame)
    with pytest.raises(DataError, match="needs labels, as column 'label' of the table or as y"):
        fitted.evaluate(frame.drop(columns="label"))
    with pytest.raises(DataError, match="72 specimens and y 2 labels"):
        SpecimenClassifier().fit(frame, ["a", "b"])


def test_labels_that_are_numbers_beside_a_gap_are_those_of_the_table(fitted, frame, monkeypatch):
    """pandas makes floats of whole numbers as soon as one is missing."""
    numbered = copy.copy(fitted)
    numbered.classes_ = np.array(["7", "8"], dtype=object)
    answers = pd.DataFrame({"prediction": ["7", "8", "8", "7"], "error": ""})
    monkeypatch.setattr(numbered, "predict", lambda specimens: answers)
    found = numbered.evaluate(frame[:4], pd.Series([7, 8, 7, None]))
    assert (found["accuracy"], found["specimens"], found["left_out"]) == (pytest.approx(2 / 3), 3, 1)


def test_another_table_is_refused_and_a_missing_column_is_said(fitted, frame):
    with pytest.raises(DataError, match="none of the columns that the model reads is there"):
        fitted.predict(frame[["image"]])
    with pytest.warns(UserWarning, match="without these metadata columns: length_mm"):
        fitted.predict(frame.drop(columns="length_mm"))


def test_odd_tables_settings_and_labels_are_answered_or_named(fitted, frame, tmp_path):
    expected = fitted.predict(frame)["prediction"].tolist()
    assert fitted.predict(frame.assign(notes=[[1, 2]] * len(frame)))["prediction"].tolist() == expected
    for threshold in (2, float("nan"), "high"):
        with pytest.raises(DataError, match="must be a probability from 0 to 1"):
            fitted.predict(frame, threshold=threshold)
    assert set(fitted.predict(frame, species_list="ant")["prediction"]) == {"ant"}
    with pytest.warns(UserWarning, match="1 of the labels were not learned and count as wrong: 'wasp'"):
        assert fitted.evaluate(frame.assign(label="wasp"))["accuracy"] == 0
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match="is a file; name a folder as output"):
        SpecimenClassifier(label="label", output=tmp_path / "file", verbose=False).fit(frame)
    kept = fitted.save(tmp_path / "saved") / "classifier.json"
    kept.write_text('{"params": {"years": 3}}')
    with pytest.raises(ExportError, match=r"parameters that are unknown \(years\)"):
        SpecimenClassifier.load(tmp_path / "saved")


def test_settings_that_are_no_numbers_are_named(frame):
    for minutes in ("ten", float("inf"), True):
        with pytest.raises(ConfigError, match="--minutes .*: must be "):
            SpecimenClassifier(label="label", minutes=minutes, verbose=False).fit(frame)
    with pytest.raises(ConfigError, match="seed: Input should be greater than or equal to 0"):
        SpecimenClassifier(label="label", seed=-1, verbose=False).fit(frame)


def test_what_was_saved_answers_alike(fitted, frame, tmp_path):
    other = SpecimenClassifier.load(fitted.save(tmp_path / "saved"))
    pd.testing.assert_frame_equal(other.predict(frame), fitted.predict(frame))
    pd.testing.assert_frame_equal(other.leaderboard(), fitted.leaderboard(), check_dtype=False)
    assert other.evaluate(frame)["accuracy"] == fitted.score(frame)
    for kept in (other.report, other.audit, other.architecture):
        with pytest.raises(DataError, match="is kept where the classifier was fitted"):
            kept()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    with pytest.raises(ExportError, match="is not empty"):
        fitted.save(tmp_path / "full")
    with pytest.raises(ExportError, match="holds no exported model"):
        SpecimenClassifier.load(tmp_path / "full")


def test_mistakes_are_the_sentences_of_the_command(frame, tmp_path):
    with pytest.raises(ConfigError, match="--target moon: is unknown"):
        SpecimenClassifier(target="moon").fit(frame)
    with pytest.raises(DataError, match="there is no such table"):
        SpecimenClassifier().fit(tmp_path / "nothing.csv")
    for other in (3, np.zeros((4, 2)), [[0.5, 1.0]]):
        with pytest.raises(DataError, match="is not a table, folder, data frame"):
            SpecimenClassifier().fit(other)


def test_images_come_as_folders_paths_pillow_and_arrays(of_images):
    model, root = of_images
    folder = root / "images"
    files = sorted(folder.glob("*.png"))[:4]
    by_path = model.predict_proba(files)
    images = [Image.open(file) for file in files]
    assert np.allclose(model.predict_proba(images), by_path)
    assert np.allclose(model.predict_proba(np.stack([np.asarray(image) for image in images])), by_path)
    array = np.asarray(images[0])
    for one in (images[0], array, files[0], str(files[0]), pd.Series([str(files[0])], index=["z"])):
        found = model.predict_proba(one)
        assert found.shape == (1, 3) and np.allclose(found, by_path[:1])
        assert model.predict(one)["prediction"].tolist() == [by_path.iloc[0].idxmax()]
    grey = model.predict_proba(array[..., 0])
    assert np.allclose(grey, model.predict_proba(np.repeat(array[..., :1], 3, axis=2)))
    assert np.allclose(model.predict_proba(np.array([str(file) for file in files])), by_path)
    in_frame = pd.DataFrame({"image": images, "length_mm": 1.0}, index=list("abcd"))
    assert model.predict(in_frame).index.tolist() == list("abcd")
    whole = model.predict(folder)
    assert len(whole) == 72 and (whole["error"] == "").all()
    with pytest.raises(DataError, match="no image column 'image'"):
        model.predict(pd.DataFrame({"length_mm": [1.0]}))


def test_a_table_on_disk_and_in_memory_are_answered_alike(of_images):
    model, root = of_images
    table = pd.read_csv(root / "metadata.csv")
    model.image_root = root
    by_frame = model.predict(table)
    by_file = model.predict(root / "metadata.csv")
    assert by_frame["prediction"].tolist() == by_file["prediction"].tolist()
    assert model.evaluate(root / "metadata.csv")["accuracy"] == pytest.approx(model.score(table))


def test_importing_the_package_is_quick_and_lists_what_there_is():
    code = (
        "import sys, bioautoml_nni; assert set(bioautoml_nni.__all__) <= set(dir(bioautoml_nni)); "
        "print([name for name in ('torch', 'nni', 'sklearn', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert {"SpecimenClassifier", "MultimodalSpace", "AlternatingDARTS", "compare"} <= set(bioautoml_nni.__all__)
    for name in bioautoml_nni.__all__:
        assert callable(getattr(bioautoml_nni, name)) or name == "__version__"
        assert getattr(bioautoml_nni, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bioautoml_nni.nothing


def test_type_checkers_read_the_annotations_of_the_package():
    settings = configparser.ConfigParser()
    settings.read(Path(__file__).parents[2] / "setup.cfg")
    assert settings["options.package_data"]["bioautoml_nni"] == "py.typed"
    assert (resources.files(bioautoml_nni) / "py.typed").is_file()


@pytest.mark.parametrize("name", ["auto.classifier", "auto.functions"])
def test_examples_run(name):
    module = importlib.import_module(f"bioautoml_nni.{name}")
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    found = doctest.testmod(module, optionflags=flags)
    assert found.attempted > 2 and not found.failed
