"""Configuration: experiment.yml, validated with all mistakes reported at once."""

from .load import apply_overrides, load_experiment, parse_experiment
from .schema import Experiment

__all__ = ["Experiment", "apply_overrides", "load_experiment", "parse_experiment"]
