"""The errors of a device beside the places of circuits on it, as plain values to draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from qiskit import QuantumCircuit
from qiskit.providers import BackendV2

from ..transpiling.channels import is_dead

__all__ = ["MOST_QUBITS", "ChipErrors", "chip_errors"]

MOST_QUBITS = 1500
"""Most qubits of a device that is drawn; the places of more take long to find."""


@dataclass(frozen=True)
class ChipErrors:
    """A device's errors, and where a circuit is on it."""

    device: str
    """Name of the device."""
    num_qubits: int
    couplers: tuple[tuple[int, int], ...]
    """Pairs of qubits, the smaller first."""
    coupler_errors: tuple[float | None, ...]
    """Smallest error of a pair's two-qubit gates; 1 where none works, None where it is not known."""
    readout_errors: tuple[float | None, ...]
    """Readout error of each qubit."""
    relaxation: tuple[tuple[float | None, float | None], ...]
    """T1 and T2 of each qubit in seconds."""
    layout: tuple[int, ...]
    """Physical qubit of each logical qubit at the start."""
    uses: tuple[int, ...]
    """Two-qubit gates of the circuit on each pair."""


def chip_errors(
    backend: BackendV2, layout: Sequence[int], circuits: Sequence[QuantumCircuit]
) -> ChipErrors | None:
    """Return a device's errors and a circuit's place on it.

    Args:
        backend: The device.
        layout: Physical qubit of each logical qubit at the start.
        circuits: Transpiled circuits, whose two-qubit gates are counted.

    Returns:
        The errors; None where there is nothing to draw: each pair of three or more qubits is a coupler,
        or the device has no coupler or more than :data:`MOST_QUBITS` qubits.
    """
    target = backend.target
    coupling = target.build_coupling_map()
    if coupling is None or not 2 <= backend.num_qubits <= MOST_QUBITS:
        return None
    couplers = sorted({(min(e), max(e)) for e in coupling.get_edges()})
    if backend.num_qubits > 2 and len(couplers) == comb(backend.num_qubits, 2):
        return None
    errors: dict[tuple[int, int], list[float | None]] = {}
    for name in target.operation_names:
        for where, properties in (target[name] or {}).items():
            if where is not None and len(where) == 2:
                error = None if properties is None else properties.error
                found = 1.0 if is_dead(properties) else error
                errors.setdefault((min(where), max(where)), []).append(found)
    counted = Counter(
        (min(pair), max(pair))
        for circuit in circuits
        for instruction in circuit.data
        if len(instruction.qubits) == 2 and instruction.operation.name != "barrier"
        for pair in [[circuit.find_bit(q).index for q in instruction.qubits]]
    )
    qubits = range(backend.num_qubits)
    readout = target["measure"] if "measure" in target.operation_names else None
    times = target.qubit_properties or [None] * backend.num_qubits
    return ChipErrors(
        device=backend.name,
        num_qubits=backend.num_qubits,
        couplers=tuple(couplers),
        coupler_errors=tuple(_least(errors.get(each, [])) for each in couplers),
        readout_errors=tuple(
            None if p is None else p.error for p in ((readout or {}).get((q,)) for q in qubits)
        ),
        relaxation=tuple((getattr(t, "t1", None), getattr(t, "t2", None)) for t in times),
        layout=tuple(int(each) for each in layout),
        uses=tuple(counted[each] for each in couplers),
    )


def _least(errors: Sequence[float | None]) -> float | None:
    """Return the smallest error that is known: a pair is as good as its best gate."""
    known = [each for each in errors if each is not None]
    return min(known) if known else None
