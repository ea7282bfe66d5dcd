"""From the logits of a prediction's parts to the table of answers, and what goes beside it: groups, sorted images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..data.finding import ImageFinder
from ..data.own_csv import csv_text
from ..utils.atomic import replacing
from .decisions import Decisions
from .model import Model
from .parts import read_part
from .request import EMBEDDING, FAILURE, INPUT, OWN_IMAGE, Outcome, Request
from .sorting import Sorter


class Answers:
    """Turns logits into answers, block by block, and puts the output in place at the end."""

    def __init__(
        self, model: Model, decisions: Decisions, request: Request, root: Path, column: str | None,
        finder: ImageFinder | None, outcome: Outcome,
    ) -> None:  # fmt: skip
        self.model = model
        self.decisions = decisions
        self.request = request
        self.column = column
        self.finder = finder
        self.outcome = outcome
        self.groups: dict[str, tuple[np.ndarray, int]] = {}
        self.renamed: dict[str, str] = {}
        taxa = decisions.taxa()
        self.sorter = (
            Sorter(root, request.sort_into, request.link, taxa, literal=not request.is_table)
            if request.sort_into is not None
            else None
        )

    def write(self, files: list[Path]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        output = self.request.output
        with replacing(output) as temporary:
            writer: Any = None
            for file in files:
                table = self._answered(*read_part(file))
                if output.suffix.lower() == ".csv":
                    with open(temporary, "a", encoding="utf-8", newline="") as text:
                        text.write(csv_text(table, header=writer is None))
                    writer = True
                else:
                    arrow = pa.Table.from_pandas(table, preserve_index=False)
                    writer = writer or pq.ParquetWriter(temporary, arrow.schema)
                    writer.write_table(arrow)
            if isinstance(writer, pq.ParquetWriter):
                writer.close()
        if self.request.group:
            self._write_groups(self.request.group)
        if self.renamed:
            told = ", ".join(f"{old!r} as {new!r}" for old, new in self.renamed.items())
            self.outcome.notes.append(f"Columns of the table that are called like answers are kept as {told}.")

    def _answered(self, part: pd.DataFrame, logits: np.ndarray) -> pd.DataFrame:
        answers = self.decisions.answers(self.model.probabilities(logits))
        answers["error"] = part[FAILURE].fillna("")
        if self.model.brand:
            answers["warning"] = self.model.brand
        if self.request.logits:
            named = {f"logit_{name}": logits[:, number] for number, name in enumerate(self.model.classes["name"])}
            answers = pd.concat([answers, pd.DataFrame(named)], axis=1)
        if self.request.embeddings:
            answers = pd.concat([answers, _embedding_columns(part, self.request.output)], axis=1)
        given = part[[name for name in part if name.startswith(INPUT)]].rename(columns=lambda name: name[len(INPUT) :])
        self._count(answers)
        if self.sorter is not None:
            references = given[self.column]
            if self.finder is not None:
                references = pd.Series(self.finder.find_all(references), index=references.index)
            self.sorter.sort(references, answers["prediction"], answers["error"] == "")
        if self.request.group:
            self._add_groups(given[self.request.group], logits)
        if self.column is not None and OWN_IMAGE not in given:
            answers.insert(0, OWN_IMAGE, given[self.column])
        return pd.concat([self._beside(given, answers), answers], axis=1)

    def _beside(self, given: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
        """Give the user's columns that are called like ours another name."""
        taken = {*given, *answers}
        for name in given:
            if name in answers and name not in self.renamed:
                new = f"{name} (input)"
                while new in taken:
                    new += "'"
                self.renamed[name] = new
        return given.rename(columns=self.renamed)

    def _count(self, answers: pd.DataFrame) -> None:
        self.outcome.rows += len(answers)
        self.outcome.failed += int((answers["error"] != "").sum())
        self.outcome.unsure += int(((answers["prediction"] == "") & (answers["error"] == "")).sum())

    def _add_groups(self, names: pd.Series, logits: np.ndarray) -> None:
        usable = names.notna() & np.isfinite(logits).all(axis=1)
        for name, rows in names[usable].groupby(names[usable]).groups.items():
            total, count = self.groups.get(str(name), (np.zeros(logits.shape[1]), 0))
            self.groups[str(name)] = total + logits[rows.to_numpy()].sum(axis=0), count + len(rows)

    def _write_groups(self, group: str) -> None:
        """Write one answer for each group, from the mean of its logits, beside the output."""
        if not self.groups:
            return
        means = np.stack([total / count for total, count in self.groups.values()])
        answers = self.decisions.answers(self.model.probabilities(means))
        answers.insert(0, "specimens", [count for _, count in self.groups.values()])
        name = f"{group} (input)" if group in answers else group
        answers.insert(0, name, pd.Series(list(self.groups), dtype="str"))
        path = groups_path(self.request)
        with replacing(path) as temporary:
            if path.suffix.lower() == ".csv":
                temporary.write_text(csv_text(answers), encoding="utf-8")
            else:
                answers.to_parquet(temporary, index=False)


def _embedding_columns(part: pd.DataFrame, output: Path) -> pd.DataFrame:
    """Return the embeddings of a block as the output's kind holds them."""
    if output.suffix.lower() == ".parquet":
        return part[[EMBEDDING]]
    values = np.stack(part[EMBEDDING].to_list())
    return pd.DataFrame(
        values, columns=[f"{EMBEDDING}_{number}" for number in range(values.shape[1])], index=part.index
    )


def groups_path(request: Request) -> Path:
    """Return where the groups' answers go: beside the output."""
    group = "".join("_" if letter in '/\\\0:*?"<>|' else letter for letter in request.group or "")
    return request.output.with_name(f"{request.output.stem}_by_{group}{request.output.suffix}")
