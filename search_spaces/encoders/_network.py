"""A timm network in the form that the engine asks of an encoder: whole, or cut behind a stage."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import timm
import torch
from timm.models import group_parameters
from torch import Tensor, nn

from bioautoml_nni.features.trunk import Trunk
from bioautoml_nni.utils.errors import EncoderError


class TimmTrunk(Trunk):
    """A timm network without classifier, or its layers up to a stage.

    Stages are the blocks of networks that timm indexes by block (EfficientNet and its kin: stage k is ``blocks.k``),
    and otherwise the entries of the network's ``feature_info``.

    Args:
        name: the model's name in timm.
        stage: index of the last stage; None keeps everything.
        drop_path: rate of stochastic depth; ignored by networks that have none.

    Raises:
        EncoderError: if there is no such stage.
    """

    body: Any

    def __init__(self, name: str, stage: int | None = None, drop_path: float = 0.0) -> None:
        super().__init__()
        self.name = name
        self.stage = None
        self.body = create_network(name, drop_path)
        self._by_block = self._takes("extra_blocks")
        self._count = self._count_stages()
        if stage is not None:
            self._require(stage)
            self.stage = stage
            self.body.prune_intermediate_layers([self._index(stage)], prune_norm=True, prune_head=True, **self._options)
        features, embedding = self._shapes()
        self.has_feature_map = len(features) == 4 and (stage is not None or features[1] == self.body.num_features)
        self.features = embedding[1]  # some networks widen their features after `num_features`, so one pass tells

    def count_stages(self) -> int:
        return self._count

    def feature_map(self, images: Tensor) -> Tensor:
        if self.stage is None:
            return self.body.forward_features(images.contiguous(memory_format=torch.channels_last))
        return self.feature_maps(images, [self.stage])[0]

    def pool(self, features: Tensor) -> Tensor:
        return self.body.forward_head(features) if self.stage is None else features.mean((2, 3))

    def feature_maps(self, images: Tensor, stages: Sequence[int]) -> list[Tensor]:
        return self._intermediates(images, stages, only=True)

    def features_with_stages(self, images: Tensor, stages: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        if not stages:
            return self.feature_map(images), []
        if self.stage is None:
            last, maps = self._intermediates(images, stages, only=False)
            return last, maps
        *maps, last = self.feature_maps(images, [*stages, self.stage])
        return last, maps

    @property
    def can_continue(self) -> bool:
        return self._by_block and all(hasattr(self.body, name) for name in ("conv_stem", "bn1"))

    def continue_from(self, stage: int, features: Tensor, stages: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        self._require(stage)
        features = features.contiguous(memory_format=torch.channels_last)
        maps: dict[int, Tensor] = {}
        for index in range(stage + 1, len(self.body.blocks)):
            features = self.body.blocks[index](features)
            maps[index] = features
        if self.stage is None:
            features = self.body.bn2(self.body.conv_head(features))
        return features, [maps[index] for index in stages]

    def until(self, stage: int) -> list[nn.Module]:
        self._require(stage)
        return [self.body.conv_stem, self.body.bn1, *self.body.blocks[: stage + 1]]

    def parameter_layers(self) -> list[list[nn.Parameter]]:
        named = dict(self.body.named_parameters())
        if not hasattr(self.body, "group_matcher"):
            return [list(named.values())]
        layers: dict[int, list[nn.Parameter]] = {}
        for layer, names in group_parameters(self.body, self.body.group_matcher(coarse=False)).items():
            layers[layer] = [named[name] for name in names if name in named]
        return [layers[layer] for layer in sorted(layers) if layers[layer]]

    def _intermediates(self, images: Tensor, stages: Sequence[int], only: bool) -> Any:
        """Return the maps of stages in the order asked; before them the last features, unless the maps alone do."""
        for stage in stages:
            self._require(stage)
        wanted = sorted(set(stages))
        found = self.body.forward_intermediates(
            images.contiguous(memory_format=torch.channels_last), indices=[self._index(stage) for stage in wanted],
            stop_early=only, output_fmt="NCHW", intermediates_only=only, **self._options,
        )  # fmt: skip
        last, maps = (None, found) if only else found
        ordered = [maps[wanted.index(stage)] for stage in stages]
        return ordered if only else (last, ordered)

    @property
    def _options(self) -> dict[str, bool]:
        return {"extra_blocks": True} if self._by_block else {}

    def _index(self, stage: int) -> int:
        return stage + 1 if self._by_block else stage  # before the first block timm counts the stem

    def _takes(self, option: str) -> bool:
        function = getattr(self.body, "forward_intermediates", None)
        return function is not None and option in inspect.signature(function).parameters

    def _count_stages(self) -> int:
        if not (self._takes("indices") and hasattr(self.body, "prune_intermediate_layers")):
            return 0
        return len(self.body.blocks) if self._by_block else len(self.body.feature_info)

    def _require(self, stage: int) -> None:
        last = self._count - 1 if self.stage is None else self.stage
        if not 0 <= stage <= last:
            held = f"stages 0 to {last}" if self._count else "no feature maps by stage"
            raise EncoderError(f"{self.name}: stage {stage}: the network has {held}.")

    @torch.no_grad()
    def _shapes(self) -> tuple[torch.Size, torch.Size]:
        """Return the shapes of `feature_map` and `pool`; networks of one size refuse the small first image."""
        self.eval()
        try:
            features = self.feature_map(torch.zeros(1, 3, 64, 64))
        except (AssertionError, RuntimeError):
            size = self.body.pretrained_cfg.get("input_size", (3, 224, 224))[-1]
            features = self.feature_map(torch.zeros(1, 3, size, size))
        shapes = features.shape, self.pool(features).shape
        self.train()
        return shapes


def create_network(name: str, drop_path: float, **options: Any) -> nn.Module:
    """Return a timm model without classifier that takes images of any size, transformers included."""
    attempts: list[dict[str, Any]] = [{"drop_path_rate": drop_path, "dynamic_img_size": True}]
    attempts += [{"drop_path_rate": drop_path}, {"dynamic_img_size": True}, {}]
    for extra in attempts:
        try:
            return timm.create_model(name, num_classes=0, **options, **extra)
        except TypeError as error:
            if "unexpected keyword argument" not in str(error):
                raise
    raise AssertionError("unreachable: the last attempt passes no extra argument")
