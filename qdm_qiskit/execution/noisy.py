"""Shots, and exact probabilities, through the noise of a device snapshot on Qiskit Aer.

The noise is Aer's model of the snapshot: each gate is followed by depolarization and thermal
relaxation that together give its calibrated error, or by relaxation alone where that is worse; each
measurement by a readout error, one a qubit unless both of its numbers are asked for. It lacks decay
of idle qubits (unless the circuit holds delays), crosstalk, leakage and drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, final, get_args

import numpy as np
from qiskit import QuantumCircuit

from ..errors import InvalidOption, UnsupportedCircuit
from ..rng import stream
from .aer import parallel_experiments, run_on_aer
from .aer_circuits import for_aer
from .counts import Pub, checked_circuit, checked_values, parameter_binds
from .delays import in_rows_of_one_length
from .device_noise import NoisePart, check_part, part_of_noise
from .devices import DeviceLike, as_backend
from .region import (
    ReadoutErrors,
    active_qubits,
    check_isa,
    check_readout,
    has_own_noise,
    noise_of,
    readout_in_use,
)
from .runner import CircuitRunner

if TYPE_CHECKING:
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel

__all__ = [
    "MAX_DENSITY_QUBITS",
    "OTHER_ROWS",
    "NoisyRunner",
    "Simulator",
    "check_simulator",
    "noisy_simulator",
    "other_inputs",
]

MAX_DENSITY_QUBITS = 10
"""Most qubits for which one density matrix serves all shots; beyond, each is a trajectory."""
OTHER_ROWS = 8
"""Number of random inputs over which :meth:`NoisyRunner.mean_output` averages."""

Simulator = Literal["auto", "engine", "aer"]
"""Simulator of a device's noise: ``engine`` is :class:`~qdm_qiskit.engine.noise.NoisyEngineRunner`,
``aer`` is :class:`NoisyRunner`, and ``auto`` the engine wherever it can run the circuit."""


@final
class NoisyRunner(CircuitRunner):
    """Qiskit Aer with the noise of a device snapshot.

    Up to :data:`MAX_DENSITY_QUBITS` active qubits the density matrix is evolved once and all shots
    are drawn from it, so shots cost next to nothing. Gates are fused into superoperators and the
    rows run side by side.

    Args:
        snapshot: Name of a device, such as ``"fake_torino"``, or a backend or noise model.
        seed: The run's seed, an integer >= 0.
        readout: ``"mean"`` of each qubit's two readout errors, as in Aer, or ``"asymmetric"``.
        noise: The part of the device's noise that acts.

    Raises:
        UnknownName: If there is no such device.
        InvalidOption: If there is no such readout, or no such part.
    """

    def __init__(
        self,
        snapshot: DeviceLike,
        *,
        seed: int,
        readout: ReadoutErrors = "mean",
        noise: NoisePart = "all",
    ) -> None:
        check_readout(readout)
        check_part(noise)
        self._readout, self._part = readout, noise
        backend = as_backend(snapshot, "snapshot")
        super().__init__(f"noisy:{backend.name}", backend, seed=seed)
        self._noise: dict[frozenset[int], NoiseModel] = {}
        self._method = "density_matrix"

    def exact_probabilities(self, circuit: QuantumCircuit, values: np.ndarray) -> np.ndarray:
        """Return the distribution from which shots are drawn, readout error included.

        Args:
            circuit: Transpiled for this backend; each qubit is measured at most once, at its end.
            values: ``(batch, num_parameters)`` in the order of ``circuit.parameters``.

        Returns:
            Float64 probabilities of shape ``(batch, 2**num_clbits)``, indexed as counts are.

        Raises:
            UnsupportedCircuit: If more than :data:`MAX_DENSITY_QUBITS` qubits are active, or a
                classical bit is not measured exactly once, at the end of its qubit.
            InvalidData: If values have a wrong shape or are not finite.
        """
        checked_circuit(circuit)
        values = checked_values(circuit, values)
        parts = in_rows_of_one_length(circuit, values)
        return np.concatenate([self._exact(part, rows) for part, rows in parts])

    def _exact(self, circuit: QuantumCircuit, values: np.ndarray) -> np.ndarray:
        check_isa(circuit, self.backend, values)
        qubits = active_qubits([circuit])
        if len(qubits) > MAX_DENSITY_QUBITS:
            raise UnsupportedCircuit(
                f"Exact noisy probabilities take at most {MAX_DENSITY_QUBITS} active qubits, "
                f"circuit '{circuit.name}' has {len(qubits)}; draw shots instead."
            )
        bare, measured = _without_measurements(for_aer(circuit, labels=False))
        bare.save_probabilities(measured)
        noise = self.noise_on(qubits)
        binds = parameter_binds(circuit, values)
        result = (
            self._simulator(qubits)
            .run([bare], parameter_binds=[binds] if binds else None, shots=1)
            .result()
        )
        true = np.stack([result.data(k)["probabilities"] for k in range(len(values))])
        return _read_out(true, [_confusion(noise).get(q, np.eye(2)) for q in measured])

    def mean_output(self, circuit: QuantumCircuit) -> np.ndarray | None:
        """Return the mean distribution over random inputs: the output that does not depend on the
        input.

        It is not uniform: qubits relax towards 0, and a circuit of nothing but relaxation would else
        look like a signal. The inputs are the same in every call.

        Args:
            circuit: As for :meth:`exact_probabilities`.

        Returns:
            ``(2**num_clbits,)``, or None for a circuit without parameters or with more than
            :data:`MAX_DENSITY_QUBITS` active qubits.

        Raises:
            UnsupportedCircuit: As for :meth:`exact_probabilities`.
        """
        values = other_inputs(circuit)
        return None if values is None else self.exact_probabilities(circuit, values).mean(axis=0)

    def noise_on(self, qubits: frozenset[int]) -> NoiseModel:
        """Return the noise of some physical qubits, see :func:`.region.noise_of`; made once."""
        if qubits not in self._noise:
            whole = noise_of(self.backend, qubits, readout=self._readout)
            self._noise[qubits] = part_of_noise(whole, self._part)
        return self._noise[qubits]

    def _execute(self, pubs: list[Pub], shots: int, seed: int) -> list[np.ndarray]:
        for circuit, values in pubs:
            check_isa(circuit, self.backend, values)
        # Gates go without labels: a device's errors are known by the names of its gates.
        # One job may hold circuits on different qubits; Aer leaves out what each one leaves idle.
        simulator = self._simulator(active_qubits(circuit for circuit, _ in pubs))
        widest = max(len(active_qubits([circuit])) for circuit, _ in pubs)
        self._method = "density_matrix" if widest <= MAX_DENSITY_QUBITS else "automatic"
        simulator.set_options(method=self._method)
        return run_on_aer(simulator, pubs, shots=shots, seed=seed, labels=False)

    def _options(self) -> Mapping[str, Any]:
        return {
            "method": self._method,
            "max_density_qubits": MAX_DENSITY_QUBITS,
            "noise": "the device's own NoiseModel, active qubits"
            if has_own_noise(self.backend)
            else "qiskit_aer NoiseModel.from_backend, active qubits",
            "readout": readout_in_use(self.backend, self._readout),
            **({} if self._part == "all" else {"noise_part": self._part}),
        }

    def _simulator(self, qubits: frozenset[int]) -> AerSimulator:
        return noisy_simulator(self.noise_on(qubits))


def other_inputs(circuit: QuantumCircuit) -> np.ndarray | None:
    """Return the random inputs of :meth:`NoisyRunner.mean_output`.

    Returns:
        ``(OTHER_ROWS, num_parameters)``, or None for a circuit without parameters or with more than
        :data:`MAX_DENSITY_QUBITS` active qubits.
    """
    if circuit.num_parameters == 0 or len(active_qubits([circuit])) > MAX_DENSITY_QUBITS:
        return None
    rng = stream(0, "evaluation")
    return rng.uniform(-np.pi, np.pi, (OTHER_ROWS, circuit.num_parameters))


def check_simulator(simulator: str) -> None:
    """Refuse a value that is no :data:`Simulator`.

    Raises:
        InvalidOption: Then.
    """
    if simulator not in get_args(Simulator):
        raise InvalidOption(f"simulator is 'auto', 'engine' or 'aer', got {simulator!r}.")


def noisy_simulator(noise: NoiseModel, **options: Any) -> AerSimulator:
    """Return a density-matrix simulator, tuned for small noisy circuits with many parameter rows.

    Measured on 7 qubits with 256 CZ and 16 rows (2 cores): fusion from the first qubit on is 4
    times as fast as Aer's default threshold, and rows side by side 1.9 times.
    """
    from qiskit_aer import AerSimulator

    return AerSimulator(
        method="density_matrix",
        noise_model=noise,
        fusion_threshold=1,
        max_parallel_experiments=parallel_experiments(),
        **options,
    )


def _without_measurements(circuit: QuantumCircuit) -> tuple[QuantumCircuit, list[int]]:
    """Return the circuit without final measurements, and the qubit behind each classical bit."""
    bare = circuit.copy_empty_like()
    qubit_of: dict[int, int] = {}
    done: set[int] = set()
    for instruction in circuit.data:
        qubits = [circuit.find_bit(q).index for q in instruction.qubits]
        if instruction.operation.name == "measure":
            clbit = circuit.find_bit(instruction.clbits[0]).index
            if clbit in qubit_of or qubits[0] in done:
                raise _not_final(circuit)
            qubit_of[clbit] = qubits[0]
            done.update(qubits)
        elif instruction.operation.name != "barrier":
            if done.intersection(qubits) or instruction.clbits:
                raise _not_final(circuit)
            bare.append(instruction)
    if len(qubit_of) != circuit.num_clbits:
        raise _not_final(circuit)
    return bare, [qubit_of[k] for k in range(circuit.num_clbits)]


def _not_final(circuit: QuantumCircuit) -> UnsupportedCircuit:
    return UnsupportedCircuit(
        "Exact probabilities need every classical bit measured once, at the end of its qubit; "
        f"circuit '{circuit.name}' does otherwise: draw shots instead."
    )


def _confusion(noise: NoiseModel) -> dict[int, np.ndarray]:
    """Return readout errors by physical qubit: ``matrix[true, read]``."""
    return {
        qubits[0]: np.asarray(error["probabilities"], dtype=np.float64)
        for error in noise.to_dict()["errors"]
        if error["type"] == "roerror"
        for qubits in error["gate_qubits"]
    }


def _read_out(true: np.ndarray, confusion: list[np.ndarray]) -> np.ndarray:
    """Read ``(batch, 2**m)`` true outcomes through one ``[true, read]`` matrix a bit."""
    m = len(confusion)
    tensor = true.reshape(-1, *[2] * m)
    for bit, matrix in enumerate(confusion):
        axis = m - bit  # bit 0 is the last axis
        tensor = np.moveaxis(np.tensordot(tensor, matrix, axes=([axis], [0])), -1, axis)
    return tensor.reshape(true.shape)
