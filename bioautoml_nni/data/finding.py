"""Images found by the names that tables give them: as they stand, else by rules that leave one candidate only."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from ..utils.remote import RemotePath
from .decoding import ImageReference
from .file_names import is_utf8, on_disk
from .image_files import Links, list_images
from .remark import Lost
from .remote_images import images_at, stays_below

DRIVE = re.compile(r"^[A-Za-z]:[\\/]")
ABSOLUTE = re.compile(r"^(?:[A-Za-z]:)?[\\/]")

SEVERAL = re.compile(r"\s*[;|,\n]\s*")

QUOTED = re.compile(r"""^\s*(["'])(?P<name>.*)\1\s*$""", re.DOTALL)
"""As Windows copies a path."""
ABOVE = re.compile(r"^.*(?:^|/)\.\./")

LISTED = 64
"""Images in a folder for which it is listed."""
TOO_MANY = 16
"""Times as many files as images that are wanted, after which a listing is broken off."""

RULES: dict[str, Callable[[str], str]] = {
    "without the space around it": str.strip,
    "without the quotes around it": lambda name: found["name"] if (found := QUOTED.match(name)) else name,
    "with slashes for backslashes": lambda name: name.strip().replace("\\", "/"),
    "with %20 and the like as letters": lambda name: unquote(name.strip()),
    "without what follows ?": lambda name: unquote(name.strip().partition("?")[0]),
}


class ImageFinder:
    """Finds images below a folder.

    Args:
        root: the folder; nothing outside of it is ever found.
        links: where symbolic links in it may lead; see `Border`.

    Attributes:
        used: how many names were found by each rule.
        ambiguous: names that several files could mean; none of them is taken.
        several: texts that are the names of several files, and how many of these are not taken: all but the first.
    """

    def __init__(self, root: Path, links: Links = "inside") -> None:
        self.root = root
        self.links = links
        self.used: Counter[str] = Counter()
        self.ambiguous: list[str] = []
        self.several: dict[str, int] = {}
        self._found: dict[str, str] = {}
        self._there: dict[str, bool] = {}
        self._ends: dict[str, dict[str, set[str]]] = {}
        self._rules: dict[str, str] = {}

    def find(self, text: str) -> str:
        """Return a reference as the image store reads it; the text itself where no rule finds a file."""
        if text not in self._found:
            self._found[text] = self._find(text)
        return self._found[text]

    def find_all(self, texts: Iterable[str]) -> list[str]:
        """Return the references of texts, in their order."""
        texts = list(texts)
        if isinstance(self.root, RemotePath):
            self._look(self.root, dict.fromkeys(text for text in texts if isinstance(text, str)))
        return [self.find(text) if isinstance(text, str) else text for text in texts]

    def find_apart(self, texts: Iterable[str]) -> list[str]:
        """Return the references of all texts of a table, in their order, as `find_all` does; but of several paths that
        lead to one file by their ends alone, as on cards whose numbers begin again, none is taken."""
        texts = list(texts)
        self._list_folders(texts)
        found = self.find_all(texts)
        names = {file: len({_plain(text) for text in ends}) for file, ends in self._ends.items()}
        claims = [ends.values() for file, ends in self._ends.items() if names[file] > 1]
        contested = {text for named in claims for same in named for text in same}
        for text in contested:
            self._found[text] = text
            self.used[self._rules[text]] -= 1
        self._ends = {file: ends for file, ends in self._ends.items() if names[file] == 1}
        self.ambiguous += sorted(contested)
        return [text if text in contested else reference for text, reference in zip(texts, found, strict=True)]

    def notes(self) -> list[str]:
        """Say how names were found, in sentences."""
        found = [f"{count} images found {rule}." for rule, count in self.used.items() if count]
        if shared := [list(ends) for ends in self._ends.values() if len({_plain(name) for name in ends}) > 1]:
            found.append(
                f"{len(shared)} images are found by the end of several paths, such as {shared[0][0]!r} and "
                f"{shared[0][1]!r}: if these are different images, write their paths below the image root."
            )
        if self.ambiguous:
            shown = ", ".join(repr(name) for name in self.ambiguous[:3])
            found.append(
                Lost(
                    f"{len(self.ambiguous)} image names could mean several files, and none is taken: {shown}. Write "
                    "the path below the image root."
                )
            )
        if self.several:
            example, others = next(iter(self.several)), sum(self.several.values())
            found.append(
                Lost(
                    f"{len(self.several)} cells name several images, such as {example!r}: the first of each is taken, "
                    f"and {others} others are not used. To use all of them, give each a row of its own, and let "
                    "data.split.group keep the rows of a specimen together."
                )
            )
        return found

    def _list_folders(self, texts: Sequence[str]) -> None:
        """List each folder of this machine in which many images are wanted: a look at each of them takes longer.

        What a listing lacks is looked for as ever, since some systems tell no small letters from large ones.
        """
        if isinstance(self.root, RemotePath):
            return
        wanted: dict[str, list[str]] = {}
        for text in texts:
            if text.isascii() and not text.startswith("/"):
                wanted.setdefault(text.rpartition("/")[0], []).append(text)
        for folder, names in wanted.items():
            if len(names) >= LISTED:
                files = set(islice(_files(os.path.join(self.root, folder)), TOO_MANY * len(names)))
                start = len(folder) + bool(folder)
                self._found |= {name: name for name in names if name[start:] in files}

    def _look(self, root: RemotePath, texts: Iterable[str]) -> None:
        """Ask a host at once for all names that a rule would spell otherwise; the others are taken as they stand."""
        changed: dict[str, None] = {}
        for text in texts:
            name = ImageReference.parse(text).path
            spelt = [new for change in RULES.values() if (new := change(name)) not in (name, "") and stays_below(new)]
            changed |= dict.fromkeys([name, *spelt] if spelt and stays_below(name) else spelt)
        unknown = [name for name in changed if name not in self._there]
        self._there |= {name: stamp is not None for name, stamp in images_at(root).stamps(unknown).items()}

    def _find(self, text: str) -> str:
        if isinstance(self.root, RemotePath):
            return self._find_remote(text)
        name = text if self._is_file(text) else ImageReference.parse(text).path
        if self._is_file(name):
            self.used["with a name in another code page"] += not is_utf8(on_disk(self.root, name))
            return text
        end = text[len(name) :]
        for rule, change in RULES.items():
            changed = change(name)
            if changed != name and changed and self._is_file(changed):
                self.used[rule] += 1
                return changed + end
        if ABSOLUTE.match(name.strip()) and (below := self._below(name.strip())):
            self.used["by the path below the image root"] += 1
            return below + end
        if ABSOLUTE.match(name.strip()) and os.path.exists(name.strip()):
            return text  # outside of the root, and refused as such
        parts = [part for part in SEVERAL.split(text.strip()) if part]
        if len(parts) > 1 and all(map(self._is_file, parts)):
            self.several[text] = len(parts) - 1
            return parts[0]
        bare = found["name"] if (found := QUOTED.match(name)) else name.strip()
        plain = unquote(bare.replace("\\", "/"))
        if ABOVE.match(plain) and not os.path.lexists(on_disk(self.root, plain)):
            plain = ABOVE.sub("/", plain)
        for rule, candidates in self._candidates(plain):
            if len(candidates) == 1:
                self.used[rule] += candidates[0] != name  # itself is a link that leads nowhere, or a pipe
                if ABSOLUTE.match(plain):
                    self._ends.setdefault(candidates[0], {}).setdefault(plain, set()).add(text)
                    self._rules[text] = rule
                return candidates[0] + end
            if candidates:
                self.ambiguous.append(text)
                return text
        return text

    def _find_remote(self, text: str) -> str:
        """Return the name as it stands, or as a rule spells it if that is there; a host is not searched for it."""
        name = ImageReference.parse(text).path
        if self._there.get(name, False):
            return text
        for rule, change in RULES.items():
            if self._there.get(change(name), False):
                self.used[rule] += 1
                return change(name) + text[len(name) :]
        return text

    def _is_file(self, name: str) -> bool:
        try:
            return not name.startswith("/") and os.path.isfile(on_disk(self.root, name))
        except ValueError:
            return False

    def _below(self, name: str) -> str | None:
        try:
            relative = Path(name).relative_to(self.root.resolve())
        except ValueError:
            return None
        return relative.as_posix() if self._is_file(relative.as_posix()) else None

    @cached_property
    def _index(self) -> dict[str, list[str]]:
        index: dict[str, list[str]] = {}
        for name in list_images(self.root, links=self.links).files:
            index.setdefault(_plain(name.rpartition("/")[2]), []).append(name)
        return index

    @cached_property
    def _stems(self) -> dict[str, list[str]]:
        stems: dict[str, list[str]] = {}
        for names in self._index.values():
            for name in names:
                stems.setdefault(os.path.splitext(_plain(name.rpartition("/")[2]))[0], []).append(name)
        return stems

    def _candidates(self, name: str) -> Iterable[tuple[str, list[str]]]:
        if ".." in name.split("/"):
            return
        parts = [part for part in DRIVE.sub("", name).split("/") if part not in ("", ".")]
        if not parts:
            return
        whole = ABSOLUTE.match(name) is None
        last = _plain(parts[-1])
        same = [found for found in self._index.get(last, []) if not whole or _plain(found) == _plain("/".join(parts))]
        yield "in another case or Unicode form", [found for found in same if _plain(found) == _plain("/".join(parts))]
        if not whole:
            yield "by the end of its path", longest_tail(parts, same)
        stems = [found for found in self._stems.get(last, []) if len(found.split("/")) == len(parts) or not whole]
        wanted = [_plain(part) for part in parts[:-1]]
        near = [found for found in stems if not whole or [_plain(part) for part in found.split("/")[:-1]] == wanted]
        yield "without an extension", near if whole else longest_tail([*parts[:-1], ""], near)


def _files(folder: str) -> Iterator[str]:
    """Yield the names of the files in a folder, none of one that cannot be listed."""
    with suppress(OSError, ValueError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file():
                yield entry.name


def longest_tail(parts: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """Return the candidates whose last folders agree longest with those of a path; the file's own name is not looked
    at."""
    wanted = [_plain(part) for part in parts[:-1]][::-1]
    lengths = {}
    for candidate in candidates:
        folders = [_plain(part) for part in candidate.split("/")[:-1]][::-1]
        lengths[candidate] = next(
            (n for n, (one, other) in enumerate(zip(wanted, folders, strict=False)) if one != other),
            min(len(wanted), len(folders)),
        )
    best = max(lengths.values(), default=0)
    return [candidate for candidate, length in lengths.items() if length == best]


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
