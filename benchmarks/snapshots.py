"""Does every device snapshot take a circuit, on every path, or say in one line why not?

One backward step of EEQDM (five qubits, loader and denoiser, random angles) goes through four paths on
each snapshot of IBM's client: transpiled, with the cost of the best of two layouts; shots through the
snapshot's noise; the same through IBM's Sampler in local mode; and shots corrected by M3 with a
calibration of their own. A path ends in a result or in one of our own errors; anything else stops the
sweep with its traceback.

    python benchmarks/snapshots.py [fake_torino ...]

About three minutes for all 68 on one core. The test of the same name in tests/execution is slow.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from qiskit import QuantumCircuit

from qdm_qiskit.circuits import TEMPLATES
from qdm_qiskit.errors import QdmError
from qdm_qiskit.execution.factory import make_runner
from qdm_qiskit.execution.noisy import NoisyRunner
from qdm_qiskit.execution.snapshots import backend_names, load_backend
from qdm_qiskit.mitigation.readout import combine_results, construct_circuits, mitigate
from qdm_qiskit.rng import stream
from qdm_qiskit.transpiling.passes import (
    Trial,
    best_trial,
    layout_trials,
    measured_physical_qubits,
    select_values,
)
from qdm_qiskit.transpiling.working import working_part

PATHS = ("transpiled", "noisy", "local", "m3")
SHOTS, SEEDS = 256, (0, 1)
TAKEN_AT = "2026-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class Row:
    """What became of the circuit on one snapshot."""

    snapshot: str
    qubits: int
    """Of the device."""
    working: int
    """Of them in the part where circuits go; 0 where nothing takes this one."""
    gates: dict[str, int]
    """Of the transpiled circuit."""
    success: float
    """Expected, of the transpiled circuit."""
    distances: dict[str, float]
    """Total variation distance of each path's shots from the exact noisy distribution."""
    refusals: dict[str, str]
    """Path to our error's line."""


def circuit_and_values() -> tuple[QuantumCircuit, np.ndarray]:
    """A measured circuit and one row of its values."""
    circuit = TEMPLATES["eeqdm"].example().full_circuit()
    values = stream(0, "evaluation").uniform(-np.pi, np.pi, (1, circuit.num_parameters))
    return circuit, values


def sweep(snapshot: str) -> Row:
    """Take the circuit through all paths on one snapshot."""
    backend = load_backend(snapshot)
    circuit, values = circuit_and_values()
    refusals: dict[str, str] = {}

    def attempt(path: str, work: Callable[[], object]) -> object:
        try:
            return work()
        except QdmError as error:
            refusals[path] = str(error)
            return None

    def part() -> int:
        return len(working_part(backend.target, circuit, device=snapshot).qubits)

    def transpiled() -> Trial:
        return best_trial(layout_trials(circuit, backend, seeds=SEEDS))

    trial = attempt("transpiled", transpiled)
    if not isinstance(trial, Trial):
        refusals |= dict.fromkeys(PATHS, refusals["transpiled"])
        return Row(snapshot, backend.num_qubits, 0, {}, 0.0, {}, refusals)
    isa, row = trial.circuit, select_values(values, circuit, trial.circuit)

    def counts(kind: str) -> np.ndarray:
        return make_runner(f"{kind}:{snapshot}", seed=0).run([(isa, row)], shots=SHOTS)[0] / SHOTS

    def corrected() -> np.ndarray:
        qubits, runner = measured_physical_qubits(isa), make_runner(f"noisy:{snapshot}", seed=1)
        circuits = construct_circuits(qubits, backend.num_qubits, target=backend.target)
        seen = runner.run([(each, np.zeros((1, 0))) for each in circuits], shots=SHOTS)
        calibration = combine_results(seen, qubits, backend=backend.name, taken_at=TAKEN_AT)
        [raw] = runner.run([(isa, row)], shots=SHOTS)
        return mitigate(raw, calibration, qubits, backend.name)

    exact = attempt("noisy", lambda: NoisyRunner(snapshot, seed=0).exact_probabilities(isa, row))
    found = {
        "noisy": attempt("noisy", lambda: counts("noisy")),
        "local": attempt("local", lambda: counts("local")),
        "m3": attempt("m3", corrected),
    }
    distances = {
        path: float(np.abs(each - exact).sum() / 2)
        for path, each in found.items()
        if isinstance(each, np.ndarray) and isinstance(exact, np.ndarray)
    }
    success = trial.cost.expected_success
    return Row(snapshot, backend.num_qubits, part(), trial.cost.gates, success, distances, refusals)


def main() -> None:
    names = sys.argv[1:] or backend_names()
    print(f"{'snapshot':<18} qubits working success  " + "  ".join(f"{p:<10}" for p in PATHS))
    refused = {}
    for name in names:
        row = sweep(name)
        cells = ["refused" if path in row.refusals else "done" for path in PATHS]
        for k, path in enumerate(PATHS):
            if path in row.distances:
                cells[k] = f"{cells[k]} {row.distances[path]:.3f}"
        line = f"{name:<18} {row.qubits:>6} {row.working:>7} {row.success:>7.3f}  "
        print(line + "  ".join(f"{cell:<10}" for cell in cells).rstrip(), flush=True)
        for text in dict.fromkeys(row.refusals.values()):
            refused[name] = text
    for name, text in refused.items():
        print(f"{name}: {text}")


if __name__ == "__main__":
    main()
