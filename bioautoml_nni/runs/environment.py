"""Versions and hardware, for provenance."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

from .._version import __version__

PACKAGES = ("nni", "torch", "torchvision", "pytorch-lightning", "torchmetrics", "pandas", "scikit-learn", "numpy")


def environment() -> dict[str, Any]:
    """Return versions and hardware, for provenance."""
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "versions": {
            "bioautoml-nni": __version__,
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in PACKAGES},
        },
        "hardware": {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpus": gpus,
            **gpu_memory(),
        },
    }


def gpu_memory() -> dict[str, float]:
    """Return the most memory that this process has held of a GPU so far, as ``gpu_memory_mb``; empty without one."""
    import torch

    if not torch.cuda.is_initialized():
        return {}
    held = [torch.cuda.max_memory_reserved(index) for index in range(torch.cuda.device_count())]
    return {"gpu_memory_mb": round(max(held) / 1e6, 1)}
