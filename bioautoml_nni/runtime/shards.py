"""A prediction that several machines share: each makes the parts of its shard, and one puts them together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..utils.atomic import write_json
from ..utils.errors import DataError
from ..utils.shard import Shard


class Shards:
    """What is done of a shared prediction, in the folder of its parts.

    Args:
        parts: the folder, which all machines see.
        key: digest of all that decides the answers.
    """

    def __init__(self, parts: Path, key: str) -> None:
        self.parts = parts
        self.key = key

    @property
    def count(self) -> int | None:
        """Number of shards that the folder tells of, None if it holds none."""
        known = self._known()
        return None if known is None else int(known["count"])

    def open(self, shard: Shard) -> None:
        """Note how many shards there are.

        Raises:
            DataError: if the folder holds parts of another prediction, or of another number of shards.
        """
        self.parts.mkdir(parents=True, exist_ok=True)
        with FileLock(self.parts / "open.lock"):
            self._require_fitting(shard)

    @contextmanager
    def working(self, shard: Shard) -> Iterator[None]:
        """Claim a shard, and note it as done if nothing goes wrong in it.

        Raises:
            DataError: if it is done or at work, or the folder holds parts of another prediction.
        """
        self.open(shard)
        mark = shard_mark(self.parts, shard)
        try:
            with FileLock(self.parts / f"shard-{shard.number}.lock", timeout=0):
                if mark.is_file():
                    raise DataError(f"--shard {shard}: is complete; when all are, give --merge in place of --shard.")
                yield
                write_json(mark, str(shard))
        except Timeout as error:
            raise DataError(f"--shard {shard}: another process works on it; give each shard once.") from error

    def require_all(self) -> None:
        """Check that every shard is done.

        Raises:
            DataError: naming those that are not.
        """
        known = self._known()
        if known is None:
            raise DataError(f"--merge: {self.parts} holds no shards; give --shard 1/N to --shard N/N first.")
        if known["key"] != self.key:
            raise DataError(
                f"--merge: the shards in {self.parts} answer another question (model, data or options are not the "
                "same); give the command of the shards, or remove that folder."
            )
        every = [Shard(number, known["count"]) for number in range(1, known["count"] + 1)]
        missing = [str(shard) for shard in every if not shard_mark(self.parts, shard).is_file()]
        if missing:
            named = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
            raise DataError(f"--merge: of {known['count']} shards {named} {_are(missing)} missing; run --shard first.")

    def refuse_whole(self) -> None:
        """Check that the folder holds no shards, which a command without --shard would remove.

        Raises:
            DataError: if it does.
        """
        if self._known() is not None:
            raise DataError(
                f"{self.parts}: holds shards of a prediction; give --shard or --merge, or remove that folder."
            )

    def require_own(self) -> None:
        """Check that the folder holds nothing but shards of this prediction.

        Raises:
            DataError: if it does.
        """
        known = self._known()
        if known is None and any(self.parts.glob("*.parquet")):
            raise DataError(f"{self.parts}: holds a stopped prediction; give its command again, or remove it.")
        if known is not None and known["key"] != self.key:
            raise DataError(
                f"{self.parts}: holds shards that answer another question (model, data or options are not the same); "
                "choose another --output, or remove that folder."
            )

    def _require_fitting(self, shard: Shard) -> None:
        self.require_own()
        known = self._known()
        if known is None:
            write_json(self.parts / "shards.json", {"key": self.key, "count": shard.count})
        elif known["count"] != shard.count:
            raise DataError(
                f"--shard {shard}: the others in {self.parts} are of {known['count']}; give --shard "
                f"N/{known['count']}, or remove that folder."
            )

    def _known(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.parts / "shards.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and {"key", "count"} <= found.keys() else None


def shard_mark(parts: Path, shard: Shard) -> Path:
    """Return the file that is there once a shard is done."""
    return parts / f"shard-{shard.number}.done"


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
