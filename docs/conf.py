"""Settings of the documentation; `make docs` builds it."""

import sys
from pathlib import Path

from bioautoml_nni._version import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "BioAutoML-NNI"
author = "The BioAutoML-NNI authors"
copyright = "2026, The BioAutoML-NNI authors"
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "from_the_code",
    "outside_links",
]
exclude_patterns = ["_build", "README.md"]
suppress_warnings = ["myst.strikethrough"]

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline", "attrs_block"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_in_temp = True
nb_execution_cache_path = str(Path(__file__).parents[1] / "build/notebooks")
nb_execution_timeout = 3600  # of a cell; they take a minute or two on two idle cores
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_execution_show_tb = True

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_preprocess_types = False

copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["_static"]
html_favicon = "_static/icon.svg"
html_context = {"default_mode": "auto"}
html_css_files = ["site.css"]
html_show_sourcelink = False
html_sidebars = {name: [] for name in ("index", "getting-started", "benchmarks", "faq", "glossary")}
html_theme_options = {
    "logo": {"text": project},
    "header_links_before_dropdown": 6,
    "navbar_persistent": [],
    "navbar_end": ["search-button", "theme-switcher"],
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
