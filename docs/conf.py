"""Sphinx makes the site of docs/: ``make docs``, then build/site/index.html.

The build is strict (``-W``): a link that leads nowhere, a docstring that does not parse or a notebook
that raises ends it.
"""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

project = "qdm_qiskit"
copyright = "the authors of qdm_qiskit"
release = version_of("qdm_qiskit")
version = release

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["conf.py"]
# Blocks without a language are tables of files and formulas.
highlight_language = "none"

# Pages are written to be read in the repository too: links to headings, plain Markdown.
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]

# Each notebook runs whenever the site is made: nothing in it is a copy of an older output.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"qdm_qiskit {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
# Examples are copied without their prompts.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

DOCS = Path(__file__).resolve().parent


def name_files_outside(app: Sphinx, page: str, source: list[str]) -> None:
    """Say where a file of the repository lies that is no page of the site, in place of a link."""
    folder = (DOCS / page).parent

    def replaced(link: re.Match[str]) -> str:
        target = (folder / link[2].partition("#")[0]).resolve()
        if target.is_relative_to(DOCS) and not target.is_dir():
            return link[0]
        return f"{link[1]} (`{target.relative_to(DOCS.parent)}` in the repository)"

    source[0] = re.sub(r"(?<!!)\[([^\]]+)\]\((\.\./[^)]*|[a-z]+/)\)", replaced, source[0])


def escape_kets(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Let ``|`` of a ket be a character: in reStructuredText it begins a substitution."""
    lines[:] = [re.sub(r"(``[^`]*``)|\|", lambda m: m[1] or r"\|", line) for line in lines]


def setup(app: Sphinx) -> None:
    """Connect what is above."""
    app.connect("source-read", name_files_outside)
    app.connect("autodoc-process-docstring", escape_kets)
