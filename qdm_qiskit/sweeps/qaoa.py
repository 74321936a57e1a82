"""QAOA for a table of values, on the engine (Farhi et al., arXiv:1411.4028).

The table is known in full, so its least entry is known without any circuit: what this shows is what
QAOA makes of such a table, not that it is needed.
"""

from __future__ import annotations

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from ..engine import compile_circuit
from ..errors import InvalidData

__all__ = ["qaoa_circuit", "qaoa_probabilities", "walsh"]


def walsh(values: np.ndarray) -> np.ndarray:
    """Return the coefficients of a table in products of Z, ``(2**n,)`` from ``(2**n,)``.

    Entry S belongs to the product of Z over the bits of S: ``values[x] = sum_S c_S (-1)**(S & x)``.

    >>> walsh(np.array([1.0, 3.0])).tolist()
    [2.0, -1.0]
    """
    found = np.array(values, dtype=np.float64)
    span = 1
    while span < len(found):
        halves = found.reshape(-1, 2, span)
        found = np.stack([halves[:, 0] + halves[:, 1], halves[:, 0] - halves[:, 1]], 1).reshape(-1)
        span *= 2
    return found / len(found)


def qaoa_circuit(values: np.ndarray, layers: int) -> QuantumCircuit:
    """Return QAOA's circuit for a table: phases ``exp(-i gamma values)``, then RX of all qubits.

    Args:
        values: ``(2**n,)``, n at least 1.
        layers: Of phases and mixers, at least 1.

    Returns:
        A circuit on n qubits with the parameters ``w_0000`` .., gamma and beta of each layer in turn.
        Its phases are exact up to a global one.
    """
    qubits = len(values).bit_length() - 1
    terms = walsh(values)
    angles = [Parameter(f"w_{k:04d}") for k in range(2 * layers)]
    circuit = QuantumCircuit(qubits, name="qaoa")
    circuit.h(range(qubits))
    for layer in range(layers):
        for number in range(1, len(terms)):
            members = [q for q in range(qubits) if number >> q & 1]
            *others, last = members
            if abs(terms[number]) < 1e-12:
                continue
            for qubit in others:
                circuit.cx(qubit, last)
            circuit.rz(2 * float(terms[number]) * angles[2 * layer], last)
            for qubit in reversed(others):
                circuit.cx(qubit, last)
        for qubit in range(qubits):
            circuit.rx(2 * angles[2 * layer + 1], qubit)
    return circuit


def qaoa_probabilities(
    values: np.ndarray, *, layers: int = 2, steps: int = 60, starts: int = 3, seed: int = 0
) -> np.ndarray:
    """Return the probabilities of all outcomes at angles that Adam trains for the least mean value.

    Args:
        values: ``(2**n,)`` finite, n at least 1.
        layers, steps, starts: Of the circuit, and of the training from random angles.
        seed: Of the angles.

    Returns:
        ``(2**n,)``, of the best start.

    Raises:
        InvalidData: If the table has another length or a value is not finite.
    """
    size = len(values)
    if size < 2 or size & (size - 1) or not np.isfinite(values).all():
        raise InvalidData(f"QAOA takes 2**n finite values, n at least 1, got {size}.")
    spread = float(values.std()) or 1.0
    table = (values - values.mean()) / spread
    circuit = qaoa_circuit(table, layers)
    program = compile_circuit(circuit, weights=tuple(circuit.parameters))
    target = torch.from_numpy(table)
    generator = torch.Generator().manual_seed(seed)
    best, found = float("inf"), np.full(size, 1 / size)
    for _ in range(starts):
        weights = torch.rand(2 * layers, generator=generator, dtype=torch.float64)
        weights.requires_grad_(True)
        optimizer = torch.optim.Adam([weights], lr=0.1)
        for step in range(steps + 1):
            chances = program.probabilities(None, weights).reshape(-1)
            loss = (chances * target.to(chances)).sum()
            if step == steps:
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if loss.item() < best:
            best = loss.item()
            found = chances.detach().double().clamp(min=0).numpy()
    return found / found.sum()
