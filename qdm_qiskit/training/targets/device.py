"""A model's circuits on a device: transpiled once with free weights, then run through its noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.providers import BackendV2

from ...circuits import CircuitSpec
from ...circuits.fingerprint import circuit_fingerprint
from ...engine.noise import NoisyProgram, compile_noisy
from ...engine.noise.memory import available_bytes
from ...errors import InvalidCheckpoint, TargetUnavailable
from ...execution.aer_circuits import for_aer
from ...execution.region import active_qubits, check_isa, has_own_noise, noise_of
from ...rng import derived_seed
from ...transpiling.cost import circuit_cost
from ...transpiling.passes import best_trial, layout_trials, transpile_for
from .draws import Draws
from .joints import Columns, NoisyJoint
from .noise import confusion_of, scaled, twirled
from .reading import Joint, TrainedReading
from .sharing import Sharing

__all__ = [
    "LAYOUT_TRIALS",
    "OPTIMIZATION_LEVEL",
    "DeviceCircuit",
    "NoiseScale",
    "Place",
    "density_bytes",
]

LAYOUT_TRIALS = 5
"""Transpiler seeds that are tried for a circuit; the highest expected success wins."""
OPTIMIZATION_LEVEL = 3


def density_bytes(qubits: int) -> int:
    """Return the least memory of a row through exact noise: a state and its successor, float64."""
    return 16 << (2 * qubits)


class NoiseScale:
    """Share of the noise that acts, 0 to 1."""

    share: float = 1.0
    grows: bool = False
    """True if other shares come before the whole."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a layer's circuit stands on a device, for as long as its run lives."""

    layer: str
    """Path of the layer in its model."""
    physical_qubits: tuple[int, ...]
    """First physical qubit of each of the circuit's."""
    transpiler_seed: int
    circuit: str
    """Fingerprint of the transpiled circuit, whose weights are free."""
    two_qubit_gates: int
    expected_success: float

    def to_dict(self) -> dict[str, Any]:
        """Return the place for JSON."""
        return {**vars(self), "physical_qubits": list(self.physical_qubits)}


@final
class DeviceCircuit:
    """A layer's circuit on a device.

    Args:
        name: Path of the layer.
        spec: Its circuit, with the loader that runs.
        backend: The device.
        seed: The run's; transpiler seeds follow from it, as in sampling.
        place: Where the circuit stands already; None chooses.
        layout: The physical qubit of each qubit; empty leaves the choice to the transpiler.

    Raises:
        UnsupportedCircuit: If the device cannot run the circuit.
        InvalidCheckpoint: If the circuit comes out differently from the one the run began with.
    """

    def __init__(
        self,
        name: str,
        spec: CircuitSpec,
        backend: BackendV2,
        seed: int,
        place: Place | None = None,
        layout: Sequence[int] = (),
    ) -> None:
        self.name, self.reading, self._backend = name, TrainedReading.of(spec), backend
        logical = self.reading.logical
        seeds = [derived_seed(seed, "transpiler", trial) for trial in range(LAYOUT_TRIALS)]
        if place is not None:
            seeds = [place.transpiler_seed]
        read = self.reading.read
        if layout:
            chosen = seeds[0]
            self._isa = transpile_for(
                logical,
                backend,
                level=OPTIMIZATION_LEVEL,
                seed=chosen,
                initial_layout=layout,
                read=read,
            )
        else:
            trial = best_trial(
                layout_trials(logical, backend, seeds=seeds, level=OPTIMIZATION_LEVEL, read=read)
            )
            self._isa, chosen = trial.circuit, trial.seed
        self.circuits = self.reading.circuits(self._isa, backend.target)
        # Without any observable but the identity there is nothing to measure, and no circuit.
        cost = circuit_cost((self.circuits or [self._isa])[0], backend.target)
        found = self._isa.layout
        self.place = Place(
            layer=name,
            physical_qubits=()
            if found is None
            else tuple(found.initial_index_layout(filter_ancillas=True)),
            transpiler_seed=chosen,
            circuit=circuit_fingerprint(self._isa),
            two_qubit_gates=cost.two_qubit_count,
            expected_success=cost.expected_success,
        )
        if place is not None and place.circuit != self.place.circuit:
            raise InvalidCheckpoint(
                f"The circuit of '{name}' comes out differently on {backend.name} than when the run "
                "began: the device's calibration or Qiskit has changed; go on with those of then."
            )

    @property
    def active_qubits(self) -> int:
        """Physical qubits of its largest circuit that a gate or a measurement touches."""
        return max((len(active_qubits([each])) for each in self.circuits), default=0)

    def joints(
        self,
        draws: Draws,
        shots: int | None,
        *,
        readout: str,
        injected: bool,
        noise_scale: NoiseScale,
        sharing: Sharing | None = None,
    ) -> list[Joint]:
        """Return the distributions of the circuits through the device's noise.

        Args:
            draws, shots: Of the run.
            readout: Readout errors in the loss.
            injected: Draw Pauli errors for each row, in place of exact noise.
            noise_scale: Share of the noise that acts.
            sharing: The processes that run rows together; None for this one.

        Raises:
            TargetUnavailable: If a density matrix of so many qubits has no room.
        """
        return [
            self._joint(circuit, draws, shots, readout, injected, noise_scale, sharing)
            for circuit in self.circuits
        ]

    def _joint(
        self,
        circuit: QuantumCircuit,
        draws: Draws,
        shots: int | None,
        readout: str,
        injected: bool,
        noise_scale: NoiseScale,
        sharing: Sharing | None,
    ) -> Joint:
        active = active_qubits([circuit])
        if not injected:
            self._check_room(len(active))
        check_isa(circuit, self._backend)
        if (injected or noise_scale.grows) and circuit.count_ops().get("delay"):
            raise TargetUnavailable(
                f"'{self.name}' waits in delays, whose noise can be taken as it is only; leave "
                "noise_injection and noise_epochs out."
            )
        plain = for_aer(circuit, labels=False)
        columns = Columns(plain, self.reading.logical)
        asymmetric = readout == "asymmetric" and not has_own_noise(self._backend)
        noise = noise_of(self._backend, active, readout="asymmetric" if asymmetric else "mean")
        if injected or noise_scale.grows:
            # Gates without an entry are refused now: parts of noise may have no errors left.
            compile_noisy(plain, noise, columns.inputs, columns.weights, method="density")
        if injected:
            noise = twirled(noise)
        known: dict[float, tuple[NoisyProgram, Sequence[np.ndarray]]] = {}

        def of_the_moment() -> tuple[NoisyProgram, Sequence[np.ndarray]]:
            share = noise_scale.share
            if share not in known:
                known.clear()
                part = scaled(noise, share)
                program = compile_noisy(
                    plain,
                    part,
                    columns.inputs,
                    columns.weights,
                    unknown_gates="noiseless" if injected or noise_scale.grows else "refuse",
                    method="trajectories" if injected else "density",
                )
                known[share] = program, [confusion_of(part, q) for q in program.measured]
            return known[share]

        of_the_moment()  # what cannot run is refused before the first step
        return NoisyJoint(
            of_the_moment,
            columns,
            self.reading.bits,
            self.name,
            draws,
            shots,
            mitigated=readout == "mitigated",
            sharing=sharing,
        )

    def _check_room(self, qubits: int) -> None:
        needed, free = density_bytes(qubits), available_bytes(torch.device("cpu"))
        if needed > free:
            raise TargetUnavailable(
                f"'{self.name}' uses {qubits} qubits of {self._backend.name}, whose density matrix "
                f"takes {needed / 2**30:.3g} GiB a row and {free / 2**30:.3g} GiB are free; take fewer "
                "qubits, or noise_injection=true."
            )
