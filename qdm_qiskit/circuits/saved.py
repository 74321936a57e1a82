"""A circuit as text for a JSON file, and back, by way of Qiskit's own QPY format.

QPY holds no pickles, but what it holds is built by name from Qiskit's classes, and formats below 13
kept expressions as code for SymPy. So its header is looked at before Qiskit reads it, and what comes
out is a canonical circuit or refused.
"""

from __future__ import annotations

import base64
import binascii
import io
import struct
import uuid

from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter

from ..errors import InvalidOption
from .canonical import is_plain

__all__ = [
    "FORMAT",
    "MAX_BYTES",
    "MAX_QUBITS",
    "circuit_from_text",
    "circuit_text",
    "with_fixed_identities",
    "without_layout",
]

FORMAT = 13
"""The QPY format that is written and read; every Qiskit from 1.3 on has it."""
MAX_BYTES = 2**25
"""Bytes of one circuit as QPY: about half a million gates."""
MAX_QUBITS = 1_000
"""Qubits of one circuit; devices of today have fewer."""

_FILE = struct.Struct("!6sBBBBQcc")
"""Magic, format, Qiskit's version in three numbers, circuits, symbolic encoding, kind of content."""
_CIRCUIT = struct.Struct("!H1cHIIQIQI")
"""Sizes of name and phase, qubits, classical bits, sizes of what follows, classical variables."""
_NAMESPACE = uuid.UUID("6f1b0b7e-5d0e-4c3e-9d1b-7a6f4f1c2f10")
"""Namespace of the identities of saved parameters; any fixed one would do."""


def with_fixed_identities(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with parameters whose identities follow from their names.

    Its bytes as QPY then follow from them too.
    """
    named = {p: Parameter(p.name, uuid=uuid.uuid5(_NAMESPACE, p.name)) for p in circuit.parameters}
    return circuit.assign_parameters(named) if named else circuit


def without_layout(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with fixed identities, and without the transpiler's layout.

    QPY writes the layout's bits in no fixed order; without it equal circuits are equal bytes.
    """
    bound = with_fixed_identities(circuit)
    plain = QuantumCircuit(*bound.qregs, *bound.cregs, name=circuit.name)
    plain.compose(bound, plain.qubits, plain.clbits, inplace=True)
    return plain


def circuit_text(circuit: QuantumCircuit) -> str:
    """Return a canonical circuit as text.

    Args:
        circuit: A result of :func:`~qdm_qiskit.circuits.canonical.canonical_circuit`, unmeasured.

    Returns:
        QPY in base64.

    Raises:
        InvalidOption: If it takes more than :data:`MAX_BYTES` bytes, or has too many qubits.
    """
    if circuit.num_qubits > MAX_QUBITS:
        raise InvalidOption(
            f"A saved circuit has at most {MAX_QUBITS} qubits, got {circuit.num_qubits}."
        )
    buffer = io.BytesIO()
    fixed = with_fixed_identities(circuit)
    fixed.name = circuit.name  # Qiskit would number the copies
    qpy.dump(fixed, buffer, version=FORMAT)
    content = buffer.getvalue()
    if len(content) > MAX_BYTES:
        raise InvalidOption(
            f"A saved circuit takes at most {MAX_BYTES} bytes, got {len(content)} for "
            f"'{circuit.name}'; use fewer gates."
        )
    return base64.b64encode(content).decode("ascii")


def circuit_from_text(text: str) -> QuantumCircuit:
    """Return the circuit that :func:`circuit_text` wrote.

    Raises:
        InvalidOption: If it is damaged, of a format that is not read, or no canonical circuit.
    """
    circuits = _read(_checked_bytes(text))
    circuit = circuits[0]
    foreign = [item.operation.name for item in circuit.data if not is_plain(item.operation)]
    if len(circuits) != 1 or circuit.num_clbits or circuit.num_vars or foreign:
        raise InvalidOption(
            "A saved circuit is one circuit of gates without classical bits, got "
            f"{len(circuits)} with {circuit.num_clbits} classical bits and {foreign[:3]}."
        )
    plain = QuantumCircuit(circuit.num_qubits, name=circuit.name)
    return plain.compose(circuit, plain.qubits)


def _checked_bytes(text: str) -> bytes:
    if len(text) > MAX_BYTES * 4 // 3 + 4:
        raise InvalidOption(f"A saved circuit takes at most {MAX_BYTES} bytes, got more.")
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidOption(
            f"A saved circuit is QPY in base64, got other text: {error}."
        ) from error
    if len(content) < _FILE.size + _CIRCUIT.size or content[:6] != b"QISKIT":
        raise InvalidOption("A saved circuit is QPY in base64, got something else.")
    _, version, *_, count, symbols, kind = _FILE.unpack_from(content)
    if version != FORMAT or symbols != b"p" or kind != b"q":
        raise InvalidOption(
            f"A saved circuit is QPY of format {FORMAT}, got format {version}: others are not read."
        )
    *_, qubits, clbits, _, registers, instructions, variables = _CIRCUIT.unpack_from(
        content, _FILE.size
    )
    # Before Qiskit makes a bit for each, whatever the number is.
    if count != 1 or clbits or variables or not 0 < qubits <= MAX_QUBITS:
        raise InvalidOption(
            f"A saved circuit is one circuit of 1 to {MAX_QUBITS} qubits without classical bits, got "
            f"{count} of {qubits} qubits and {clbits} classical bits."
        )
    if max(registers, instructions) > len(content):
        raise InvalidOption("A saved circuit cannot be read: it counts more parts than it holds.")
    return content


def _read(content: bytes) -> list[QuantumCircuit]:
    try:
        circuits = qpy.load(io.BytesIO(content))
    except Exception as error:  # QPY has no error of its own for every kind of damage
        reason = " ".join(str(error).split())[:200]
        raise InvalidOption(f"A saved circuit cannot be read by this Qiskit: {reason}.") from error
    if not circuits or not all(type(each) is QuantumCircuit for each in circuits):
        raise InvalidOption("A saved circuit is one circuit, got none.")
    return circuits
