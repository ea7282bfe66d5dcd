"""An exported model, loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..architecture.budgets import LARGEST_SIDE
from ..artifacts.calibration import Calibration
from ..artifacts.exported import ExportRecord
from ..artifacts.preprocessing import Preprocessing
from ..data.border import require_below
from ..data.column_names import with_names
from ..data.decoding import ImageReference, decode, read_bytes
from ..data.file_names import on_disk
from ..data.image_files import Links
from ..data.metadata import MetadataPreprocessor
from ..data.naming import restore_naming
from ..data.own_csv import read_own
from ..data.remote_images import READERS, HostFailedError
from ..utils.errors import DataError, ExportError
from ..utils.given import as_texts
from ..utils.remote import RemotePath
from .decisions import Decisions
from .export_files import (
    DESCRIPTIONS,
    WAY_OUT,
    export_folder,
    open_session,
    outputs_of,
    read_info,
    require_unchanged,
)

SPLIT = ("image_encoder.onnx", "fusion_head.onnx")
"""The model in two files: from images to embeddings, and from there to logits."""


class Model:
    """A folder that `bioautoml export` wrote, ready to answer.

    Attributes:
        classes: table with index, name, rank and coarser taxa where known.
        temperature: that divides logits before they become probabilities.
        brand: a warning that every output has to carry, empty if there is none.
        missing_columns: metadata columns that the last table lacked, taken as missing.
        links: where symbolic links of an image folder may lead.
    """

    def __init__(
        self, folder: Path, info: ExportRecord, preprocessing: Preprocessing, calibration: Calibration,
        classes: pd.DataFrame, session: Any,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.info = info
        self.classes = classes
        self.calibration = calibration
        self.temperature = calibration.temperature
        self.brand = info.brand
        self.image = preprocessing.image
        self.preprocessor = MetadataPreprocessor.from_dict(preprocessing.metadata)
        self.naming = restore_naming(preprocessing.labels)
        self.session = session
        self.missing_columns: list[str] = []
        self.links: Links = "inside"
        self._explainers: tuple[Any, ...] | None = None
        self._embedders: tuple[Any, ...] | None = None

    @classmethod
    def load(cls, folder: str | Path, file: str = "model.onnx", threads: int = 0) -> Model:
        """Load an export.

        Args:
            folder: the folder with export.json, or a run directory that has one in export/.
            file: model.onnx or model_int8.onnx.
            threads: of onnxruntime; 0 is its own choice.

        Raises:
            ExportError: if the folder holds no export, or one of another version, or changed since it was written.
        """
        import onnxruntime

        folder = export_folder(Path(folder))
        try:
            info = read_info(folder)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            session = open_session(folder / file, info, options)
            for name in DESCRIPTIONS:
                require_unchanged(folder / name, info)
            classes = read_own(folder / "classes.csv", numbers=("index",))
            calibration = Calibration.read(folder / "calibration.json", WAY_OUT, ExportError)
            preprocessing = Preprocessing.read(folder / "preprocessing.json", WAY_OUT, ExportError)
            model = cls(folder, info, preprocessing, calibration, classes, session)
            model._require_answer()
            return model
        except ExportError:
            raise
        except Exception as error:  # onnxruntime's exceptions have no common base
            raise ExportError(f"{folder}: cannot be loaded ({error}); export the run again.") from error

    def _require_answer(self) -> None:
        """Ask about a black image without metadata: what the files say has to fit together.

        Raises:
            ExportError: if the number of classes is another than the network's, or the image too large.
        """
        size = self.image.edge if self.uses_images else 0
        if size > LARGEST_SIDE:
            raise ExportError(
                f"{self.folder / 'preprocessing.json'}: image.size: {size} is above {LARGEST_SIDE}; export it again."
            )
        logits = self.logits(np.zeros((1, size, size, 3), np.uint8) if size else None, pd.DataFrame(index=[0]))
        if logits.shape != (1, len(self.classes)):
            raise ExportError(
                f"{self.folder}: classes.csv has {len(self.classes)} classes, the network {logits.shape[-1]}; export "
                "the run again."
            )
        for coverage in self.calibration.prediction_sets:
            self.decisions(threshold=1.0, level=self.coverage_level(float(coverage))).answers(
                self.probabilities(logits)
            )
        self.missing_columns = []

    @property
    def uses_images(self) -> bool:
        """Whether the model looks at images."""
        return "image" in self.info.modalities

    @property
    def uses_metadata(self) -> bool:
        """Whether the model reads metadata."""
        return "metadata" in self.info.modalities

    def coverage_level(self, coverage: float) -> float:
        """Return the least probability of a member of a set that holds the truth with probability `coverage`.

        Raises:
            DataError: for a coverage that the export did not calibrate.
        """
        levels = self.calibration.prediction_sets
        if f"{coverage:g}" not in levels:
            raise DataError(f"coverage {coverage:g}: is not calibrated; choose {', '.join(levels)}.")
        return float(levels[f"{coverage:g}"])

    def decisions(self, **options: Any) -> Decisions:
        """Return the rules that turn probabilities into answers; see `Decisions`.

        A species list may spell names in any way that was one in training, and use synonyms that were known there.
        """
        if (names := options.get("species_list")) is not None:
            known = set(self.classes["name"])
            given = as_texts(names, "species_list")
            options["species_list"] = [name if name in known else self.naming.name(name) for name in given]
        return Decisions(self.classes, self.info.rank, **options)

    def read_image(
        self, root: Path, reference: str, into: np.ndarray | None = None, literal: bool = False
    ) -> np.ndarray:
        """Return an image below `root` as (S, S, 3) uint8.

        Args:
            into: an array that receives it.
            literal: whether the reference is a file's name, in which nothing marks a box or a member.

        Raises:
            OSError: if it cannot be read.
            DataError: if the reference leads out of `root`.
        """
        parsed = ImageReference(reference) if literal else ImageReference.parse(reference)
        require_below(root, [parsed.path], self.links)
        return decode(read_bytes(root, parsed), self.image.edge, parsed.box, into).square

    def logits(self, images: np.ndarray | None, table: pd.DataFrame) -> np.ndarray:
        """Return logits (N, K).

        Args:
            images: (N, S, S, 3) uint8; None for a model that reads metadata alone.
            table: N rows of metadata; columns that it lacks count as missing.
        """
        return self.run(self.encode(images, table))

    def run(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Return logits (N, K) of encoded inputs; see `encode`."""
        (logits,) = outputs_of(self.session, inputs)
        return np.asarray(logits)

    def encode(self, images: np.ndarray | None, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """Return the model's inputs by name, N rows each; arguments as those of `logits`."""
        inputs: dict[str, np.ndarray] = {}
        if self.uses_images:
            if images is None:
                raise DataError(f"{self.folder}: this model needs images.")
            inputs["image"] = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        if self.uses_metadata:
            self.missing_columns = self.lacking(table)
            encoded = self.preprocessor.transform(self.preprocessor.readable(table))
            inputs.update(numeric=encoded.numeric, categorical=encoded.categorical, mask=encoded.mask)
        return inputs

    def lacking(self, table: pd.DataFrame) -> list[str]:
        """Return the metadata columns that a table lacks."""
        if not self.uses_metadata:
            return []
        there = with_names(table.head(0), self.preprocessor.roles)
        return [name for name in self.preprocessor.roles if name not in there]

    def doubts(self, table: pd.DataFrame) -> list[tuple[str, str, str]]:
        """Return column, what is wrong and text of each value that cannot be read or is not a category of training."""
        return self.preprocessor.doubts(self.preprocessor.readable(table)) if self.uses_metadata else []

    @property
    def embeds(self) -> bool:
        """Whether the export can give the embedding of an image: its encoder is a file of its own."""
        return self.uses_images and all((self.folder / name).is_file() for name in SPLIT)

    def embeddings(self, images: np.ndarray) -> np.ndarray:
        """Return the image encoder's embeddings (N, E) float32, for searching, clustering or a classifier of one's own.

        Args:
            images: (N, S, S, 3) uint8.

        Raises:
            ExportError: if the model looks at no images.
        """
        encoder, _ = self._split()
        (found,) = encoder.run(["embedding"], {"image": np.ascontiguousarray(images.transpose(0, 3, 1, 2))})
        return np.asarray(found, np.float32)

    def logits_and_embeddings(self, images: np.ndarray, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return logits (N, K) and embeddings (N, E) of one pass; arguments as those of `logits`."""
        _, head = self._split()
        embeddings = self.embeddings(images)
        (logits,) = outputs_of(head, {**self.encode(images, table), "embedding": embeddings})
        return np.asarray(logits), embeddings

    def _split(self) -> tuple[Any, ...]:
        """Return the sessions of image encoder and head."""
        if not self.embeds:
            raise ExportError(f"{self.folder}: has no image encoder of its own, so there are no embeddings.")
        if self._embedders is None:
            options = self.session.get_session_options()
            self._embedders = tuple(open_session(self.folder / name, self.info, options) for name in SPLIT)
        return self._embedders

    @property
    def explains(self) -> bool:
        """Whether the export can say where the model looked; not for transformers, nor without images."""
        return (self.folder / "gradcam.onnx").is_file()

    def explain(self, image: np.ndarray, row: pd.DataFrame, index: int) -> np.ndarray:
        """Return Grad-CAM (h, w) for one specimen, scaled to at most 1: where the model saw what speaks for a class.

        Args:
            image: (S, S, 3) uint8.
            row: one row of metadata; columns that it lacks count as missing.
            index: of the class to explain.

        Raises:
            ExportError: if the export has no gradcam.onnx.
        """
        if not self.explains:
            raise ExportError(f"{self.folder}: cannot say where this model looked; its encoder has no feature map.")
        if self._explainers is None:
            options = self.session.get_session_options()
            self._explainers = tuple(
                open_session(self.folder / name, self.info, options) for name in ("image_encoder.onnx", "gradcam.onnx")
            )
        encoder, gradcam = self._explainers
        inputs = self.encode(image[None], row)
        (features,) = encoder.run(["features"], {"image": inputs["image"]})
        wanted = np.zeros((1, len(self.classes)), np.float32)
        wanted[0, index] = 1
        (found,) = outputs_of(gradcam, {**inputs, "features": features, "wanted": wanted})
        return found[0] / max(float(found.max()), float(np.finfo(np.float32).tiny))

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities (N, K)."""
        scaled = logits.astype(np.float64) / self.temperature
        exponential = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return exponential / exponential.sum(axis=1, keepdims=True)

    def predict_rows(
        self, table: pd.DataFrame, root: Path | None = None, image_column: str | None = None, literal: bool = False
    ) -> tuple[np.ndarray, list[str]]:
        """Return logits (N, K) of rows of a table, and what is wrong with each row, or an empty text.

        A row whose image cannot be read has logits that are not a number. `literal` as in `read_image`.
        """
        images, failures = self.read_rows(table, root, image_column, literal)
        logits = self.logits(images, table)
        logits[[bool(failure) for failure in failures]] = np.nan
        return logits, failures

    def embed_rows(
        self, table: pd.DataFrame, root: Path, image_column: str, literal: bool = False
    ) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Return what `predict_rows` does with the embeddings (N, E) in between, both not a number where it fails."""
        images, failures = self.read_rows(table, root, image_column, literal)
        assert images is not None  # `_split` says so otherwise
        logits, embeddings = self.logits_and_embeddings(images, table)
        failed = [bool(failure) for failure in failures]
        logits[failed], embeddings[failed] = np.nan, np.nan
        return logits, embeddings, failures

    def read_rows(
        self, table: pd.DataFrame, root: Path | None = None, image_column: str | None = None, literal: bool = False
    ) -> tuple[np.ndarray | None, list[str]]:
        """Return images (N, S, S, 3) uint8 of rows, black where unreadable, and what is wrong with each row.

        `literal` as in `read_image`.
        """
        failures = [""] * len(table)
        images = None
        if self.uses_images:
            assert root is not None and image_column is not None  # callers find the column first
            size = self.image.edge
            images = np.zeros((len(table), size, size, 3), np.uint8)

            def one(number: int, reference: Any) -> None:
                try:
                    if not isinstance(reference, str) or not reference.strip():
                        raise OSError("the row names no image")
                    exact = literal or isinstance(root, RemotePath) or os.path.isfile(on_disk(root, reference))
                    self.read_image(root, reference if exact else reference.strip(), images[number], literal)
                except FileNotFoundError:
                    failures[number] = "the file is missing"
                except HostFailedError:
                    raise
                except (OSError, DataError) as error:
                    failures[number] = _sentence(error, root)

            if isinstance(root, RemotePath):
                with ThreadPoolExecutor(READERS) as pool:
                    list(pool.map(one, range(len(table)), table[image_column]))
            else:
                for number, reference in enumerate(table[image_column]):
                    one(number, reference)
        return images, failures

    def predict_files(
        self,
        root: str | Path,
        references: Sequence[str],
        metadata: pd.DataFrame | None = None,
        embeddings: bool = False,
        **options: Any,
    ) -> pd.DataFrame:
        """Return answers for images below a folder; `options` are those of `Decisions`.

        Args:
            metadata: one row for each image, or None to answer without.
            embeddings: add a column ``embedding`` of arrays (E,).
        """
        table = pd.DataFrame(index=range(len(references))) if metadata is None else metadata.reset_index(drop=True)
        table = table.assign(image=list(references))
        found: list[np.ndarray] | None = None
        if embeddings:
            logits, rows, failures = self.embed_rows(table, Path(root), "image")
            found = list(rows)
        else:
            logits, failures = self.predict_rows(table, Path(root), "image")
        answers = self.decisions(**options).answers(self.probabilities(logits))
        if found is not None:
            answers = answers.assign(embedding=found)
        return pd.concat([table[["image"]], answers.assign(error=failures)], axis=1)


def _sentence(error: Exception, root: Path) -> str:
    """Return what went wrong with an image in words, without the place of this machine."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return said.replace(f"{root}/", "")
