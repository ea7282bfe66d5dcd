"""Silence for notices of NNI and Lightning that a user cannot act on; errors still show. Imports nothing heavy."""

from __future__ import annotations

import io
import logging
import sys
import warnings

MESSAGES = (
    ".*is found to be not a nn.Module.*",
    ".*does not have many workers.*",
    ".*try to wrap PyTorch DataLoader with nni.trace.*",
    ".*`training_service` will be ignored.*",
    ".*treespec.*",
    ".*number of training batches.*",
    ".*in eval mode at the start of training.*",  # a frozen trunk stays so on purpose
    ".*Grad strides do not match.*",  # of convolutions of one pixel, whose layouts are all alike
    ".*when logging on epoch level in distributed setting.*",  # of metrics that are computed of all processes' counts
    ".*IProgress not found.*",  # tqdm in a notebook without widgets
    ".*have no `val_dataloader`.*",  # a refit has no validation split left
)


def substitute_letters() -> None:
    """Let a terminal or file that lacks a letter show a substitute: a message must not end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def quiet() -> None:
    """Install the filters."""
    for name in ("nni", "pytorch_lightning", "lightning_fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in MESSAGES:
        warnings.filterwarnings("ignore", message)
    warnings.filterwarnings("ignore", module=r"PIL\..*")  # damaged EXIF entries and the like: rows say what matters
