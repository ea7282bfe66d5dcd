"""The keys of experiment.yml that say how networks are trained, in the search and after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from .data_sections import SMALLEST_SIDE, Section


class Augmentation(Section):
    """Random changes of training images; strength 0 or false switches a part off."""

    flip: bool = Field(True, description="mirror, both ways")
    rotation: float = Field(180.0, ge=0, le=180, description="degrees")
    scale: float = Field(0.2, ge=0, lt=1, description="larger or smaller by up to this share")
    translation: float = Field(0.06, ge=0, lt=1, description="share of the edge")
    brightness: float = Field(0.2, ge=0, lt=1, description="largest change")
    contrast: float = Field(0.2, ge=0, lt=1, description="largest change")
    erasing: float = Field(0.0, ge=0, le=1, description="probability")


class _Optimisation(Section):
    epochs: int = Field(ge=1)
    batch_size: int = Field(32, ge=2)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup_steps: int = Field(0, ge=0)
    augmentation: Augmentation = Augmentation()
    trunk_rate: float = Field(1.0, gt=0, description="for a pretrained trunk that is trained: factor of learning_rate")
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="factor from each layer's rate to that of the layer before it"
    )
    frozen_batch_norm: bool = Field(False, description="keep the statistics of such a trunk's batch norms")


class DistillationConfig(Section):
    """What a network learns from a teacher besides the labels."""

    teacher: str = Field(
        description="an experiment file, whose network is trained first, on the same data, and kept in the run; or the "
        "directory of a run with the same classes, retrained at least; or an encoder, such as efficientnet_lite0; or a "
        ".parquet of logits or embeddings by specimen id"
    )
    weight: float = Field(0.5, gt=0, le=1, description="of the distillation loss; the label loss has 1 - weight")
    temperature: float = Field(2.0, ge=1)
    features: float = Field(
        0.0,
        ge=0,
        description="weight of a third loss: how far the teacher's features are from a linear projection of the "
        "network's own, which is learned too and thrown away; 0 is none",
    )
    folds: int = Field(
        0,
        ge=0,
        description="of an encoder: what it says of a training specimen comes from that one of so many heads which has "
        "not learned from the specimen or others of its group; 0 is one head, which has learned from all",
    )
    same_view: bool = Field(
        False,
        description="the teacher sees images as the student does, changed at random and mixed, not the plain ones; "
        "on a frozen trunk the same one of its stored views (space.trunk.views)",
    )
    top_k: int | None = Field(
        None,
        ge=1,
        description="largest logits that are kept of each answer; the other classes share the rest of its probability "
        "evenly; all by default up to 1,000 classes, else 64",
    )

    @field_validator("folds")
    @classmethod
    def _none_or_several(cls, value: int) -> int:
        if value == 1:
            raise ValueError("one fold leaves nothing to learn from; give 2 at least, or 0 for one head")
        return value


class SearchDistillationConfig(DistillationConfig):
    """What the supernet learns from a teacher besides the labels."""

    steps: Literal["both", "weights", "architecture"] = Field(
        "both",
        description="the steps in which it teaches; strategies that update everything by one batch take only both",
    )


class SearchConfig(_Optimisation):
    """Training of the supernet: SGD with momentum and a cosine schedule over all steps, as in DARTS."""

    epochs: int = Field(20, ge=1)
    batch_size: int = Field(32, ge=2, description="times devices: specimens in one step")
    learning_rate: float = Field(
        0.025, gt=0, description="of the weights; the architecture's rate is an argument of strategy"
    )
    weight_decay: float = Field(3e-4, ge=0)
    max_restarts: int = Field(3, ge=0, description="after a loss that is not finite, each time with half the rate")
    devices: int = Field(
        1,
        ge=1,
        description="batches of batch_size that make one step; as many processes search together, each on a GPU of its "
        "own or on the CPU, unless the run has a number of its own (devices, torchrun), which then share that step",
    )
    precision: Literal["32-true", "bf16-mixed"] = Field("32-true", description="bf16-mixed is for GPUs")
    image_sizes: list[int] = Field(
        default_factory=list,
        description="edges of the images in equal stages of the search, such as [32, 48]; "
        "data.image_size throughout by default",
    )
    distillation: SearchDistillationConfig | None = None
    score_derived: bool = Field(
        True,
        description="after every epoch, score what the architecture weights would derive with the supernet's weights; "
        "for up to 5,000 validation specimens",
    )

    def image_size_at(self, epoch: int) -> int | None:
        """Return the edge of the images in an epoch, None for data.image_size."""
        return self.image_sizes[epoch * len(self.image_sizes) // self.epochs] if self.image_sizes else None

    @model_validator(mode="after")
    def _sizes_grow(self) -> SearchConfig:
        if sorted(self.image_sizes) != self.image_sizes or any(size < SMALLEST_SIDE for size in self.image_sizes):
            raise ValueError(f"image_sizes must be {SMALLEST_SIDE} at least and may not fall, such as [32, 48, 64]")
        if len(self.image_sizes) > self.epochs:
            raise ValueError(f"image_sizes has {len(self.image_sizes)} sizes for {self.epochs} epochs; remove some")
        return self


RECIPES: Mapping[str, Mapping[str, Any]] = {
    "scratch": {},
    # Few passes with small steps, smaller towards the image, and with the statistics of more images than a batch's.
    "finetune": {
        "epochs": 20, "batch_size": 32, "learning_rate": 2e-3, "weight_decay": 0.05, "warmup_steps": 100,
        "trunk_rate": 0.1, "layer_decay": 0.8, "frozen_batch_norm": True, "ema_decay": 0.99, "keep": "last",
    },
    # A linear layer on features that stay: strong decay, no augmentation needed.
    "probe": {
        "epochs": 15, "batch_size": 128, "learning_rate": 1e-3, "weight_decay": 0.3, "warmup_steps": 30,
        "ema_decay": 0.99, "keep": "last",
    },
}  # fmt: skip
"""For each recipe the values that differ from those of a network trained from scratch."""
RECIPE_KEYS = frozenset(key for values in RECIPES.values() for key in values)


class TrainingConfig(_Optimisation):
    """Training of the derived network: AdamW with warm-up and a cosine schedule.

    `recipe` sets what suits a network from scratch, a pretrained one, or a linear layer on frozen features; every key
    that is given overrides it.
    """

    recipe: Literal["scratch", "finetune", "probe"] = "scratch"
    epochs: int = Field(40, ge=1)
    batch_size: int = Field(64, ge=2)
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.02, ge=0)
    warmup_steps: int = Field(100, ge=0, description="steps over which the rate rises from 0")
    gradient_clip: float = Field(5.0, ge=0, description="largest norm of all gradients together; 0 turns it off")
    accumulate: int = Field(1, ge=1, description="batches whose gradients make one step")
    ema_decay: float = Field(0.0, ge=0, lt=1, description="exponential moving average of the weights; 0 turns it off")
    precision: Literal["32-true", "bf16-mixed"] = Field("32-true", description="bf16-mixed is for GPUs")
    sampler: Literal["shuffled", "square_root", "balanced"] = Field(
        "shuffled",
        description="square_root draws by the square root of class sizes, balanced draws every class equally often",
    )
    mixup: float = Field(0.0, ge=0, description="parameter of the Beta distribution of shares; 0 turns it off")
    cutmix: float = Field(0.0, ge=0, description="parameter of the Beta distribution of areas; 0 turns it off")
    drop_path: float = Field(0.0, ge=0, lt=1, description="probability at the end; it grows from 0")
    auxiliary_weight: float = Field(0.0, ge=0, description="weight of a second classifier at two thirds of the depth")
    compile: bool = Field(
        False, description="use torch.compile, if there is a compiler; meant for GPUs (docs/training.md)"
    )
    patience: int | None = Field(None, ge=1, description="training stops after this many epochs without a better one")
    keep: Literal["best", "last", "greedy"] = Field(
        "best",
        description="the best epoch on validation; the last one, where few groups make validation a poor judge; or the "
        "greedy average of the best ones: an epoch's weights join it where validation gains. With ema_decay each is a "
        "moving average",
    )
    monitor: Literal["val_macro_f1", "val_loss"] = Field(
        "val_macro_f1", description="the score, as a mean of five epochs, that says which epoch is best"
    )
    distillation: DistillationConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_from_recipe(cls, raw: Any) -> Any:
        recipe = raw.get("recipe") if isinstance(raw, dict) else None
        return {**RECIPES[recipe], **raw} if isinstance(recipe, str) and recipe in RECIPES else raw

    @model_validator(mode="after")
    def _patience_has_a_best(self) -> TrainingConfig:
        if self.patience is not None and self.keep == "last":
            raise ValueError("patience waits for a better epoch, but keep: last takes the last one; remove one of them")
        return self
