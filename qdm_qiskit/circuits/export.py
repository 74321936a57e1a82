"""One template as others read it: OpenQASM 3, a drawing, and its facts for JSON. Needs no torch."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from qiskit import QuantumCircuit, qasm3, qpy

from .catalog import Template
from .drawing import drawing_svg, drawing_text
from .readouts import ExpectationReadout, ProbabilityReadout
from .saved import FORMAT, without_layout
from .spec import CircuitSpec

__all__ = [
    "SCHEMA",
    "circuit_facts",
    "drawing_svg",
    "drawing_text",
    "qasm_text",
    "qpy_of",
    "readout_facts",
]

SCHEMA = "circuit-template/1"
"""Version of :func:`circuit_facts`."""


def qasm_text(template: Template, spec: CircuitSpec) -> str:
    """Return a spec's circuit in OpenQASM 3, under comments that say what it is.

    Parameters become ``input float[64]`` and keep their names. They are declared in name order, as in
    ``circuit.parameters``: weights before inputs, each kind as the template numbers it.

    Args:
        template: Template that the spec comes from.
        spec: Spec to write.

    Returns:
        The program, with a newline at its end.
    """
    roles = f"data {_listed(spec.data_qubits)}; ancilla {_listed(spec.ancilla_qubits)}"
    comments = [
        f"{template.name}: {template.summary}",
        f"Source: {template.source}",
        f"Options: {', '.join(f'{k}={v}' for k, v in template.options.items()) or 'none'}",
        f"Qubits (q[0] is the least significant): {roles}",
        "Parameters in radians, as declared: "
        f"{len(spec.weights)} weights w_..., {len(spec.inputs)} inputs x_...",
    ]
    head = "".join(f"// {line}\n" for line in comments)
    return head + qasm3.dumps(spec.circuit).rstrip("\n") + "\n"


def qpy_of(circuits: Sequence[QuantumCircuit]) -> bytes:
    """Return circuits as QPY of format 13, which every Qiskit from 1.3 on reads.

    Equal circuits give equal bytes; the transpiler's layout stays out.
    """
    buffer = io.BytesIO()
    qpy.dump([without_layout(circuit) for circuit in circuits], buffer, version=FORMAT)
    return buffer.getvalue()


def circuit_facts(template: Template, spec: CircuitSpec) -> dict[str, Any]:
    """Return all facts of a spec that need no device, ready for JSON.

    Args:
        template: Template that the spec comes from.
        spec: Spec to describe.

    Returns:
        Name, source, options, qubit roles, parameter names in their order, readout, and counts of the
        circuit as the template writes it.
    """
    circuit = spec.circuit
    return {
        "schema": SCHEMA,
        "name": template.name,
        "group": template.group,
        "summary": template.summary,
        "source": template.source,
        "options": {key: _plain(value) for key, value in template.options.items()},
        "encoding": spec.encoding,
        "qubits": {
            "total": spec.num_qubits,
            "data": list(spec.data_qubits),
            "ancilla": list(spec.ancilla_qubits),
        },
        "parameters": {
            "inputs": [parameter.name for parameter in spec.inputs],
            "weights": [parameter.name for parameter in spec.weights],
        },
        "readout": readout_facts(spec),
        "depth": circuit.depth(),
        "gates": {k: v for k, v in sorted(circuit.count_ops().items()) if k != "barrier"},
    }


def readout_facts(spec: CircuitSpec) -> dict[str, Any]:
    """Return what a spec reads, ready for JSON."""
    readout = spec.readout
    if isinstance(readout, ProbabilityReadout):
        return {
            "kind": "probabilities",
            "qubits": list(readout.qubits),
            "postselect": [list(pair) for pair in readout.postselect],
            "renormalise": readout.renormalise,
            "outputs": readout.num_outputs,
        }
    assert isinstance(readout, ExpectationReadout)
    labels = [
        " + ".join(f"{coefficient.real:g} {label}" for label, coefficient in each.to_list())
        for each in readout.observables
    ]
    return {"kind": "expectations", "observables": labels, "outputs": readout.num_outputs}


def _listed(qubits: tuple[int, ...]) -> str:
    return ", ".join(f"q[{qubit}]" for qubit in qubits) or "none"


def _plain(value: object) -> Any:
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value
