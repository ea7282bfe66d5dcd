"""What README and documentation say of files, commands and keys is so; notebooks are whole and kept without outputs."""

import json
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml
from typer.main import get_command

from bioautoml_nni._version import __version__
from bioautoml_nni.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
GROUP = get_command(app)
CONTEXT = typer.Context(GROUP)


def slug(heading):
    """The anchor of a heading, as GitHub makes it."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def headings(path):
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    return {slug(found) for found in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def test_the_first_page_fits_on_a_few_screens():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_and_images_lead_to_files_and_headings(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    for target in targets:
        if re.match(r"[a-z]+:", target) or target.startswith("../../actions/"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page}: {target}"
        if anchor and file.suffix == ".md":
            assert anchor in headings(file), f"{page}: {target}"


def commands(text):
    """Every `bioautoml` command in a fenced block, continued lines joined, as a list of words."""
    for block in re.findall(r"```(?:console|bash)\n(.*?)```", text, re.DOTALL):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words and words[0] == "bioautoml":
                yield words[1:]


def check_command(words, where):
    """Assert that there are such a command and such options."""
    if words[0].startswith("-"):
        known = {name for param in GROUP.params for name in param.opts}
        assert words[0] in known | {"--help"} or words[1:], where
        words = words[1:] if words[0] == "--debug" else ["ls"]
    if words == ["COMMAND", "..."]:
        return
    command = GROUP.get_command(CONTEXT, words[0])
    assert command is not None, f"{where}: {words}"
    known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)} | {"--help"}
    if words[0] == "nnictl":
        return
    for word in words[1:]:
        assert not re.match(r"--?[a-z]", word) or word.partition("=")[0] in known, f"{where}: {words[0]} {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_exist(page):
    for words in commands(page.read_text()):
        check_command(words, page)


def test_every_command_has_a_place_in_the_help_and_an_example_that_exists():
    for name in GROUP.list_commands(CONTEXT):
        command = GROUP.get_command(CONTEXT, name)
        assert command.rich_help_panel, name
        [example, *_] = re.findall(r"^\s*Example: bioautoml (.*)$", command.help, re.MULTILINE) or [None]
        assert example is not None, name
        words = shlex.split(example)
        assert words[0] == name
        check_command(words, name)


def test_help_shows_its_brackets():
    from rich.text import Text

    for name in GROUP.list_commands(CONTEXT):
        command = GROUP.get_command(CONTEXT, name)
        for text in [command.help, *(getattr(param, "help", None) for param in command.params)]:
            assert Text.from_markup(text or "").plain == (text or ""), name


def test_alone_it_shows_three_first_steps(capsys, monkeypatch):
    from conftest import in_process

    monkeypatch.setenv("COLUMNS", "200")
    code, said = in_process(capsys)
    assert code == 0
    steps = re.findall(r"bioautoml (init|check|auto) \S+", said)
    assert steps == ["init", "check", "auto"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_hold_no_outputs_and_their_code_compiles(path):
    book = json.loads(path.read_text())
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 3
    for cell in cells:
        assert cell["outputs"] == [] and cell["execution_count"] is None
        code = "".join(line for line in cell["source"] if not line.startswith("!"))
        compile(code, str(path), "exec")


def test_images_are_small():
    files = sorted((ROOT / "docs/images").iterdir())
    assert files
    for path in files:
        assert path.stat().st_size < 200_000, path


def test_one_version_everywhere():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    [first, *_] = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first == __version__


def test_other_tools_call_make_targets_that_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert set(workflow["jobs"]["make"]["strategy"]["matrix"]["target"]) <= targets
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert all(hook["entry"].removeprefix("make ") in targets for hook in hooks)
    for form in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(form.read_text())
