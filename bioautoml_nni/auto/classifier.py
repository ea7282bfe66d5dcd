"""`bioautoml auto` from Python, with scikit-learn's conventions."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from rich.console import Console
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError

from ..artifacts.audit import AuditRecord
from ..data.finding import ImageFinder
from ..data.image_files import SUFFIXES, list_images
from ..data.tables import read_table
from ..runtime.model import Model
from ..runtime.predict import image_names
from ..runtime.predict import predict as predict_source
from ..runtime.request import Request
from ..utils.errors import DataError, RunDirectoryError
from ..utils.given import as_path, as_texts
from ..utils.quiet import quiet
from .frames import as_in_files, as_labels, as_table, write_frame
from .labelled import scores_on
from .packing import packed, unpacked
from .saved import read_saved, write_saved
from .shown import Drawing, Page

EXPORT = "export"
Specimens: TypeAlias = str | Path | pd.DataFrame | pd.Series | np.ndarray | Sequence[Any] | Any
"""A table, folder or image file, a table in memory, or images: PIL's, arrays (H, W, 3) or paths, one or several."""


class SpecimenClassifier(ClassifierMixin, BaseEstimator):
    """The best model for specimen images and their metadata within minutes and a device's budget.

    Args:
        label: column to learn. Whatever is None is guessed, here and below.
        image: column of image paths, PIL images or arrays.
        group: column whose equal rows stay on one side of the split, or "none".
        rank: rank to learn from an archive, such as "family".
        target: device that the model will run on: "trap", "pi" or "station".
        minutes: time for all candidates together; by default what the plan calls sensible.
        max_parameters, max_mflops, max_latency_ms: limits beside those of the target.
        image_root: folder from which image paths of data frames start; by default the working directory.
        output: folder of the candidates, leaderboard and report; ``fit`` with the same data resumes there. By default a
            temporary one, which goes with the object.
        seed: seed of split and training.
        overrides: settings of experiment.yml, as ``dotted.key=value`` texts.
        verbose: whether to show plan and progress.

    Attributes:
        classes_: names (K,), in the order of probabilities.
        leaderboard_: see `leaderboard`.
        choice_: the candidate that won, and why.
        model_: the exported model.
        folder_: of candidates, leaderboard and report.

    Example:
        >>> from bioautoml_nni import SpecimenClassifier
        >>> model = SpecimenClassifier(label="species", target="pi", minutes=30)
        >>> model.get_params()["target"]
        'pi'
        >>> model.predict("images")
        Traceback (most recent call last):
            ...
        sklearn.exceptions.NotFittedError: This SpecimenClassifier is not fitted yet; call fit, or load a saved one.
    """

    def __init__(
        self,
        label: str | None = None,
        *,
        image: str | None = None,
        group: str | None = None,
        rank: str | None = None,
        target: str | None = None,
        minutes: float | None = None,
        max_parameters: int | None = None,
        max_mflops: float | None = None,
        max_latency_ms: float | None = None,
        image_root: str | Path | None = None,
        output: str | Path | None = None,
        seed: int = 0,
        overrides: Sequence[str] = (),
        verbose: bool = True,
    ) -> None:
        self.label = label
        self.image = image
        self.group = group
        self.rank = rank
        self.target = target
        self.minutes = minutes
        self.max_parameters = max_parameters
        self.max_mflops = max_mflops
        self.max_latency_ms = max_latency_ms
        self.image_root = image_root
        self.output = output
        self.seed = seed
        self.overrides = overrides
        self.verbose = verbose

    def fit(self, X: Specimens, y: Sequence[Any] | None = None) -> SpecimenClassifier:
        """Try the candidates and keep the best.

        Args:
            X: a table, folder or archive, an experiment.yml, or a data frame with an image column.
            y: labels, where X has none.

        Raises:
            BioAutoMLError: with the sentence that `bioautoml auto` says.
        """
        quiet()  # before NNI is imported
        from .launch import launch

        temporary = None
        if self.output is None:
            temporary = tempfile.TemporaryDirectory(prefix="bioautoml-")
        folder = Path(temporary.name) if temporary else as_path(self.output, "output")
        if folder.exists() and not folder.is_dir():
            raise RunDirectoryError(f"{folder}: is a file; name a folder as output.")
        source, label, image, root = self._source(X, y, folder)
        finished = launch(
            source, Console(quiet=not self.verbose), image=image, label=label, group=self.group, rank=self.rank,
            target=self.target, max_parameters=self.max_parameters, max_mflops=self.max_mflops,
            max_latency_ms=self.max_latency_ms, minutes=self.minutes, output=folder, seed=self.seed,
            overrides=as_texts(self.overrides, "overrides"), image_root=root, command="SpecimenClassifier.fit",
        )  # fmt: skip
        self._temporary = temporary  # removed when nothing refers to it any more
        self.folder_ = folder
        self.choice_ = finished.choice
        self.leaderboard_ = finished.leaderboard
        self.label_ = finished.label
        self._take(Model.load(folder / "export"))
        return self

    def _source(
        self, X: Specimens, y: Sequence[Any] | None, folder: Path
    ) -> tuple[Path, str | None, str | None, Path | None]:
        """Return what `launch` starts from: source, label, image column, and the folder of its images."""
        if isinstance(X, str | Path):
            if y is not None:
                raise DataError("fit: y goes with a data frame or images; a table names its label column itself.")
            return Path(X), self.label, self.image, self._image_root()
        frame = as_table(X, self.image)
        label = None if self.label is None else str(self.label)
        if y is not None:
            label = label or "label"
            frame = frame.assign(**{label: pd.Series(as_labels(y, len(frame), "fit"), frame.index, dtype=object)})
        return (*write_frame(frame, folder / "input", self.image, self._image_root(), label),)

    def _image_root(self) -> Path | None:
        return None if self.image_root is None else as_path(self.image_root, "image_root")

    def _take(self, model: Model) -> None:
        self.model_ = model
        self.classes_ = model.classes["name"].to_numpy(dtype=object)

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn may know: tables and images in, whose values nobody else checks; y is optional."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = tags.input_tags.allow_nan = tags.no_validation = True
        tags.target_tags.required = False
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return parameters and results with the export's files; a temporary folder of candidates stays behind."""
        state = dict(super().__getstate__())
        gone = ["model_", "_temporary", "_unpacked", *(["folder_"] if state.get("_temporary") is not None else [])]
        kept = {name: value for name, value in state.items() if name not in gone}
        return {**kept, EXPORT: packed(self.model_.folder)} if self.__sklearn_is_fitted__() else kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take them back; the export lies in a temporary folder."""
        files = state.pop(EXPORT, None)
        super().__setstate__(state)
        if files is not None:
            self._unpacked = unpacked(files)  # removed when nothing refers to it any more
            self._take(Model.load(self._unpacked.name))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def _require_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError("This SpecimenClassifier is not fitted yet; call fit, or load a saved one.")

    def leaderboard(self) -> pd.DataFrame:
        """Return a line for each candidate, the winner first."""
        self._require_fitted()
        if not hasattr(self, "leaderboard_"):
            raise NotFittedError("This SpecimenClassifier was loaded from an export, which holds no leaderboard.")
        return self.leaderboard_.copy()

    def predict(
        self, X: Specimens, *, threshold: float = 0.0, coverage: float | None = None,
        species_list: Sequence[str] | None = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Return a line for each specimen: prediction, confidence, what could not be read.

        Args:
            X: a table or folder, a data frame, or images.
            threshold: below this confidence a coarser taxon is named, or none.
            coverage: adds sets that hold the truth with this probability.
            species_list: names that can occur.

        Raises:
            NotFittedError: before `fit`.
            DataError: for a source that cannot be read, or lacks the columns that the model needs.
        """
        self._require_fitted()
        X = _one_image(X)
        if isinstance(X, str | Path):
            with tempfile.TemporaryDirectory() as folder:
                output = Path(folder) / "predictions.parquet"
                names = None if species_list is None else tuple(as_texts(species_list, "species_list"))
                root = self._image_root()
                outcome = predict_source(
                    self.model_,
                    Request(
                        Path(X), output, self._image_column(), root, species_list=names, threshold=threshold,
                        coverage=coverage,
                    ),
                )  # fmt: skip
                self._warn(list(outcome.missing_columns))
                return pd.read_parquet(output)
        logits, failures, frame = self._logits(X)
        level = None if coverage is None else self.model_.coverage_level(coverage)
        rules = self.model_.decisions(threshold=threshold, species_list=species_list, level=level)
        answers = rules.answers(self.model_.probabilities(logits))
        return answers.assign(error=failures).set_index(frame.index)

    def predict_proba(self, X: Specimens) -> pd.DataFrame:
        """Return calibrated probabilities, a column for each class; NaN for images that cannot be read.

        Raises:
            NotFittedError, DataError: see `predict`.
        """
        self._require_fitted()
        logits, _, frame = self._logits(X)
        return pd.DataFrame(self.model_.probabilities(logits), index=frame.index, columns=list(self.classes_))

    def evaluate(self, X: str | Path | pd.DataFrame, y: Sequence[Any] | None = None) -> pd.Series:
        """Return accuracy, balanced accuracy and macro-F1 on labelled specimens (see `scores_on`).

        Args:
            X: a table with the label column, or specimens whose labels are y.

        Raises:
            NotFittedError, DataError: see `predict`.
        """
        self._require_fitted()
        frame = read_table(Path(X)) if isinstance(X, str | Path) and Path(X).is_file() else None
        if y is None:
            table = as_table(X, None) if isinstance(X, pd.DataFrame) else frame
            if table is None or self.label_ not in table:
                raise DataError(f"evaluate: needs labels, as column {self.label_!r} of the table or as y.")
            y = table[self.label_].tolist()
        answers = self.predict(X).reset_index(drop=True)
        labels = pd.Series(as_labels(y, len(answers), "evaluate"), dtype=object)
        return scores_on(labels, answers, self.classes_, self.model_.naming)

    def score(self, X: str | Path | pd.DataFrame, y: Sequence[Any] | None = None) -> float:
        """Return the accuracy on labelled specimens; see `evaluate`."""
        return float(self.evaluate(X, y)["accuracy"])

    def report(self) -> Page:
        """Return the report: a page in notebooks, a path elsewhere."""
        return Page(self._file("report.html"))

    def audit(self) -> pd.DataFrame:
        """Return what the audit said of the data that it was fitted on, a line for each remark."""
        remarks = AuditRecord.read(self._file("data/audit.json")).remarks
        lines = [(remark.level, remark.topic, remark.text) for remark in remarks]
        return pd.DataFrame(lines, columns=["level", "topic", "text"])

    def architecture(self) -> Drawing:
        """Return the drawing of the chosen network's cells.

        Raises:
            DataError: if the winner is not a network.
        """
        self._require_fitted()
        if not hasattr(self, "folder_"):
            raise DataError("architecture: is kept where the classifier was fitted, not in what was saved.")
        file = self.folder_ / f"candidates/{self.choice_.winner}/architecture.svg"
        if not file.is_file():
            raise DataError(f"architecture: {self.choice_.winner} is not a network.")
        return Drawing(file.read_text(encoding="utf-8"))

    def _file(self, name: str) -> Path:
        self._require_fitted()
        if not hasattr(self, "folder_") or not (self.folder_ / name).is_file():
            raise DataError(f"{name}: is kept where the classifier was fitted, not in what was saved.")
        return self.folder_ / name

    def save(self, folder: str | Path) -> Path:
        """Write the model and what is known of it to a folder, which `bioautoml predict` and `serve` take, too.

        Raises:
            ExportError: if the folder holds something else.
        """
        self._require_fitted()
        target = as_path(folder, "save")
        params = {**self.get_params(), "overrides": as_texts(self.overrides, "overrides")}
        write_saved(target, self.model_.folder, params, self.label_, getattr(self, "leaderboard_", None))
        return target

    @classmethod
    def load(cls, folder: str | Path) -> SpecimenClassifier:
        """Return a classifier that was saved, or one with the model of any export.

        Raises:
            ExportError: if the folder holds no export, or one that changed.
        """
        model = Model.load(as_path(folder, "load"))
        params, label, leaderboard = read_saved(model.folder, cls().get_params(), model.info.rank)
        made = cls(**params)
        made.label_ = label
        if leaderboard is not None:
            made.leaderboard_ = leaderboard
        made._take(model)
        return made

    def _image_column(self) -> str | None:
        return self.image if self.model_.uses_images else None

    def _logits(self, X: Specimens) -> tuple[np.ndarray, list[str], pd.DataFrame]:
        """Return logits (N, K), what is wrong with each row, and the rows."""
        X = _one_image(X)
        if isinstance(X, str | Path):
            path = Path(X)
            if path.is_dir():
                X = [path / name for name in list_images(path).files]
            else:
                frame = read_table(path)
                return self._of_frame(frame, Path(self.image_root or path.parent))
        column = self.image or self.model_.image.column or "image"
        frame = as_table(X, column)
        with tempfile.TemporaryDirectory() as folder:
            if self.model_.uses_images and column in frame:
                _, _, name, root = write_frame(frame, Path(folder), column, self.image_root, None)
                references = pd.read_parquet(Path(folder) / "specimens.parquet")[name]
                return self._of_frame(frame.assign(**{column: references.to_numpy()}), root or Path.cwd())
            return self._of_frame(frame, Path.cwd())

    def _of_frame(self, frame: pd.DataFrame, root: Path) -> tuple[np.ndarray, list[str], pd.DataFrame]:
        model = self.model_
        column = self.image or model.image.column or "image"
        if model.uses_images and column not in frame:
            raise DataError(
                f"predict: there is no image column {column!r}; the columns are {', '.join(map(str, frame))}."
            )
        missing = model.lacking(frame)
        if missing and not model.uses_images and len(missing) == len(model.preprocessor.roles):
            raise DataError(
                f"predict: none of the columns that the model reads is there ({', '.join(missing)}); it was fitted on "
                "another kind of table."
            )
        if not len(frame):
            raise DataError("predict: there is nothing to predict.")
        rows = as_in_files(frame.reset_index(drop=True))
        if model.uses_images:  # as training and `predict` of a file find them
            found = ImageFinder(root, model.links).find_all(image_names(rows[column]))
            rows = rows.assign(**{column: found})
        logits, failures = model.predict_rows(rows, root, column if model.uses_images else None)
        self._warn(missing)
        return logits, failures, frame

    @staticmethod
    def _warn(missing: Sequence[str]) -> None:
        if missing:
            warnings.warn(f"answered without these metadata columns: {', '.join(missing)}", UserWarning, stacklevel=4)

    def _html_repr(self) -> str:
        """Return the leaderboard once there is one, the parameters before; notebooks show it."""
        if hasattr(self, "leaderboard_"):
            html = self.leaderboard_.to_html(index=False, float_format=lambda value: f"{value:.3f}", na_rep="–")
            return f"<b>SpecimenClassifier</b>, {len(self.classes_)} classes{html}"
        return str(super()._html_repr())


def _one_image(X: Specimens) -> Specimens:
    """Return the path of a single image as a list of images, anything else as it is."""
    if isinstance(X, str | Path) and Path(X).suffix.lower() in SUFFIXES and Path(X).is_file():
        return [Path(X)]
    return X
