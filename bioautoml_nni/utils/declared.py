"""What the source of a class says about it, read without importing its module.

A plug-in may need seconds for torch and NNI. Whoever only lists it, or checks the arguments that a configuration gives
it, needs its docstring, a few attributes and the signature of its constructor, and these mostly stand in its source as
they are. Whatever does not (a computed value, a decorator, a name bound twice, a star import) raises `NotPlainError`;
the caller then imports the class and asks itself. What is returned is therefore what the imported class would say.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import inspect
import operator
import sys
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from .syntax import SourceError, bindings, find_spec, read_tree, top_package

UNAWARE = frozenset({"lightning", "nni", "pytorch_lightning", "timm", "torch", "torchvision"})
"""Packages older than this one: their base classes declare none of the attributes that plug-ins do."""
LIGHT = frozenset({"bioautoml_nni.features.trunk_settings", "bioautoml_nni.utils.numbers"})
"""Modules of ours that are imported instead of read: annotations that are made by calls, or are models of pydantic."""
OPERATORS: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.BitOr: operator.or_,
}  # fmt: skip
CONTAINERS = (frozenset, set, tuple, list, dict)
_MISSING = object()


class NotPlainError(Exception):
    """The source alone does not tell; import the class and ask it."""


@dataclass(frozen=True)
class Declared:
    """A class, or a function, as it is written in a module.

    Every method raises `NotPlainError` where only the imported class can answer.
    """

    module: _Module
    node: ast.ClassDef | ast.FunctionDef

    @classmethod
    def find(cls, module: str, name: str) -> Declared:
        """Return what stands in a module under a name, or is imported into it."""
        found = _member(module, name)
        if not isinstance(found, cls):
            raise NotPlainError(f"{module}:{name} is not a class or function in a source file")
        return found

    def docstring(self) -> str:
        """Return the docstring as `inspect.getdoc` does, that of a base class included; empty without one."""
        own = ast.get_docstring(self.node)
        if own is None and isinstance(self.node, ast.ClassDef):
            self._class_body("__doc__")
            return next((text for base in self._bases() if (text := _docstring(base))), "")
        return own or ""

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return a class attribute, that of a base class included, or `default`."""
        if isinstance(self.node, ast.FunctionDef):
            self._require_untouched()
            return default
        found = self._lookup(name)
        return default if found is _MISSING else found

    def parameters(self, without: Collection[str] = ()) -> dict[str, inspect.Parameter]:
        """Return the constructor's parameters with evaluated annotations, but for ``self`` and those left out."""
        owner = self._constructor()
        return {} if owner is None else owner._parameters(without)

    def _require_untouched(self) -> None:
        plain = not self.node.decorator_list and self.node.name not in self.module.changed
        if not plain or (isinstance(self.node, ast.ClassDef) and self.node.keywords):
            raise NotPlainError(f"{self.node.name} is changed where it is defined or after")

    def _class_body(self, name: str) -> ast.stmt | None:
        """Return the statement of the class's own body that binds a name."""
        self._require_untouched()
        bound = bindings(self.node.body)
        if name not in bound:
            return None
        if bound[name] is None:
            raise NotPlainError(f"{self.node.name}.{name} is bound more than once, or on a condition")
        return bound[name]

    def _bases(self) -> Iterator[Any]:
        assert isinstance(self.node, ast.ClassDef)
        for base in self.node.bases:
            yield self.module.resolve(base.value if isinstance(base, ast.Subscript) else base)

    def _lookup(self, name: str) -> Any:
        statement = self._class_body(name)
        if statement is not None:
            value = getattr(statement, "value", None)
            if not isinstance(statement, ast.Assign | ast.AnnAssign):
                raise NotPlainError(f"{self.node.name}.{name} is computed")
            if value is not None:
                return self.module.evaluate(value)
        found = [value for base in self._bases() if (value := _attribute(base, name)) is not _MISSING]
        if len(found) > 1:
            raise NotPlainError(f"{self.node.name} has {name} from several bases")
        return found[0] if found else _MISSING

    def _constructor(self) -> Declared | None:
        """Return the ``__init__`` that the class has, None where it is that of `object`."""
        if isinstance(self.node, ast.FunctionDef) or self._class_body("__new__") is not None:
            raise NotPlainError(f"{self.node.name} is built in a way of its own")
        own = self._class_body("__init__")
        if isinstance(own, ast.FunctionDef) and not own.decorator_list:
            return Declared(self.module, own)
        if own is not None:
            raise NotPlainError(f"{self.node.name}.__init__ is not a plain function")
        found = []
        for base in self._bases():
            if isinstance(base, Declared):
                found.append(base._constructor())
            elif not isinstance(base, _Real) or _real_class(base).__init__ is not object.__init__:
                raise NotPlainError(f"{self.node.name} has the constructor of a class that is not read")
        given = [each for each in found if each is not None]
        if len(given) > 1:
            raise NotPlainError(f"{self.node.name} has constructors of several bases")
        return given[0] if given else None

    def _parameters(self, without: Collection[str]) -> dict[str, inspect.Parameter]:
        assert isinstance(self.node, ast.FunctionDef)
        names = self.node.args
        positional = [*names.posonlyargs, *names.args]
        defaults: list[ast.expr | None] = [None] * (len(positional) - len(names.defaults))
        rows: list[tuple[ast.arg, Any, ast.expr | None]] = []
        for number, (each, default) in enumerate(zip(positional, [*defaults, *names.defaults], strict=True)):
            only = number < len(names.posonlyargs)
            kind = inspect.Parameter.POSITIONAL_ONLY if only else inspect.Parameter.POSITIONAL_OR_KEYWORD
            rows.append((each, kind, default))
        rows += [(names.vararg, inspect.Parameter.VAR_POSITIONAL, None)] if names.vararg else []
        rows += [
            (each, inspect.Parameter.KEYWORD_ONLY, default)
            for each, default in zip(names.kwonlyargs, names.kw_defaults, strict=True)
        ]
        rows += [(names.kwarg, inspect.Parameter.VAR_KEYWORD, None)] if names.kwarg else []
        return {
            each.arg: inspect.Parameter(
                each.arg,
                kind,
                default=inspect.Parameter.empty if default is None else self.module.evaluate(default),
                annotation=self.module.annotation(each.annotation),
            )
            for each, kind, default in rows[1:]
            if each.arg not in without
        }


@dataclass(frozen=True)
class _Real:
    """An object at hand: a builtin, of the standard library, or of a module that is imported anyway."""

    value: Any


@dataclass(frozen=True)
class _Reference:
    """A module by its name."""

    name: str


@dataclass(frozen=True)
class _Unaware:
    """Something of a package in `UNAWARE`."""

    name: str


@dataclass(frozen=True, eq=False)
class _Module:
    """A module's syntax tree."""

    name: str
    tree: ast.Module
    package: str

    @cached_property
    def bindings(self) -> dict[str, ast.stmt | None]:
        return bindings(self.tree.body)

    @cached_property
    def changed(self) -> frozenset[str]:
        """Names with an attribute that the module sets, as in ``Focal.capabilities = ...``."""
        return frozenset(
            node.value.id
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name)
        )

    def resolve(self, node: ast.expr) -> Any:
        """Return what a name or a dotted name of this module stands for."""
        if isinstance(node, ast.Name):
            return self.named(node.id)
        if not isinstance(node, ast.Attribute):
            raise NotPlainError(f"{self.name}: {ast.unparse(node)}")
        owner = self.resolve(node.value)
        if isinstance(owner, _Reference):
            return _member(owner.name, node.attr)
        if isinstance(owner, _Real) and hasattr(owner.value, node.attr):
            return _Real(getattr(owner.value, node.attr))
        if isinstance(owner, _Unaware):
            return owner
        if isinstance(owner, Declared) and (value := owner.attribute(node.attr, _MISSING)) is not _MISSING:
            return _Real(value)
        raise NotPlainError(f"{self.name}: {ast.unparse(node)}")

    def named(self, name: str) -> Any:
        """Return what a name of this module stands for."""
        statement = self.bindings.get(name)
        if name not in self.bindings and "*" not in self.bindings and hasattr(builtins, name):
            return _Real(getattr(builtins, name))
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            return Declared(self, statement)
        if isinstance(statement, ast.Import):
            alias = next(each for each in statement.names if name in (each.asname, each.name.partition(".")[0]))
            return _reference(alias.name if alias.asname else name)
        if isinstance(statement, ast.ImportFrom):
            origin = "." * statement.level + (statement.module or "")
            if statement.level:
                origin = importlib.util.resolve_name(origin, self.package)
            original = next(each.name for each in statement.names if name == (each.asname or each.name))
            return _member(origin, original)
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            return _Real(self.evaluate(statement.value))
        raise NotPlainError(f"{self.name}: {name}")

    def annotation(self, node: ast.expr | None) -> Any:
        """Evaluate an annotation; `inspect.Parameter.empty` without one."""
        if node is None:
            return inspect.Parameter.empty
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            try:
                node = ast.parse(text, mode="eval").body
            except (SyntaxError, ValueError) as error:
                raise NotPlainError(f"{self.name}: {text!r} is not an annotation") from error
        value = self.evaluate(node)
        return type(None) if value is None else value

    def evaluate(self, node: ast.expr) -> Any:
        """Evaluate literals, names, types and sums of these."""
        try:
            return self._evaluate(node)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise NotPlainError(f"{self.name}: {ast.unparse(node)}: {error}") from error

    def _evaluate(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name() | ast.Attribute():
                found = self.resolve(node)
                if isinstance(found, _Real):
                    return found.value
            case ast.Tuple() | ast.List() | ast.Set():
                make: Any = {ast.Tuple: tuple, ast.List: list, ast.Set: set}[type(node)]
                return make(value for each in node.elts for value in self._elements(each))
            case ast.Dict() if None not in node.keys:
                keys = [self.evaluate(key) for key in node.keys if key is not None]
                return dict(zip(keys, map(self.evaluate, node.values), strict=True))
            case ast.Subscript():
                return self._subscript(node)
            case ast.BinOp() if type(node.op) in OPERATORS:
                return OPERATORS[type(node.op)](self.evaluate(node.left), self.evaluate(node.right))
            case ast.UnaryOp(op=ast.USub()):
                return -self.evaluate(node.operand)
            case ast.Call(keywords=[]) if (function := self.evaluate(node.func)) in CONTAINERS:
                return function(*map(self.evaluate, node.args))
        raise NotPlainError(f"{self.name}: {ast.unparse(node)}")

    def _elements(self, node: ast.expr) -> Iterator[Any]:
        if isinstance(node, ast.Starred):
            yield from self.evaluate(node.value)
        else:
            yield self.evaluate(node)

    def _subscript(self, node: ast.Subscript) -> Any:
        owner = self.evaluate(node.value)
        items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        texts = any(isinstance(each, ast.Constant) and isinstance(each.value, str) for each in items)
        if texts and owner is not typing.Literal:
            raise NotPlainError(f"{self.name}: {ast.unparse(node)} refers to a name in quotes")
        return owner[self.evaluate(node.slice)]


def _docstring(base: Any) -> str:
    if isinstance(base, Declared):
        return base.docstring()
    if isinstance(base, _Real):
        return "" if base.value is object else inspect.getdoc(base.value) or ""
    raise NotPlainError("the docstring may be that of a class that is not read")


def _attribute(base: Any, name: str) -> Any:
    if isinstance(base, Declared):
        return base._lookup(name)
    if isinstance(base, _Real):
        return getattr(base.value, name, _MISSING)
    if isinstance(base, _Unaware):
        return _MISSING
    raise NotPlainError("a base class is not read")


def _real_class(base: _Real) -> Any:
    if not isinstance(base.value, type):
        raise NotPlainError(f"{base.value!r} is not a class")
    return base.value


def _reference(module: str) -> Any:
    return _Unaware(module) if top_package(module) in UNAWARE else _Reference(module)


def _member(module: str, name: str) -> Any:
    """Return what a module has under a name, or its submodule of this name."""
    if top_package(module) in UNAWARE:
        return _Unaware(f"{module}.{name}")
    if module in LIGHT or top_package(module) in sys.stdlib_module_names:
        value = getattr(importlib.import_module(module), name, _MISSING)
        return _Reference(f"{module}.{name}") if value is _MISSING else _Real(value)
    parsed = _parsed(module)
    if name not in parsed.bindings and _submodule(module, name):
        return _Reference(f"{module}.{name}")
    return parsed.named(name)


@cache
def _parsed(module: str) -> _Module:
    try:
        return _Module(module, *read_tree(module))
    except SourceError as error:
        raise NotPlainError(str(error)) from error


def _submodule(module: str, name: str) -> bool:
    try:
        return find_spec(f"{module}.{name}") is not None
    except SourceError as error:
        raise NotPlainError(str(error)) from error
