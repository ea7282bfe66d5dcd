"""From a request's images and metadata to its answers."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import cv2
import numpy as np
import pandas as pd
from fastapi import HTTPException

from .._version import __version__
from ..data.column_names import same_names
from ..data.decoding import decode
from ..runtime import Decisions, Model
from ..runtime.doubts import SHOWN, Doubts
from ..runtime.name_lists import names_apart
from ..runtime.overlay import overlay
from ..utils.errors import DataError
from .batching import Batcher
from .contract import (
    AlgorithmReference,
    Answer,
    BoundingBox,
    Classification,
    Detection,
    Explanation,
    Failure,
    Options,
    ProcessResponse,
    SourceImageReference,
)
from .fetch import FetchError, fetch
from .metrics import Metrics
from .settings import Settings


@dataclass(frozen=True)
class Specimen:
    """One specimen to answer."""

    source: str
    data: bytes | FetchError
    metadata: dict[str, Any]
    box: BoundingBox | None


class Service:
    """One model and all that requests ask of it."""

    def __init__(self, model: Model, settings: Settings, metrics: Metrics, batcher: Batcher) -> None:
        self.model = model
        self.settings = settings
        self.metrics = metrics
        self.batcher = batcher
        self.labels = [str(name) for name in model.classes["name"]]
        self.algorithm = _algorithm(model, self.labels)
        self.info = {**_info(model, self.algorithm), "address": settings.address}

    @property
    def reference(self) -> AlgorithmReference:
        return AlgorithmReference(name=self.algorithm["name"], key=self.algorithm["key"])

    def check(self, options: Options, pipeline: str | None = None) -> None:
        """Refuse what this model cannot do."""
        slug = self.info["pipelines"][0]["slug"]
        if pipeline is not None and pipeline != slug:
            raise HTTPException(422, f"pipeline: {pipeline!r} is unknown; the only one is {slug!r}.")
        if options.explain_class is not None and options.explain_class not in self.labels:
            raise HTTPException(
                422, f"explain_class: {options.explain_class!r} is not a class of this model; see /info."
            )
        if options.embedding and not self.model.embeds:
            raise HTTPException(422, "embedding: this model reads metadata alone; it has no embedding of images.")
        self.decisions(options)

    def check_count(self, count: int) -> None:
        """Refuse a request of more images than one may have."""
        if count > min(self.settings.images, self.settings.queue):
            raise HTTPException(413, f"{count} images: at most {self.settings.images} in one request.")

    def decisions(self, options: Options) -> Decisions:
        """Return the rules that the options ask for."""
        try:
            return self.model.decisions(
                threshold=options.threshold,
                species_list=options.species_list,
                level=None if options.coverage is None else self.model.coverage_level(options.coverage),
            )
        except DataError as error:
            raise HTTPException(422, str(error)) from error

    async def fetched(self, url: str) -> bytes | FetchError:
        """Return an image's bytes, or why there are none."""
        try:
            return await fetch(url, self.settings)
        except FetchError as error:
            return error

    async def answered(self, specimens: list[Specimen], options: Options, started: float) -> ProcessResponse:
        """Answer every specimen for itself; one that cannot be read is reported beside the others' answers."""
        rules = self.decisions(options)
        found = await asyncio.gather(*(self._one(specimen, options, rules) for specimen in specimens))
        detections = [entry for entry in found if isinstance(entry, Detection)]
        self.metrics.specimens.labels("answered").inc(len(detections))
        self.metrics.specimens.labels("failed").inc(len(found) - len(detections))
        return ProcessResponse(
            pipeline=self.info["pipelines"][0]["slug"],
            algorithms={self.algorithm["key"]: self.algorithm},
            total_time=time.perf_counter() - started,
            source_images=[
                SourceImageReference(id=name) for name in dict.fromkeys(entry.source for entry in specimens)
            ],
            detections=detections,
            errors=[entry for entry in found if isinstance(entry, Failure)],
            warnings=await asyncio.to_thread(self._warnings, specimens),
        )

    def _warnings(self, specimens: list[Specimen]) -> list[str]:
        """Return the model's own warning, and what of the metadata it could not read or does not know."""
        doubts = Doubts()
        known = set(self.model.preprocessor.roles) if self.model.uses_metadata else set()
        unread: dict[str, None] = {}
        for specimen in specimens:
            same = same_names(known, specimen.metadata)
            unread.update(dict.fromkeys(name for name in specimen.metadata if name not in known and name not in same))
            doubts.add(self.model.doubts(pd.DataFrame([specimen.metadata], index=[0])))
        found = [self.model.brand] if self.model.brand else []
        if unread:
            names = ", ".join(repr(name) for name in list(unread)[:SHOWN]) + (", ..." if len(unread) > SHOWN else "")
            found.append(f"metadata {names} of {len(unread)} columns that this model does not read; see /info.")
        return found + doubts.sentences()

    async def _one(self, specimen: Specimen, options: Options, rules: Decisions) -> Detection | Failure:
        image, box = None, specimen.box or BoundingBox(x1=0, y1=0, x2=0, y2=0)
        if self.model.uses_images:
            try:
                image, box = await asyncio.to_thread(self._decoded, specimen)
            except (FetchError, OSError) as error:
                return Failure(source_image_id=specimen.source, error=str(error))
        logits = await self.batcher.submit(await asyncio.to_thread(self.encoded, image, specimen.metadata))
        probabilities = self.model.probabilities(logits[None])
        now = datetime.now(UTC)
        best = int(probabilities[0].argmax())
        explanation = None
        if options.explain and image is not None and self.model.explains:
            chosen = best if options.explain_class is None else self.labels.index(options.explain_class)
            explanation = await asyncio.to_thread(self._explained, image, specimen.metadata, chosen)
        embedding = None
        if options.embedding and image is not None:
            (found,) = await asyncio.to_thread(self.model.embeddings, image[None])
            embedding = found.tolist()
        classification = Classification(
            classification=self.labels[best], labels=self.labels, scores=probabilities[0].tolist(),
            logits=logits.astype(float).tolist(), answer=_answer(rules.answers(probabilities).iloc[0]),
            explanation=explanation, embedding=embedding, algorithm=self.reference, timestamp=now,
        )  # fmt: skip
        return Detection(
            source_image_id=specimen.source, bbox=box, algorithm=self.reference, classifications=[classification],
            timestamp=now,
        )  # fmt: skip

    def encoded(self, image: np.ndarray | None, metadata: dict[str, Any]) -> dict[str, np.ndarray]:
        """Return the model's inputs for one specimen, by itself: what others send must not change how it is read."""
        return self.model.encode(None if image is None else image[None], pd.DataFrame([metadata], index=[0]))

    def _decoded(self, specimen: Specimen) -> tuple[np.ndarray, BoundingBox]:
        if isinstance(specimen.data, FetchError):
            raise specimen.data
        if not specimen.data:
            raise OSError("the file is empty")
        box = None
        if specimen.box is not None:
            left, top = round(min(specimen.box.x1, specimen.box.x2)), round(min(specimen.box.y1, specimen.box.y2))
            right, bottom = round(max(specimen.box.x1, specimen.box.x2)), round(max(specimen.box.y1, specimen.box.y2))
            box = (left, top, right - left, bottom - top)
        found = decode(specimen.data, self.model.image.edge, box)
        return found.square, specimen.box or BoundingBox(x1=0, y1=0, x2=found.width, y2=found.height)

    def _explained(self, image: np.ndarray, metadata: dict[str, Any], index: int) -> Explanation:
        found = self.model.explain(image, pd.DataFrame([metadata], index=[0]), index)
        return Explanation(
            label=self.labels[index], found=bool(found.any()), seen=_png(image), overlay=_png(overlay(image, found))
        )


def _algorithm(model: Model, labels: list[str]) -> dict[str, Any]:
    name = model.info.name
    digest = model.info.sha256["model.onnx"][:12]
    ranked = "" if model.info.rank == "label" else f" by {model.info.rank}"
    return {
        "name": name,
        "key": f"{_slug(name)}-{digest}",
        "task_type": "classification",
        "version": 1,
        "version_name": digest,
        "description": f"{len(labels)} classes{ranked}, {model.info.parameters:,} parameters",
        "category_map": {
            "data": json.loads(model.classes.to_json(orient="records")),
            "labels": labels,
            "version": digest,
            "description": f"Taxa of rank {model.info.rank}, in the order of scores and logits.",
        },
    }  # fmt: skip


def _info(model: Model, algorithm: dict[str, Any]) -> dict[str, Any]:
    name = model.info.name
    return {
        "name": name,
        "description": algorithm["description"],
        "version": __version__,
        "brand": model.brand,
        "modalities": model.info.modalities,
        "explains": model.explains,
        "metadata": model.preprocessor.input_schema() if model.uses_metadata else [],
        "thresholds": list(model.calibration.thresholds),
        "coverages": [float(value) for value in model.calibration.prediction_sets],
        "pipelines": [
            {
                "name": name, "slug": _slug(name), "version": 1, "description": algorithm["description"],
                "algorithms": [algorithm],
            }
        ],
        "algorithms": [algorithm],
    }  # fmt: skip


def _slug(name: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split()) or "model"


def _answer(row: pd.Series) -> Answer:
    names = row.get("set")
    return Answer(
        prediction=str(row["prediction"]), rank=str(row["rank"]),
        confidence=float(row["confidence"]) if np.isfinite(row["confidence"]) else None,
        set=None if names is None else names_apart(str(names)),
    )  # fmt: skip


def _png(image: np.ndarray) -> str:
    _, data = cv2.imencode(".png", image[:, :, ::-1])
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode("ascii")
