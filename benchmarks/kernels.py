"""How much faster is a kernel matrix from states than from a circuit for each pair?

The kernel of ``zz_feature_map``, full entanglement, on three numbers of qubits. Contenders, all on one
thread, in one process, in turn:

- ``ours``: ``QuantumKernel``, float64, the whole matrix;
- ``FidelityQuantumKernel`` of qiskit-machine-learning, whose default runs compute-uncompute circuits
  with 1024 shots a pair on Qiskit's StatevectorSampler;
- ``FidelityStatevectorKernel`` of the same library: exact, a state for each row, an inner product in
  Python for each pair.

Peers take a smaller matrix of pairs i < j, and their time is divided by its pairs: a pair's price
does not fall with the matrix where each pair is a circuit. That of the statevector kernel does, since
its states are n and not n**2: its ratio is too large by their share. Processor time counts, the
median of the rounds; values are compared first.

    python benchmarks/kernels.py [--rows 2000] [--peer-rows 24] [--rounds 3] [--json FILE]
    python benchmarks/kernels.py --rows 10000 --qubits 8 --rounds 1
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import json
import resource
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from qiskit.circuit.library import zz_feature_map
from qiskit_machine_learning.kernels import FidelityQuantumKernel, FidelityStatevectorKernel

from qdm_qiskit.kernels import QuantumKernel

SHOTS = 1024
"""What their sampler takes by default."""


def processor_seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(qubits: int, rows: int, peer_rows: int, statevector_rows: int, rounds: int) -> dict:
    circuit = zz_feature_map(qubits, reps=2)
    x = np.random.default_rng(0).uniform(-np.pi, np.pi, size=(rows, qubits))
    few, some = x[:peer_rows], x[:statevector_rows]
    ours = QuantumKernel(circuit)
    sampled = FidelityQuantumKernel(feature_map=circuit, enforce_psd=False)

    def by_statevectors() -> np.ndarray:
        peer = FidelityStatevectorKernel(feature_map=circuit, enforce_psd=False)
        return peer.evaluate(some)  # a fresh one: its cache holds the states

    exact = ours.matrix(few)
    error = np.sqrt(np.maximum(exact * (1 - exact), 1 / SHOTS) / SHOTS)
    assert (np.abs(sampled.evaluate(few) - exact) < 6 * error).all()
    apart = float(np.abs(by_statevectors() - ours.matrix(some)).max())
    assert apart < 1e-10
    work: dict[str, tuple[Callable[[], Any], int]] = {
        "ours": (lambda: ours.matrix(x), rows * (rows - 1) // 2),
        "FidelityQuantumKernel": (
            lambda: sampled.evaluate(few),
            peer_rows * (peer_rows - 1) // 2,
        ),
        "FidelityStatevectorKernel": (by_statevectors, len(some) * (len(some) - 1) // 2),
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, (each, _) in work.items():
            seconds[name].append(processor_seconds(each))
    micro = {name: 1e6 * median(seconds[name]) / pairs for name, (_, pairs) in work.items()}
    return {
        "qubits": qubits,
        "rows": {"ours": rows, "FidelityQuantumKernel": peer_rows, "statevector": len(some)},
        "seconds_of_ours": median(seconds["ours"]),
        "microseconds_a_pair": micro,
        "ratios": {name: each / micro["ours"] for name, each in micro.items() if name != "ours"},
        "largest_difference_from_statevectors": apart,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--qubits", type=int, nargs="+", default=[4, 6, 8])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--peer-rows", type=int, default=24)
    parser.add_argument("--statevector-rows", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    machine.one_thread()
    found = [
        measure(each, given.rows, given.peer_rows, given.statevector_rows, given.rounds)
        for each in given.qubits
    ]
    print("| qubits | rows | ours, s | us a pair | FidelityQuantumKernel | statevector |")
    for each in found:
        ratio = each["ratios"]
        print(
            f"| {each['qubits']} | {each['rows']['ours']} | {each['seconds_of_ours']:.3g} | "
            f"{each['microseconds_a_pair']['ours']:.3g} | {ratio['FidelityQuantumKernel']:,.0f}x | "
            f"{ratio['FidelityStatevectorKernel']:,.0f}x |"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of the process: {peak:.2f} GiB")
    if given.json:
        record = {
            "date": date.today().isoformat(),
            "machine": machine.describe(),
            "rounds": given.rounds,
            "peak_gib": round(peak, 3),
            "results": found,
        }
        given.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
