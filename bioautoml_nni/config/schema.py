"""The keys of experiment.yml. Sections that name a plug-in also take that plug-in's constructor arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

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
from .training_sections import (  # noqa: F401
    RECIPE_KEYS,
    RECIPES,
    Augmentation,
    DistillationConfig,
    SearchConfig,
    SearchDistillationConfig,
    TrainingConfig,
)

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
