"""How much faster is a training step through a device's noise than Aer with parameter shift?

W5: 6 qubits, RX inputs, two layers of RY and a CX ring, transpiled once for fake_torino; batch 32, six
expectation values of Z, gradients in inputs and weights. Aer evolves density matrices of the same noise
model, all parameter-shift PUBs of a step in one run call (its fastest form here: gates fused, one
thread). Values and gradients of both are compared before anything is timed.

    python benchmarks/noise.py [--repeats 3] [--json FILE]

With another checkout, it times both builds instead: RX inputs and four layers of RY and a CX chain, in
processes of their own that take turns, in seconds of the processor. Outputs and gradients are compared
before anything is timed.

    python benchmarks/noise.py --beside OLD_CHECKOUT [--rounds 10] [--json FILE]

The same steps beside TensorCircuit-NG's jitted density matrices, in one process, each library in turn
(`make bench` makes the environment that has it):

    python benchmarks/noise.py --peer 4 6 [--rounds 10] [--json FILE]

Growth a qubit, 6 to 10; 12 qubits by trajectories, with their variance; what the cost model says beside
what ways take, and the constant that fits (processor time, one thread); or all three:

    python benchmarks/noise.py --growth | --trajectories | --cost | --sizes [--rounds 10] [--json FILE]
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from qiskit import QuantumCircuit, qpy
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


BESIDE = {
    "4 qubits": (4, 32),
    "6 qubits": (6, 32),
    "7 qubits": (7, 32),
    "8 qubits": (8, 32),
    "8 qubits, batch 64": (8, 64),
    "9 qubits, batch 8": (9, 8),
    "9 qubits": (9, 32),
    "10 qubits": (10, 32),
}
"""Workloads beside another build: qubits and batch."""
PEER_STEPS = 10
"""Steps of a library behind each other, as in training, before it is the other's turn."""
ONLY_NEW = ("9 qubits", "10 qubits")
"""Those for the growth, on which the older build would take minutes."""


def chain(qubits: int, layers: int = 4) -> tuple[QuantumCircuit, list, list]:
    x, w = input_parameters(qubits), weight_parameters(layers * qubits)
    made = QuantumCircuit(qubits)
    for qubit in range(qubits):
        made.rx(x[qubit], qubit)
    for layer in range(layers):
        for qubit in range(qubits):
            made.ry(w[layer * qubits + qubit], qubit)
        made.cx(range(qubits - 1), range(1, qubits))
    return made, x, w


def serve() -> None:
    """Answer requests from stdin, a line of JSON each: circuit, qubits and batch, or steps."""
    machine.one_thread()
    step = None
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, list):
            step = training_step(*asked)
            answer = [each.tolist() for each in step()]
        else:
            started = time.process_time()
            for _ in range(asked):
                step()
            answer = 1e3 * (time.process_time() - started) / asked
        print(json.dumps(answer), flush=True)


def training_step(path: str, qubits: int, batch: int):
    """Return a function that gives outputs and both gradients of a chain on fake_torino."""
    return prepared(path, qubits, batch)[0]


def prepared(path: str, qubits: int, batch: int) -> tuple:
    """Return that function, the program, inputs, weights and where the qubits of the chain are."""
    with Path(path).open("rb") as file:
        (isa,) = qpy.load(file)
    named = {parameter.name: parameter for parameter in isa.parameters}
    x, w = ([named[each.name] for each in group] for group in chain(qubits)[1:])
    backend = load_backend("fake_torino")
    noise = noise_of(backend, active_qubits([isa]))
    program = compile_noisy(isa, noise, x, w, method="density")
    observables = [
        SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], qubits).apply_layout(isa.layout)
        for q in range(qubits)
    ]
    rng = np.random.default_rng(SEED)
    inputs = torch.tensor(rng.uniform(-3, 3, (batch, len(x))), dtype=torch.float32)
    weights = torch.tensor(rng.uniform(-3, 3, len(w)), dtype=torch.float32)

    def step() -> tuple:
        i, v = inputs.clone().requires_grad_(), weights.clone().requires_grad_()
        out = program.expectation(observables, i, v)
        out.square().mean().backward()
        return out.detach(), v.grad, i.grad

    return step, program, inputs, weights, isa.layout.final_index_layout()


def beside_peer(sizes: list[int], rounds: int) -> dict:
    """Return the least times of a step with batch 32, in milliseconds of the processor."""
    sys.path.insert(0, str(Path(__file__).parent / "peers"))  # without the other peers' libraries
    import noisy_tensorcircuit

    found = {}
    for qubits in sizes:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "isa.qpy"
            with path.open("wb") as file:
                backend = load_backend("fake_torino")
                qpy.dump(transpile_for(chain(qubits)[0], backend, seed=SEED), file)
            ours, program, inputs, weights, places = prepared(str(path), qubits, 32)
        peer = noisy_tensorcircuit.build(
            program._noisy, list(program.inputs), list(program.weights), places
        )
        x, w = inputs.numpy(), weights.numpy()
        started = time.process_time()
        theirs = peer(x, w)
        compiled = time.process_time() - started
        for left, right in zip(ours(), theirs, strict=True):
            np.testing.assert_allclose(left.numpy(), np.asarray(right), atol=1e-4)
        times: dict[str, list[float]] = {"ours": [], "peer": []}
        for _ in range(rounds):
            for name, call in (("ours", ours), ("peer", lambda: peer(x, w))):  # noqa: B023
                call()  # with the other's data in the cache
                started = time.process_time()
                for _ in range(PEER_STEPS):
                    call()
                times[name].append(1e3 * (time.process_time() - started) / PEER_STEPS)
        least = {f"{name}_ms": min(each) for name, each in times.items()}
        found[f"{qubits} qubits"] = {**least, "peer_compile_s": compiled}
        ratio = least["peer_ms"] / least["ours_ms"]
        print(f"{qubits} qubits: {least}, {ratio:.2f}x; compiled in {compiled:.1f} s", flush=True)
    return found


class Worker:
    """The process of one checkout."""

    def __init__(self, tree: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603 (the list is ours)
            [sys.executable, __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(tree.resolve()), "OMP_NUM_THREADS": "1"},
        )

    def ask(self, question):
        print(json.dumps(question), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


def beside(old: Path, rounds: int) -> dict:
    """Return the least times of both builds, in milliseconds of the processor."""
    workers = [Worker(old), Worker(Path(__file__).parents[1])]
    found = {}
    for name, (qubits, batch) in BESIDE.items():
        asked = workers[1:] if name in ONLY_NEW else workers
        with TemporaryDirectory() as folder:  # builds may choose other qubits
            path = Path(folder) / "isa.qpy"
            with path.open("wb") as file:
                backend = load_backend("fake_torino")
                qpy.dump(transpile_for(chain(qubits)[0], backend, seed=SEED), file)
            results = [worker.ask([str(path), qubits, batch]) for worker in asked]
        for left, right in zip(results[0], results[-1], strict=True):
            np.testing.assert_allclose(left, right, atol=1e-4)
        times = [[] for _ in asked]
        for _ in range(rounds):
            for worker, into in zip(asked, times, strict=True):
                into.append(worker.ask(3 if qubits <= 7 else 1))
        least = [min(each) for each in times]
        found[name] = {"old_ms": least[0] if len(asked) == 2 else None, "new_ms": least[-1]}
        ratio = f"{least[0] / least[1]:6.2f}x" if len(asked) == 2 else ""
        print(
            f"{name:>20}: " + " ".join(f"{each:9.2f} ms" for each in least) + f" {ratio}",
            flush=True,
        )
    return found


def write(path: Path | None, found: dict) -> None:
    """Write what was measured beside what the file holds of other runs."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**held, **found}, indent=2) + "\n")


def main() -> None:
    if sys.argv[1:] == ["--serve"]:
        serve()
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--beside", type=Path, help="folder of another checkout")
    parser.add_argument("--peer", type=int, nargs="+", help="qubits beside TensorCircuit-NG")
    parser.add_argument("--growth", action="store_true", help="6 to 10 qubits")
    parser.add_argument("--trajectories", action="store_true", help="12 qubits")
    parser.add_argument("--cost", action="store_true", help="the cost model beside what ways take")
    parser.add_argument("--sizes", action="store_true", help="these three")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    machine.one_thread()
    if options.growth or options.trajectories or options.cost or options.sizes:
        import noise_sizes  # of this build alone: an older one, beside it, lacks what it reads

        found = {}
        if options.growth or options.sizes:
            found["growth"] = noise_sizes.growth(chain, prepared, options.rounds)
        if options.trajectories or options.sizes:
            each = noise_sizes.by_trajectories(chain, 12, 256, min(options.rounds, 3))
            found["trajectories"] = {"12 qubits": each}
        if options.cost or options.sizes:
            found["cost"] = noise_sizes.costs(chain, [6, 7, 8, 9], min(options.rounds, 5))
        for name, each in found.items():
            write(options.json, {name: {"machine": machine.describe(), **each}})
        return
    if options.beside is not None:
        measured = beside(options.beside, options.rounds)
        write(options.json, {"beside": {"machine": machine.describe(), "ms": measured}})
        return
    if options.peer:
        measured = beside_peer(options.peer, options.rounds)
        write(options.json, {"tensorcircuit": {"machine": machine.describe(), "ms": measured}})
        return
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
    write(options.json, found)


if __name__ == "__main__":
    main()
