"""Requests and responses, shaped like those that biodiversity platforms exchange with their processing services.

A source image holds one specimen, or several of which each has a box. Every specimen becomes one detection with one
classification: labels, calibrated scores and logits in the order of the algorithm's category map.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(max_length=1000)]
Whole = Annotated[int, Field(ge=-(10**30), le=10**30)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Pixel = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Metadata = Annotated[dict[Text, Text | bool | Whole | Number | None], Field(max_length=256)]


class Part(BaseModel):
    """Base: a key that is not known is a mistake that is named."""

    model_config = ConfigDict(extra="forbid")


class BoundingBox(Part):
    """A box in pixels of the source image."""

    x1: Pixel
    y1: Pixel
    x2: Pixel
    y2: Pixel


class SourceImage(Part):
    """An image and what is known of its specimen."""

    id: Text
    url: str = Field(description="data:image/...;base64,... or, where the service allows the host, http(s)://...")
    metadata: Metadata = Field({}, description="Columns of /info that are known; all others count as missing.")


class DetectionRequest(Part):
    """One specimen within a source image."""

    source_image_id: Text
    bbox: BoundingBox
    metadata: Metadata | None = Field(None, description="Of this specimen; that of its source image by default.")


class Options(Part):
    """How probabilities become an answer."""

    threshold: float = Field(0.0, ge=0, le=1, description="Below this confidence: a coarser taxon, or no answer.")
    coverage: float | None = Field(None, gt=0, lt=1, description="Add a set that holds the truth this often.")
    species_list: list[Text] | None = Field(None, max_length=100_000, description="Names that can occur.")
    explain: bool = Field(False, description="Add Grad-CAM: where the model saw what speaks for the class.")
    embedding: bool = Field(False, description="Add the image encoder's embedding.")
    explain_class: Text | None = Field(None, description="The class to explain; the likeliest by default.")


class ProcessRequest(Part):
    """What is to be named."""

    model_config = ConfigDict(extra="ignore")

    pipeline: Text | None = Field(None, description="Slug of the pipeline in /info; there is only one.")
    source_images: list[SourceImage]
    detections: list[DetectionRequest] | None = Field(None, description="Boxes to name; whole images by default.")
    config: Options = Options()


class AlgorithmReference(Part):
    """Which algorithm said it."""

    name: str
    key: str


class Explanation(Part):
    """Where the model looked."""

    label: str
    found: bool = Field(description="Whether any part of the image speaks for the class.")
    seen: str = Field(description="The pixels that the model got, as a data URL of a PNG.")
    overlay: str = Field(description="The same with Grad-CAM laid over it.")


class Answer(Part):
    """The answer after species list, threshold and roll-up."""

    prediction: str = Field(description="Empty if the model is not sure of any taxon.")
    rank: str
    confidence: float | None
    set: list[str] | None = Field(None, description="Holds the truth as often as `coverage` says.")


class Classification(Part):
    """Scores of all classes."""

    classification: str = Field(description="The likeliest class.")
    labels: list[str]
    scores: list[float] = Field(description="Calibrated probabilities.")
    logits: list[float]
    answer: Answer
    explanation: Explanation | None = None
    embedding: list[float] | None = Field(None, description="Of the image encoder, if it was asked for.")
    algorithm: AlgorithmReference
    terminal: Literal[True] = True
    timestamp: datetime


class Detection(Part):
    """One specimen."""

    source_image_id: str
    bbox: BoundingBox
    algorithm: AlgorithmReference
    classifications: list[Classification]
    timestamp: datetime


class Failure(Part):
    """An image that could not be answered; all others were."""

    source_image_id: str
    error: str


class SourceImageReference(Part):
    """An image that was answered."""

    id: str


class ProcessResponse(Part):
    """All answers of a request."""

    pipeline: str
    algorithms: dict[str, Any]
    total_time: float = Field(description="Seconds.")
    source_images: list[SourceImageReference]
    detections: list[Detection]
    errors: list[Failure]
    warnings: list[str]


class Problem(BaseModel):
    """What is wrong with a request."""

    detail: str | list[dict[str, Any]]
