"""What all artifacts have in common: they are read whole and of a known version, and written with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ..utils.atomic import write_json
from ..utils.errors import BioAutoMLError, RunDirectoryError
from ..utils.own_files import WAY_OUT, read_json, reading
from .versions import KEY, require_known_version


class Part(BaseModel):
    """A part of an artifact. Keys that a later release adds without a new version are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)


class Artifact(Part):
    """One file of JSON.

    Attributes:
        VERSION: of the keys; it is raised when a key changes its meaning or goes, not when one is added.
        VERSION_KEY: under which the file has it.
    """

    VERSION: ClassVar[int] = 1
    VERSION_KEY: ClassVar[str] = KEY

    @classmethod
    def read(cls, path: Path, way_out: str = WAY_OUT, kind: type[BioAutoMLError] = RunDirectoryError) -> Self:
        """Return what a file says.

        Raises:
            BioAutoMLError: of the kind given, if it is missing, damaged, lacks a key, or has a version that is not
                known.
        """
        record = read_json(path, way_out, kind)
        require_known_version(record, path, cls.VERSION, kind, cls.VERSION_KEY)
        record.pop(cls.VERSION_KEY, None)
        with reading(path, way_out, kind):
            try:
                return cls.model_validate(record)
            except ValidationError as error:
                first = error.errors()[0]
                raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error

    def record(self) -> dict[str, Any]:
        """Return the keys and values of the file, without the version; a key that was never given is left out."""
        return self.model_dump(by_alias=True, exclude_unset=True)

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        write_json(path, {self.VERSION_KEY: self.VERSION, **self.record()})
