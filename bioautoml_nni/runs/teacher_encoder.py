"""A teacher that is a pretrained encoder: a head is fitted on its features, once, and its answers are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import GroupKFold
from torch import Tensor, nn

from ..data.image_store import ImageStore
from ..data.load import image_store
from ..data.manifest import ID, IMAGE
from ..data.sizing import natural_size
from ..data.splits import groups_of
from ..features.encoder import Encoder, load_encoder
from ..features.probe import LinearProbe, fit_probe
from ..features.request import FeatureRequest
from ..features.trunk import normalised
from ..training.distillation import KnownLogits
from ..training.top_logits import Answers, TopLogits, teacher_of
from ..utils.atomic import write_array, write_json
from ..utils.errors import DataError
from ..utils.own_files import read_array, read_json
from ..utils.shard import Shard
from .pooled_features import fill_features, pooled_features
from .teacher_asked import Asked
from .teacher_table import fit_head

FOLDER, RECORD = "teacher", "teacher.json"
BLOCK = 1024


class EncoderTeacher:
    """An encoder as the teacher of a run.

    It looks at images of its own size, as far as they hold it, with all its stages' means beside the embedding, and the
    head reads the encoded metadata too, where the experiment uses them.

    Raises:
        DataError: for an experiment without images.
        EncoderError: if the encoder cannot be had.
    """

    def __init__(self, reference: str, asked: Asked) -> None:
        data = asked.data
        if not data.uses_images:
            raise DataError(
                f"{asked.key}: {reference} looks at images, which data.modalities does not name; choose a run."
            )
        self.asked = asked
        self._require_folds()
        self.encoder: Encoder = load_encoder(reference, asked.key)
        references = data.table[IMAGE][data.in_training].tolist()
        facts = data.image_store().verified(references)
        self.size = natural_size(self.encoder.image_size, facts[["width", "height"]].max(axis=1).to_numpy(float))

    def _learned_groups(self) -> np.ndarray:
        """Return what each specimen that is learned from belongs to (n,); each to itself where nothing says it."""
        data = self.asked.data
        group = self.asked.run.experiment.data.split.group
        groups = groups_of(data.table, group if group in data.table else None)
        own = data.table[ID] if groups is None else groups
        return own[self.asked.learned].to_numpy(str)

    def _require_folds(self) -> None:
        """Check that no fold is empty.

        Raises:
            DataError: if there are more folds than groups.
        """
        groups = len(np.unique(self._learned_groups())) if self.asked.folds else 0
        if self.asked.folds > groups:
            raise DataError(
                f"{self.asked.key.removesuffix('teacher')}folds: {self.asked.folds} folds need as many groups, and the "
                f"training split has {groups}; lower it."
            )

    def teacher(self) -> KnownLogits | TopLogits:
        """Return what it says under the training prior of the rows that are asked for."""
        return teacher_of(self._answers()[0], len(self.asked.data.classes), self.asked.learned)

    def network(self) -> nn.Module:
        """Return it as a network from pixels and metadata to logits under the training prior, and its embedding."""
        _, head = self._answers()
        return _Headed(self.encoder, head, bool(self.asked.data.metadata_columns))

    def _answers(self) -> tuple[Mapping[str, np.ndarray], LinearProbe]:
        """Return the arrays of its answers, and the head."""
        if self._kept():
            return self._known()
        folder = self._folder
        (folder / RECORD).unlink(missing_ok=True)
        answers, head = self._fit()
        folder.mkdir(parents=True, exist_ok=True)
        arrays = answers.arrays()
        for name, values in {**arrays, "weight": head.weight, "bias": head.bias}.items():
            write_array(folder / f"{name}.npy", values)
        write_json(folder / RECORD, self._facts())
        return arrays, head

    @property
    def _folder(self) -> Path:
        return self.asked.run / FOLDER / ("refit" if self.asked.refit else "")

    def _kept(self) -> bool:
        """Whether the run keeps these answers and their head."""
        record = self._folder / RECORD
        return (
            record.is_file()
            and all(file.is_file() for file in self._files().values())
            and read_json(record) == self._facts()
        )

    def _known(self) -> tuple[Mapping[str, np.ndarray], LinearProbe]:
        """Return the answers and the head that the run keeps."""
        found = {name: read_array(file) for name, file in self._files().items()}
        return found, LinearProbe(found.pop("weight"), found.pop("bias"), 0.0, {})

    def _files(self) -> dict[str, Path]:
        names = ["logits", *(["classes", "rest"] if self.asked.top_k else []), "weight", "bias"]
        names += ["features"] if self.asked.features else []
        return {name: self._folder / f"{name}.npy" for name in names}

    def _facts(self) -> dict[str, Any]:
        """Return what the head and its answers depend on."""
        asked = self.asked
        return {
            "encoder": self.encoder.reference, "weights": self.encoder.weights_digest, "size": self.size,
            "modalities": asked.data.metadata_columns, "prepared": asked.run.key("prepare"),
            "data": asked.run.provenance().data_sha256, "views": asked.views,
            "rows": int(asked.rows.sum()), "folds": asked.folds,
            **({"top_k": asked.top_k, "temperature": asked.temperature} if asked.top_k else {}),
            **({"features": True} if asked.features else {}), **({"refit": True} if asked.refit else {}),
        }  # fmt: skip

    def decode(self) -> None:
        """Look at the images at the encoder's size, and decode what the cache lacks."""
        if not self._kept():
            self._images()

    def fill_features(self, shard: Shard) -> None:
        """Compute a share of the features that `teacher` will need, beside other processes with theirs.

        Raises:
            DataError: if they cannot be kept.
        """
        if self._kept():
            return
        store, facts = self._images()
        experiment = self.asked.run.experiment
        fill_features(self._request(), experiment, store, facts, self.size, shard)

    def _images(self) -> tuple[ImageStore, pd.DataFrame]:
        """Return the cache of the images that are asked about, and their facts."""
        store = image_store(self.asked.run.experiment, self.asked.data.image_root, self.size)
        return store, store.verified(self.asked.data.table[IMAGE][self.asked.rows].tolist())

    def _request(self) -> FeatureRequest:
        stages = tuple(range(self.encoder.build().count_stages()))
        return FeatureRequest(self.encoder, stages, embedding=True, views=self.asked.views - 1, pooled=True)

    def _fit(self) -> tuple[Answers, LinearProbe]:
        """Fit the head to the training split, for a refit to the validation split too, and let it answer."""
        asked, data = self.asked, self.asked.data
        store, facts = self._images()
        pixels, digests = store.pixels(facts), facts["digest"].tolist()
        found = pooled_features(self._request(), asked.run.experiment, pixels, digests, self.size, asked.console)
        metadata = [data.metadata.numeric[asked.rows], data.metadata.mask[asked.rows]] if data.metadata_columns else []
        views = [np.hstack([values.astype(np.float32), *metadata]) for values in found.values]
        head = fit_head(views[0][data.in_training[asked.rows]], data)
        if asked.refit:
            learned, target = asked.learned[asked.rows], data.targets[asked.learned]
            arguments = views[0][learned], target, views[0][learned], target, len(data.classes)
            head = fit_probe(*arguments, refit=False, decays=[head.decay])
        answers = asked.answers()
        for view, features in enumerate(views):
            _answer(answers, view, np.flatnonzero(asked.rows), head, features)
            if asked.features:
                answers.put_features(view, asked.rows, found.embedding(view))
        if asked.folds:
            self._cross_fit(views, head.decay, answers)
        return answers, head

    def _cross_fit(self, views: list[np.ndarray], decay: float, answers: Answers) -> None:
        """Replace the answers about what is learned from by those of heads that had not learned from the specimen.

        A head's answers about what it has learned from are nearly the labels (Dao et al., arXiv 2104.09732, section 4).
        """
        data, rows = self.asked.data, self.asked.rows
        learned = np.flatnonzero(self.asked.learned[rows])
        target = data.targets[self.asked.learned]
        groups = self._learned_groups()
        positions = np.flatnonzero(self.asked.learned)
        for left, out in GroupKFold(self.asked.folds).split(learned, target, groups):
            features = views[0][learned[left]]
            head = fit_probe(
                features, target[left], views[0][learned[out]], target[out], len(data.classes), False, [decay]
            )
            for view, values in enumerate(views):
                _answer(answers, view, positions[out], head, values[learned[out]])


def _answer(answers: Answers, view: int, rows: np.ndarray, head: LinearProbe, features: np.ndarray) -> None:
    """Let a head answer about rows; of many classes a block at a time is known whole."""
    size = BLOCK if answers.top_k else max(1, len(rows))
    for start in range(0, len(rows), size):
        block = slice(start, start + size)
        answers.put(view, rows[block], head.logits(features[block]))


class _Headed(nn.Module):
    """An encoder with a linear head on the means of its stages, its embedding and metadata."""

    def __init__(self, encoder: Encoder, head: LinearProbe, reads_metadata: bool) -> None:
        super().__init__()
        self.trunk = encoder.trunk().to(memory_format=torch.channels_last)
        self.normalisation = encoder.mean, encoder.std
        self.stages = list(range(self.trunk.count_stages()))
        self.reads_metadata = reads_metadata
        self.head = nn.Linear(head.weight.shape[1], head.weight.shape[0])
        self.head.weight.data, self.head.bias.data = torch.from_numpy(head.weight), torch.from_numpy(head.bias)

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return logits (N, K) and embeddings (N, E) for ``image``, pixels (N, 3, S, S) in [0, 1], ``numeric`` and
        ``mask``.
        """
        images = normalised(batch["image"], *self.normalisation).contiguous(memory_format=torch.channels_last)
        embedding, maps = self.trunk.with_stages(images, self.stages)
        features = [*(found.mean((2, 3)) for found in maps), embedding]
        features += [batch["numeric"], batch["mask"]] if self.reads_metadata else []
        return self.head(torch.cat([part.float() for part in features], dim=1)), embedding
