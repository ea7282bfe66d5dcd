import time

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import nn
from torchmetrics import classification as tm

from bioautoml_nni.evaluation import figures
from bioautoml_nni.evaluation.cost import count_flops, count_parameters, measure_latency
from bioautoml_nni.evaluation.figures import confusion_figure, roc_figure
from bioautoml_nni.evaluation.metrics import (
    by_training_size,
    classification_metrics,
    majority_baseline,
    per_class_table,
    read_per_class,
)

CLASSES = 7


def make(rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    target = rng.choice(CLASSES, rows, p=[0.4, 0.2, 0.15, 0.1, 0.08, 0.05, 0.02])
    logits = rng.normal(size=(rows, CLASSES))
    logits[np.arange(rows), target] += 1.2
    weights = np.exp(logits)
    return target, weights / weights.sum(axis=1, keepdims=True)


def test_headline_metrics_agree_with_torchmetrics():
    target, probabilities = make()
    ours = classification_metrics(target, probabilities)
    scores, truth = torch.from_numpy(probabilities), torch.from_numpy(target)
    reference = {
        "accuracy": tm.MulticlassAccuracy(CLASSES, average="micro"),
        "balanced_accuracy": tm.MulticlassAccuracy(CLASSES, average="macro"),
        "top5_accuracy": tm.MulticlassAccuracy(CLASSES, average="micro", top_k=5),
    }
    for name, metric in reference.items():
        assert ours[name] == pytest.approx(metric(scores, truth).item(), abs=1e-6), name
    for average in ("macro", "weighted"):
        for name, metric in (
            ("precision", tm.MulticlassPrecision),
            ("recall", tm.MulticlassRecall),
            ("f1", tm.MulticlassF1Score),
        ):
            expected = metric(CLASSES, average=average)(scores, truth).item()
            assert ours[average][name] == pytest.approx(expected, abs=1e-6), (average, name)


def test_a_class_without_test_specimens_does_not_lower_balanced_accuracy():
    target = np.array([0, 0, 1, 1])
    probabilities = np.eye(3)[[0, 0, 1, 1]]
    assert classification_metrics(target, probabilities)["balanced_accuracy"] == 1.0
    probabilities = np.eye(3)[[0, 0, 1, 2]]
    assert classification_metrics(target, probabilities)["balanced_accuracy"] == 0.75


def test_majority_is_the_most_frequent_class_of_training_not_of_test():
    scores = majority_baseline(np.array([0, 1, 1, 1]), np.array([10, 4]))
    assert scores == {"class": 0, "accuracy": 0.25, "balanced_accuracy": 0.5, "macro_f1": pytest.approx(0.2)}


def test_per_class_table_leaves_out_areas_without_enough_positives():
    target, probabilities = make()
    table = per_class_table(target, probabilities, list("abcdefg"), np.arange(CLASSES))
    assert table["test"].sum() == len(target)
    scored = table["test"] >= 10
    assert table["auc"][scored].between(0.5, 1).all() and table["auc"][~scored].isna().all()
    expected = tm.MulticlassAUROC(CLASSES, average="none")(torch.from_numpy(probabilities), torch.from_numpy(target))
    np.testing.assert_allclose(table["auc"][scored], expected.numpy()[scored], atol=1e-6)


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn, beside their files."""
    found = []
    save = figures._save
    monkeypatch.setattr(figures, "_save", lambda figure, *rest: (found.append(figure), save(figure, *rest)))
    return found


def test_the_confusion_figure_shows_shares_of_rows_and_counts(tmp_path, drawn):
    counts = np.array([[8, 2, 0], [0, 5, 0], [0, 0, 0]])
    confusion_figure(tmp_path / "c.png", counts, ["ant", "bee", "cicada"], brand="LEAKY")
    axes = drawn[0].axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.8, 0.2, 0], [0, 1, 0], [0, 0, 0]])
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {
        ((0, 0), "8"), ((1, 0), "2"), ((1, 1), "5")
    }  # fmt: skip
    assert [label.get_text() for label in axes.get_xticklabels()] == ["ant", "bee", "cicada"]
    assert drawn[0].get_suptitle() == "LEAKY"
    with Image.open(tmp_path / "c.png") as image:
        assert image.format == "PNG" and image.size == tuple((130 * drawn[0].get_size_inches()).round())


def test_the_roc_figure_has_the_curve_of_every_class_with_ten_specimens(tmp_path, drawn):
    target, probabilities = make()
    names = list("abcdefg")
    roc_figure(tmp_path / "r.png", target, probabilities, names)
    *curves, diagonal = drawn[0].axes[0].lines
    enough = np.flatnonzero(np.bincount(target) >= 10)
    assert 1 < len(enough) < CLASSES and diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    for label, curve in zip(enough, curves, strict=True):
        false, true = curve.get_xydata().T
        assert np.trapezoid(true, false) == pytest.approx(roc_auc_score(target == label, probabilities[:, label]))
        assert curve.get_label().startswith(f"{names[label]} (")
    with Image.open(tmp_path / "r.png") as image:
        assert image.format == "PNG"


def test_cost_of_a_network_by_hand():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(3, 4, 3, padding=1, bias=False)
            self.linear = nn.Linear(4, 5)

        def forward(self, batch):
            return self.linear(self.convolution(batch["image"]).mean((2, 3)))

    network = Network()
    assert count_parameters(network) == 3 * 4 * 9 + 4 * 5 + 5
    assert count_flops(network, {"image": torch.zeros(6, 3, 8, 8)}) == 2 * 8 * 8 * 3 * 4 * 9 + 2 * 4 * 5


def test_classes_are_put_together_by_their_training_specimens():
    table = pd.DataFrame(
        {
            "train": [500, 101, 100, 20, 19, 3],
            "test": [9, 9, 9, 9, 9, 0],
            "precision": [0.9, 0.7, 0.6, 0.4, 0.2, 0.0],
            "recall": [0.9, 0.7, 0.6, 0.4, 0.2, 0.0],
            "f1": [0.9, 0.7, 0.6, 0.4, 0.2, 0.0],
        }
    )
    found = by_training_size(table)
    assert {name: row["classes"] for name, row in found.items()} == {"head": 2, "medium": 2, "tail": 1}
    assert {name: row["f1"] for name, row in found.items()} == pytest.approx({"head": 0.8, "medium": 0.5, "tail": 0.2})
    assert by_training_size(table.head(2))["tail"] == {"classes": 0, "precision": None, "recall": None, "f1": None}


def test_latency_is_of_one_specimen_and_one_thread():
    class Network(nn.Module):
        def forward(self, batch):
            seen.append((len(batch["image"]), torch.get_num_threads(), self.training))
            time.sleep(0.004)
            return batch["image"]

    seen: list = []
    threads = torch.get_num_threads()
    assert measure_latency(Network(), {"image": torch.zeros(4, 3, 8, 8)}, rounds=3) >= 4, "milliseconds"
    assert set(seen) == {(1, 1, False)} and torch.get_num_threads() == threads


def test_names_of_classes_that_look_like_numbers_or_gaps_survive_their_file(tmp_path):
    target, probabilities = make()
    names = ["7", "07", "NA", "nan", "1.0", "True", "ant"]
    table = per_class_table(target, probabilities, names, np.full(CLASSES, 30))
    assert table["auc"].isna().any() and table["auc"].notna().any()
    table.to_csv(tmp_path / "per_class.csv", index=False)
    pd.testing.assert_frame_equal(read_per_class(tmp_path / "per_class.csv"), table, check_dtype=False)
