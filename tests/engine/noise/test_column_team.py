"""A team runs the column of a state together: each its parts, and all get the numbers of one alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit_aer.noise import NoiseModel, amplitude_damping_error, depolarizing_error

from qdm_qiskit.engine.noise import column_team, compile_noisy
from qdm_qiskit.engine.noise.column_team import own_parts, run_together, working_together


class Threads:
    """What the threads of a team share."""

    def __init__(self, count: int) -> None:
        self.count, self.barrier = count, threading.Barrier(count, timeout=60)
        self.lock, self.bytes = threading.Lock(), np.zeros(0, np.uint8)
        self.total: torch.Tensor | None = None


class Thread:
    """One thread of a team, in place of a process."""

    def __init__(self, index: int, all_of: Threads) -> None:
        self.index, self.count, self._all = index, all_of.count, all_of
        self.waits = 0

    def wait(self) -> None:
        self.waits += 1
        self._all.barrier.wait()

    def add(self, numbers: torch.Tensor) -> None:
        with self._all.lock:
            total = self._all.total
            self._all.total = numbers.clone() if total is None else total + numbers
        self._all.barrier.wait()
        numbers.copy_(self._all.total)
        self._all.barrier.wait()
        self._all.total = None
        self._all.barrier.wait()

    def memory(self, size: int) -> int:
        self._all.barrier.wait()
        with self._all.lock:
            if len(self._all.bytes) < size + 64:
                self._all.bytes = np.zeros(size + 64, np.uint8)
        self._all.barrier.wait()
        return -(-self._all.bytes.ctypes.data // 64) * 64


def noisy_program(qubits: int):
    x, w = ParameterVector("x", qubits), ParameterVector("w", 2 * qubits)
    circuit = QuantumCircuit(qubits)
    for qubit in range(qubits):
        circuit.ry(x[qubit], qubit)
        circuit.rx(w[qubit], qubit)
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
    for qubit in range(qubits):
        circuit.ry(w[qubits + qubit], qubit)
    circuit.cx(qubits - 1, 0)
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.02, 2), ["cx"])
    noise.add_all_qubit_quantum_error(amplitude_damping_error(0.03), ["ry", "rx"])
    return compile_noisy(circuit, noise, list(x), list(w), method="density")


def result(qubits: int, team: Thread | None, dtype: torch.dtype, batch: int = 1):
    program = noisy_program(qubits)
    generator = torch.Generator().manual_seed(3)
    inputs = torch.rand(batch, qubits, dtype=dtype, generator=generator).requires_grad_()
    weights = torch.rand(2 * qubits, dtype=dtype, generator=generator).requires_grad_()
    with working_together(team):
        found = program.probabilities(inputs, weights)
    (found * torch.linspace(0, 1, 2**qubits, dtype=dtype)).sum().backward()
    return found.detach(), inputs.grad, weights.grad


@pytest.mark.parametrize(
    ("qubits", "count", "batch", "dtype"),
    [(6, 2, 1, torch.float64), (7, 3, 2, torch.float64), (7, 2, 1, torch.float32)],
)
def test_a_team_finds_what_one_finds(monkeypatch, qubits, count, batch, dtype):
    for name, span in column_team.SPANS.items():  # as in large columns
        monkeypatch.setitem(column_team.SPANS, name, replace(span, least=1))
    alone = result(qubits, None, dtype, batch)
    threads = Threads(count)
    team = [Thread(index, threads) for index in range(count)]
    with ThreadPoolExecutor(count) as pool:
        each = list(pool.map(lambda one: result(qubits, one, dtype, batch), team))
    assert all(one.waits > 4 for one in team), "nobody worked together"
    close = 1e-12 if dtype == torch.float64 else 1e-4
    for found in each:
        torch.testing.assert_close(found[0], alone[0], rtol=close, atol=close)
        for ours, theirs in zip(found[1:], alone[1:], strict=True):
            assert float(theirs.abs().max()) > 1e-3
            torch.testing.assert_close(ours, theirs, rtol=close, atol=close)


@pytest.mark.parametrize(("parts", "count"), [(64, 2), (65, 2), (3, 5), (0, 2), (4096, 7)])
def test_each_part_is_somebodys_own(parts, count):
    ranges = [own_parts(parts, index, count) for index in range(count)]
    assert [k for first, end in ranges for k in range(first, end)] == list(range(parts))
    sizes = [end - first for first, end in ranges]
    assert max(sizes) - min(sizes) <= 1


def test_records_run_in_order_and_each_number_once():
    names = ["scatter", "parts_of", "parts_of", "parts_of", "gather", "clear", "grow"]
    fields = {"parts_of": 3, "clear": 3, "grow": 4}
    address = [*fields, "shrink", "gather", "scatter"].index
    ends = [0, 1000, 1001, 3, 0, 16 * 2001, 20_000]
    ran = []
    for index in range(2):
        records = np.zeros((len(names), 8), np.int64)
        for row, name, end in zip(records, names, ends, strict=True):
            row[0], row[fields.get(name, 7)] = address(name), end
        member = Thread(0, Threads(1))
        member.index, member.count = index, 2
        order: list[int] = []
        run_together(
            lambda _, first, end, order=order: order.extend(range(first, end)),
            records,
            member,
            address,
        )
        ran.append((order, records, member.waits))
    (first, ours, waits), (second, theirs, as_many) = ran
    assert first == list(range(7))
    assert second == [1, 2, 4, 5, 6]
    assert waits == as_many
    for row, begin, end, whole in (
        (1, 6, 3, 1000),
        (2, 6, 3, 1001),
        (5, 4, 3, 32016),
        (6, 5, 4, 20_000),
    ):
        assert (ours[row, begin], theirs[row, end]) == (0, whole)
        assert ours[row, end] == theirs[row, begin]
        assert abs(2 * ours[row, end] - whole) <= 16
    assert ours[5, 3] % 16 == 0
