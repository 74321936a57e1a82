"""Cost of a circuit: depth, two-qubit gates, duration, and the chance that nothing goes wrong.

A two-qubit gate is also counted in CNOTs: how many CNOTs, with free one-qubit gates, make it.

=====  ==================================================================
1      cx, cy, cz, ch, ecr
2      rzz, rxx, ryy, rzx, cp, crx, cry, crz, csx, cs, cu, iswap, dcx, xx_plus_yy
3      swap, and any gate that this table does not know (the general bound)
=====  ==================================================================
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from qiskit import QuantumCircuit, transpile
from qiskit.circuit import CircuitInstruction
from qiskit.transpiler import InstructionProperties
from qiskit.transpiler import Target as DeviceTarget

from ..arguments import of_kind
from ..circuits.delays import check_lengths
from ..errors import UnsupportedCircuit
from .channels import gate_success, relaxation_fidelity
from .qubit_times import operations, qubit_times
from .roots import with_roots_as_matrices

__all__ = [
    "CNOTS",
    "CircuitCost",
    "LogicalCost",
    "circuit_cost",
    "logical_cost",
    "readout_success",
]

_ONE = ("cx", "cy", "cz", "ch", "ecr")
_TWO = (
    *("rzz", "rxx", "ryy", "rzx", "cp", "crx", "cry", "crz", "csx", "cs", "csdg", "cu", "cu1"),
    *("cu3", "iswap", "dcx", "xx_plus_yy", "xx_minus_yy"),
)
CNOTS = {**dict.fromkeys(_ONE, 1), **dict.fromkeys(_TWO, 2), "swap": 3}
"""CNOTs that a two-qubit gate is worth; 3, the general bound, for a name not in it."""

_FREE = ("barrier", "delay", "reset", "reset_2")
"""Instructions that carry no calibrated gate error."""
_MEASURE = "measure"
"""Measurements are called this, or, as the faster measure_2 of some QPUs, begin with it."""


@dataclass(frozen=True)
class LogicalCost:
    """Counts of an abstract circuit, in one-qubit unitaries and CNOTs."""

    qubits: int
    """Qubits of the circuit."""
    parameters: int
    """Free parameters."""
    depth: int
    """Depth in {u, cx}; barriers separate but do not count."""
    cnot_depth: int
    """Depth of the CNOTs alone."""
    cnot_count: int
    """CNOTs."""

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class CircuitCost:
    """Cost of a transpiled circuit, or of a part of one, on a device."""

    depth: int
    """Longest chain of instructions, virtual rz and measurements included, barriers not."""
    two_qubit_depth: int
    """Longest chain of two-qubit gates."""
    two_qubit_count: int
    """Native two-qubit gates."""
    cnot_equivalents: int
    """The same gates in CNOTs, by :data:`CNOTS`."""
    gates: dict[str, int]
    """Number of each instruction, by name; barriers left out."""
    duration_seconds: float | None
    """Length of the as-soon-as-possible schedule; None where the device gives no durations."""
    gate_success: float
    """Product over all gates of the average gate fidelity of the noise that Aer's model applies
    with them: 1 - error, or that of relaxation during the gate where it is worse."""
    readout_success: float
    """Product of 1 - error over all measurements."""
    expected_success: float
    """``gate_success * readout_success``; errors are taken as independent, idling is not in it."""
    idle_success: float | None
    """Product over the qubits of the average fidelity of relaxation, by T1 and T2, in the waits
    between their operations, delays included; not in ``expected_success``. None where durations, T1
    or T2 lack.
    """
    readout_error: float | None
    """Mean error of the measurements; None if nothing is measured."""

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return asdict(self)


def logical_cost(circuit: QuantumCircuit) -> LogicalCost:
    """Count an abstract circuit after decomposition into one-qubit unitaries and CNOTs.

    Nothing is optimized away across gates (Qiskit's level 0 finds the decomposition only), so the
    number is that of the template, whatever the transpiler may save later.

    Args:
        circuit: A logical circuit; measurements are allowed and count for the depth.

    Returns:
        Its counts.
    """
    of_kind(circuit, QuantumCircuit, "circuit", "a spec gives one with full_circuit()")
    circuit = with_roots_as_matrices(circuit)
    plain = transpile(circuit, basis_gates=["u", "cx"], optimization_level=0)
    return LogicalCost(
        qubits=circuit.num_qubits,
        parameters=circuit.num_parameters,
        depth=plain.depth(),
        cnot_depth=plain.depth(_is_two_qubit_gate),
        cnot_count=plain.count_ops().get("cx", 0),
    )


def circuit_cost(isa: QuantumCircuit, target: DeviceTarget) -> CircuitCost:
    """Cost a transpiled circuit, or one part of it from ``split_at_barrier``, on a device.

    Counts of loader and denoiser add up to those of the whole and successes multiply. Depths and
    durations add up to at least those of the whole, as the parts overlap where the barrier does
    not span a qubit used for routing.

    Args:
        isa: A circuit in the device's own instructions on its physical qubits.
        target: The device's errors and durations.

    Returns:
        The cost; durations in seconds.

    Raises:
        UnsupportedCircuit: If the device lacks an instruction, or gives no error for a gate, or the
            length of a delay is not known.
    """
    of_kind(isa, QuantumCircuit, "isa")
    of_kind(target, DeviceTarget, "target", "a backend holds one as `backend.target`")
    check_lengths(isa, "what a circuit costs depends on it")
    gates_succeed, readout = 1.0, []
    found: dict[tuple[str, tuple[int, ...]], float] = {}  # a circuit has few of them, often
    for instruction, qubits in operations(isa):
        name = instruction.operation.name
        if name in _FREE or (name == "id" and name not in target.operation_names):
            continue
        if (name, qubits) not in found:
            found[name, qubits] = _error_or_success(target, name, qubits, isa)
        if name.startswith(_MEASURE):
            readout.append(found[name, qubits])
        else:
            gates_succeed *= found[name, qubits]
    reads_succeed = math.prod(1.0 - error for error in readout)
    gates = {k: v for k, v in sorted(isa.count_ops().items()) if k != "barrier"}
    pairs = [i.operation.name for i in isa.data if _is_two_qubit_gate(i)]
    duration, idle_success = _schedule(isa, target)
    return CircuitCost(
        depth=isa.depth(),
        two_qubit_depth=isa.depth(_is_two_qubit_gate),
        two_qubit_count=len(pairs),
        cnot_equivalents=sum(CNOTS.get(name, 3) for name in pairs),
        gates=gates,
        duration_seconds=duration,
        gate_success=gates_succeed,
        readout_success=reads_succeed,
        expected_success=gates_succeed * reads_succeed,
        idle_success=idle_success,
        readout_error=sum(readout) / len(readout) if readout else None,
    )


def _error_or_success(
    target: DeviceTarget, name: str, qubits: tuple[int, ...], isa: QuantumCircuit
) -> float:
    """The error of a measurement, the success of a gate."""
    properties = _properties(target, name, qubits, isa)
    error = properties.error
    if error is None:
        raise UnsupportedCircuit(
            f"The device gives no error for '{name}' on qubits {qubits}, so the success of "
            f"circuit '{isa.name}' cannot be estimated; choose another device."
        )
    if name.startswith(_MEASURE):
        return float(error)
    return gate_success(target, properties, qubits)


def readout_success(target: DeviceTarget, qubits: Iterable[int]) -> float:
    """Product of 1 - error of reading these physical qubits; 1 where the device gives no errors."""
    measure = target["measure"] if "measure" in target.operation_names else None
    found = ((measure or {}).get((qubit,)) for qubit in qubits)
    return math.prod(1.0 - (getattr(properties, "error", None) or 0.0) for properties in found)


def _is_two_qubit_gate(instruction: CircuitInstruction) -> bool:
    # A barrier on two qubits is no gate.
    return len(instruction.qubits) == 2 and instruction.operation.name != "barrier"


def _properties(
    target: DeviceTarget, name: str, qubits: tuple[int, ...], isa: QuantumCircuit
) -> InstructionProperties:
    if name not in target.operation_names or not target.instruction_supported(name, qubits):
        raise UnsupportedCircuit(
            f"Circuit '{isa.name}' was not transpiled for this device: it has no '{name}' on "
            f"qubits {qubits}; call transpile_for(circuit, backend)."
        )
    return (target[name] or {}).get(qubits) or InstructionProperties()


def _schedule(isa: QuantumCircuit, target: DeviceTarget) -> tuple[float | None, float | None]:
    """Total seconds of the as-soon-as-possible schedule, and idle success."""
    times = qubit_times(isa, target)
    if times.seconds is None:
        return None, None
    return times.seconds, _idle_success(times.idle.items(), target)


def _idle_success(idle: Iterable[tuple[int, float]], target: DeviceTarget) -> float | None:
    """Product of the average gate fidelities of relaxation for these times."""
    success = 1.0
    for qubit, seconds in idle:
        properties = target.qubit_properties[qubit] if target.qubit_properties else None
        if not getattr(properties, "t1", None) or not getattr(properties, "t2", None):
            return None
        success *= relaxation_fidelity(target, seconds, (qubit,))
    return success
