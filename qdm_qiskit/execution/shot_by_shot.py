"""Shots of rows that Aer runs one by one, so that no two rows share them.

Aer draws all shots of a row from its final state where it can. Where it cannot, since the circuit
resets or measures on its way, or noise is simulated by trajectories, shot ``s`` of row ``k`` of a job
runs with the seed ``seed + 2113 k + s``: beyond 2113 shots rows share their random numbers with the
next ones. So such jobs run in pieces of at most that many shots, each with a seed of its own.
"""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp, Qubit

from ..rng import derived_seed

__all__ = ["STRIDE", "measures_at_its_end", "pieces"]

STRIDE = 2113
"""Distance of the seeds of two rows of a job in Aer."""


def pieces(shots: int, seed: int, *, shared: bool) -> list[tuple[int, int]]:
    """Return the shots and the seed of each piece of a job.

    Args:
        shots: Shots of each row.
        seed: The job's seed, which the first piece keeps.
        shared: True if rows would share shots; else the job stays whole.

    >>> [shots for shots, _ in pieces(5000, 7, shared=True)]
    [2113, 2113, 774]
    >>> pieces(5000, 7, shared=False)
    [(5000, 7)]
    """
    if not shared or shots <= STRIDE:
        return [(shots, seed)]
    starts = range(0, shots, STRIDE)
    return [
        (min(STRIDE, shots - start), derived_seed(seed, "shots", k) if k else seed)
        for k, start in enumerate(starts)
    ]


def measures_at_its_end(circuit: QuantumCircuit) -> bool:
    """Return True if all shots of a circuit can be drawn from one final state.

    >>> circuit = QuantumCircuit(1, 1)
    >>> _ = circuit.h(0), circuit.measure(0, 0)
    >>> measures_at_its_end(circuit)
    True
    >>> _ = circuit.reset(0)
    >>> measures_at_its_end(circuit)
    False
    """
    done: set[Qubit] = set()
    for item in circuit.data:
        if item.operation.name == "barrier":
            continue
        if item.operation.name == "reset" or isinstance(item.operation, ControlFlowOp):
            return False
        if done.intersection(item.qubits):
            return False
        if item.operation.name == "measure":
            done.update(item.qubits)
    return True
