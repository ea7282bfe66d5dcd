"""The keys of experiment.yml. Sections that name a plug-in also take that plug-in's constructor arguments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from ..architecture.budgets import BUDGETS, Budget
from .data_sections import (  # noqa: F401  (the schema is one to whoever imports from it)
    SMALLEST_SIDE,
    DataConfig,
    EncodingConfig,
    LabelsConfig,
    LabelWay,
    PluginSection,
    Section,
    SplitConfig,
)


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
        description="edges of the images in parts of the search that are equally long, such as [32, 48]; "
        "data.image_size throughout by default",
    )
    distillation: SearchDistillationConfig | None = None
    score_derived: bool = Field(
        True,
        description="after every epoch, score what the shares would derive with the supernet's weights; for up to "
        "5,000 validation specimens",
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


Target = Literal["trap", "pi", "station"]


class DerivationConfig(Section):
    """How a finished search becomes one architecture.

    "strongest" takes the strongest operations; "perturbation" those whose removal costs the supernet most;
    "successive_halving" trains the strongest and others, sampled from the architecture weights, as they will be
    retrained, and after every round keeps the half with the best validation macro-F1 (arXiv 1502.07943);
    "evolution" lets NNI's regularised evolution look for the architecture that is best on validation with the
    supernet's own weights, without training (arXiv 1904.00420), for a supernet of strategy random_paths or another;
    "random" draws an architecture of the same space, the baseline of every search; "given" builds the one that
    `choices` names, which is how tuners of NNI search without a supernet. The limits hold for the network
    that is trained; where the first choice breaks them, operations give way, those first that lose least share for
    what they save.
    """

    method: Literal["strongest", "perturbation", "successive_halving", "evolution", "random", "given"] = "strongest"
    choices: dict[str, str] = Field(
        default_factory=dict,
        description="for given: a candidate for every label; for a node its inputs, such as 0+2",
    )
    seed: int = Field(0, ge=0, description="for random, and for whatever other methods draw")
    proposals: Literal["sampled", "random"] = Field("sampled", description="for successive_halving")
    candidates: int = Field(8, ge=2, description="for successive_halving")
    first_epochs: int = Field(
        4, ge=1, description="for successive_halving: epochs of the first round; each further round has twice as many"
    )
    evaluations: int = Field(200, ge=2, description="for evolution: number of candidates")
    population: int = Field(24, ge=2, description="for evolution")
    target: Target | None = Field(None, description="hard limits of the device where the model will run")
    max_parameters: int | None = Field(None, ge=1, description="your own hard limit")
    max_mflops: float | None = Field(None, gt=0, description="for one specimen; a multiply-add counts as two")

    @property
    def searched(self) -> bool:
        """Whether the method needs a search."""
        return self.method not in ("random", "given") and not (
            self.method == "successive_halving" and self.proposals == "random"
        )

    @property
    def budget(self) -> Budget | None:
        """All limits together, None without any."""
        if self.target is None and self.max_parameters is None and self.max_mflops is None:
            return None
        own = Budget(self.max_parameters, None if self.max_mflops is None else 1e6 * self.max_mflops)
        return own.tightened(BUDGETS[self.target]) if self.target else own

    @model_validator(mode="after")
    def _choices_are_used(self) -> DerivationConfig:
        if (self.method == "given") != bool(self.choices):
            raise ValueError("method 'given' and choices belong together; set both or neither")
        if self.population > self.evaluations:
            raise ValueError("population may not exceed evaluations; lower the one or raise the other")
        return self


class RetrainTrunkConfig(Section):
    """What changes for the trunk under searched cells when the derived network is trained.

    A search on a frozen trunk takes a minute, since the trunk's features are computed once. The one network that it
    found can then afford to train its trunk along.
    """

    frozen: bool | None = Field(None, description="whether the trunk stays fixed; as in the search by default")
    frozen_stages: int | None = Field(
        None, ge=0, description="the last stage that stays fixed while others are trained; as in the search by default"
    )
    views: int | None = Field(
        None, ge=0, le=7, description="mirrored and turned views of the fixed part that are stored"
    )
    embedding_dropout: float | None = Field(None, ge=0, lt=1, description="as in the search by default")
    path_dropout: float | None = Field(None, ge=0, le=1, description="as in the search by default")


class RetrainConfig(Section):
    """The derived network: its size, if it differs from the search's, and where its weights start."""

    cells: int | None = Field(None, ge=1, description="as in the search by default")
    channels: int | None = Field(None, ge=1, description="as in the search by default")
    trunk: RetrainTrunkConfig = Field(
        RetrainTrunkConfig(), description="settings of space.trunk that differ for the derived network"
    )
    initial_weights: Literal["scratch", "supernet"] = Field(
        "scratch", description="supernet: start from the weights that the search has trained"
    )
    refit: bool = Field(
        False,
        description="train once more on training and validation split together, for as many epochs as were kept; "
        "calibration stays that of the network which had not seen validation",
    )
    max_minutes: float | None = Field(
        None,
        gt=0,
        description="of training; the schedule adapts to what fits; a refit that would take longer is left out",
    )

    @model_validator(mode="after")
    def _same_size(self) -> RetrainConfig:
        if self.initial_weights == "supernet" and (self.cells or self.channels):
            raise ValueError(
                "initial_weights 'supernet' fits only the searched size; remove retrain.cells and .channels"
            )
        return self


class CacheConfig(Section):
    """Where decoded images are kept between runs, and how much disk they may take."""

    folder: Path | None = Field(None, description="the user's cache folder by default")
    max_gb: float = Field(20.0, ge=0, description="0 decodes every image whenever it is needed")


class AuditConfig(Section):
    """Exceptions from the leakage screen: for each refused column that must be used, the reason."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    allow: dict[str, str] = Field(default_factory=dict, description="a column and the reason, in at least three words")

    @model_validator(mode="after")
    def _with_reason(self) -> AuditConfig:
        for name, reason in self.allow.items():
            if len(reason.split()) < 3:
                raise ValueError(f"allow.{name}: say in words why this column must be used, not just {reason!r}")
        return self


class EvaluationConfig(Section):
    """How test scores are made."""

    decision: Literal["balanced", "training_prior"] = Field(
        "balanced", description="as if classes were equally frequent, or as frequent as in training"
    )
    examples: int = Field(12, ge=0, le=60, description="right, wrong and unsure answers that the report shows")
    confusion_examples: int = Field(
        200, ge=0, le=400, description="images behind the cells of the report's confusion matrix; none without examples"
    )
    baselines: Literal["auto"] | list[str] = Field(
        "auto",
        description="candidates of `bioautoml auto` that the report of `bioautoml run` shows beside the network; auto "
        "is a probe and boosting on the metadata, each if it takes two minutes at most, or a quarter of the run's time",
    )


class Experiment(Section):
    """One experiment, from data to report."""

    name: str = Field(
        min_length=1, pattern=r"^[\w.-]+$", description="names the run directory and the model: letters, digits, _ . -"
    )
    seed: int = Field(0, ge=0, description="of everything random")
    threads: int | None = Field(None, ge=1, description="CPU threads; all cores by default")
    devices: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="processes of a run on each machine, which search, train and evaluate together, each on a GPU of "
        "its own or on the CPU; auto is one for each GPU, or one",
    )
    nodes: int = Field(1, ge=1, description="machines of a run; above one, start it on each with torchrun")
    data: DataConfig
    audit: AuditConfig = AuditConfig()
    cache: CacheConfig = CacheConfig()
    space: PluginSection = PluginSection(name="multimodal")
    strategy: PluginSection = PluginSection(name="alternating_darts")
    loss: PluginSection = PluginSection(name="logit_adjusted")
    search: SearchConfig = SearchConfig()
    derivation: DerivationConfig = DerivationConfig()
    retrain: RetrainConfig = RetrainConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="before")
    @classmethod
    def _name_default_plugins(cls, raw: Any) -> Any:
        """Let a section that gives arguments only, such as `loss: {tau: 0.5}`, mean the default plug-in."""
        if not isinstance(raw, dict):
            return raw
        named = {key: field.default.name for key, field in cls.model_fields.items() if _is_plugin(field.default)}
        return {
            key: {"name": named[key], **value} if key in named and isinstance(value, dict) else value
            for key, value in raw.items()
        }

    def network_arguments(self) -> dict[str, Any]:
        """Return the arguments of the space for the network that is trained: the search's with what `retrain` changes.

        Views of a trunk that the search had frozen do not count where all of the trunk is trained.
        """
        arguments = dict(self.space.arguments)
        arguments |= {name: size for name in ("cells", "channels") if (size := getattr(self.retrain, name))}
        own = self.retrain.trunk.model_dump(exclude_none=True)
        if own and isinstance(arguments.get("trunk"), dict):
            merged = {**arguments["trunk"], **own}
            if not merged.get("frozen", True) and merged.get("frozen_stages") is None and "views" not in own:
                merged.pop("views", None)
            arguments["trunk"] = merged
        return arguments


def _is_plugin(default: Any) -> bool:
    return isinstance(default, PluginSection)
