"""Sizes of the noisy engine: growth a qubit, trajectories beyond, and the cost model's constant.

Run by `python benchmarks/noise.py --growth`, `--trajectories` and `--cost`. All times are processor
time (`time.process_time`) of one thread, the least of several rounds in which sizes take turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from qiskit import QuantumCircuit, qpy
from qiskit.quantum_info import SparsePauliOp

from qdm_qiskit.engine import compile_noisy
from qdm_qiskit.engine.noise.column_steps import COLUMN_FLOPS, STEP_SECONDS
from qdm_qiskit.engine.noise.density_layouts import picture_seconds
from qdm_qiskit.execution.region import active_qubits, noise_of
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.passes import transpile_for

SEED = 1
GROWTH = (6, 7, 8, 9, 10)
BATCH = 32


def least(calls: dict[int, Callable[[], object]], rounds: int) -> dict[int, float]:
    """Return the least milliseconds of the processor of each call, in turn; each ran once before."""
    found: dict[int, float] = {}
    for _ in range(rounds):
        for key, call in calls.items():
            started = time.process_time()
            call()
            took = 1e3 * (time.process_time() - started)
            found[key] = min(took, found.get(key, took))
    return found


def transpiled(chain: Callable, qubits: int, layers: int = 4) -> QuantumCircuit:
    return transpile_for(chain(qubits, layers)[0], load_backend("fake_torino"), seed=SEED)


def growth(chain: Callable, prepared: Callable, rounds: int) -> dict:
    """Return milliseconds of a training step on 6 to 10 qubits, and each over the one before."""
    steps = {}
    for qubits in GROWTH:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "isa.qpy"
            with path.open("wb") as file:
                qpy.dump(transpiled(chain, qubits), file)
            steps[qubits] = prepared(str(path), qubits, BATCH)[0]
        steps[qubits]()
    times = least(steps, rounds)
    found = {}
    for qubits, took in times.items():
        ratio = took / times[qubits - 1] if qubits - 1 in times else None
        found[f"{qubits} qubits"] = {"ms": took, "over_one_less": ratio}
        told = "" if ratio is None else f"   {ratio:5.2f}x"
        print(f"{qubits:>3} qubits, batch {BATCH}: {took:9.2f} ms{told}", flush=True)
    return found


def by_trajectories(chain: Callable, qubits: int, trajectories: int, rounds: int) -> dict:
    """Return time and variance of trajectories, and how far they are from exact values.

    Two samples, values of Z on each qubit, gradients in weights. The exact values are those of the
    density program, for some of the observables.
    """
    isa = transpiled(chain, qubits)
    named = {parameter.name: parameter for parameter in isa.parameters}
    x, w = ([named[each.name] for each in group] for group in chain(qubits)[1:])
    noise = noise_of(load_backend("fake_torino"), active_qubits([isa]))
    observables = [
        SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], qubits).apply_layout(isa.layout)
        for q in range(qubits)
    ]
    rng = np.random.default_rng(SEED)
    inputs = torch.tensor(rng.uniform(-3, 3, (2, len(x))), dtype=torch.float32)
    weights = torch.tensor(rng.uniform(-3, 3, len(w)), dtype=torch.float32)
    program = compile_noisy(isa, noise, x, w, method="trajectories")

    def estimate() -> tuple:
        generator = torch.Generator().manual_seed(SEED)
        v = weights.clone().requires_grad_()
        mean, variance = program.estimate(
            observables, inputs, v, trajectories=trajectories, generator=generator
        )
        mean.square().mean().backward()
        return mean.detach(), variance

    mean, variance = estimate()
    took = least({0: estimate}, rounds)[0]
    few = observables[:: max(qubits // 3, 1)]
    with torch.no_grad():
        exact = compile_noisy(isa, noise, x, w, method="density").expectation(few, inputs, weights)
    apart = (mean[:, :: max(qubits // 3, 1)] - exact) / variance[:, :: max(qubits // 3, 1)].sqrt()
    found = {
        "ms": took,
        "trajectories": trajectories,
        "samples": len(inputs),
        "variance_factor": program.variance_factor,
        "mean_variance": float(variance.mean()),
        "largest_standard_error": float(variance.max().sqrt()),
        "largest_deviation_in_standard_errors": float(apart.abs().max()),
    }
    print(
        f"{qubits} qubits, {trajectories} trajectories, 2 samples: {took:9.1f} ms a step; variance of "
        f"a value {found['mean_variance']:.2e} (standard error at most "
        f"{found['largest_standard_error']:.3f}); {len(few)} observables at most "
        f"{found['largest_deviation_in_standard_errors']:.1f} standard errors from the exact ones",
        flush=True,
    )
    return found


def costs(chain: Callable, sizes: list[int], rounds: int) -> dict:
    """Return measured and modelled milliseconds of each way, and the constant that fits columns.

    The constant counts matrices as if all of their entries were there.
    """
    found: dict = {"now": COLUMN_FLOPS, "ways": {}}
    fits = []
    for qubits in sizes:
        isa = transpiled(chain, qubits)
        named = {parameter.name: parameter for parameter in isa.parameters}
        x, w = ([named[each.name] for each in group] for group in chain(qubits)[1:])
        noise = noise_of(load_backend("fake_torino"), active_qubits([isa]))
        observables = [
            SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], qubits).apply_layout(isa.layout)
            for q in range(qubits)
        ]
        inputs = torch.rand(4, len(x))
        weights = torch.rand(len(w))
        for name in (
            "columns, states",
            "columns, observables",
            "torch, states",
            "torch, observables",
        ):
            program = compile_noisy(isa, noise, x, w, method="density")
            backward = name.endswith("observables")
            model: list[float] = []
            work: list[float] = []

            def choose(key, strings, arguments, readout, name=name, program=program, backward=backward,
                       model=model, work=work):  # fmt: skip
                layouts = program._layouts
                place = ("cost", backward)
                if name.startswith("torch"):
                    pictures = layouts.pictures(arguments.covered, readout, 2, backward)
                    model[:] = [picture_seconds(pictures, arguments.batch, len(strings))]
                    return None
                if place not in program._ways.known:
                    program._ways.known[place] = program._ways.way(
                        arguments.covered, readout, strings, backward=backward
                    )
                way = program._ways.known[place]
                model[:] = [way.seconds(arguments.batch)]
                steps = sum(len(column.steps) for column in way.columns)
                times = 1 if backward else arguments.batch
                work[:] = [(model[0] - times * steps * STEP_SECONDS) * COLUMN_FLOPS]
                return way

            program._ways.choose = choose
            kept = {}

            def chosen(
                covered, readout, batch, count, program=program, backward=backward, kept=kept
            ):
                if not kept:
                    pictures = program._layouts.pictures(covered, readout, 2, backward)
                    kept[0] = program._layouts.compiled(pictures)
                return kept[0]

            program._layouts.chosen = chosen

            def step(program=program, observables=observables, inputs=inputs, weights=weights):
                v = weights.clone().requires_grad_()
                program.expectation(observables, inputs, v).square().mean().backward()

            step()
            took = least({0: step}, rounds)[0]
            found["ways"][f"{qubits} qubits, {name}"] = {"ms": took, "model_ms": 1e3 * model[0]}
            fitted = ""
            if work and qubits >= 8:  # below, calls of torch around columns are most of it
                fits.append(work[0] / (1e-3 * took))
                fitted = f"   {fits[-1] / 1e9:6.1f} Gflop/s"
            print(
                f"{qubits:>3} qubits, {name:>20}: {took:9.2f} ms, modelled "
                f"{1e3 * model[0]:9.2f}{fitted}",
                flush=True,
            )
    if fits:
        found["fitted"] = float(np.median(fits))
        print(f"COLUMN_FLOPS is {COLUMN_FLOPS:.3g}, fitted {found['fitted']:.3g}", flush=True)
    return found
