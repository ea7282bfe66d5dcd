"""One of several shares of a piece of work that machines divide between them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from .errors import DataError

PATTERN = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True)
class Shard:
    """A share, counted from 1."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return what ``2/8`` means.

        Raises:
            DataError: if it is no such share.
        """
        found = PATTERN.fullmatch(text.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise DataError(f"--shard {text}: write NUMBER/COUNT, such as 1/8 for the first of eight.")
        return cls(int(found[1]), int(found[2]))

    def has(self, block: int) -> bool:
        """Whether a block, counted from 1, belongs to this share."""
        return (block - 1) % self.count == self.number - 1

    def has_name(self, name: str) -> bool:
        """Whether a name belongs to this share, whatever other names there are and in whatever order."""
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
