"""Names of a template's parameters: ``x_0000 ...`` for inputs, ``w_0000 ...`` for weights."""

from __future__ import annotations

from qiskit.circuit import Parameter

from ..errors import InvalidTemplate

__all__ = [
    "MAX_PARAMETERS",
    "input_parameters",
    "weight_parameters",
]

MAX_PARAMETERS = 10_000
"""Parameters of one kind in a circuit: as many as four digits can number."""


def input_parameters(count: int, start: int = 0) -> list[Parameter]:
    """Return ``x_0000 ...`` for data; zero-padded so that name order is the order of use.

    Raises:
        InvalidTemplate: If more than :data:`MAX_PARAMETERS` are asked for.
    """
    return _numbered("x", start, count)


def weight_parameters(count: int) -> list[Parameter]:
    """Return ``w_0000 ...`` for trainable angles; zero-padded as the inputs are.

    Raises: as for :func:`input_parameters`.
    """
    return _numbered("w", 0, count)


def _numbered(kind: str, start: int, count: int) -> list[Parameter]:
    # Qiskit sorts parameters by name, and an OpenQASM 3 round trip turns w[10] into _w_10_, which
    # sorts before _w_1_ (Qiskit 2.6): padded legal identifiers keep their order, as long as the
    # padding suffices: w_10000 would sort before w_1001.
    if start + count > MAX_PARAMETERS:
        raise InvalidTemplate(
            f"A circuit has at most {MAX_PARAMETERS} parameters of a kind ({kind}_0000 .. "
            f"{kind}_9999), got {start + count}: use fewer layers or qubits."
        )
    return [Parameter(f"{kind}_{index:04d}") for index in range(start, start + count)]
