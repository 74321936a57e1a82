"""How much faster is a training step through a device's noise than Aer with parameter shift?

W5: 6 qubits, RX inputs, two layers of RY and a CX ring, transpiled once for fake_torino; batch 32, six
expectation values of Z, gradients in inputs and weights. Aer evolves density matrices of the same noise
model, all parameter-shift PUBs of a step in one run call (its fastest form here: gates fused, one
thread). Values and gradients of both are compared before anything is timed.

    python benchmarks/noise.py [--repeats 3] [--json FILE]
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import json
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qdm_qiskit.circuits import input_parameters, weight_parameters
from qdm_qiskit.engine import compile_noisy
from qdm_qiskit.execution.noisy import noisy_simulator
from qdm_qiskit.execution.region import active_qubits, noise_of
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.passes import transpile_for

QUBITS, BATCH, SEED = 6, 32, 1


def circuit() -> tuple[QuantumCircuit, list, list]:
    x, w = input_parameters(QUBITS), weight_parameters(2 * QUBITS)
    made = QuantumCircuit(QUBITS)
    for qubit in range(QUBITS):
        made.rx(x[qubit], qubit)
    for layer in range(2):
        for qubit in range(QUBITS):
            made.ry(w[layer * QUBITS + qubit], qubit)
        for qubit in range(QUBITS):
            made.cx(qubit, (qubit + 1) % QUBITS)
    return made, x, w


class Aer:
    """One training step by parameter shift: value and both gradients of the mean square."""

    def __init__(self, isa: QuantumCircuit, noise, x: list, w: list) -> None:
        self.measured = isa.copy()
        self.measured.save_probabilities(isa.layout.final_index_layout())
        self.simulator = noisy_simulator(noise)
        self.simulator.set_options(max_parallel_threads=1, max_parallel_experiments=1)
        self.parameters = [*w, *x]
        index = np.arange(2**QUBITS)[:, None]
        self.signs = 1 - 2 * ((index >> np.arange(QUBITS)) & 1)

    def step(self, inputs: np.ndarray, weights: np.ndarray) -> tuple:
        rows = np.concatenate([np.broadcast_to(weights, (BATCH, len(weights))), inputs], axis=1)
        count = rows.shape[1]
        shifts = [np.zeros(count)]
        shifts += [sign * np.pi / 2 * np.eye(count)[k] for k in range(count) for sign in (1, -1)]
        values = np.concatenate([rows + shift for shift in shifts])
        binds = {p: values[:, k].tolist() for k, p in enumerate(self.parameters)}
        result = self.simulator.run([self.measured], parameter_binds=[binds], shots=1).result()
        found = np.stack([result.data(k)["probabilities"] for k in range(len(values))])
        z = (found @ self.signs).reshape(len(shifts), BATCH, QUBITS)
        jacobian = (z[1::2] - z[2::2]) / 2
        cotangent = 2 * z[0] / z[0].size
        gradient = jacobian * cotangent
        split = len(weights)
        return z[0], gradient[:split].sum((1, 2)), gradient[split:].sum(2).T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine.one_thread()
    logical, x, w = circuit()
    backend = load_backend("fake_torino")
    isa = transpile_for(logical, backend, seed=SEED)
    noise = noise_of(backend, active_qubits([isa]))
    program = compile_noisy(isa, noise, x, w)
    observables = [
        SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], QUBITS).apply_layout(isa.layout)
        for q in range(QUBITS)
    ]
    rng = np.random.default_rng(SEED)
    inputs, weights = rng.uniform(-3, 3, (BATCH, QUBITS)), rng.uniform(-3, 3, 2 * QUBITS)
    aer = Aer(isa, noise, x, w)
    exact = aer.step(inputs, weights)

    def ours(dtype: torch.dtype) -> tuple:
        i = torch.tensor(inputs, dtype=dtype, requires_grad=True)
        v = torch.tensor(weights, dtype=dtype, requires_grad=True)
        out = program.expectation(observables, i, v, readout=False)
        out.square().mean().backward()
        return out.detach().numpy(), v.grad.numpy(), i.grad.numpy()

    for dtype, tolerance in ((torch.float64, 1e-8), (torch.float32, 1e-4)):
        for left, right in zip(ours(dtype), exact, strict=True):
            np.testing.assert_allclose(left, right, atol=tolerance)
    times: dict[str, list[float]] = {"Aer": [], "ours, float32": [], "ours, float64": []}
    for _ in range(options.repeats):
        for name, call, count in (
            ("Aer", lambda: aer.step(inputs, weights), 1),
            ("ours, float32", lambda: ours(torch.float32), 30),
            ("ours, float64", lambda: ours(torch.float64), 30),
        ):
            for _ in range(count):
                started = time.perf_counter()
                call()
                times[name].append(1e3 * (time.perf_counter() - started))
    pubs = BATCH * (1 + 2 * (len(x) + len(w)))
    found = {
        "machine": machine.describe(),
        "two_qubit_gates": isa.num_nonlocal_gates(),
        "pubs": pubs,
        "median_ms": {name: median(values) for name, values in times.items()},
        "min_ms": {name: min(values) for name, values in times.items()},
    }
    print(f"W5 on fake_torino: {isa.num_nonlocal_gates()} two-qubit gates, {pubs} PUBs for Aer")
    for name in times:
        ratio = found["median_ms"]["Aer"] / found["median_ms"][name]
        print(f"{name:>14}: {found['median_ms'][name]:9.2f} ms   {ratio:8.0f}x")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
