"""Settings of a network that stands on a pretrained encoder. Nothing here imports torch: configurations are checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..registry import get, plugins
from ..utils.errors import PluginError

WITH, WITHOUT = "embedding", "none"
"""The candidates of the path from an encoder's embedding."""


class TrunkSettings(BaseModel):
    """Which encoder a network stands on.

    Attributes:
        encoder: name of an encoder (`bioautoml ls encoders`).
        stage: the stage whose map the cells read, and at which the trunk ends; ``4+5`` lets them read both. A list
            leaves it open: the search chooses one of its entries. None is the last stage; without cells, and with the
            embedding, it is not a stage.
        embedding: whether the whole encoder's embedding goes into the classifier too, beside the cells; "open" lets
            the search decide.
        frozen: keep the encoder as it is, and compute what is read of it once; otherwise it is trained along.
        frozen_stages: of an encoder that is trained, the last stage that stays as it is all the same. The map of this
            stage is computed once, so that training passes through the later stages alone: fine-tuning takes a third of
            the time, and what the first stages know (edges, textures) is needed unchanged as a rule.
        views: mirrored and turned views of every image whose features are computed beside those of the plain one, up
            to 7; training draws among all of them. 8 are all views of a square, the plain one among them, and mean the
            same as 7. Without any, maps are mirrored and turned themselves.
        embedding_dropout: dropout of the embedding.
        path_dropout: probability with which a training specimen is classified by the cells alone or by the embedding
            alone, so that each learns all it can: otherwise the embedding, which knows most at first, explains the
            training split and the cells learn little (Neverova et al., ModDrop, arXiv 1501.00102).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: str
    stage: int | str | list[int | str] | None = None
    embedding: bool | Literal["open"] = False
    frozen: bool = True
    frozen_stages: int | None = Field(None, ge=0)
    views: int = Field(0, ge=0, le=8)
    embedding_dropout: float = Field(0.5, ge=0, lt=1)
    path_dropout: float = Field(0.5, ge=0, le=1)

    @field_validator("encoder")
    @classmethod
    def _is_registered(cls, value: str) -> str:
        name = value.partition(":")[0]
        if name not in plugins("encoders"):
            try:
                get("encoders", name)
            except PluginError as error:  # it suggests the nearest name
                raise ValueError(str(error)) from error
        return value

    @field_validator("views")
    @classmethod
    def _beside_the_plain_one(cls, value: int) -> int:
        return min(value, 7)

    @field_validator("stage")
    @classmethod
    def _names_stages(cls, value: int | str | list[int | str] | None) -> int | str | list[int | str] | None:
        for entry in value if isinstance(value, list) else [] if value is None else [value]:
            if not all(part.isdigit() for part in str(entry).split("+")):
                raise ValueError(f"{entry!r} is not a stage; give numbers such as 5, or 4+5 for both")
        if value == []:
            raise ValueError("an empty list leaves nothing to choose; name a stage")
        return value

    @model_validator(mode="after")
    def _freezes_once(self) -> TrunkSettings:
        if self.frozen and self.frozen_stages is not None:
            raise ValueError("frozen_stages: is for a trunk that is trained otherwise; add frozen: false, or remove it")
        return self

    @property
    def stores_features(self) -> bool:
        """Whether something is computed once and stands in place of the images."""
        return self.frozen or self.frozen_stages is not None

    @property
    def readings(self) -> tuple[tuple[int, ...], ...]:
        """What the cells may read: the stages of each candidate; empty for the last stage."""
        entries = self.stage if isinstance(self.stage, list) else [] if self.stage is None else [self.stage]
        return tuple(dict.fromkeys(tuple(sorted(set(map(int, str(entry).split("+"))))) for entry in entries))

    @property
    def embeddings(self) -> tuple[str, ...]:
        """Candidates of the path from the embedding."""
        return (WITHOUT, WITH) if self.embedding == "open" else (WITH,) if self.embedding else (WITHOUT,)


def reading_name(stages: Sequence[int]) -> str:
    """Return the name of a candidate, such as ``4+5``."""
    return "+".join(map(str, stages))
