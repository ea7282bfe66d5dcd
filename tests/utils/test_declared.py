"""What is read from source files, compared with what the imported class says."""

import inspect
import typing

import pytest

from bioautoml_nni.config.arguments import constructor
from bioautoml_nni.registry import KINDS, EntryPoint, Plugin, plugins
from bioautoml_nni.utils.declared import Declared, NotPlainError

PLUGINS = [plugin for kind in KINDS for plugin in plugins(kind).values() if "bioautoml_nni" in plugin.entry_point.value]
BASE = '''
from __future__ import annotations

import typing as t
from abc import ABC
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path

Part = str | dict[str, t.Any]
FLAGS = ("first", *("second", "third"))
LIMIT = 2 * 10**3


class Base(ABC):
    """A base.

    More of it.
    """

    capabilities = frozenset(["fast"])

    def __init__(self, root: Path, parts: Sequence[Part] = (), limit: int = LIMIT, *, rate: float = -0.5) -> None:
        self.root = root


class Plain:
    pass
'''
EXTENSION = '''
"""An extension."""

from typing import ClassVar, Literal

from . import base as other
from .base import FLAGS, Base, Plain


class Inherits(Base):
    pass


class Changes(other.Base):
    """Says something of its own."""

    capabilities = FLAGS
    parts: ClassVar[dict[str, str]] = {"one": "losses"}

    def __init__(self, kind: Literal["a", "b"] = "a", path: other.Path | None = None, untyped=3, *more, **rest):
        pass


class Nothing(Plain):
    pass


def function(rows: int):
    """A function."""
'''
UNCLEAR = '''
from dataclasses import dataclass
from os import *

from .base import Base, Plain


@dataclass
class Generated:
    """Has a constructor that no source shows."""

    width: int = 3


class Computed(Base):
    """Its flags are computed."""

    capabilities = tuple(name for name in ("x", "y"))

    def __init__(self, form: "Later" = None) -> None:
        pass


class Later:
    pass


class Twice(Plain):
    """The flags of one of two bases win."""

    capabilities = ("one",)


class Diamond(Twice, Base):
    """Has flags of its own."""

    capabilities = ("two",)


class Both(Twice, Base):
    """Has flags of two bases."""


class Touched(Plain):
    """Is changed below."""


Touched.capabilities = ("late",)

if LIMIT := 3:

    class Conditional(Plain):
        """Only sometimes."""


class Computes(Plain):
    """Has a property in the attribute's place."""

    @property
    def capabilities(self):
        return ("x",)
'''


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Three modules of a package whose own __init__ must not run."""
    folder = tmp_path_factory.mktemp("written") / "written_plugins"
    (folder / "parts").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('this package was imported')")
    (folder / "parts" / "__init__.py").write_text("")
    for name, text in {"base": BASE, "extension": EXTENSION, "unclear": UNCLEAR}.items():
        (folder / "parts" / f"{name}.py").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder.parent)
        yield "written_plugins.parts"


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: f"{plugin.kind}-{plugin.name}")
def test_every_plugin_says_the_same_in_its_source_as_imported(plugin):
    declared = Declared.find(plugin.entry_point.module, plugin.entry_point.attr)
    target = plugin.entry_point.load()
    assert declared.docstring() == inspect.getdoc(target)
    for name, default in (("capabilities", ()), ("parts", {}), ("root_is_optional", False)):
        assert declared.attribute(name, default) == getattr(target, name, default)
    if plugin.kind in ("search_spaces", "strategies", "losses", "sources", "schedules", "relaxations", "regularisers"):
        function = constructor(plugin)
        hints = typing.get_type_hints(function, include_extras=True)
        expected = [
            parameter.replace(annotation=hints.get(name, parameter.empty))
            for name, parameter in inspect.signature(function).parameters.items()
            if name != "self" and function is not object.__init__
        ]
        assert list(declared.parameters().values()) == expected


def test_attributes_and_constructors_of_base_classes_in_other_modules(package):
    inherits = Declared.find(f"{package}.extension", "Inherits")
    assert inherits.docstring() == "A base.\n\nMore of it."
    assert inherits.attribute("capabilities") == frozenset({"fast"})
    parameters = inherits.parameters(without={"root"})
    assert list(parameters) == ["parts", "limit", "rate"]
    assert parameters["limit"].default == 2000 and parameters["limit"].annotation is int
    assert parameters["parts"].annotation == typing.get_type_hints(_with_parts)["parts"]
    assert parameters["rate"].kind is inspect.Parameter.KEYWORD_ONLY and parameters["rate"].default == -0.5


def _with_parts(parts: "__import__('collections').abc.Sequence[str | dict[str, typing.Any]]") -> None: ...


def test_a_class_with_its_own(package):
    changes = Declared.find(f"{package}.extension", "Changes")
    assert changes.docstring() == "Says something of its own."
    assert changes.attribute("capabilities") == ("first", "second", "third")
    assert changes.attribute("parts") == {"one": "losses"}
    parameters = changes.parameters()
    assert [(each.name, each.kind.name) for each in parameters.values()] == [
        ("kind", "POSITIONAL_OR_KEYWORD"), ("path", "POSITIONAL_OR_KEYWORD"), ("untyped", "POSITIONAL_OR_KEYWORD"),
        ("more", "VAR_POSITIONAL"), ("rest", "VAR_KEYWORD"),
    ]  # fmt: skip
    assert parameters["kind"].annotation == typing.Literal["a", "b"]
    assert parameters["untyped"].annotation is inspect.Parameter.empty


def test_what_a_class_does_not_have(package):
    nothing = Declared.find(f"{package}.extension", "Nothing")
    assert nothing.docstring() == "" and nothing.parameters() == {}
    assert nothing.attribute("capabilities", ("default",)) == ("default",)
    assert Declared.find(f"{package}.extension", "function").docstring() == "A function."


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("Generated", Declared.parameters),
        ("Computed", lambda declared: declared.attribute("capabilities")),
        ("Computed", Declared.parameters),
        ("Both", lambda declared: declared.attribute("capabilities")),
        ("Touched", lambda declared: declared.attribute("capabilities")),
        ("Conditional", Declared.docstring),
        ("Computes", lambda declared: declared.attribute("capabilities")),
        ("Missing", Declared.docstring),
        ("getcwd", Declared.docstring),
    ],
)
def test_what_only_the_imported_class_can_tell_is_not_guessed(package, name, question):
    with pytest.raises(NotPlainError):
        question(Declared.find(f"{package}.unclear", name))


def test_an_unclear_class_still_answers_what_its_source_shows(package):
    assert Declared.find(f"{package}.unclear", "Diamond").attribute("capabilities") == ("two",)
    assert Declared.find(f"{package}.unclear", "Computed").docstring() == "Its flags are computed."


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.module", "bioautoml_nni.none", "sys"])
def test_a_module_without_source(module):
    with pytest.raises(NotPlainError, match=module):
        Declared.find(module, "Thing").docstring()


def test_a_plugin_that_its_source_does_not_describe_is_imported(tmp_path, monkeypatch):
    (tmp_path / "unclear_plugin.py").write_text(
        'class Late:\n    """Text."""\n\n\nLate.__doc__ = "Text put in later."\nLate.capabilities = ("late", "a")\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    plugin = Plugin("losses", "late", EntryPoint("late", "unclear_plugin:Late", "bioautoml_nni.losses"))
    assert plugin.capabilities == ("a", "late")
    assert plugin.description == "Text put in later."
