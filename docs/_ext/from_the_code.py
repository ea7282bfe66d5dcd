"""Pages made from the code itself: keys of experiment.yml, commands, plug-ins, and the files of examples/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bioautoml_nni.config import Experiment
from bioautoml_nni.registry import KINDS, plugins

ROOT = Path(__file__).parents[2]
PLUGINS = {"space": "search_spaces", "strategy": "strategies", "loss": "losses"}
LANGUAGES = {".py": "python", ".yml": "yaml", ".json": "json", ".cfg": "ini", ".toml": "toml"}


class Generated(SphinxDirective):
    """Markdown that a function makes, in the place of the directive."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(self.lines()), allow_section_headings=True)

    def lines(self) -> Iterator[str]:
        raise NotImplementedError


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<").replace("\n", " ")


def _sections(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel], dict[str, Any]]]:
    """Yield every section of experiment.yml with its keys as JSON Schema tells them, and then what lies in it."""
    schema = model.model_json_schema()
    yield path, model, schema
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if inner is not None:
            yield from _sections(inner, f"{path}.{name}".lstrip("."))


def _type(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return the type of a key in words, with its limits."""
    if "$ref" in schema:
        return "section"
    if "allOf" in schema:
        return _type(schema["allOf"][0], definitions)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(each, definitions) for each in schema["anyOf"]))
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    names = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "`true` or `false`",
        "null": "`null`",
    }
    kind = schema.get("type", "")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}), definitions)}"
    if kind == "object":
        return "mapping"
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]:g}" for key, sign in words.items() if key in schema]
    return names.get(kind, kind) + (f" {', '.join(limits)}" if limits else "")


class ConfigurationKeys(Generated):
    """One table for each section of experiment.yml, from its schema."""

    def lines(self) -> Iterator[str]:
        for path, model, schema in _sections(Experiment):
            title = f"`{path}`" if path else "Top level"
            yield from ("", f"## {title}", "", (model.__doc__ or "").strip().replace("\n    ", "\n"), "")
            if not schema.get("properties"):
                continue
            yield from ("| key | type, default | what it does |", "|---|---|---|")
            required = schema.get("required", [])
            for name, entry in schema["properties"].items():
                kind = _type(entry, schema.get("$defs", {}))
                default = "required" if name in required else self._default(model, name)
                text = _cell(model.model_fields[name].description or self._section(model, name))
                yield f"| `{name}` | {kind}{', ' if default else ''}{default} | {text} |"

    @staticmethod
    def _section(model: type[BaseModel], name: str) -> str:
        """Return the first line of what a section says of itself."""
        kind = model.model_fields[name].annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and name not in PLUGINS:
            return (kind.__doc__ or "").strip().partition("\n")[0]
        return f"a plug-in (`bioautoml ls {PLUGINS[name]}`) and its arguments" if name in PLUGINS else ""

    @staticmethod
    def _default(model: type[BaseModel], name: str) -> str:
        value = model.model_fields[name].get_default(call_default_factory=True)
        if isinstance(value, BaseModel):
            return f"name: `{value.name}`" if hasattr(value, "name") else ""
        if value is None or value in ([], {}):
            return ""
        return f"`{str(value).lower() if isinstance(value, bool) else value}`"


class Commands(Generated):
    """The help of every command, in the groups of `bioautoml --help`."""

    def lines(self) -> Iterator[str]:
        import typer
        from typer.cli import get_docs_for_click
        from typer.main import get_command

        from bioautoml_nni.cli.main import app

        group = get_command(app)
        context = typer.Context(group)
        panels: dict[str, list[str]] = {}
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            panels.setdefault(getattr(command, "rich_help_panel", None) or "Commands", []).append(name)
        for panel, names in panels.items():
            yield from ("", f"## {panel}", "")
            for name in names:
                text = get_docs_for_click(
                    obj=group.get_command(context, name), ctx=context, indent=2, call_prefix="bioautoml"
                )
                yield from _with_blocks(text).splitlines()


def _with_blocks(text: str) -> str:
    """Show examples in fenced blocks."""
    return re.sub(r"^(?:Example|On other machines): (.*)$", r"```console\n$ \1\n```", text, flags=re.MULTILINE)


class PluginList(Generated):
    """What `bioautoml ls` lists, of this package alone."""

    def lines(self) -> Iterator[str]:
        for kind, meaning in KINDS.items():
            yield from ("", f"## {kind}", "", f"{meaning[0].upper()}{meaning[1:]}.", "", "| name | |", "|---|---|")
            for plugin in plugins(kind).values():
                yield f"| `{plugin.name}` | {_cell(plugin.description)} |"


class ExampleFiles(Generated):
    """Every file below examples/, as it is."""

    def lines(self) -> Iterator[str]:
        files = sorted(
            path for path in (ROOT / "examples").rglob("*") if path.suffix in LANGUAGES and "egg-info" not in str(path)
        )
        for folder in sorted({path.parent for path in files}):
            own = [path for path in files if path.parent == folder and path.read_text(encoding="utf-8").strip()]
            yield from ("", f"## {folder.relative_to(ROOT)}", "")
            for path in own:
                self.env.note_dependency(str(path))
                yield from (f"### {path.relative_to(ROOT)}", "", f"```{LANGUAGES[path.suffix]}")
                yield from path.read_text(encoding="utf-8").splitlines()
                yield from ("```", "")


def setup(app: Sphinx) -> dict[str, bool]:
    for name, directive in {
        "configuration-keys": ConfigurationKeys,
        "commands": Commands,
        "plugin-list": PluginList,
        "example-files": ExampleFiles,
    }.items():
        app.add_directive(name, directive)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
