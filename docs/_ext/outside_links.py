"""Documents of the repository as pages, and links to its files that are no page."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?![a-z]+:|#|/)([^)#\s]+)(#[^)\s]*)?\)")
PAGES = {
    "README.md": "/index.md",
    "ARCHITECTURE.md": "/project/architecture.md",
    "CONTRIBUTING.md": "/project/contributing.md",
    "CHANGELOG.md": "/project/changelog.md",
    "SECURITY.md": "/project/security.md",
    "benchmarks/RESULTS.md": "/project/measurements.md",
    "bioautoml_nni/kernels/README.md": "/project/kernels.md",
}


def rewritten(text: str, folder: str) -> str:
    """Return Markdown that stands in a folder of the repository with links that lead somewhere on the site."""

    def replace(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, found[1]))
        if path in PAGES:
            target = PAGES[path]
        elif path.startswith("examples") and (ROOT / path).is_dir():
            target = "/examples.md"
        elif path.startswith("docs/"):
            target = path.removeprefix("docs")
        else:
            target = f"/../{path}"  # a file to download
        return f"]({target}{found[2] or ''})"

    return LINK.sub(replace, text)


class RepositoryFile(SphinxDirective):
    """A Markdown file of the repository as the content of a page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path = ROOT / self.arguments[0]
        self.env.note_dependency(str(path))
        text = rewritten(path.read_text(encoding="utf-8"), posixpath.dirname(self.arguments[0]))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def _rewrite(app: Sphinx, document: str, source: list[str]) -> None:
    if not document.startswith("notebooks/"):
        source[0] = rewritten(source[0], posixpath.join("docs", posixpath.dirname(document)))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _rewrite)
    app.add_directive("repository-file", RepositoryFile)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
