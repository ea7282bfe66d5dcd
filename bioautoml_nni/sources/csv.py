"""Your own table: CSV, a spreadsheet, Parquet or another, with a column of image paths and one of labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ..data.column_names import same_names
from ..data.finding import ImageFinder
from ..data.image_files import Links
from ..data.joining import rows_of
from ..data.manifest import ID, IMAGE, LABEL, SPLIT, Manifest, Role, as_strings
from ..data.moments import DateForm, Dots, HourForm, Order, restore_form
from ..data.remark import Lost, Rounded, TableAt, of_kind
from ..data.tables import TableFile, read_file
from ..data.typed import with_types
from ..registry import suggestion
from ..utils.errors import DataError
from ..utils.remote import joined


class CsvSource:
    """A table with an image column and a label column: CSV and its like, a spreadsheet, Parquet, JSON lines, SQLite.

    Args:
        root: folder of the table and the images.
        table: the table's file name below `root`.
        image: column of image paths, relative to `image_root`; null for a table without images.
        label: column of labels; rows without a label are left out and counted.
        id: column that identifies specimens; the row number by default.
        image_root: folder below `root` that image paths start from, or a URL.
        columns: role by column: numeric, size, fraction, categorical, date, hour, latitude, longitude, coordinates,
            text, group, taxonomy or ignored.
        infer_columns: whether roles of the columns not named are inferred; otherwise they are ignored.
        missing: texts that mean that a value is missing, such as NA; an empty cell always does.
        encoding: of the table; found by itself by default.
        sheet: of a spreadsheet, or table of a database; the first, or the only one, by default.
        date_order: day_first, month_first or year_first (years of two digits), by column, where the values themselves
            do not say it.
        hour_form: what plain numbers mean in a column of times of day, where the values do not say it: decimal (hours),
            clock (21.30), compact (2130) or day_part (0.8958).
        header_row: number of the row, or line of a text file, that holds the names of columns; found by default.
    """

    capabilities = ("any_table",)

    def __init__(
        self,
        root: Path,
        table: str = "metadata.csv",
        image: str | None = "image",
        label: str = "label",
        id: str | None = None,
        image_root: str = ".",
        columns: dict[str, Role] | None = None,
        infer_columns: bool = True,
        missing: list[str] | None = None,
        encoding: str | None = None,
        sheet: str | None = None,
        date_order: dict[str, Literal["day_first", "month_first", "year_first"]] | None = None,
        hour_form: dict[str, HourForm] | None = None,
        header_row: int | None = None,
    ) -> None:
        self.root = root
        self.table = table
        self.image = image
        self.label = label
        self.id = id
        self.image_root = image_root
        self.columns: dict[str, Role] = {**dict.fromkeys(hour_form or {}, "hour"), **(columns or {})}
        self.infer_columns = infer_columns
        self.missing = frozenset(missing or [])
        self.encoding = encoding
        self.sheet = sheet
        self.date_order = dict(date_order or {})
        self.hour_form = dict(hour_form or {})
        self.header_row = header_row
        self.identifiers: frozenset[str] = frozenset()
        """Further columns whose texts stay what they are, since the experiment divides by them."""
        self.links: Links = "inside"
        """Where symbolic links among the images may lead."""

    def load(self) -> Manifest:
        """Read the table; see `Source.load`."""
        path = self.root / self.table
        notes: list[str] = []
        own, told = {ID, IMAGE, LABEL, *self.identifiers}, {*self.date_order, *self.hour_form}
        typed = with_types(self._with_our_columns(self._read(path, notes), notes), own, self.columns, told)
        notes += [note.replace(repr(LABEL), repr(self.label)) for note in typed.notes]
        typed.forms |= {name: self._ordered(order, typed.forms.get(name)) for name, order in self.date_order.items()}
        typed.forms |= {name: self._with_clock(clock, typed.forms.get(name)) for name, clock in self.hour_form.items()}
        self._require_unique_ids(typed.table, path, notes)
        self._require_places_in_pairs()
        return Manifest(
            typed.table,
            joined(self.root, self.image_root),
            self.columns,
            rank=self.label,
            declared=frozenset(self.columns),
            infer=self.infer_columns,
            notes=notes,
            forms=typed.forms,
            unread=typed.unread,
            missing=tuple(sorted(self.missing)),
        )

    def _read(self, path: Path, notes: list[str]) -> pd.DataFrame:
        """Return the rows that are used, as they are written."""
        file = TableFile(path, self.missing, self.encoding, self.sheet, self.header_row)
        raw = read_file(file, notes)
        image_root = joined(self.root, self.image_root)
        if not image_root.is_dir():
            raise DataError(f"{image_root}: there is no such image folder; check data.root and data.image_root.")
        raw = self._with_given_names(raw, notes)
        self._require_columns(raw, path, notes)
        raw = self._without_our_names(raw, notes)
        usable = self._usable(raw, file, notes)
        if usable.all():
            return raw
        held = [raw]
        del raw
        return rows_of(held, np.flatnonzero(usable))

    def _with_our_columns(self, raw: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
        """Return the table with id, image and label first, under our names."""
        labels = as_strings(raw[self.label])
        images = self._images(raw, joined(self.root, self.image_root), notes)
        padded = int((raw[self.label].astype(str) != labels).sum())
        if padded:
            notes.append(f"{padded} labels have spaces around them, which are no part of them.")
        table = raw.drop(columns=[name for name in (self.image, self.label, self.id) if name in raw])
        table.insert(0, LABEL, labels)
        table.insert(0, IMAGE, images)
        table.insert(0, ID, as_strings(raw[self.id]) if self.id else [str(row) for row in raw.index])
        return table.reset_index(drop=True)

    def _usable(self, raw: pd.DataFrame, file: TableFile, notes: list[str]) -> np.ndarray:
        """Return which rows (N,) have a label and, unless there are none, an image; say how many are left out."""
        usable = as_strings(raw[self.label]).notna()
        if self.image is not None:
            usable &= as_strings(raw[self.image]).notna()
        if not usable.any():
            raise DataError(
                f"{file.path}: no row has both an image ({self.image!r}) and a label ({self.label!r}); fill these "
                "columns."
            )
        if not usable.all():
            first = file.lines[int((~usable).to_numpy().argmax())]
            notes.append(
                Lost(f"{int((~usable).sum())} rows without image or label left out (the first is {file.unit} {first}).")
            )
        return usable.to_numpy()

    def _images(self, raw: pd.DataFrame, image_root: Path, notes: list[str]) -> pd.Series:
        """Return the references of the images, empty for a table without images."""
        if self.image is None:
            return pd.Series("", index=raw.index)
        finder = ImageFinder(image_root, self.links)
        found = finder.find_apart(raw[self.image].astype(str))
        notes += finder.notes()
        return pd.Series(found, index=raw.index, dtype="str")

    @staticmethod
    def _ordered(order: Order, form: dict[str, str] | None) -> dict[str, str]:
        """Return the form of a column whose order is told; what else was found of it stands."""
        found = restore_form(form) if form and "order" in form else DateForm()
        dots: Dots = "month_first" if order == "month_first" else "day_first"
        return replace(found, order=order, dots=dots).state()

    @staticmethod
    def _with_clock(told: HourForm, form: dict[str, str] | None) -> dict[str, str]:
        """Return the form of a column whose plain numbers' meaning is told."""
        found = restore_form(form) if form and "order" in form else DateForm()
        return replace(found, clock="" if told == "decimal" else told).state()

    def _without_our_names(self, raw: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
        """Give columns that bear a name of a manifest's own another one, unless they are the id, image or label."""
        ours = [
            name for name in (ID, IMAGE, LABEL, SPLIT) if name in raw and name not in (self.id, self.image, self.label)
        ]
        if not ours:
            return raw
        renamed = {name: f"{name} (table)" for name in ours}
        notes.append(f"Columns {', '.join(ours)} are read as {', '.join(renamed.values())}.")
        self.columns = {renamed.get(name, name): role for name, role in self.columns.items()}
        return raw.rename(columns=renamed)

    def _with_given_names(self, raw: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
        """Give columns the names that the experiment has for them where they differ in Unicode form or spaces alone."""
        own = [name for name in (self.label, self.image, self.id) if name is not None]
        wanted = [*own, *self.columns, *self.date_order, *self.hour_form, *self.identifiers]
        found = same_names(wanted, raw.columns)
        notes += [
            f"Column {name!r} is written with other spaces or letters' forms in the table." for name in found.values()
        ]
        return raw.rename(columns=found)

    def _require_columns(self, raw: pd.DataFrame, path: Path, notes: list[str]) -> None:
        named = {"data.label": self.label}
        named |= {key: name for key, name in (("data.image", self.image), ("data.id", self.id)) if name}
        named |= {f"data.columns.{name}": name for name in self.columns}
        named |= {f"data.date_order.{name}": name for name in self.date_order}
        named |= {f"data.hour_form.{name}": name for name in self.hour_form}
        missing = [
            f"{key}: no column {name!r}{suggestion(str(name), [str(column) for column in raw])}"
            for key, name in named.items()
            if name not in raw
        ]
        if missing:
            known = f"Its columns: {', '.join(map(str, raw.columns))}."
            raise DataError(" ".join([f"{path}: {'; '.join(missing)}.", known, *of_kind(notes, Lost, TableAt)]))

    def _require_unique_ids(self, table: pd.DataFrame, path: Path, notes: list[str]) -> None:
        repeated = table[ID][table[ID].duplicated() | table[ID].isna()]
        if len(repeated):
            text = (
                f"{path}: column {self.id!r} repeats or lacks an id in {len(repeated)} rows (such as "
                f"{repeated.iloc[0]!r}); name another id column or leave data.id out."
            )
            raise DataError(" ".join([text, *of_kind(notes, Rounded)]))

    def _require_places_in_pairs(self) -> None:
        for role, other in (("latitude", "longitude"), ("longitude", "latitude")):
            names = [name for name, value in self.columns.items() if value == role]
            if len(names) > 1 or (names and other not in self.columns.values()):
                raise DataError(
                    f"data.columns: role {role} is given to {', '.join(names)}; they go in one pair. Give "
                    f"{other} to one column and {role} to one, or another role."
                )
