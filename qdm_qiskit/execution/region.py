"""The part of a device that some circuits touch, and the noise of that part alone.

Aer's model of a 133-qubit device takes 3.4 s to build and costs 2.8 s at every run, for errors on
qubits that no circuit uses. The model of the active qubits gives the same counts to the bit (a test
holds them equal) in a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp
from qiskit.providers import BackendV2, Options
from qiskit.transpiler import Target as DeviceTarget

from ..errors import UnsupportedCircuit

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel


def active_qubits(circuits: Iterable[QuantumCircuit]) -> frozenset[int]:
    """Indices of the qubits on which any of the circuits acts; barriers do not count."""
    return frozenset(
        circuit.find_bit(qubit).index
        for circuit in circuits
        for instruction in circuit.data
        if instruction.operation.name != "barrier"
        for qubit in instruction.qubits
    )


def check_isa(circuit: QuantumCircuit, backend: BackendV2) -> None:
    """Refuse a circuit that was not transpiled for the backend.

    Aer would run it, and silently leave out the noise of every gate that the device lacks.

    Raises:
        UnsupportedCircuit: If the backend lacks an instruction, on those qubits, in that order.
    """
    target = backend.target
    if circuit.num_qubits > target.num_qubits:
        raise UnsupportedCircuit(
            f"Circuit '{circuit.name}' has {circuit.num_qubits} qubits and {backend.name} has "
            f"{target.num_qubits}; use a smaller model or a larger device."
        )
    for instruction in circuit.data:
        operation = instruction.operation
        if operation.name == "barrier" or isinstance(operation, ControlFlowOp):
            continue
        qubits = tuple(circuit.find_bit(q).index for q in instruction.qubits)
        if not target.instruction_supported(operation.name, qubits):
            raise UnsupportedCircuit(
                f"Circuit '{circuit.name}' was not transpiled for {backend.name}: it has no "
                f"'{operation.name}' on qubits {qubits}; call transpile_for(circuit, backend)."
            )


def noise_of(backend: BackendV2, qubits: frozenset[int]) -> NoiseModel:
    """Aer's noise model of some qubits of a device, keyed by their physical indices.

    Args:
        backend: A device or snapshot whose target holds errors and durations.
        qubits: Physical qubits; errors of gates that leave this set are dropped.

    Returns:
        The same errors as ``NoiseModel.from_backend(backend)`` has on these qubits: depolarizing
        and thermal relaxation at each gate, relaxation at each delay, readout error. Qubits that
        idle without a delay do not decay in it.
    """
    from qiskit_aer.noise import NoiseModel

    return NoiseModel.from_backend(_Region(backend, qubits))


class _Region(BackendV2):
    """A view of a backend that keeps instructions inside a set of qubits; it cannot run."""

    def __init__(self, backend: BackendV2, qubits: frozenset[int]) -> None:
        super().__init__(name=backend.name)
        whole = backend.target
        self._target = DeviceTarget(
            num_qubits=whole.num_qubits, dt=whole.dt, qubit_properties=whole.qubit_properties
        )
        for name in whole.operation_names:
            operation = whole.operation_from_name(name)
            if isinstance(operation, type):  # control flow: on any qubits, without properties
                self._target.add_instruction(operation, name=name)
                continue
            inside = {q: p for q, p in whole[name].items() if q is None or qubits.issuperset(q)}
            if inside:
                self._target.add_instruction(operation, inside, name=name)

    @property
    def target(self) -> DeviceTarget:
        return self._target

    @property
    def max_circuits(self) -> None:
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: Any, **options: Any) -> NoReturn:
        raise NotImplementedError("A region only describes noise.")
