"""How often the bits of a device flip in a wait: the numbers of the forward process `device`.

A bit is written into a qubit of its own, waits, is turned over, waits, is turned back and read. What
is wrong then, by relaxation, gates and readout, is the noise of a step. The turns let both values
decay alike, so that bits end near half and not all at 0.
"""

from __future__ import annotations

import math

from qiskit import QuantumCircuit
from qiskit.providers import BackendV2
from qiskit.transpiler import Target as DeviceTarget

from ..arguments import whole_number
from ..diffusion.level_kernels import LEFT_AT_LAST, MOST_BITS
from ..errors import InvalidOption, TargetUnavailable
from ..execution.devices import DeviceLike, as_backend

__all__ = ["device_flips", "flip_circuit", "flip_qubits", "wait_of"]

BITS = 4


def device_flips(
    device: DeviceLike, *, num_steps: int = 10, bits: int = BITS, wait: float | None = None
) -> tuple[float, ...]:
    """Return how often bits flip on a device, by its calibration: exact, no shots.

    Args:
        device: Name of a device with relaxation times, or a backend.
        num_steps: T, by which the wait is chosen.
        bits: Bits, 1 to 6: the qubits whose readout errs least, the best one for the highest bit.
        wait: Seconds of both waits together; None for :func:`wait_of`.

    Returns:
        For each bit, the least significant first: the chance that 0 is read as 1, and that 1 is read
        as 0.

    Raises:
        UnknownName, InvalidArgument: If it is no device.
        InvalidOption: If a number is out of range.
        TargetUnavailable: If the device does not tell what is needed, or has too few qubits.
    """
    from ..engine.noise import compile_noisy
    from ..execution.region import ReadoutErrors, has_own_noise, noise_of

    if not 1 <= whole_number(bits, "bits") <= MOST_BITS:
        raise InvalidOption(f"bits is 1 to {MOST_BITS}, got {bits}.")
    if whole_number(num_steps, "num_steps") < 1:
        raise InvalidOption(f"num_steps must be at least 1, got {num_steps}.")
    backend = as_backend(device)
    if has_own_noise(backend):
        raise TargetUnavailable(
            f"'{backend.name}' is a noise model without waiting times; choose a device with T1, such "
            "as fake_torino, or give flips of your own."
        )
    qubits = flip_qubits(backend, bits)
    seconds = wait_of(backend, qubits, num_steps) if wait is None else float(wait)
    if not (math.isfinite(seconds) and 0 <= seconds <= 1):
        raise InvalidOption(f"wait is a number of seconds from 0 to 1, got {wait}.")
    found: list[float] = []
    for qubit in qubits:
        kind: ReadoutErrors = "asymmetric"
        noise = noise_of(backend, frozenset([qubit]), readout=kind)
        for value in (0, 1):
            circuit = flip_circuit(backend, qubit, value, seconds)
            program = compile_noisy(circuit, noise, method="density")
            found.append(float(program.probabilities(qubits=[qubit])[0, 1 - value]))
    return tuple(found)


def flip_circuit(backend: BackendV2, qubit: int, value: int, seconds: float) -> QuantumCircuit:
    """Return the circuit of one bit on its physical qubit, to be sent to the device too.

    Args:
        backend: Gives the unit of time.
        qubit: Physical index.
        value: The bit, 0 or 1.
        seconds: Both waits together, rounded to the device's unit of time.
    """
    dt = backend.target.dt
    half = round(seconds / 2 / dt) if dt else 0
    if not dt:
        raise TargetUnavailable(f"'{backend.name}' has no unit of time; choose another device.")
    circuit = QuantumCircuit(backend.num_qubits, 1, name="flip")
    if value:
        circuit.x(qubit)
    for _ in range(2):
        circuit.delay(half, qubit, unit="dt")
        circuit.x(qubit)
    circuit.measure(qubit, 0)
    return circuit


def flip_qubits(backend: BackendV2, bits: int) -> tuple[int, ...]:
    """Return the qubits whose readout errs least among those that work, the best one last.

    Raises:
        TargetUnavailable: If too few qubits have an x, a readout error below 1/2 and a T1.
    """
    target = backend.target
    found = []
    for qubit in range(target.num_qubits or 0):
        x, measure = _error(target, "x", qubit), _error(target, "measure", qubit)
        if (
            x is not None
            and measure is not None
            and x < 0.5
            and measure < 0.5
            and _t1(target, qubit)
        ):
            found.append((measure, qubit))
    if len(found) < bits:
        raise TargetUnavailable(
            f"'{backend.name}' has {len(found)} qubits with an x, a readout error and a T1, and "
            f"{bits} bits need as many; choose another device."
        )
    return tuple(qubit for _, qubit in sorted(found)[:bits][::-1])


def wait_of(backend: BackendV2, qubits: tuple[int, ...], num_steps: int) -> float:
    """Return the seconds after which T waits leave 2 % of a bit, by the mean T1 of the qubits."""
    mean = sum(_t1(backend.target, qubit) for qubit in qubits) / len(qubits)
    return -math.log(LEFT_AT_LAST) * mean / num_steps


def _error(target: DeviceTarget, name: str, qubit: int) -> float | None:
    if name not in target.operation_names:
        return None
    properties = (target[name] or {}).get((qubit,))
    return None if properties is None else properties.error


def _t1(target: DeviceTarget, qubit: int) -> float:
    """Return T1 in seconds; 0 where it is not known."""
    known = target.qubit_properties
    value = None if known is None else getattr(known[qubit], "t1", None)
    return float(value) if value and math.isfinite(value) else 0.0
