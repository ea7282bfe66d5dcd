"""Collects a run's results and renders them into one HTML page without outside resources."""

from __future__ import annotations

import base64
import io
import json
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image

from ..architecture import Architecture
from ..architecture.draw import draw
from ..data import splits
from ..data.joining import read_by_id
from ..data.manifest import ID
from ..derivation.evolution import scored_candidates
from ..evaluation.explanations import grad_cam, has_feature_map
from ..evaluation.figures import curves_figure
from ..evaluation.metrics import read_per_class
from ..runs.directory import RunDirectory
from ..runs.networks import load_model
from ..runs.prepared import PreparedData
from ..runtime.overlay import overlay
from ..training.history import read_history
from ..training.inference import Inference
from ..utils.progress import duration
from .epochs import evenly_spread
from .words import summary_sentences

FRAMES = 40
"""Most pictures of the search's epochs."""
SHOWN_CANDIDATES = 10
"""Of those that evolution tried."""


def build_report(run: RunDirectory, data: PreparedData, drawings: list[tuple[int, str]]) -> str:
    """Return the report as HTML. Whatever came out of a table is escaped.

    Args:
        drawings: epochs of the search with the SVG of their cells.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["percent"] = lambda value: "–" if value is None or pd.isna(value) else f"{100 * value:.1f} %"
    environment.filters["thousands"] = lambda value: f"{int(value):,}".replace(",", " ")
    environment.filters["seconds"] = duration
    template = environment.from_string((files(__package__) / "report.html.j2").read_text(encoding="utf-8"))
    metrics = dict.fromkeys(("prediction_sets", "metadata_importance", "open_set"))  # which old evaluations lack
    metrics |= json.loads((run / "evaluation/metrics.json").read_text(encoding="utf-8"))
    architecture = Architecture.load(run / "architecture.json")
    per_class = read_per_class(run / "evaluation/per_class.csv")
    return template.render(
        experiment=run.experiment,
        metrics=metrics,
        audit=json.loads((run / "audit.json").read_text(encoding="utf-8")),
        provenance=run.provenance(),
        network=json.loads((run / "retrain/network.json").read_text(encoding="utf-8")),
        sentences=summary_sentences(metrics, per_class),
        architecture=Markup(draw(architecture)),
        sparsity=architecture.sparsity,
        trunk=architecture.trunk,
        epochs=[(epoch, Markup(drawing)) for epoch, drawing in evenly_spread(drawings, FRAMES)],
        halving=halving_table(run),
        evolution=evolution_table(run),
        comparison=_comparison(run),
        trained_epochs=len(read_history(run / "retrain/history.jsonl")),
        curves=[
            (stage, _curves(run, stage, data.brand))
            for stage in ("search", "retrain")
            if read_history(run / stage / "history.jsonl")
        ],
        per_class=per_class.astype(object).where(per_class.notna(), None).to_dict("records"),
        confusion=_inline(run / "evaluation/confusion.png"),
        roc=_inline(run / "evaluation/roc.png"),
        trust=_inline(run / "evaluation/trust.png"),
        examples=_examples(run, data),
    )


def _comparison(run: RunDirectory) -> dict[str, Any] | None:
    """Return the table of the comparison that was shown to this run, if it is about the data of today."""
    file = run / "evaluation/comparison.json"
    if not file.is_file():
        return None
    table = json.loads(file.read_text(encoding="utf-8"))
    return table if table["data_sha256"] == run.provenance().get("data_sha256") else None


def halving_table(run: RunDirectory) -> dict[str, Any] | None:
    """Return what successive halving saw, the candidates that came furthest first; None without it."""
    file = run / "derive/halving.json"
    if run.experiment.derivation.method != "successive_halving" or not file.is_file():
        return None
    record = json.loads(file.read_text(encoding="utf-8"))
    rounds = record["rounds"]
    rows = [
        {
            "number": number + 1,
            "parameters": candidate["parameters"],
            "scores": [entry["scores"].get(str(number)) for entry in rounds],
            "kept": number == record["winner"],
        }
        for number, candidate in enumerate(record["candidates"])
    ]
    reached = {row["number"]: [score for score in row["scores"] if score is not None] for row in rows}
    rows.sort(key=lambda row: (not row["kept"], -len(reached[row["number"]]), -reached[row["number"]][-1]))
    return {"epochs": [entry["epochs"] for entry in rounds], "rows": rows}


def _choices_text(choices: dict[str, str]) -> str:
    return ", ".join(f"{label.replace('_edge_', ' ').replace('_', '–')}: {choice}" for label, choice in choices.items())


def evolution_table(run: RunDirectory) -> dict[str, Any] | None:
    """Return the best candidates that the supernet's weights scored, and how many there were; None without them."""
    lines = scored_candidates(run)
    if not lines:
        return None
    order = sorted(range(len(lines)), key=lambda number: -lines[number]["score"])
    best = [
        {"number": number + 1, "score": lines[number]["score"], "choices": _choices_text(lines[number]["choices"])}
        for number in order[:SHOWN_CANDIDATES]
        if lines[number]["score"] >= 0
    ]
    return {"count": len(lines), "rejected": sum(line["score"] < 0 for line in lines), "best": best}


def _inline(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _curves(run: RunDirectory, stage: str, brand: str) -> str:
    titles = {"search": "Search", "retrain": "Training of the network that was found"}
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "curves.png"
        curves_figure(picture, read_history(run / stage / "history.jsonl"), titles[stage], brand)
        return _inline(picture)


def _examples(run: RunDirectory, data: PreparedData) -> list[dict[str, Any]]:
    """Return example predictions: right, wrong and unsure ones, the surest of each first and classes in turn."""
    pixels = data.pixels
    wanted = run.experiment.evaluation.examples
    if pixels is None or wanted == 0:
        return []
    chosen = choose_examples(run, data, wanted)
    pictures = pixels.batch(chosen["row"].to_numpy())
    maps = _maps(run, data, chosen)
    examples: list[dict[str, Any]] = []
    for number, entry in enumerate(chosen.to_dict("records")):
        looked = None if maps is None else _jpeg(overlay(pictures[number], maps[number]))
        examples.append({**{str(key): value for key, value in entry.items()}, "picture": _jpeg(pictures[number]),
                         "looked": looked})  # fmt: skip
    return examples


def choose_examples(run: RunDirectory, data: PreparedData, wanted: int) -> pd.DataFrame:
    """Return rows of predictions.csv with ``row`` (in the manifest) and ``kind``: right, wrong or unsure.

    Unsure are those among the third of least confidence; right and wrong ones are not.

    Raises:
        DataError: if predictions.csv does not fit the test part, id by id.
    """
    tested = np.flatnonzero((data.part == splits.TEST).to_numpy())
    table = read_by_id(
        run / "evaluation/predictions.csv", data.table[ID].iloc[tested],
        f"remove it, and `bioautoml evaluate {run.path}` writes it anew",
    )  # fmt: skip
    table["confidence"] = table["confidence"].astype(float)
    table["row"] = tested
    doubtful = table["confidence"].rank(pct=True, method="first") <= 1 / 3
    right = table["label"] == table["predicted"]
    table["kind"] = np.select([doubtful, right], ["unsure", "right"], "wrong")
    table["right"] = right
    chosen = []
    for kind in ("right", "wrong", "unsure"):
        pool = table[table["kind"] == kind].sort_values("confidence", ascending=False)
        pool = pool.assign(turn=pool.groupby("label").cumcount())
        chosen.append(pool.sort_values(["turn", "confidence"], ascending=[True, False]).head(-(-wanted // 3)))
    return pd.concat(chosen, ignore_index=True)


def _maps(run: RunDirectory, data: PreparedData, chosen: pd.DataFrame) -> np.ndarray | None:
    """Return Grad-CAM (N, h, w) for the class that was predicted, or None for a network without feature maps."""
    network = load_model(run, data)
    if not has_feature_map(getattr(network, "image_encoder", None)):
        return None
    test = np.flatnonzero((data.part == splits.TEST).to_numpy())
    data = data.as_images()
    batch = data.dataset([splits.TEST]).__getitems__(np.searchsorted(test, chosen["row"]).tolist())
    transform = data.image_transform(run.experiment.training.augmentation)
    index = {name: position for position, name in enumerate(data.classes)}
    classes = torch.tensor([index[name] for name in chosen["predicted"]])
    inference = Inference.on_this_machine()
    with inference.hosting(network):
        return grad_cam(network, inference.inputs(batch, transform), classes).cpu().numpy()


def _jpeg(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((128, 128), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
