"""Pretrained encoders and what is computed with them once and for all; importing this package does not import torch."""

from .encoder import Encoder, Stage, load_encoder

__all__ = ["Encoder", "Stage", "load_encoder"]
