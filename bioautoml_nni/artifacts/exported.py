"""export.json: what an exported model is, and the checksums of its files."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from ._base import Artifact


class ExportRecord(Artifact):
    """The file.

    Attributes:
        name: of the experiment.
        release: of bioautoml-nni that wrote it.
        opset: of ONNX.
        rank: of the classes.
        modalities: what the model reads.
        decision: which prior the answers are decided under.
        brand: a warning that every output has to carry, empty if there is none.
        parameters, flops: of the network, and of one specimen's prediction.
        int8: what the model of eight bits costs; empty without one.
        sha256: of every other file, by its name.
    """

    VERSION_KEY: ClassVar[str] = "format"

    name: str
    release: str = Field(default="", alias="version")
    opset: int | None = None
    rank: str
    modalities: list[Literal["image", "metadata"]] = Field(min_length=1)
    decision: str = ""
    brand: str
    parameters: int
    flops: int | None = None
    int8: dict[str, Any] = Field(default_factory=dict)
    sha256: dict[str, str]
