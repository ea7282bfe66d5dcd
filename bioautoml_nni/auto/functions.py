"""The commands as functions: what `import bioautoml_nni` offers beside `SpecimenClassifier` and `experiment`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from ..config import Experiment, load_experiment, parse_experiment
from ..config.load import apply_overrides, import_plugins
from ..registry import KINDS, plugins
from ..runtime.model import Model
from ..utils.errors import ConfigError, PluginError
from ..utils.given import as_path, as_texts
from ..utils.quiet import quiet

Configuration = str | Path | Mapping[str, Any]
"""An experiment.yml, or what stands in one."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        path: its directory, with report.html.
        metrics: of its network on the test split.
    """

    path: Path
    metrics: Mapping[str, Any]

    def export(self, folder: str | Path | None = None, target: str | None = None) -> Model:
        """Write the network as files that predict anywhere, by default to ``export`` in the run, and load them.

        Raises:
            ExportError: if it breaks the budget of the target, or cannot be exported.
        """
        from ..runs.directory import RunDirectory
        from ..stages.export import export

        place = Path(folder) if folder is not None else self.path / "export"
        export(RunDirectory.open(self.path), place, Console(quiet=True), target)
        return Model.load(place)

    def _repr_html_(self) -> str:
        names = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"}
        scores = {told: self.metrics[name] for name, told in names.items()} | {"macro-F1": self.metrics["macro"]["f1"]}
        return pd.DataFrame([scores]).to_html(index=False, float_format=lambda value: f"{value:.3f}")


@dataclass(frozen=True)
class Check:
    """What the audit says of an experiment's data.

    Attributes:
        verdict: "clean", "warnings" or "refused".
        remarks: level, topic and text of each.
        record: everything, as audit.json has it.
    """

    verdict: str
    remarks: pd.DataFrame
    record: Mapping[str, Any]

    def _repr_html_(self) -> str:
        return f"<b>{self.verdict}</b>{self.remarks.to_html(index=False)}"


def run(
    config: Configuration, output: str | Path | None = None, overrides: Sequence[str] = (), verbose: bool = True
) -> Run:
    """Do one experiment from data to report, as `bioautoml run` does; a stopped one is continued.

    Args:
        config: an experiment.yml, or what stands in one.
        output: run directory, by default ``runs/NAME``.
        overrides: ``dotted.key=value`` texts.
        verbose: whether progress is shown.

    Raises:
        BioAutoMLError: with the sentence that the command says.

    Example:
        >>> import bioautoml_nni
        >>> bioautoml_nni.run("no-such-experiment.yml")
        Traceback (most recent call last):
            ...
        bioautoml_nni.utils.errors.ConfigError: no-such-experiment.yml: 1 configuration mistake
          - there is no such file; `bioautoml init DIR` writes one
    """
    quiet()  # before NNI is imported
    from ..runs.directory import RunDirectory
    from .baselines import run_with_baselines

    loaded = _load(config, overrides)
    import_plugins(loaded)
    base = None if isinstance(config, Mapping) else Path(config).resolve().parent
    directory = RunDirectory.create(Path(output) if output is not None else Path("runs") / loaded.name, loaded, base)
    run_with_baselines(directory, Console(quiet=not verbose))
    return Run(directory.path, directory.metrics().record())


def check(config: Configuration, overrides: Sequence[str] = ()) -> Check:
    """Audit the data of an experiment, as `bioautoml check` does; nothing is written but the image cache.

    Raises:
        BioAutoMLError: for data that cannot even be looked at.

    Example:
        >>> import bioautoml_nni
        >>> sample = {"name": "sample", "data": {"source": "sample", "specimens": 60, "image_size": 16}}
        >>> bioautoml_nni.check(sample).verdict in ("clean", "warnings", "refused")
        True
    """
    quiet()
    from ..audit.examine import examine

    found = examine(_load(config, overrides), Console(quiet=True))
    record = found.audit.record()
    remarks = pd.DataFrame(record["remarks"], columns=["level", "topic", "text"])
    return Check(str(found.verdict), remarks, record)


def load(folder: str | Path) -> Model:
    """Return an exported model, ready to answer: of an export, or of a run that has one.

    Raises:
        ExportError: if there is none, or one that changed since it was written.

    Example:
        >>> import bioautoml_nni
        >>> bioautoml_nni.load("no-such-folder")
        Traceback (most recent call last):
            ...
        bioautoml_nni.utils.errors.ExportError: no-such-folder: holds no exported model; ...
    """
    return Model.load(as_path(folder, "folder"))


def compare(
    config: Configuration,
    rows: Sequence[str] = ("as_configured", "random", "majority"),
    seeds: int = 3,
    output: str | Path | None = None,
    overrides: Sequence[str] = (),
    jobs: int = 1,
    verbose: bool = True,
) -> pd.DataFrame:
    """Compare an experiment with baselines and other searches under one protocol, as `bioautoml compare` does.

    Args:
        rows: methods, each a name or ``name:argument``; ``list_plugins("methods")`` has them.
        seeds: how many.
        output: folder, by default ``comparisons/NAME``.
        jobs: how many runs at a time.

    Returns:
        A line for each row and seed.

    Raises:
        BioAutoMLError: with the sentence that the command says.
    """
    quiet()
    from ..compare.protocol import compare as run_comparison

    loaded, listed = _load(config, overrides), as_texts(rows, "rows")
    problems = [
        f"{name}: {value!r} must be a whole number, 1 at least."
        for name, value in (("seeds", seeds), ("jobs", jobs))
        if not isinstance(value, int) or value < 1
    ]
    if not listed:
        problems.append("rows: name one at least, such as 'as_configured'.")
    if problems:
        raise ConfigError(problems, "compare")
    folder = Path(output) if output is not None else Path("comparisons") / loaded.name
    return run_comparison(loaded, listed, seeds, folder, jobs, Console(quiet=not verbose))


def list_plugins(kind: str | None = None) -> pd.DataFrame:
    """Return kind, name, description and capabilities of the plug-ins, all or those of one kind.

    Raises:
        PluginError: if there is no such kind.

    Example:
        >>> import bioautoml_nni
        >>> bioautoml_nni.list_plugins("relaxations")["name"].tolist()[-1]
        'softmax'
    """
    if not isinstance(kind, str | None):
        raise PluginError(f"{kind!r} is not a plug-in kind. Kinds: {', '.join(KINDS)}.")
    quiet()
    lines = [
        (name, plugin.name, plugin.description, ", ".join(plugin.capabilities))
        for name in ([kind] if kind else KINDS)
        for plugin in plugins(name).values()
    ]
    return pd.DataFrame(lines, columns=["kind", "name", "description", "capabilities"])


def _load(config: Configuration, overrides: Sequence[str]) -> Experiment:
    texts = as_texts(overrides, "overrides")
    if isinstance(config, Mapping):
        return parse_experiment(apply_overrides(config, texts))
    return load_experiment(as_path(config, "config"), texts)
