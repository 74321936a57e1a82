"""The front of the package: what ``qdm.<tab>`` shows, at no cost, and that it is all there."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import qdm_qiskit as qdm

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "qiskit", "numpy", "scipy", "matplotlib", "diffusers", "PIL", "typer", "rich")
SHOWN = [name for name in qdm.__all__ if name != "__version__"]
NEED_MINUTES = {"evaluate", "Evaluation"}
"""Their example is shown, not run; tests/tasks/test_evaluation.py runs it."""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def loaded_by(statement: str) -> list[str]:
    done = python(f"import sys\n{statement}\nprint([m for m in {HEAVY} if m in sys.modules])")
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout)


def test_import_and_tab_load_nothing_heavy():
    assert loaded_by("import qdm_qiskit as qdm; dir(qdm); qdm.__all__; qdm.__version__") == []


def test_errors_come_without_anything_heavy():
    assert loaded_by("import qdm_qiskit as qdm; qdm.QdmError, qdm.errors.InvalidOption") == []


def test_each_name_loads_what_it_needs_and_no_more():
    assert "torch" in loaded_by("import qdm_qiskit as qdm; qdm.Denoiser")
    assert "torch" not in loaded_by("import qdm_qiskit as qdm; qdm.CircuitSpec, qdm.make_runner")


def test_tab_shows_the_public_names_also_after_rooms_were_imported():
    importlib.import_module("qdm_qiskit.engine")
    assert dir(qdm) == sorted(qdm.__all__)
    assert 30 <= len(SHOWN) <= 53


@pytest.mark.parametrize("name", qdm.__all__)
def test_every_name_resolves_and_stays(name):
    assert getattr(qdm, name) is getattr(qdm, name)


def test_star_import_gives_all_names():
    names: dict[str, object] = {}
    exec("from qdm_qiskit import *", names)  # noqa: S102 (our own package)
    assert set(qdm.__all__) <= set(names)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        qdm.trian  # noqa: B018 (the access is what is tested)
    assert not hasattr(qdm, "tasks_")


def test_type_checkers_see_what_is_there_at_run_time():
    tree = ast.parse(inspect.getsource(qdm))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for each in node.names:
            assert each.name == each.asname, "`import x as x` is what exports a name"
            seen[each.name] = node.module or ""
    assert seen == qdm._HOMES


def example_of(name: str) -> list[doctest.Example]:
    found = getattr(qdm, name)
    return doctest.DocTestParser().get_examples(inspect.getdoc(found) or "")


@pytest.mark.parametrize("name", SHOWN)
def test_every_name_has_a_docstring_with_an_example_that_runs(name):
    examples = example_of(name)
    assert examples, f"{name} shows no example (>>>)"
    skipped = [each for each in examples if each.options.get(doctest.SKIP)]
    assert not skipped or name in NEED_MINUTES, "its example would not be run as a doctest"


def packages_and_modules() -> list[str]:
    found = pkgutil.walk_packages(qdm.__path__, "qdm_qiskit.")
    return [each.name for each in found if not each.name.endswith("__main__")] + ["qdm_qiskit"]


@pytest.mark.parametrize("name", packages_and_modules())
def test_every_module_says_what_is_public_and_has_it(name):
    package = importlib.import_module(name)
    assert sorted(set(package.__all__)) == sorted(package.__all__)
    for each in package.__all__:
        if not hasattr(package, each):
            importlib.import_module(f"{name}.{each}")  # a public module of the room


def imported_by_pages() -> dict[str, set[str]]:
    """Modules that README and docs import from, with the names; and those of the front."""
    found: dict[str, set[str]] = {}
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                    "qdm_qiskit"
                ):
                    found.setdefault(node.module, set()).update(each.name for each in node.names)
    for name, home in qdm._HOMES.items():
        if home:
            found.setdefault(f"qdm_qiskit.{home}", set()).add(name)
    return found


@pytest.mark.parametrize(("module", "names"), imported_by_pages().items())
def test_what_users_import_is_public(module, names):
    found = importlib.import_module(module)
    assert names <= set(found.__all__), f"{module}.__all__ lacks {names - set(found.__all__)}"
    for each in found.__all__:
        assert hasattr(found, each) or importlib.import_module(f"{module}.{each}")
