"""Everything that is used of IBM's client and is not its documented front: there, and of this form.

A release may change such a name without notice. The list is exact: a use that is added without a
line here fails, so that `make test-newest` says it before a user does.
"""

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

import qdm_qiskit
from qdm_qiskit.hardware.ibm.account import _list_backends

PACKAGE = Path(qdm_qiskit.__file__).parent
CLIENT = "qiskit_ibm_runtime"
IMPORTED = {
    "qiskit_ibm_runtime.accounts.exceptions": {"AccountNotFoundError", "InvalidAccountError"},
    "qiskit_ibm_runtime.api.exceptions": {"RequestsApiError"},
    "qiskit_ibm_runtime.executor_estimator.finalize_options": {"finalize_estimator_options"},
    "qiskit_ibm_runtime.executor_estimator.prepare": {"prepare"},
    "qiskit_ibm_runtime.executor_sampler.finalize_options": {"finalize_sampler_options"},
    "qiskit_ibm_runtime.fake_provider.fake_backend": {"FakeBackendV2"},
    "qiskit_ibm_runtime.options_models.estimator": {"EstimatorOptions"},
    "qiskit_ibm_runtime.options_models.sampler": {"SamplerOptions"},
}
FRONT = {
    CLIENT,
    f"{CLIENT}.exceptions",
    f"{CLIENT}.executor_estimator",
    f"{CLIENT}.executor_sampler",
}
"""Modules that IBM documents."""
PRIVATE = {"_get_api_client", "_get_api_clients", "_session"}
"""Attributes of the client's objects, in `hardware.ibm`."""


def sources() -> Iterator[tuple[Path, ast.AST]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def test_each_import_behind_the_front_is_listed_here():
    found: dict[str, set[str]] = {}
    for _, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == CLIENT:
                found.setdefault(str(node.module), set()).update(each.name for each in node.names)
            if isinstance(node, ast.Import):
                assert not [e.name for e in node.names if e.name.startswith(f"{CLIENT}.")]
    for module, names in found.items():
        assert not [each for each in names if each.startswith("_")], module
    assert {module: names for module, names in found.items() if module not in FRONT} == IMPORTED


def test_each_private_attribute_is_listed_here():
    found = set()
    for path, tree in sources():
        if path.parent != PACKAGE / "hardware" / "ibm":
            continue
        for node in ast.walk(tree):
            own = isinstance(node, ast.Attribute) and (
                isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            )
            if isinstance(node, ast.Attribute) and not own and node.attr.startswith("_"):
                found.add(node.attr)
    assert {each for each in found if not each.startswith("__")} == PRIVATE


@pytest.mark.parametrize("module", IMPORTED)
def test_what_is_behind_the_front_is_there(module):
    for name in IMPORTED[module]:
        assert callable(getattr(import_module(module), name))


def test_options_are_finalized_and_a_program_is_prepared_by_functions_of_this_form():
    from qiskit_ibm_runtime.executor_estimator.finalize_options import finalize_estimator_options
    from qiskit_ibm_runtime.executor_estimator.prepare import prepare
    from qiskit_ibm_runtime.executor_sampler.finalize_options import finalize_sampler_options
    from qiskit_ibm_runtime.options_models.estimator import EstimatorOptions
    from qiskit_ibm_runtime.options_models.sampler import SamplerOptions

    sampled = finalize_sampler_options(SamplerOptions()).model_dump(mode="json")
    keys = {"dynamical_decoupling", "execution", "twirling", "max_execution_time", "simulator"}
    assert keys <= set(sampled)
    estimated = finalize_estimator_options(EstimatorOptions()).model_dump(mode="json")
    assert {"resilience", "twirling"} <= set(estimated)
    assert list(inspect.signature(prepare).parameters)[:3] == ["pubs", "options", "precision"]


def test_a_service_has_clients_whose_sessions_post():
    from qiskit_ibm_runtime import QiskitRuntimeService

    clients = inspect.signature(QiskitRuntimeService._get_api_clients)
    assert list(clients.parameters) == ["self"]
    one = inspect.signature(QiskitRuntimeService._get_api_client)
    assert list(one.parameters) == ["self", "instance"]


@pytest.mark.parametrize("with_choice", [True, False])
def test_backends_are_listed_by_clients_with_and_without_a_choice(with_choice):
    """Client 0.51 leaves mocks out unless it is asked for them; that of 0.50 lists all."""
    asked = []

    def with_one(include_mocks: bool = False) -> list:
        asked.append(include_mocks)
        return [{"name": "mock_a"}] if include_mocks else []

    def without() -> list:
        return [{"name": "mock_a"}]

    client = SimpleNamespace(list_backends=with_one if with_choice else without)
    service = SimpleNamespace(_get_api_client=lambda instance: client)
    assert _list_backends(service, "crn") == [{"name": "mock_a"}]  # type: ignore[arg-type]
    assert asked == ([True] if with_choice else [])
