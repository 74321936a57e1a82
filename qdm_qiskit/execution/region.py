"""The part of a device that some circuits touch, and the noise of that part alone.

Aer's model of a 133-qubit device takes 3.4 s to build and costs 2.8 s at every run, for errors on
qubits that no circuit uses. The model of the active qubits gives the same counts to the bit (a test
holds them equal) in a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp, Operation, ParameterExpression
from qiskit.providers import BackendV2, Options
from qiskit.transpiler import Target as DeviceTarget

from ..errors import InvalidOption, TargetUnavailable, UnsupportedCircuit

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel

__all__ = [
    "ReadoutErrors",
    "active_qubits",
    "check_isa",
    "check_readout",
    "noise_of",
    "readout_matrix",
]

ReadoutErrors = Literal["mean", "asymmetric"]
"""``mean``: one readout error a qubit, as in Aer's model. ``asymmetric``: one for each outcome."""


def active_qubits(circuits: Iterable[QuantumCircuit]) -> frozenset[int]:
    """Return the qubits on which any of the circuits acts; barriers do not count."""
    return frozenset(
        circuit.find_bit(qubit).index
        for circuit in circuits
        for instruction in circuit.data
        if instruction.operation.name != "barrier"
        for qubit in instruction.qubits
    )


def check_isa(
    circuit: QuantumCircuit, backend: BackendV2, values: np.ndarray | None = None
) -> None:
    """Refuse a circuit that was not transpiled for the backend.

    Aer would run it, and silently leave out the noise of every gate that the device lacks, or
    simulate an angle that the device does not have.

    Args:
        circuit: The circuit; the blocks of its control flow are checked too.
        backend: The device.
        values: ``(batch, num_parameters)`` in the order of ``circuit.parameters``; without them a
            gate with a limited range of angles must be bound.

    Raises:
        UnsupportedCircuit: If the backend lacks an instruction, on those qubits, in that order, or
            an angle is outside the range that the instruction has there.
    """
    target = backend.target
    if circuit.num_qubits > target.num_qubits:
        raise UnsupportedCircuit(
            f"Circuit '{circuit.name}' has {circuit.num_qubits} qubits and {backend.name} has "
            f"{target.num_qubits}; use a smaller model or a larger device."
        )
    for operation, qubits in _instructions(circuit, range(circuit.num_qubits)):
        if not target.instruction_supported(operation.name, qubits):
            raise UnsupportedCircuit(
                f"Circuit '{circuit.name}' was not transpiled for {backend.name}: it has no "
                f"'{operation.name}' on qubits {qubits}; call transpile_for(circuit, backend)."
            )
        if target.has_angle_bounds() and target.gate_has_angle_bounds(operation.name):
            _check_angles(circuit, backend, operation, qubits, values)


def _instructions(
    circuit: QuantumCircuit, qubits: Sequence[int]
) -> Iterator[tuple[Operation, tuple[int, ...]]]:
    """Yield all operations but barriers, also in the blocks of control flow, with their qubits."""
    for item in circuit.data:
        where = tuple(qubits[circuit.find_bit(qubit).index] for qubit in item.qubits)
        if isinstance(item.operation, ControlFlowOp):
            for block in item.operation.blocks:
                yield from _instructions(block, where)
        elif item.operation.name != "barrier":
            yield item.operation, where


def _check_angles(
    circuit: QuantumCircuit,
    backend: BackendV2,
    operation: Operation,
    qubits: tuple[int, ...],
    values: np.ndarray | None,
) -> None:
    for angles in _bound_angles(circuit, operation.params, values):
        if angles is None:
            what = f"a free angle, {operation.params[0]}, which may leave it"
        elif not _in_range(backend.target, operation.name, angles):
            what = f"the angle {', '.join(f'{angle:.6g}' for angle in angles)}"
        else:
            continue
        raise UnsupportedCircuit(
            f"'{operation.name}' on qubits {qubits} of {backend.name} is calibrated for a range of "
            f"angles, and circuit '{circuit.name}' has {what}; call transpile_for on the circuit with "
            "its parameters, which takes other gates then, or on the bound one, which folds angles."
        )


def _bound_angles(
    circuit: QuantumCircuit, parameters: Sequence[Any], values: np.ndarray | None
) -> Iterator[list[float] | None]:
    """Return the angles of a gate in each row of values; None for free ones without values."""
    free = [each for each in parameters if isinstance(each, ParameterExpression)]
    names = set().union(*(each.parameters for each in free))
    if not names:
        yield [float(each) for each in parameters]
    elif values is None:
        yield None
    else:
        column = {parameter: k for k, parameter in enumerate(circuit.parameters)}
        for row in values:
            bound = {name: float(row[column[name]]) for name in names}
            yield [
                float(each.bind({p: bound[p] for p in each.parameters}))
                if isinstance(each, ParameterExpression)
                else float(each)
                for each in parameters
            ]


def _in_range(target: DeviceTarget, name: str, angles: list[float]) -> bool:
    # Folding pi may end one rounding outside; IBM's own check allows 1e-10.
    return any(
        target.supported_angle_bound(name, [angle + slack for angle in angles])
        for slack in (0.0, 1e-10, -1e-10)
    )


def noise_of(
    backend: BackendV2, qubits: frozenset[int], *, readout: ReadoutErrors = "mean"
) -> NoiseModel:
    """Return Aer's noise model of some qubits of a device, keyed by their physical indices.

    Args:
        backend: A device or snapshot whose target holds errors and durations.
        qubits: Physical qubits; errors of gates that leave this set are dropped.
        readout: ``"mean"`` reads 0 for 1 as often as 1 for 0, as Aer does, by the mean of the two
            calibrated numbers; ``"asymmetric"`` keeps both.

    Returns:
        The same errors as ``NoiseModel.from_backend(backend)`` has on these qubits: depolarizing
        and thermal relaxation at each gate, relaxation at each delay, readout error. Qubits that
        idle without a delay do not decay in it. A device with a noise model of its own gives that
        model's errors, with unchanged readout errors.

    Raises:
        InvalidOption: If there is no such readout.
        TargetUnavailable: If the device does not give both numbers for a qubit.
    """
    from qiskit_aer.noise import NoiseModel

    from .device_noise import noise_on

    check_readout(readout)
    own = _own_noise(backend)
    if own is not None:
        return noise_on(own, qubits)
    asymmetric = readout == "asymmetric"
    model = NoiseModel.from_backend(_Region(backend, qubits), readout_error=not asymmetric)
    if asymmetric:
        for qubit in sorted(qubits):
            model.add_readout_error(readout_matrix(backend, qubit), [qubit])
    return model


def has_own_noise(backend: BackendV2) -> bool:
    """Return True if a device brings its own noise model, in place of Aer's of its errors."""
    return _own_noise(backend) is not None


def readout_in_use(backend: BackendV2, readout: ReadoutErrors) -> str:
    """Return the entry for readout errors in a runner's metadata."""
    return "as in the device's noise model" if has_own_noise(backend) else readout


def _own_noise(backend: BackendV2) -> NoiseModel | None:
    from .device import Device

    return backend.facts.noise if isinstance(backend, Device) else None


def readout_matrix(backend: BackendV2, qubit: int) -> np.ndarray:
    """Return both calibrated readout errors of a qubit.

    Args:
        backend: A device or snapshot with ``properties()``.
        qubit: Physical index.

    Returns:
        ``(2, 2)`` probabilities ``[true, read]``.

    Raises:
        TargetUnavailable: If the device does not give both numbers.
    """
    read = getattr(backend, "properties", None)
    properties = None if read is None else read()
    found = {} if properties is None else properties.qubit_property(qubit)
    if "prob_meas1_prep0" not in found or "prob_meas0_prep1" not in found:
        raise TargetUnavailable(
            f"{backend.name} does not say how often qubit {qubit} reads 1 for 0 and 0 for 1; use "
            "readout='mean'."
        )
    one_for_zero, zero_for_one = found["prob_meas1_prep0"][0], found["prob_meas0_prep1"][0]
    return np.array([[1 - one_for_zero, one_for_zero], [zero_for_one, 1 - zero_for_one]])


def check_readout(readout: str) -> None:
    """Refuse a value that is no :data:`ReadoutErrors`.

    Raises:
        InvalidOption: If there is no such readout.
    """
    if readout not in get_args(ReadoutErrors):
        raise InvalidOption(f"readout is {' or '.join(get_args(ReadoutErrors))}, got {readout!r}.")


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
