"""Source files of modules, found and parsed without importing anything."""

from __future__ import annotations

import ast
import sys
from importlib.machinery import ModuleSpec


class SourceError(Exception):
    """A module has no source that can be read."""


def read_tree(module: str) -> tuple[ast.Module, str]:
    """Return a module's syntax tree, and the package from which its relative imports start.

    Raises:
        SourceError: where there is no such module, or no source of it.
    """
    spec = find_spec(module)
    if spec is None:
        raise SourceError(f"{module}: there is no such module")
    try:
        tree = ast.parse(spec.loader.get_source(module))  # type: ignore[union-attr]
    except Exception as error:  # a loader is third-party code, and a file may hold anything
        raise SourceError(f"{module}: {error}") from error
    return tree, module if spec.submodule_search_locations is not None else module.rpartition(".")[0]


def find_spec(module: str) -> ModuleSpec | None:
    """Find a module without importing the packages around it, as `importlib.util.find_spec` would.

    Raises:
        SourceError: where a finder fails.
    """
    path, spec = None, None
    parts = module.split(".")
    try:
        for depth in range(1, len(parts) + 1):
            name = ".".join(parts[:depth])
            spec = next((found for finder in sys.meta_path if (found := finder.find_spec(name, path))), None)
            path = None if spec is None else spec.submodule_search_locations
            if path is None and depth < len(parts):
                return None
    except Exception as error:  # a finder is third-party code
        raise SourceError(f"{module}: {error}") from error
    return spec


def top_package(module: str) -> str:
    """Return the first part of a dotted name."""
    return module.partition(".")[0]


def bindings(body: list[ast.stmt]) -> dict[str, ast.stmt | None]:
    """Return the statement that binds each name; None for names bound several times, or on a condition."""
    found: dict[str, ast.stmt | None] = {}

    def bind(name: str, statement: ast.stmt | None) -> None:
        found[name] = None if name in found else statement

    for statement in body:
        match statement:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                bind(statement.name, statement)
            case ast.Import() | ast.ImportFrom():
                for alias in statement.names:
                    name = alias.asname or (
                        alias.name if isinstance(statement, ast.ImportFrom) else top_package(alias.name)
                    )
                    bind(name, statement)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                bind(name, statement)
            case _:
                for node in ast.walk(statement):
                    for name in _names_bound_by(node):
                        bind(name, None)
    return found


def _names_bound_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return [node.id]
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or top_package(alias.name) for alias in node.names]
    return []
