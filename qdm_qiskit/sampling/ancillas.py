"""The form of a coherent chain's ancillas on a target: fresh qubits, or a few that are used again."""

from __future__ import annotations

from typing import Any

from qiskit.providers import BackendV2

from ..errors import UnsupportedCircuit
from ..execution.calls import CircuitCall
from ..execution.noisy import MAX_DENSITY_QUBITS

__all__ = ["measures_in_the_middle", "reuses_qubits"]


def reuses_qubits(fresh: CircuitCall, reused: CircuitCall, device: BackendV2 | None) -> bool:
    """Return True if a chain's ancillas are measured, reset and used again on a device.

    Fresh ones are taken where a density matrix of the whole circuit is small enough and the device
    has as many qubits; they need nothing but gates. Beyond that qubits are used again, if the device
    measures and resets in the middle; a device that does not, and has enough qubits, takes fresh ones.

    Args:
        fresh: The chain's call on fresh ancillas.
        reused: The same call on reused qubits.
        device: The device, or None where there is none: fresh ancillas.

    Raises:
        UnsupportedCircuit: If the device has too few qubits for fresh ancillas and does not reset.
    """
    if device is None or device.num_qubits is None:
        return False
    needed = fresh.circuit.num_qubits
    if needed <= min(MAX_DENSITY_QUBITS, device.num_qubits):
        return False
    fewest = reused.circuit.num_qubits
    if measures_in_the_middle(device):
        return fewest <= device.num_qubits or needed > MAX_DENSITY_QUBITS
    if device.num_qubits < needed:
        raise UnsupportedCircuit(
            f"Circuit '{fresh.spec.name}' has {needed} qubits with fresh ancillas, and {device.name} "
            f"has {device.num_qubits}; {fewest} would do, but it does not measure and reset in the "
            "middle of a circuit; use a larger device, or run the chain step by step."
        )
    return False


def measures_in_the_middle(device: BackendV2) -> bool:
    """Return True if a device has resets, and its configuration does not rule out measurements
    before the end."""
    read: Any = getattr(device, "configuration", None)
    allowed = True if read is None else getattr(read(), "multi_meas_enabled", None)
    return "reset" in device.target.operation_names and allowed is not False
