"""The Python in README and docs/ runs as it stands."""

from __future__ import annotations

import re

import pytest

from tests.helpers import ROOT

PAGES = {
    str(page.relative_to(ROOT)): re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}


@pytest.mark.parametrize("name", [name for name, blocks in PAGES.items() if blocks])
def test_blocks_of_a_page_run_one_after_the_other(name: str) -> None:
    names: dict[str, object] = {}
    for block in PAGES[name]:
        exec(compile(block, name, "exec"), names)  # noqa: S102 (our own pages)


def test_pages_link_to_files_that_exist() -> None:
    for name in PAGES:
        page = ROOT / name
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{name} links to {target}"
