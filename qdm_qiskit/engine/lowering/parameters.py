"""Parameters of a circuit as inputs and weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from ...arguments import all_of_kind
from ...errors import UnsupportedCircuit

__all__ = [
    "namesakes",
    "parameter_columns",
]


def parameter_columns(
    circuit: QuantumCircuit, inputs: Sequence[Parameter], weights: Sequence[Parameter]
) -> dict[Parameter, tuple[str, int]]:
    """Return where each parameter's value stands: ("inputs" or "weights", column).

    Args:
        circuit: Circuit whose parameters they are.
        inputs: Parameters that differ between the samples of a batch.
        weights: Parameters that all samples share.

    Raises:
        InvalidArgument: If one of the lists is no sequence of parameters.
        UnsupportedCircuit: If a parameter of the circuit stands in neither list or in both, or a
            listed one is not in the circuit.
    """
    columns: dict[Parameter, tuple[str, int]] = {}
    for source, listed in (("inputs", inputs), ("weights", weights)):
        for column, parameter in enumerate(all_of_kind(listed, Parameter, source)):
            if parameter in columns:
                raise UnsupportedCircuit(
                    "Each parameter is listed once in `inputs` or `weights`, "
                    f"'{parameter.name}' is listed twice."
                )
            columns[parameter] = (source, column)
    present = dict.fromkeys(circuit.parameters)  # sorted anew at each access: ask once
    unbound = [p.name for p in present if p not in columns]
    unknown = [p.name for p in columns if p not in present]
    if unbound or unknown:
        raise UnsupportedCircuit(
            "`inputs` and `weights` must together be the circuit's parameters: "
            f"{unbound or 'none'} of the circuit are not listed, "
            f"{unknown or 'none'} of those listed are not in the circuit.{namesakes(unbound, unknown)}"
        )
    return columns


def namesakes(missing: Iterable[str], foreign: Iterable[str]) -> str:
    """Return a hint for errors where parameters of another circuit have this one's names."""
    if set(missing).isdisjoint(foreign):
        return ""
    return " Parameters of one name are not the same; take those of `circuit.parameters`."
