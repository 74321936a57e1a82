"""Channel that a device's noise model makes of a calibrated gate error.

Qiskit Aer follows a gate by thermal relaxation over the gate's length, and by as much depolarization
as brings the average gate fidelity of both down to 1 - error. Where relaxation alone is worse than the
calibrated error there is nothing to add, and the gate is as bad as relaxation: 52 of the 137 working
ecr of fake_osaka, up to 7 times their calibrated error. Costs and layouts use what is applied.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qiskit.transpiler import InstructionProperties
from qiskit.transpiler import Target as DeviceTarget

__all__ = [
    "gate_success",
    "is_dead",
    "relaxation_fidelity",
]


def is_dead(properties: InstructionProperties | None) -> bool:
    """Return whether a calibrated error means a broken instruction: 1 or more, or NaN."""
    return properties is not None and properties.error is not None and not properties.error < 1


def gate_success(
    target: DeviceTarget, properties: InstructionProperties, qubits: Sequence[int]
) -> float:
    """Average gate fidelity of the noise that Aer's model of a device applies with a gate.

    Args:
        target: For T1 and T2 of the qubits.
        properties: The gate's calibrated error, not None, and its duration in seconds, if known.
        qubits: The gate's physical qubits.

    Returns:
        The smaller of 1 - error and the average gate fidelity of relaxation during the gate. Gates
        of error 1 have success 0, as they do not work; Aer's model depolarizes them fully, which
        has an average fidelity of 1 / (d + 1).
    """
    error = properties.error
    if is_dead(properties):
        return 0.0
    return min(1.0 - error, relaxation_fidelity(target, properties.duration, qubits))


def relaxation_fidelity(
    target: DeviceTarget, seconds: float | None, qubits: Sequence[int]
) -> float:
    """Average gate fidelity, (d F + 1) / (d + 1), of relaxation of some qubits for a time.

    F is the process fidelity, a product over the qubits of (1 + exp(-t/T1) + 2 exp(-t/T2)) / 4. As in
    Aer, T2 is at most 2 T1; a T1 that is not given is infinite, and a T2 then 2 T1.

    Args:
        target: For T1 and T2.
        seconds: How long; None is no time.
        qubits: Physical qubits.

    Returns:
        The fidelity; 1 for no time.
    """
    if not seconds or not target.qubit_properties:
        return 1.0
    process = 1.0
    for qubit in qubits:
        properties = target.qubit_properties[qubit]
        t1 = getattr(properties, "t1", None) or math.inf
        t2 = min(getattr(properties, "t2", None) or math.inf, 2 * t1)
        process *= (1 + math.exp(-seconds / t1) + 2 * math.exp(-seconds / t2)) / 4
    d = 2 ** len(qubits)
    return (d * process + 1) / (d + 1)
