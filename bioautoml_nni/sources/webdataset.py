"""WebDataset shards: images and their labels in tar files."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pandas as pd

from ..data.image_files import SUFFIXES
from ..data.manifest import ID, IMAGE, LABEL, Manifest, Role
from ..utils.errors import DataError


class WebDatasetSource:
    """Shards (.tar) in WebDataset's layout, for those who already hold them; needs the extra `webdataset`.

    Files of one sample share their name up to the first point: an image, a label as ``.cls`` or ``.txt`` or in the
    ``.json``, whose other plain values are metadata columns. Pictures are read in place and not unpacked.

    Args:
        root: folder of the shards.
        shards: their names, with braces or wildcards: "train-{0000..0003}.tar" or "*.tar".
        label: key of the JSON that holds the label, if there is no .cls or .txt file.
        classes: names of the classes if .cls holds numbers.
        columns: role by column.
    """

    capabilities = ("shards",)

    def __init__(
        self,
        root: Path,
        shards: str = "*.tar",
        label: str = "label",
        classes: list[str] | None = None,
        columns: dict[str, Role] | None = None,
    ) -> None:
        self.root = root
        self.shards = shards
        self.label = label
        self.classes = classes
        self.columns = dict(columns or {})

    def load(self) -> Manifest:
        """Index the shards; see `Source.load`."""
        rows: list[dict[str, Any]] = []
        for shard in self._files():
            rows += [row for row in self._samples(shard) if row]
        if not rows:
            raise DataError(f"{self.root}: no sample of the shards has both an image and a label; check data.label.")
        table = pd.DataFrame(rows)
        if table[ID].duplicated().any():
            table[ID] = table[IMAGE].str.partition("::")[0] + "/" + table[ID]
        missing = [name for name in self.columns if name not in table]
        if missing:
            raise DataError(f"data.columns: no sample's JSON has {', '.join(missing)}.")
        return Manifest(table, self.root, self.columns, rank=self.label, declared=frozenset(self.columns))

    def _files(self) -> list[Path]:
        try:
            from webdataset.shardlists import expand_urls
        except ImportError as error:
            raise DataError(
                "data.source webdataset needs the package webdataset; install it with "
                "`pip install bioautoml-nni[webdataset]`."
            ) from error
        files = [path for name in expand_urls(self.shards) for path in sorted(self.root.glob(name))]
        if not files:
            raise DataError(f"{self.root}: holds no shard {self.shards!r}; check data.root and data.shards.")
        return files

    def _samples(self, shard: Path) -> list[dict[str, Any] | None]:
        from webdataset.tariterators import base_plus_ext

        samples: dict[str, dict[str, Any]] = {}
        try:
            with tarfile.open(shard, "r:") as archive:
                for member in archive:
                    key, extension = base_plus_ext(member.name)
                    if not member.isfile() or key is None:
                        continue
                    sample = samples.setdefault(key, {})
                    kind = "." + extension.rpartition(".")[2].lower()
                    if kind in SUFFIXES:
                        sample["image"] = f"{shard.relative_to(self.root)}::{member.offset_data}+{member.size}"
                    elif extension in ("cls", "txt", "json"):
                        content = archive.extractfile(member)
                        sample[extension] = content.read().decode() if content else ""
        except (tarfile.TarError, UnicodeDecodeError) as error:
            raise DataError(f"{shard}: is no uncompressed tar file ({error}); unpack it first.") from error
        return [self._row(key, sample, shard) for key, sample in samples.items()]

    def _row(self, key: str, sample: dict[str, Any], shard: Path) -> dict[str, Any] | None:
        try:
            values = json.loads(sample["json"]) if "json" in sample else {}
        except ValueError as error:
            raise DataError(f"{shard}: the .json of sample {key!r} is no JSON ({error}).") from error
        label = str(sample.get("cls", sample.get("txt", values.get(self.label) or ""))).strip()
        if self.classes is not None and label.isdigit():
            if int(label) >= len(self.classes):
                raise DataError(
                    f"{shard}: sample {key!r} has class {label}, but data.classes names {len(self.classes)}."
                )
            label = self.classes[int(label)]
        if not label or "image" not in sample:
            return None
        extra = {
            name: value for name, value in values.items() if name != self.label and isinstance(value, (str, int, float))
        }
        return {ID: key, IMAGE: sample["image"], LABEL: label, **extra}
