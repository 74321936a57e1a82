"""A backend from a snapshot: its JSON as the API gives it, and a noisy simulation of circuits.

A circuit is simulated on the qubits that it uses, in groups that do not interact: a circuit on
2 of 133 qubits costs what 2 qubits cost.
"""

from __future__ import annotations

import json
import threading
import warnings
from functools import cached_property, lru_cache

import numpy as np
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from qiskit_ibm_runtime.fake_provider import FakeProviderForBackendV2
from qiskit_ibm_runtime.fake_provider.fake_backend import FakeBackendV2


@lru_cache(maxsize=1)
def _snapshots() -> dict[str, FakeBackendV2]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one snapshot warns of its own numbers when it is made
        return {each.name: each for each in FakeProviderForBackendV2().backends()}


class Device:
    """The snapshot `fake_<name>`, served as `ibm_<name>` (and as `mock_<name>` for dry runs)."""

    def __init__(self, name: str) -> None:
        known = _snapshots()
        if f"fake_{name}" not in known:
            raise ValueError(f"no snapshot fake_{name}; known: {sorted(known)}")
        self.name = f"ibm_{name}"
        self.mock_name = f"mock_{name}"
        self.fake = known[f"fake_{name}"]
        self._aer_lock = threading.Lock()
        self._sub_noise: dict[tuple[int, ...], NoiseModel] = {}
        self.measured: dict[tuple[str, bool, bool], list[dict[str, np.ndarray]]] = {}
        """Bits by the hash of the work; only where the settings say `recall`."""

    @property
    def num_qubits(self) -> int:
        return self.fake.num_qubits

    def configuration(self, name: str) -> dict[str, object]:
        raw = self._json(self.fake.conf_filename)
        return {**raw, "backend_name": name}

    def properties(self, name: str, calibrated: str) -> dict[str, object]:
        raw = self._json(self.fake.props_filename)
        if calibrated:
            raw["last_update_date"] = calibrated
        return {**raw, "backend_name": name}

    def _json(self, filename: str) -> dict[str, object]:
        from pathlib import Path

        return json.loads((Path(self.fake.dirname) / filename).read_text())

    def duration_seconds(self, circuit: QuantumCircuit) -> float:
        """Length of the circuit's longest path with the target's durations."""
        return float(circuit.estimate_duration(self.fake.target, unit="s"))

    @cached_property
    def _noise(self) -> NoiseModel:
        return NoiseModel.from_backend(self.fake)

    def _noise_on(self, qubits: tuple[int, ...]) -> NoiseModel:
        """The device's noise on these qubits, renumbered from 0."""
        with self._aer_lock:
            if qubits not in self._sub_noise:
                whole, place = self._noise, {qubit: i for i, qubit in enumerate(qubits)}
                part = NoiseModel(basis_gates=whole.basis_gates)
                for instruction, errors in whole._local_quantum_errors.items():
                    for where, error in errors.items():
                        if all(qubit in place for qubit in where):
                            part.add_quantum_error(
                                error,
                                instruction,
                                [place[qubit] for qubit in where],
                                warnings=False,
                            )
                for where, error in whole._local_readout_errors.items():
                    if all(qubit in place for qubit in where):
                        part.add_readout_error(
                            error, [place[qubit] for qubit in where], warnings=False
                        )
                self._sub_noise[qubits] = part
            return self._sub_noise[qubits]

    def sample(
        self, circuits: list[QuantumCircuit], shots: int, seed: np.random.SeedSequence, noisy: bool
    ) -> list[np.ndarray]:
        """Measure bound circuits that differ in their angles only.

        Returns:
            For each circuit an array of bool, (shots, clbits), clbit 0 first.
        """
        first = circuits[0]
        out = [np.zeros((shots, first.num_clbits), dtype=bool) for _ in circuits]
        groups = _groups(first)
        for own, (qubits, clbits) in zip(seed.spawn(len(groups)), groups, strict=True):
            if not clbits:
                continue
            parts = [_restricted(circuit, qubits, clbits) for circuit in circuits]
            simulator = AerSimulator(
                noise_model=self._noise_on(qubits) if noisy else None,
                max_parallel_threads=1,
                seed_simulator=int(own.generate_state(1)[0]) % 2**31,
            )
            result = simulator.run(parts, shots=shots, memory=True).result()
            if not result.success:
                raise RuntimeError(f"the simulation failed: {result.status}")
            for bits, experiment in zip(out, range(len(parts)), strict=True):
                memory = result.data(experiment)["memory"]
                values = np.array([int(each, 16) for each in memory], dtype=object)
                for column, clbit in enumerate(clbits):
                    bits[:, clbit] = (values >> column) & 1
        return out


def _groups(circuit: QuantumCircuit) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Qubits that interact, with the clbits that they are measured into, in order of qubit."""
    parent = list(range(circuit.num_qubits))

    def root(qubit: int) -> int:
        while parent[qubit] != qubit:
            parent[qubit] = parent[parent[qubit]]
            qubit = parent[qubit]
        return qubit

    place = {qubit: i for i, qubit in enumerate(circuit.qubits)}
    bit = {clbit: i for i, clbit in enumerate(circuit.clbits)}
    used: set[int] = set()
    clbits: dict[int, int] = {}
    whole = False
    for instruction in circuit.data:
        if instruction.operation.name == "barrier":
            continue
        qubits = [place[qubit] for qubit in instruction.qubits]
        used.update(qubits)
        for other in qubits[1:]:
            parent[root(other)] = root(qubits[0])
        if instruction.operation.name == "measure":
            clbits[bit[instruction.clbits[0]]] = qubits[0]
        elif instruction.clbits:
            whole = True  # classical control ties everything together
    if whole:
        return [(tuple(sorted(used)), tuple(range(circuit.num_clbits)))]
    groups: dict[int, list[int]] = {}
    for qubit in sorted(used):
        groups.setdefault(root(qubit), []).append(qubit)
    return [
        (tuple(group), tuple(sorted(c for c, q in clbits.items() if root(q) == head)))
        for head, group in groups.items()
    ]


def _restricted(
    circuit: QuantumCircuit, qubits: tuple[int, ...], clbits: tuple[int, ...]
) -> QuantumCircuit:
    """The part of `circuit` on these qubits, renumbered from 0."""
    from qiskit.circuit import Clbit, Qubit

    part = QuantumCircuit([Qubit() for _ in qubits], [Clbit() for _ in clbits])
    part.global_phase = circuit.global_phase
    new_qubit = {circuit.qubits[old]: part.qubits[new] for new, old in enumerate(qubits)}
    new_clbit = {circuit.clbits[old]: part.clbits[new] for new, old in enumerate(clbits)}
    for instruction in circuit.data:
        if instruction.operation.name == "barrier":
            continue
        if any(clbit not in new_clbit for clbit in instruction.clbits):
            continue  # a measurement that a later one of another qubit overwrites
        if all(qubit in new_qubit for qubit in instruction.qubits):
            part.append(
                instruction.operation,
                [new_qubit[qubit] for qubit in instruction.qubits],
                [new_clbit[clbit] for clbit in instruction.clbits],
                copy=False,
            )
    return part


def charge_seconds(
    overhead: float, rep_delay: float, work: list[tuple[int, float]], shots: int
) -> float:
    """The server's price of a job.

    overhead + sum over items of (bindings x shots x (rep_delay + duration of the circuit)),
    rounded to 3 decimals.
    """
    executions = sum(bindings * shots * (rep_delay + duration) for bindings, duration in work)
    return round(overhead + executions, 3)
