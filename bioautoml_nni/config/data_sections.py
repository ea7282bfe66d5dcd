"""The sections of experiment.yml on data: where they come from, how they are divided, what counts as one label."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from ..architecture.budgets import LARGEST_SIDE
from ..utils.remote import is_url, place, without_secrets

SMALLEST_SIDE = 16
"""Pixels of the smallest image that is worth looking at."""


class Section(BaseModel):
    """A section that takes its own keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PluginSection(BaseModel):
    """A section whose `name` is a plug-in; further keys are its constructor arguments."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def arguments(self) -> dict[str, Any]:
        """The plug-in's own arguments."""
        return dict(self.model_extra or {})


def one_or_several(value: Any) -> Any:
    """Return a single text or number as a list of it."""
    return [value] if isinstance(value, (str, int, float)) and not isinstance(value, bool) else value


class SplitConfig(Section):
    """How specimens are divided.

    `method` "stratified" and "group" draw test and validation at random (a group stays on one side); "column" takes
    the values of `column` listed under train, validation and test; "official" does so with the source's own split.
    Whatever is not given is drawn from the training split, by `group` if there is one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    method: Literal["stratified", "group", "column", "official"] = Field(
        "stratified", description="at random by class or by group, or by the values of a column or of the source"
    )
    column: str | None = Field(None, description="for method column: the column that says which split a row is in")
    group: str | None = Field(None, description="column whose rows with the same value stay on one side")
    train: list[str] = Field(default_factory=list, description="values that mean training")
    validation: list[str] = Field(
        default_factory=list, description="values that mean validation; drawn from training without them"
    )
    test: list[str] = Field(default_factory=list, description="values that mean test")
    test_fraction: float = Field(0.2, gt=0, lt=1, description="share of all specimens, if the test split is drawn")
    validation_fraction: float = Field(0.15, gt=0, lt=1, description="share of the others, if validation is drawn")
    alpha_fraction: float = Field(
        0.5, gt=0, lt=1, description="share of the training split that trains the architecture in the search"
    )
    seed: int | None = Field(
        None,
        description="of the splits that are drawn; the experiment's by default",
    )

    @field_validator("train", "validation", "test", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return one_or_several(value)

    @model_validator(mode="after")
    def _consistent(self) -> SplitConfig:
        if self.method == "group" and not self.group:
            raise ValueError("method 'group' needs split.group, the column that holds the group")
        if self.method == "column" and not self.column:
            raise ValueError("method 'column' needs split.column")
        if self.method in ("column", "official") and not (self.train and self.test):
            raise ValueError(f"method {self.method!r} needs the values listed under split.train and split.test")
        parts = [[str(value) for value in part] for part in (self.train, self.validation, self.test)]
        repeated = sorted({value for part in parts for value in part if sum(part_.count(value) for part_ in parts) > 1})
        if repeated:
            raise ValueError(f"value {', '.join(repeated)} stands in more than one of train, validation and test")
        return self


class EncodingConfig(Section):
    """How metadata become numbers."""

    place_resolution_km: float = Field(0.0, ge=0, description="0: only coordinates on the sphere")
    rare_below: int = Field(3, ge=1, description="categories with fewer training rows count as unknown")
    text_width: int = Field(64, ge=2, description="length of the vector that a text becomes")


LabelWay = Literal["case", "spaces", "unicode", "authors", "qualifiers"]


class LabelsConfig(Section):
    """Which labels to merge, what they belong to, and how few specimens make one rare."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    merge: list[LabelWay] = Field(
        default_factory=list,
        description="in what labels may differ and are one all the same: case, spaces, unicode, authors, qualifiers "
        "(cf., sp.)",
    )
    strip_authors: bool = Field(False, description="the same as merge: [authors]")
    synonyms: str | None = Field(None, description="table below data.root: a name, and the accepted one that it means")
    taxonomy: str | None = Field(None, description="table below data.root: a label, and its genus, family, order, ...")
    min_specimens: int = Field(2, ge=2, description="a label with fewer is rare; see rare_labels")

    @field_validator("merge", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return one_or_several(value)

    @property
    def ways(self) -> tuple[LabelWay, ...]:
        """In what labels may differ and are one all the same."""
        found: list[LabelWay] = [*self.merge, *(("authors",) if self.strip_authors else ())]
        return tuple(dict.fromkeys(found))


def as_place(value: Any) -> Any:
    """Return a text as the path, or the place elsewhere, that it means."""
    return place(value) if isinstance(value, str) else value


class DataConfig(BaseModel):
    """Where the specimens come from; further keys are arguments of the source."""

    model_config = ConfigDict(extra="allow", frozen=True, coerce_numbers_to_str=True)

    source: str = Field(description="`bioautoml ls sources` lists them")
    root: Annotated[Path | None, BeforeValidator(as_place)] = Field(
        None, description="folder of the data, from the place of this file; or a URL (s3, gs, http, https, ssh)"
    )
    modalities: list[Literal["image", "metadata"]] = Field(
        ["image", "metadata"], min_length=1, description="what the network sees"
    )
    image_size: Annotated[int, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE)] | Literal["auto"] = Field(
        64,
        description="edge of the squares that images become; auto is that of the space's encoder, or less where images "
        "do not hold as much",
    )
    split: SplitConfig = SplitConfig()
    encoding: EncodingConfig = EncodingConfig()
    max_unreadable: float = Field(0.05, ge=0, le=1, description="share of images above which the run is refused")
    labels: LabelsConfig = LabelsConfig()
    rare_labels: Literal["error", "drop", "other"] = Field(
        "error",
        description="labels with fewer specimens than labels.min_specimens: refuse, leave out and say so, or make one "
        "class of all of them",
    )
    links: Literal["inside", "anywhere"] = Field(
        "inside",
        description="where symbolic links among images may lead: to what lies below the image root, or anywhere",
    )
    hold_out: list[str] = Field(
        default_factory=list,
        description="labels that are not learned; their specimens test whether the network notices unknown ones",
    )

    @field_validator("hold_out", "modalities", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return one_or_several(value)

    @model_validator(mode="after")
    def _hold_no_secrets(self) -> DataConfig:
        for key, value in self.arguments.items():
            if isinstance(value, str) and is_url(value) and without_secrets(value) != value:
                try:
                    place(value)
                except ValueError as error:
                    raise ValueError(f"{key}: {error}") from None
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """The source's own arguments."""
        return dict(self.model_extra or {})
