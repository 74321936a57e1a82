"""Noise models as devices: their gates with places and errors; and parts of a model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import permutations
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from qiskit.circuit import Gate, Instruction
from qiskit.circuit.library.standard_gates import get_standard_gate_name_mapping
from qiskit.quantum_info import Operator

from ..errors import InvalidOption
from .noise_coverage import NoiseCoverage

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel
    from qiskit_aer.noise.errors import QuantumError

__all__ = [
    "MOST_QUBITS_OF_AN_ERROR",
    "NoisePart",
    "check_names",
    "check_part",
    "gates_of",
    "has_errors_everywhere",
    "noise_on",
    "part_of_noise",
    "readout_errors",
    "standard_gates",
]

MOST_QUBITS_OF_AN_ERROR = 3
"""Most qubits of a gate with an error, which becomes a matrix of 16**qubits numbers."""
NoisePart = Literal["all", "gates", "readout", "none"]
"""Part of a device's noise: ``gates`` leaves out readout errors, ``readout`` all others."""
_OF_QUBITS = frozenset({"reset", "delay"})
"""Instructions that may have errors and stand on every device."""


@cache
def standard_gates() -> dict[str, Gate]:
    """Return Qiskit's standard gates by name, with free parameters."""
    return {
        name: gate
        for name, gate in get_standard_gate_name_mapping().items()
        if isinstance(gate, Gate) and name != "global_phase"
    }


def gates_of(
    noise: NoiseModel, num_qubits: int, pairs: list[tuple[int, int]] | None
) -> Iterator[tuple[Gate, dict[tuple[int, ...], float]]]:
    """Yield the gates that a model knows, with the error of each place where they stand.

    Args:
        noise: The model.
        num_qubits: Qubits of the device.
        pairs: Couplers; None for those that the model names, or all.

    Yields:
        A gate, and qubits to 1 - the average gate fidelity of its error there.

    Raises:
        InvalidOption: If an error is of no standard gate, or of too many qubits.
    """
    check_names(noise)
    default, local = noise._default_quantum_errors, noise._local_quantum_errors
    gates = standard_gates()
    coverage = NoiseCoverage(noise)
    shared: dict[int, float] = {}

    def error(found: QuantumError | None) -> float:
        if found is None:
            return 0.0
        if id(found) not in shared:
            shared[id(found)] = _infidelity(found)
        return shared[id(found)]

    for name in sorted(coverage.known & set(gates)):
        gate = gates[name]
        if gate.num_qubits == 0:
            continue
        own = local.get(name, {})
        everywhere = default.get(name)
        if gate.num_qubits == 1:
            places: list[tuple[int, ...]] = [(q,) for q in range(num_qubits)]
        elif own and everywhere is None and (pairs is None or gate.num_qubits > 2):
            places = sorted(own)
        elif pairs is not None and gate.num_qubits == 2:
            places = [tuple(pair) for pair in pairs if coverage.gap(gate, pair) is None]
        elif gate.num_qubits == 2:
            places = list(permutations(range(num_qubits), 2))
        else:
            continue  # the transpiler writes it in smaller gates
        if places:
            yield gate, {where: error(own.get(where, everywhere)) for where in places}


def check_names(noise: NoiseModel) -> None:
    """Refuse errors that would never apply, or not everywhere.

    Raises:
        InvalidOption: If an error is of no standard gate; a measurement's is a readout error.
    """
    named = {*noise._default_quantum_errors, *noise._local_quantum_errors}
    foreign = sorted(named - set(standard_gates()) - _OF_QUBITS)
    if foreign:
        raise InvalidOption(
            f"A device's noise model has errors of standard gates, got errors of {foreign[:5]}: errors "
            "of a measurement are readout errors, and gates of your own need a BackendV2."
        )


def has_errors_everywhere(noise: NoiseModel) -> bool:
    """Return True if a model has an error for all qubits, however many there are."""
    return bool(noise._default_quantum_errors) or noise._default_readout_error is not None


def _infidelity(error: QuantumError) -> float:
    """Return 1 - the average gate fidelity of an error.

    Nielsen, Phys. Lett. A 303, 249 (2002): (d F + 1) / (d + 1), with the process fidelity F the
    trace of the channel's matrix over d**2. Qiskit's SuperOp gives the same and takes a second for
    the relaxation on one coupler.
    """
    if error.num_qubits > MOST_QUBITS_OF_AN_ERROR:
        raise InvalidOption(
            f"A gate's error is of at most {MOST_QUBITS_OF_AN_ERROR} qubits, got one of "
            f"{error.num_qubits}."
        )
    d = 2**error.num_qubits
    known: dict[object, np.ndarray] = {}
    process = 0.0
    for circuit, probability in zip(error.circuits, error.probabilities, strict=True):
        channel = np.eye(d * d, dtype=np.complex128)
        for item in circuit.data:
            qubits = tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
            params = tuple(
                each if isinstance(each, str) else np.asarray(each).tobytes()
                for each in item.operation.params
            )
            key = (item.operation.name, qubits, params)
            if key not in known:
                known[key] = _channel(item.operation, qubits, error.num_qubits)
            channel = known[key] @ channel
        process += float(probability) * float(np.trace(channel).real) / d**2
    # Rounding may leave a fidelity of 1 + 2e-16.
    return min(1.0, max(0.0, 1 - (d * process + 1) / (d + 1)))


def _channel(operation: Instruction, qubits: tuple[int, ...], count: int) -> np.ndarray:
    """Return the matrix of an operation on rows of a density matrix, on some of the qubits."""
    if operation.name == "reset":
        kraus = [np.array([[1, 0], [0, 0]]), np.array([[0, 1], [0, 0]])]
    elif operation.name == "kraus":
        kraus = [np.asarray(each) for each in operation.params]
    else:
        kraus = [Operator(operation).data]
    whole = [Operator(np.eye(2**count)).compose(Operator(each), qubits).data for each in kraus]
    return np.sum([np.kron(each.conj(), each) for each in whole], axis=0)


def readout_errors(noise: NoiseModel, num_qubits: int) -> dict[int, tuple[float, float]]:
    """Return by qubit the shares of 1 read for 0, and of 0 for 1; 0 without an error in the model.

    Raises:
        InvalidOption: If a readout error is of several qubits together.
    """
    found = {}
    wide = [where for where in noise._local_readout_errors if len(where) > 1]
    default = noise._default_readout_error
    if wide or (default is not None and default.number_of_qubits > 1):
        raise InvalidOption(
            "A device's readout errors are of single qubits, got one of "
            f"{wide[0] if wide else 'several qubits'}."
        )
    for qubit in range(num_qubits):
        error = noise._local_readout_errors.get((qubit,), default)
        matrix = np.eye(2) if error is None else np.asarray(error.probabilities, dtype=np.float64)
        found[qubit] = (float(matrix[0, 1]), float(matrix[1, 0]))
    return found


def noise_on(noise: NoiseModel, qubits: frozenset[int]) -> NoiseModel:
    """Return the errors of a model on some qubits, with readout errors of single qubits.

    Args:
        noise: The model, which is not changed.
        qubits: Their numbers in the model.
    """
    from qiskit_aer.noise import NoiseModel

    part = NoiseModel(basis_gates=noise.basis_gates)
    for name, error in noise._default_quantum_errors.items():
        part.add_all_qubit_quantum_error(error, name, warnings=False)
    for name, places in noise._local_quantum_errors.items():
        for where, error in places.items():
            if qubits.issuperset(where):
                part.add_quantum_error(error, name, where, warnings=False)
    for qubit in sorted(qubits):
        found = noise._local_readout_errors.get((qubit,), noise._default_readout_error)
        if found is not None:
            part.add_readout_error(found, [qubit], warnings=False)
    part._custom_noise_passes = list(noise._custom_noise_passes)
    return part


def part_of_noise(noise: NoiseModel, part: NoisePart) -> NoiseModel:
    """Return a part of a noise model, which is not changed.

    Args:
        noise: The model.
        part: ``"all"`` is the model itself; ``"gates"`` has its errors of gates, resets and delays,
            with the passes that add relaxation; ``"readout"`` its readout errors; ``"none"`` none. The
            known gates stay known in each.

    Raises:
        InvalidOption: If there is no such part.
    """
    from qiskit_aer.noise import NoiseModel

    check_part(part)
    if part == "all":
        return noise
    found = NoiseModel(basis_gates=noise.basis_gates)
    if part == "gates":
        for name, error in noise._default_quantum_errors.items():
            found.add_all_qubit_quantum_error(error, name, warnings=False)
        for name, places in noise._local_quantum_errors.items():
            for where, error in places.items():
                found.add_quantum_error(error, name, where, warnings=False)
        found._custom_noise_passes = list(noise._custom_noise_passes)
    elif part == "readout":
        if noise._default_readout_error is not None:
            found.add_all_qubit_readout_error(noise._default_readout_error, warnings=False)
        for qubits, error in noise._local_readout_errors.items():
            found.add_readout_error(error, list(qubits), warnings=False)
    return found


def check_part(part: str) -> None:
    """Refuse a value that is no :data:`NoisePart`.

    Raises:
        InvalidOption: If there is no such part.
    """
    if part not in get_args(NoisePart):
        raise InvalidOption(f"noise is {' or '.join(get_args(NoisePart))}, got {part!r}.")
