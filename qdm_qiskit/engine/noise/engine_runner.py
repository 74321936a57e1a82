"""Shots, and exact probabilities, through the noise of a device on the engine."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Delay

from ...errors import InvalidOption, UnsupportedCircuit
from ...execution.aer_circuits import for_aer
from ...execution.counts import Pub, checked_circuit, checked_values
from ...execution.delays import in_rows_of_one_length
from ...execution.device_noise import NoisePart
from ...execution.devices import DeviceLike
from ...execution.noisy import MAX_DENSITY_QUBITS, NoisyRunner, other_inputs
from ...execution.region import ReadoutErrors, active_qubits, check_isa
from ...execution.runner import CircuitRunner
from ...rng import stream
from .density import DensityProgram
from .lowering import lower

__all__ = [
    "KEPT_CIRCUITS",
    "NUMBERS_AT_ONCE",
    "NoisyEngineRunner",
]

KEPT_CIRCUITS = 256
"""Compiled circuits that a runner keeps, those of all tiles among them; the least recently used one
leaves first."""
NUMBERS_AT_ONCE = 2**18
"""Numbers of the density matrices that are evolved together; further rows come after. They are 2 MiB,
which caches hold: 16 rows on 10 qubits take 1.5 s, and 5.5 s with 16 times as many at once."""


@dataclass(frozen=True)
class _Compiled:
    """A circuit that was looked at once."""

    program: DensityProgram | None
    reason: str
    """Reason why the engine does not run it."""


@final
class NoisyEngineRunner(CircuitRunner):
    """The engine with the noise of a device; Aer for the circuits that the engine does not run.

    The noise is that of :class:`~qdm_qiskit.execution.noisy.NoisyRunner`: Aer's model of the device's
    active qubits and its readout errors. The distribution is exact, and equals Aer's up to what Aer
    leaves out (error terms below a chance of 1e-10). A circuit is compiled once; rows are evolved
    together. Aer runs circuits with more than
    :data:`~qdm_qiskit.execution.noisy.MAX_DENSITY_QUBITS` active qubits, with measurements that are
    not at the end, control flow, or errors that the engine does not know; the metadata says how many
    and why.

    Row ``r`` of the ``k``-th circuit of a job draws its shots from the stream ``(job's seed, "shots",
    k, r)``: no two rows share shot noise, and rows may be added without changing the others'.

    Args:
        snapshot: Name of a device, such as ``"fake_torino"``, or a backend or noise model.
        seed: The run's seed, an integer >= 0.
        readout: ``"mean"`` of each qubit's two readout errors, as in Aer, or ``"asymmetric"``.
        simulator: ``"engine"`` refuses the circuits that ``"auto"`` leaves to Aer.
        noise: The part of the device's noise that acts.

    Raises:
        UnknownName: If there is no such device.
        InvalidOption: If there is no such readout or part, or the simulator is neither of the two.

    >>> from qiskit import QuantumCircuit
    >>> circuit = QuantumCircuit(1, 1)
    >>> _ = circuit.x(0), circuit.measure(0, 0)
    >>> runner = NoisyEngineRunner("fake_torino", seed=1)
    >>> runner.exact_probabilities(circuit, np.zeros((1, 0))).round(3)
    array([[0.167, 0.833]])
    """

    def __init__(
        self,
        snapshot: DeviceLike,
        *,
        seed: int,
        readout: ReadoutErrors = "mean",
        simulator: Literal["auto", "engine"] = "auto",
        noise: NoisePart = "all",
    ) -> None:
        if simulator not in ("auto", "engine"):
            raise InvalidOption(
                f"simulator is 'auto' or 'engine', got {simulator!r}; NoisyRunner is Aer."
            )
        self._aer = NoisyRunner(snapshot, seed=seed, readout=readout, noise=noise)
        super().__init__(self._aer.target, self._aer.backend, seed=seed)
        self._simulator = simulator
        self._compiled: OrderedDict[Hashable, _Compiled] = OrderedDict()

    def restart(self, seed: int) -> None:
        """See :meth:`.CircuitRunner.restart`; compiled circuits stay."""
        super().restart(seed)
        self._rows = {"engine": 0, "aer": 0}
        self._reasons: dict[str, None] = {}

    def exact_probabilities(self, circuit: QuantumCircuit, values: np.ndarray) -> np.ndarray:
        """See :meth:`.NoisyRunner.exact_probabilities`."""
        checked_circuit(circuit)
        parts = in_rows_of_one_length(circuit, checked_values(circuit, values))
        return np.concatenate([self._exact(part, rows) for part, rows in parts])

    def mean_output(self, circuit: QuantumCircuit) -> np.ndarray | None:
        """See :meth:`.NoisyRunner.mean_output`; over the same inputs."""
        values = other_inputs(circuit)
        return None if values is None else self.exact_probabilities(circuit, values).mean(axis=0)

    def _exact(self, circuit: QuantumCircuit, values: np.ndarray) -> np.ndarray:
        program = self._program(circuit, values)
        if program is None:
            return self._aer.exact_probabilities(circuit, values)
        return _probabilities(program, values)

    def _execute(self, pubs: list[Pub], shots: int, seed: int) -> list[np.ndarray]:
        programs = [self._program(circuit, values) for circuit, values in pubs]
        others = [pub for pub, program in zip(pubs, programs, strict=True) if program is None]
        from_aer = iter(self._aer.run(others, shots=shots, seed=seed) if others else ())
        counts = []
        for k, ((_, values), program) in enumerate(zip(pubs, programs, strict=True)):
            self._rows["aer" if program is None else "engine"] += len(values)
            if program is None:
                counts.append(next(from_aer))
            else:
                counts.append(_drawn(_probabilities(program, values), shots, seed, k))
        return counts

    def _options(self) -> Mapping[str, Any]:
        return {
            **self._aer._options(),
            "simulator": self._simulator,
            "circuits_on": dict(self._rows),
            "aer_because": list(self._reasons),
        }

    def _program(self, circuit: QuantumCircuit, values: np.ndarray) -> DensityProgram | None:
        """Return the compiled circuit; None where Aer runs it."""
        key = _key(circuit)
        found = None if key is None else self._compiled.get(key)
        if found is None or self.backend.target.has_angle_bounds():
            check_isa(circuit, self.backend, values)
        if found is None:
            found = self._compile(circuit)
        if key is not None:
            self._compiled[key] = found
            self._compiled.move_to_end(key)
            if len(self._compiled) > KEPT_CIRCUITS:
                self._compiled.popitem(last=False)
        if found.program is None and self._simulator == "engine":
            raise UnsupportedCircuit(
                f"The engine does not run circuit '{circuit.name}' with noise: "
                f"{found.reason.rstrip('.')}; take simulator 'auto' or 'aer'."
            )
        if found.program is None:
            self._reasons[found.reason] = None
        return found.program

    def _compile(self, circuit: QuantumCircuit) -> _Compiled:
        active = active_qubits([circuit])
        if len(active) > MAX_DENSITY_QUBITS:
            return _Compiled(
                None, f"{len(active)} qubits are active, and it takes at most {MAX_DENSITY_QUBITS}."
            )
        # Gates go without labels: a device's errors are known by the names of its gates. All of them
        # are the device's, as check_isa has seen; what has no error there is free of noise.
        plain = for_aer(circuit, labels=False)
        inputs = tuple(circuit.parameters)
        try:
            lowered = lower(plain, self._aer.noise_on(active), inputs, None, "noiseless")
        except UnsupportedCircuit as error:
            return _Compiled(None, str(error))
        if not lowered.measured:
            return _Compiled(None, "Not every classical bit is measured.")
        return _Compiled(DensityProgram(lowered, inputs, ()), "")


@torch.no_grad()
def _probabilities(program: DensityProgram, values: np.ndarray) -> np.ndarray:
    """Return the distribution of each row, ``(batch, 2**num_clbits)`` float64."""
    at_once = max(1, NUMBERS_AT_ONCE // 4 ** len(program.active))
    rows = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))
    found = torch.cat(
        [program.probabilities(part, qubits=program.measured) for part in rows.split(at_once)]
    )
    # Rounding may leave -1e-18 where nothing is read.
    return found.clamp_min(0).numpy()


def _drawn(probabilities: np.ndarray, shots: int, seed: int, circuit: int) -> np.ndarray:
    """Return the counts of each row, by the stream of its address in the job."""
    weights = probabilities / probabilities.sum(axis=1, keepdims=True)
    return np.stack(
        [stream(seed, "shots", circuit, k).multinomial(shots, row) for k, row in enumerate(weights)]
    )


def _key(circuit: QuantumCircuit) -> Hashable | None:
    """Return all that decides a circuit's outcome on a device; None if an instruction hides it.

    Qiskit changes gates in place, so that a circuit's identity says nothing.
    """
    index = {bit: k for k, bit in enumerate(circuit.qubits)}
    index |= {bit: k for k, bit in enumerate(circuit.clbits)}
    rows: list[Hashable] = []
    for item in circuit.data:
        name = item.operation.name if not item.is_standard_gate() else item.name
        where = (*(index[bit] for bit in item.qubits), *(index[bit] for bit in item.clbits))
        if item.is_standard_gate() or name in ("measure", "reset"):
            rows.append((name, where, *item.params))
        elif isinstance(item.operation, Delay):
            rows.append((name, where, item.operation.duration, item.operation.unit))
        elif name != "barrier":
            return None
    return circuit.num_qubits, circuit.num_clbits, tuple(rows)
