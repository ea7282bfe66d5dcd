"""The pretrained encoders that a run starts from, and those that teach it."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from ..config import Experiment
from ..config.references import is_encoder
from ..features.encoder import Encoder, load_encoder
from ..registry import get
from .teacher import SECTIONS


def encoders_of(experiment: Experiment) -> dict[str, Encoder]:
    """Return all encoders whose weights an experiment needs, by their references."""
    ask = getattr(get("search_spaces", experiment.space.name).target, "pretrained_encoders", None)
    found: list[Encoder] = []
    if ask is not None and "image" in experiment.data.modalities:
        for arguments in (experiment.space.arguments, experiment.network_arguments()):
            found += ask(**arguments)
    for section in SECTIONS:
        settings = getattr(experiment, section).distillation
        if settings is not None and is_encoder(settings.teacher):
            found.append(load_encoder(settings.teacher, f"{section}.distillation.teacher"))
    return {encoder.reference: encoder for encoder in found}


def require_encoders(experiment: Experiment, console: Console) -> None:
    """Read the weights of all encoders, and tell what whoever loads them must be told, before anything else is done.

    Raises:
        EncoderError: if they cannot be had, are damaged, or are another network's.
    """
    for encoder in encoders_of(experiment).values():
        if encoder.pretrained:
            encoder.loaded(None)
        for note in encoder.notes:
            console.print(f"[yellow]warning:[/] {escape(note)}", highlight=False, soft_wrap=True)
