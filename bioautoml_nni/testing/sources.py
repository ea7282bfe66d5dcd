"""The suite of sources, and of the manifests that they read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from ..data.border import require_below
from ..data.decoding import ImageReference
from ..data.manifest import ID, IMAGE, LABEL, SPLIT, Manifest, Role, Source, contract_fault
from ..utils.errors import DataError
from ._base import name_of, require_methods, suite, tried


@suite
def check_source(source: Callable[..., Source], **arguments: Any) -> None:
    """Check a source on data that it can read: the manifest's contract, twice the same."""
    name = name_of(source)
    made = tried(f"{name}: must be built as Source(root, ...)", source, **arguments)
    require_methods(name, made, "load()")
    first, second = (tried(f"{name}: must read its data, load()", own.load) for own in (made, source(**arguments)))
    check_manifest(first, name)
    assert first.table.equals(second.table), f"{name}: reads something else the second time"


def check_manifest(manifest: Manifest, name: str, images_exist: bool = True) -> None:
    """Check what a source has read; `name` stands in the messages.

    Args:
        images_exist: whether the images that it names must exist, too; those of damaged tables need not.
    """
    fault = contract_fault(manifest)
    assert fault is None, f"{name}: {fault}"
    assert isinstance(manifest.roles, Mapping), f"{name}: roles must be a mapping from columns to roles"
    table = manifest.table
    assert len(table), f"{name}: the table is empty"
    for column in (ID, LABEL):
        assert table[column].notna().all(), f"{name}: {column} has gaps"
        assert all(isinstance(value, str) and value for value in table[column]), f"{name}: {column} must be strings"
    assert table[ID].is_unique, f"{name}: {ID} is not unique"
    root = Path(manifest.image_root)
    try:
        paths = [ImageReference.parse(path).path for path in table[IMAGE].dropna()]
        require_below(root, paths)
    except (DataError, TypeError, AttributeError) as error:
        raise AssertionError(f"{name}: {IMAGE} must hold paths below image_root: {error}") from error
    lost = [str(path) for path in dict.fromkeys(paths) if not _is_file(root / path)]
    assert not (images_exist and lost), (
        f"{name}: {len(lost)} of its images do not exist below image_root, the first is {lost[0]}"
    )
    unknown = set(manifest.roles) - set(table)
    assert not unknown, f"{name}: has roles for columns that are not in the table: {sorted(unknown)}"
    wrong = {column: role for column, role in manifest.roles.items() if role not in get_args(Role)}
    assert not wrong, f"{name}: has roles that do not exist: {wrong}"
    reserved = {ID, IMAGE, LABEL, SPLIT} & set(manifest.features())
    assert not reserved, f"{name}: reserved columns cannot be features: {sorted(reserved)}"
    assert manifest.rank, f"{name}: must say what the label is (rank)"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for any file
        return False
