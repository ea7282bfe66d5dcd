"""Alternating bi-level search: odd batches update architecture parameters, even batches weights.

Implements the optimisation of BioAutoML-NAS (arXiv 2510.05888) as an NNI one-shot strategy. First-order DARTS
(arXiv 1806.09055) is the reference for the relaxation and for the default settings of both optimisers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from nni.mutable import Categorical, CategoricalMultiple
from nni.nas.nn.pytorch import ModelSpace
from nni.nas.strategy import DARTS
from torch import nn
from torch.utils.data import DataLoader

from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.registry import get
from bioautoml_nni.utils.errors import ConfigError
from bioautoml_nni.utils.numbers import Count, NonNegative, Positive, WholeNumber
from bioautoml_nni.utils.renamed import present_arguments
from bioautoml_nni.utils.seeding import derive_seed

from .candidates import CannotNarrow
from .checkpointing import checkpoint_cells
from .concatenations import without_concatenations
from .data import SearchLoader, another, one_loader
from .guards import Guards
from .halves import WAYS_OUT, disjoint_halves
from .initialisation import require_own_parameters, tell_partly_set
from .module import AlternatingModule
from .refusals import named_hook, only_categorical
from .regularisers._base import Regulariser
from .relaxations._base import Relaxation
from .schedules._base import Schedule
from .supermodules import DIFFERENTIABLE
from .supernet import MixedInput, MixedOperation, skips_of

logger = logging.getLogger(__name__)

FORMER = {"most_skips": "max_skips", "least_entropy": "min_entropy"}
"""Arguments by their names before 0.2."""
Part = str | dict[str, Any]
"""A part by its registered name, or a dictionary with ``name`` and the part's own arguments."""


class AlternatingDARTS(DARTS):
    """Differentiable search that updates architecture parameters on odd batches and weights on even ones.

    Works in NNI's `NasExperiment` with any Lightning evaluator. Its parts are plug-ins.

    Args:
        schedule: which batch updates which group ("odd_even" as in the paper; `bioautoml ls schedules`).
        relaxation: how architecture parameters become mixing weights ("softmax"; `bioautoml ls relaxations`).
        regularisers: what is added to the loss of architecture steps (`bioautoml ls regularisers`).
        alpha_data: where architecture batches come from. "disjoint": from data that never trains weights; if the
            training loader is a dictionary with the keys ``weights`` and ``alpha`` these two are taken, otherwise
            what it draws is halved at random: a sampler keeps its order and its odds within each half, a loader
            without one draws each half in a new order every epoch. "shared": odd batches of the one training
            loader. "validation": from the validation loader, as NNI's own DARTS does. Both take iterable data too.
        alpha_learning_rate: Adam's rate for the architecture parameters. DARTS has 3e-4 for 50 epochs of 390 steps;
            with that rate a search of a few hundred steps hardly moves (benchmarks/tiny_space.py).
        alpha_weight_decay: Adam's decay for the architecture parameters.
        gradient_clip: largest gradient norm of the weights; 0 switches clipping off.
        warmup_epochs: epochs in which only weights are trained; odd batches are then skipped.
        max_skips: stop when more edges of one kind of cell prefer a skip connection, and keep the last architecture
            before that; None never stops. In a space that is not made of cells all choices count together. Which
            candidates are skips, they or the space say (`candidates`).
        mixed_operation: "fast" folds mixing weights into the candidates, "plain" computes the sum as it is written;
            both compute the same, with the same weights and checkpoints.
        partial_channels: k of PC-DARTS: on every edge one k-th of the channels is searched, the others pass by; a
            smaller and faster supernet, of which the derived network cannot inherit weights. 1 searches all.
        min_entropy: stop when the mean entropy of the operations' weights, in nats, is lower; None never stops.
        log_curvature: at the end of each epoch, log the dominant eigenvalue of the Hessian of the loss w.r.t.
            the architecture parameters, as ``alpha_hessian_eigenvalue``; costs as much as 16 architecture steps.
        cuda_graphs: on a GPU, record the passes of both kinds of step once and replay them, as far as relaxation and
            regularisers let steps be alike, and cells are not checkpointed.
        checkpoint_cells: keep only the input of every cell for the backward pass and compute the cell again; the
            same result with less memory, for a second forward pass.
        seed: of batch order, dropout, augmentation and sampling, different in every epoch.
        former: the names that `max_skips` and `min_entropy` had before 0.2.

    Example:
        >>> from bioautoml_nni import MultimodalSpace
        >>> space = MultimodalSpace(num_classes=3, modalities=["image"], channels=4, cells=2, nodes=2)
        >>> supernet = AlternatingDARTS(relaxation="sigmoid").mutate_model(space)
        >>> type(supernet.image_encoder.cells[0].edges["0_1"]).__name__  # what was a LayerChoice
        'MixedOperation'
    """

    capabilities = ("processes", "validation")
    parts: ClassVar[Mapping[str, str]] = {
        "schedule": "schedules",
        "relaxation": "relaxations",
        "regularisers": "regularisers",
    }
    separate_where: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "alpha_data": ("disjoint",), "schedule.form": ("alternate", "pairs"),
    }  # fmt: skip
    """What `training_data` comes to, for who reads the source only."""

    def __init__(
        self,
        schedule: Part = "odd_even",
        relaxation: Part = "softmax",
        regularisers: Sequence[Part] = (),
        alpha_data: Literal["disjoint", "shared", "validation"] = "disjoint",
        alpha_learning_rate: Positive = 0.01,
        alpha_weight_decay: NonNegative = 1e-3,
        gradient_clip: NonNegative = 5.0,
        warmup_epochs: WholeNumber = 0,
        max_skips: WholeNumber | None = None,
        min_entropy: NonNegative | None = None,
        mixed_operation: Literal["fast", "plain"] = "fast",
        partial_channels: Count = 1,
        log_curvature: bool = False,
        cuda_graphs: bool = True,
        checkpoint_cells: bool = False,
        seed: int = 0,
        **former: Any,
    ) -> None:
        renamed = present_arguments(f"{type(self).__name__}()", former, FORMER)
        max_skips, min_entropy = renamed.get("max_skips", max_skips), renamed.get("min_entropy", min_entropy)
        super().__init__(
            arc_learning_rate=alpha_learning_rate, gradient_clip_val=gradient_clip, warmup_epochs=warmup_epochs
        )
        _require_choices(alpha_data, mixed_operation, partial_channels)
        self.mixed_operation = mixed_operation
        self.partial_channels = partial_channels
        self.schedule: Schedule = build_part("schedules", schedule)
        self.relaxation: Relaxation = build_part("relaxations", relaxation)
        self.regularisers: list[Regulariser] = [build_part("regularisers", part) for part in regularisers]
        self.alpha_data = alpha_data
        self.alpha_weight_decay = alpha_weight_decay
        self.log_curvature = log_curvature
        self.cuda_graphs = cuda_graphs
        self.checkpoint_cells = checkpoint_cells
        self.guards = Guards(max_skips, min_entropy)
        self.seed = seed
        self._choices: dict[str, Any] = {}

    @property
    def training_data(self) -> Literal["separate", "joined"]:
        """Whether weights and architecture get loaders of their own, or one joined training loader is wanted."""
        return "separate" if self.alpha_data == "disjoint" and self.schedule.form != "same" else "joined"

    def weight_steps(self, batches: int) -> int:
        """Return in how many steps of an epoch with so many training batches weights are updated.

        Example:
            >>> AlternatingDARTS(alpha_data="shared").weight_steps(9), AlternatingDARTS().weight_steps(9)
            (5, 9)
        """
        if self.alpha_data != "shared" or self.schedule.form == "same":
            return batches
        return -(-batches // 2) if self.schedule.form == "alternate" else batches // 2

    def default_mutation_hooks(self) -> list[Any]:
        """Our super-modules first, then NNI's."""
        return [MixedOperation.mutate, MixedInput.mutate, *DIFFERENTIABLE, *super().default_mutation_hooks()]

    def run_hook(self, hook: Any, name: str, module: nn.Module, memo: dict[str, Any]) -> Any:
        """Run a mutation hook; what cannot be searched is refused by its label."""
        return named_hook(lambda: super(AlternatingDARTS, self).run_hook(hook, name, module, memo), module, name)

    def mutate_model(self, model: ModelSpace) -> ModelSpace:
        """Turn the space into a supernet; initial architecture parameters depend on the seed and the label only.

        Raises:
            PluginError: naming the choice that cannot be searched, and why.
            ConfigError: if an option asks for what the space does not offer (see `candidates`).
        """
        only_categorical(model)
        require_own_parameters(model)
        self._choices = {str(label): choice for label, choice in model.simplify().items()}
        tell = getattr(model, "candidate_capabilities", None)
        model = self._supernet(model)
        without_concatenations(model)
        tell_partly_set(model)
        operations = [module for module in model.modules() if isinstance(module, MixedOperation)]
        for module in operations:
            module.relaxation = self.relaxation
            module.fast = self.mixed_operation != "plain"
            if tell is not None:
                module.told_capabilities = {name: tell(str(module.label), name) for name in module.names}
        if self.partial_channels > 1:
            self._make_partial(operations)
        self._check_needs(model)
        if self.checkpoint_cells:
            checkpoint_cells(model)
        for label, parameter in named_architecture_parameters(model).items():
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "alpha", label))
            with torch.no_grad():
                parameter.copy_(1e-3 * torch.randn(parameter.shape, generator=generator))
        return model

    def _supernet(self, model: ModelSpace) -> ModelSpace:
        """Do as NNI's DARTS, which would refuse conditions between choices; NAS-Bench-101's cell knows its own."""
        self._arch_parameters = {
            label: nn.Parameter(1e-3 * torch.randn(len(mutable.values)))
            for label, mutable in model.simplify().items()
            if isinstance(mutable, Categorical | CategoricalMultiple)
        }
        made: ModelSpace = super(DARTS, self).mutate_model(model)
        return made

    def _make_partial(self, operations: Sequence[MixedOperation]) -> None:
        """Make choices partial; those with nothing to narrow stay whole, and are named."""
        whole: dict[str, str] = {}
        inner: set[int] = set()
        tried: set[str] = set()
        key = "strategy.partial_channels"
        for module in operations:
            if id(module) in inner:
                continue
            inner |= {id(part) for part in module.modules()}
            tried.add(str(module.label))
            try:
                module.make_partial(self.partial_channels)
            except CannotNarrow as reason:
                if str(reason).startswith(f"{self.partial_channels} does not divide"):
                    raise ConfigError([f"{key}: {reason}."]) from None
                if reason.torn:
                    problem = f"{key}: choice {str(module.label)!r} cannot be made partial: {reason}."
                    raise ConfigError([problem]) from None
                whole[str(module.label)] = str(reason)
        if len(whole) == len(tried):
            why = " ".join(f"Choice {label!r}: {text}." for label, text in whole.items())
            raise ConfigError([f"{key}: no choice of this space can be made partial. {why}".strip()])
        for label, text in whole.items():
            logger.warning("%s: choice %r stays whole: %s.", key, label, text)

    def _check_needs(self, model: nn.Module) -> None:
        """Refuse options about skip connections or layers where no candidate, or no choice, is one."""
        wanted = [] if self.guards.max_skips is None else ["strategy.max_skips"]
        wanted += [f"strategy.regularisers: {type(part).__name__}" for part in self.regularisers if part.needs_skips]
        problems = []
        if wanted and not any(skips_of(model).values()):
            problems = [
                f"{key}: no candidate of this space says that it is a skip connection; give it "
                'capabilities = ("skip",), or the space a method candidate_capabilities(label, name).'
                for key in wanted
            ]
        if not any(isinstance(module, MixedOperation) for module in model.modules()):
            problems += [
                f"strategy.regularisers: {type(part).__name__} is about choices of layers (LayerChoice), of which this "
                "space has none; remove it."
                for part in self.regularisers
                if part.needs_layers
            ]
        if problems:
            raise ConfigError(problems)

    def configure_oneshot_module(self, training_module: Any) -> AlternatingModule:
        """Wrap the evaluator's Lightning module."""
        return AlternatingModule(
            training_module,
            arc_learning_rate=self.arc_learning_rate,
            gradient_clip_val=self.gradient_clip_val,
            warmup_epochs=self.warmup_epochs,
            alpha_weight_decay=self.alpha_weight_decay,
            schedule=self.schedule,
            relaxation=self.relaxation,
            regularisers=self.regularisers,
            guards=self.guards,
            log_curvature=self.log_curvature,
            cuda_graphs=self.cuda_graphs and not self.checkpoint_cells,
            seed=self.seed,
            choices=self._choices,
        )

    def train_dataloader(
        self, train_dataloader_fn: Callable[[], Any], val_dataloader_fn: Callable[[], Any]
    ) -> SearchLoader:
        """Join weight and architecture batches in the form that the schedule asks for.

        Raises:
            TypeError, ValueError: if the loaders are not those that `alpha_data` asks for; the text says the way out.
        """
        train, form = train_dataloader_fn(), self.schedule.form
        if form == "same":
            if isinstance(train, Mapping):
                raise ValueError("a single-level schedule takes one training loader, not one for each group")
            train = one_loader(train, "training")
            return SearchLoader(train, train, self.seed, form)
        if isinstance(train, Mapping):
            return SearchLoader(*self._named(train), self.seed, form)
        if self.alpha_data == "disjoint":
            if not isinstance(train, DataLoader):
                kind = type(train).__name__
                raise TypeError(f"alpha_data='disjoint' needs a DataLoader to halve, not a {kind}; {WAYS_OUT}")
            return SearchLoader(*disjoint_halves(train, self.seed), self.seed, form)
        train = one_loader(train, "training")
        if self.alpha_data == "shared":
            return SearchLoader(train, train, self.seed, form)
        validation = one_loader(val_dataloader_fn(), "validation")
        return SearchLoader(train, another(train) if validation is train else validation, self.seed, form)

    def _named(self, train: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the loaders of a dictionary: (weights, alpha)."""
        if set(train) != {"weights", "alpha"}:
            raise ValueError(f"the training loaders must be named weights and alpha, not {', '.join(map(str, train))}")
        if self.alpha_data != "disjoint":
            raise ValueError(f"alpha_data={self.alpha_data!r} takes one training loader, not one for each group")
        if train["weights"] is train["alpha"]:
            raise ValueError(
                "the loaders named weights and alpha are one and the same, so that the architecture learns from what "
                "trains the weights; give two, or one by itself with alpha_data='shared'"
            )
        return one_loader(train["weights"], "weights"), one_loader(train["alpha"], "alpha")

    def val_dataloader(self, train_dataloader_fn: Callable[[], Any], val_dataloader_fn: Callable[[], Any]) -> Any:
        """Validate during the search, unlike NNI's DARTS; not when validation data trains the architecture."""
        return None if self.alpha_data == "validation" else val_dataloader_fn()


def build_part(kind: str, part: Part) -> Any:
    """Return a part of the strategy from its name, or from a dictionary with ``name`` and its arguments."""
    if isinstance(part, str):
        return get(kind, part).target()
    arguments = {key: value for key, value in part.items() if key != "name"}
    return get(kind, part["name"]).target(**arguments)


def _require_choices(alpha_data: str, mixed_operation: str, partial_channels: int) -> None:
    """Raise `ValueError` for an option that is none of those that there are."""
    if alpha_data not in ("disjoint", "shared", "validation"):
        raise ValueError(f"alpha_data must be disjoint, shared or validation, not {alpha_data!r}")
    if mixed_operation not in ("fast", "plain"):
        raise ValueError(f"mixed_operation must be fast or plain, not {mixed_operation!r}")
    if partial_channels < 1:
        raise ValueError(f"partial_channels must be at least 1, not {partial_channels}")
