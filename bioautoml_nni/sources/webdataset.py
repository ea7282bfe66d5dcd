"""WebDataset shards: images and their labels in tar files."""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pandas as pd

from ..data.image_files import SUFFIXES, is_hidden
from ..data.manifest import ID, IMAGE, LABEL, SPLIT, Manifest, Role
from ..data.remark import Lost
from ..data.tables import cell_text
from ..data.typed import with_types, without_texts
from ..utils.encodings import encoding_of
from ..utils.errors import DataError
from ..utils.json_text import parse_json
from ..utils.remote import UnlistedError, is_url, streamed, without_secrets

EXAMPLES = 3
"""Missing shards that are named."""


class WebDatasetSource:
    """Shards (.tar) in WebDataset's layout, for those who already hold them; needs the extra `webdataset`.

    Files of one sample share their name up to the first point: an image, a label as ``.cls`` or ``.txt`` or in the
    ``.json``, whose other plain values are metadata columns. Images are read in place and not unpacked.

    Args:
        root: folder of the shards.
        shards: their names, with braces or wildcards: "train-{0000..0003}.tar" or "*.tar".
        label: key of the JSON that holds the label, if there is no .cls or .txt file.
        classes: names of the classes if .cls holds numbers.
        columns: role by column.
        missing: texts of the metadata that mean that a value is missing, such as NA.
    """

    capabilities = ("shards",)

    def __init__(
        self,
        root: Path,
        shards: str = "*.tar",
        label: str = "label",
        classes: list[str] | None = None,
        columns: dict[str, Role] | None = None,
        missing: list[str] | None = None,
    ) -> None:
        self.root = root
        self.shards = shards
        self.label = label
        self.classes = classes
        self.columns = dict(columns or {})
        self.missing = frozenset(missing or [])
        self.identifiers: frozenset[str] = frozenset()
        """Further columns whose texts stay what they are, since the experiment divides by them."""

    def load(self) -> Manifest:
        """Index the shards; see `Source.load`."""
        damaged: list[str] = []
        further: list[str] = []
        self._nested: set[str] = set()
        found = [row for shard in self._files() for row in self._samples(shard, damaged, further)]
        rows = [row for row in found if row]
        left_out = len(found) - len(rows) - len(damaged)
        notes: list[str] = [Lost(f"{left_out} samples without image or label left out.")] if left_out else []
        if damaged:
            notes.append(Lost(f"{len(damaged)} samples left out, such as {damaged[0]}."))
        if further:
            notes.append(
                Lost(f"{len(further)} images beyond the first of their sample left out, such as {further[0]}.")
            )
        if self._nested:
            nested = ", ".join(sorted(self._nested))
            notes.append(Lost(f"Lists and objects in the JSON of samples left out: {nested}."))
        if not rows:
            told = f" ({' '.join(notes)})" if notes else ""
            raise DataError(
                f"{self.root}: no sample of the shards has both an image and a label{told}; check data.label."
            )
        table = pd.DataFrame(rows)
        if table[ID].duplicated().any():
            table[ID] = table[IMAGE].str.partition("::")[0] + "/" + table[ID]
        missing = [name for name in self.columns if name not in table]
        if missing:
            raise DataError(f"data.columns: no sample's JSON has {', '.join(missing)}.")
        own = {ID, IMAGE, LABEL}
        typed = with_types(without_texts(table, self.missing, own), {*own, *self.identifiers}, self.columns)
        return Manifest(
            typed.table, self.root, self.columns, rank=self.label, declared=frozenset(self.columns),
            notes=[*notes, *typed.facts], forms=typed.forms, unread=typed.unread,
            missing=tuple(sorted(self.missing)),
        )  # fmt: skip

    def _files(self) -> list[Path]:
        try:
            from webdataset.shardlists import expand_urls
        except ImportError as error:
            raise DataError(
                "data.source webdataset needs the package webdataset; install it with "
                "`pip install bioautoml-nni[webdataset]`."
            ) from error
        names = list(dict.fromkeys(expand_urls(self.shards)))
        for name in names:
            if not name or name.startswith("/") or is_url(name):
                shown = without_secrets(name)
                raise DataError(f"data.shards: {shown!r} is no name below data.root; write the folder as data.root.")
        try:
            files = {name: sorted(self.root.glob(name)) for name in names}
        except UnlistedError as error:
            raise DataError(
                f"{self.root}: cannot be listed; name the shards with braces in data.shards: train-{{0000..0003}}.tar."
            ) from error
        if not any(files.values()):
            raise DataError(f"{self.root}: holds no shard {self.shards!r}; check data.root and data.shards.")
        missing = [name for name in names if not files[name]]
        if missing:
            more = ", ..." if len(missing) > EXAMPLES else ""
            raise DataError(
                f"{self.root}: {len(missing)} of the {len(names)} shards that data.shards names are not there "
                f"({', '.join(missing[:EXAMPLES])}{more}); fetch them, or name only those that are."
            )
        named = [path for name in names for path in files[name]]
        twice = sorted(str(path.relative_to(self.root)) for path, times in Counter(named).items() if times > 1)
        if twice:
            raise DataError(
                f"{self.root}: data.shards names {', '.join(twice[:EXAMPLES])} more than once; name every shard once."
            )
        return named

    def _samples(self, shard: Path, damaged: list[str], further: list[str]) -> list[dict[str, Any] | None]:
        from webdataset.tariterators import base_plus_ext

        samples: dict[str, dict[str, Any]] = {}
        try:
            with streamed(shard) as file, _whole(shard, file) as archive:
                for member in archive:
                    key, extension = base_plus_ext(member.name)
                    if not member.isfile() or key is None or is_hidden(member.name.removeprefix("./")):
                        continue
                    sample = samples.setdefault(key, {})
                    extension = extension.lower()
                    kind = "." + extension.rpartition(".")[2]
                    if kind in SUFFIXES and "image" in sample:
                        further.append(member.name)
                    elif kind in SUFFIXES:
                        sample["image"] = f"{shard.relative_to(self.root)}::{member.offset_data}+{member.size}"
                    elif extension in ("cls", "txt", "json"):
                        if extension in sample:
                            sample["twice"] = extension
                        content = archive.extractfile(member)
                        data = content.read() if content else b""
                        sample[extension] = data.decode(encoding_of(io.BytesIO(data)))
        except (tarfile.TarError, UnicodeDecodeError, OSError, ValueError) as error:
            raise DataError(
                f"{shard}: is not an uncompressed tar file ({error}); unpack it if it is compressed, or fetch it again."
            ) from error
        return [self._row(key, sample, shard, damaged) for key, sample in samples.items()]

    def _row(self, key: str, sample: dict[str, Any], shard: Path, damaged: list[str]) -> dict[str, Any] | None:
        if "twice" in sample:
            damaged.append(f"{key!r} of {shard.name}, which has more than one .{sample['twice']}")
            return None
        try:
            values = parse_json(sample["json"]) if "json" in sample else {}
        except ValueError as error:
            damaged.append(f"{key!r} of {shard.name}, whose .json is not JSON ({error})")
            return None
        if not isinstance(values, dict):
            damaged.append(f"{key!r} of {shard.name}, whose .json is not an object with names and values")
            return None
        told = values.get(self.label)
        plain = cell_text(told) if isinstance(told, (str, int, float)) else None
        label = str(sample.get("cls", sample.get("txt", plain or ""))).strip()
        if self.classes is not None and label.isdecimal():
            if int(label) >= len(self.classes):
                raise DataError(
                    f"{shard}: sample {key!r} has class {label}, but data.classes names {len(self.classes)}."
                )
            label = self.classes[int(label)]
        if not label or "image" not in sample:
            return None
        self._nested |= {name for name, value in values.items() if isinstance(value, (list, dict))}
        extra = {
            f"{name} (json)" if name in (ID, IMAGE, LABEL, SPLIT) else name: cell_text(value)
            for name, value in values.items()
            if name != self.label and isinstance(value, (str, int, float))
        }
        return {ID: key, IMAGE: sample["image"], LABEL: label, **extra}


@contextmanager
def _whole(shard: Path, file: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """Open a shard whose members are all gone through, and check that it ends as tar files do: with a block of zeros.

    Raises:
        DataError: if it ends before, or holds something else there.
        TarError: if it is no tar file.
    """
    begins = _begins_as_tar(file)
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            yield archive
            file.seek(archive.offset)
            block = file.read(tarfile.BLOCKSIZE)
    except tarfile.TarError as error:
        if begins and not file.read(1):
            raise DataError(f"{shard}: ends early ({error}); fetch it again.") from error
        raise
    if len(block) < tarfile.BLOCKSIZE:
        raise DataError(f"{shard}: ends early, without the mark at the end of a tar file; fetch it again.")
    if block.strip(b"\0"):
        raise DataError(f"{shard}: is damaged at byte {archive.offset:,}; fetch it again.")


def _begins_as_tar(file: IO[bytes]) -> bool:
    """Whether the first block of a file is a member's name, or there is none at all; its place is the start again."""
    head = file.read(tarfile.BLOCKSIZE)
    file.seek(0)
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return not head
    return True
