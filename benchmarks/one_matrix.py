"""How much sooner do two processes end a gradient of one density matrix than one does?

A line of rotations and CNOTs, six layers, transpiled for fake_torino; the outcomes of all qubits and
their gradient in all angles, for a single row. Started as

    QDM_BENCHMARK_ON_ALL_CORES=1 python -m torch.distributed.run --standalone --nproc-per-node=2 \\
        benchmarks/one_matrix.py [--qubits 10,11,12] [--rounds 8] [--json PATH]

Three ways alternate: the first process alone while the other waits; both together; and each for itself
at the same time, which is what the machine has room for. The least of each counts. Beside the time on
the clock stands the processor's, without that of meetings and of the busier process where there are
two: what is left of the time where nothing else runs. The gradients of both must agree.
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import json
import time
from pathlib import Path

import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from qdm_qiskit.engine.noise import DensityProgram, compile_noisy
from qdm_qiskit.engine.noise.column_team import working_together
from qdm_qiskit.execution.devices import as_backend
from qdm_qiskit.training.processes import join_processes
from qdm_qiskit.training.targets.sharing import Sharing, sharing_of
from qdm_qiskit.transpiling.passes import transpile_for

__all__ = ["line_program", "measured"]

LAYERS = 6


def line_program(qubits: int) -> DensityProgram:
    """Return a line of qubits through fake_torino's noise."""
    x, w = ParameterVector("x", qubits), ParameterVector("w", 2 * qubits * LAYERS)
    circuit, angles = QuantumCircuit(qubits), iter(w)
    for qubit in range(qubits):
        circuit.ry(x[qubit], qubit)
    for _ in range(LAYERS):
        for qubit in range(qubits):
            circuit.ry(next(angles), qubit)
            circuit.rz(next(angles), qubit)
        for qubit in range(qubits - 1):
            circuit.cx(qubit, qubit + 1)
    backend = as_backend("fake_torino")
    isa = transpile_for(circuit, backend, level=1, seed=0)
    left = set(isa.parameters)
    inputs, weights = ([each for each in group if each in left] for group in (x, w))
    return compile_noisy(isa, backend, inputs, weights, method="density")


def measured(sharing: Sharing, qubits: int, rounds: int) -> dict[str, float]:
    """Return the least milliseconds of each way, and how far the gradients are apart."""
    meet, meetings = sharing.wait, 0.0

    def wait() -> None:
        nonlocal meetings
        begun = time.thread_time()
        meet()
        meetings += time.thread_time() - begun

    # In its place, since the team's kernels call it: only so are meetings told from work.
    sharing.wait = wait  # type: ignore[method-assign]
    program = line_program(qubits)
    generator = torch.Generator().manual_seed(1)
    inputs = torch.rand(1, len(program.inputs), dtype=torch.float64, generator=generator)
    weights = torch.rand(len(program.weights), dtype=torch.float64, generator=generator)
    weights.requires_grad_()
    least: dict[str, float] = {}
    gradients: dict[str, torch.Tensor] = {}
    for number in range(rounds + 1):
        for way in ("alone", "together", "side by side"):
            sharing.active = way == "together"
            team = sharing.team
            sharing.add(torch.zeros(1))  # both begin at once
            if way == "alone" and sharing.index:
                continue
            start, weights.grad = time.perf_counter(), None
            worked, meetings = time.thread_time(), 0.0
            with working_together(team):
                found = program.probabilities(inputs, weights, qubits=program.active)
            (found @ torch.linspace(0, 1, found.shape[1], dtype=found.dtype)).sum().backward()
            taken = 1e3 * (time.perf_counter() - start)
            work = 1e3 * (time.thread_time() - worked - meetings)
            assert weights.grad is not None
            gradients[way] = weights.grad
            if number:  # the first compiles
                least[way] = min(taken, least.get(way, taken))
                least[f"{way}, processor"] = min(work, least.get(f"{way}, processor", work))
    each = torch.zeros(sharing.count, dtype=torch.float64)
    each[sharing.index] = least["together, processor"]
    sharing.add(each)
    sharing.wait = meet  # type: ignore[method-assign]
    if sharing.index:
        return {}
    apart = float((gradients["alone"] - gradients["together"]).abs().max())
    if apart > 1e-10:
        raise SystemExit(f"The gradients of one and two processes are {apart:.1e} apart.")
    least["together, processor"] = float(each.max())
    return {
        **least,
        "processor times": least["alone, processor"] / least["together, processor"],
        "apart": apart,
        "times": least["alone"] / least["together"],
        "room": 2 * least["alone"] / least["side by side"],
    }


def main() -> None:
    """Measure each size, and print and keep the first process's results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qubits", default="10,11,12")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sharing = sharing_of(join_processes())
    if sharing.count != 2:
        raise SystemExit(f"This takes two processes, got {sharing.count}; see --help.")
    results: dict[str, object] = {"machine": machine.describe()}
    for qubits in map(int, options.qubits.split(",")):
        found = measured(sharing, qubits, options.rounds)
        if found:
            results[str(qubits)] = found
            print(
                qubits, {name: float(f"{value:.3g}") for name, value in found.items()}, flush=True
            )
    if options.json and sharing.index == 0:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
