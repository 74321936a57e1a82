"""Processes that share circuits get what one process gets, each for a part of the work."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qdm_qiskit.errors import TargetUnavailable
from qdm_qiskit.training import TrainingConfig
from qdm_qiskit.training.targets import seen_memory
from qdm_qiskit.training.targets.device import NoiseScale
from qdm_qiskit.training.targets.draws import Draws
from qdm_qiskit.training.targets.seen_memory import SeenMemory
from qdm_qiskit.training.targets.sharing import Sharing
from qdm_qiskit.training.targets.shifts import AerJoint
from qdm_qiskit.training.targets.target import TrainingTarget
from tests.training.test_processes import launched


class Sums:
    """Sums over threads, in place of processes."""

    def __init__(self, count: int) -> None:
        self.count, self.barrier = count, threading.Barrier(count, timeout=60)
        self.lock, self.total = threading.Lock(), None

    def add(self, numbers: torch.Tensor) -> None:
        with self.lock:
            self.total = numbers.clone() if self.total is None else self.total + numbers
        self.barrier.wait()
        numbers.copy_(self.total)
        if self.barrier.wait() == 0:
            self.total = None
        self.barrier.wait()


def by_all(count, function):
    """What a function of a sharing finds in each of several threads."""
    sums = Sums(count)
    each = [Sharing(index, count, sums.add) for index in range(count)]
    for one in each:
        one.active = True
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(function, each))


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("count", [2, 3])
def test_rows_and_their_gradients_are_those_of_one(rows, count):
    generator = torch.Generator().manual_seed(1)
    given = [torch.rand(rows, 4, generator=generator), torch.rand(4, generator=generator)]
    asked = []

    def function(values, angles, first):
        asked.append((first, len(values)))
        return torch.sin(values * angles).cumsum(1)

    def found(sharing):
        values, angles = (each.clone().requires_grad_() for each in given)
        out = (
            function(values, angles, 0)
            if sharing is None
            else sharing.rows(function, values, angles, 4)
        )
        (out * torch.arange(4.0)).sum().backward()
        return out.detach(), values.grad, angles.grad

    alone = found(None)
    asked.clear()
    for each in by_all(count, found):
        for ours, theirs in zip(each, alone, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    assert sum(mine for _, mine in asked) == rows
    assert {first for first, _ in asked} == {
        rows * k // count for k in range(count) if rows * (k + 1) // count > rows * k // count
    }


@pytest.mark.parametrize("shots", [None, 40])
def test_shifted_circuits_of_one_row_are_shared_out_on_aer(shots):
    weights = [Parameter(f"w_{k}") for k in range(3)]
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("x_0"), 0)
    for k in range(3):
        circuit.ry(weights[k], k % 2)
        circuit.cx(0, 1)
    ran = []

    def found(sharing):
        draws = Draws(5)
        draws.begin(0, 1)
        measured = circuit.measure_all(inplace=False)
        joint = AerJoint(measured, circuit, [0, 1], [0, 1], "layer", draws, shots, sharing=sharing)
        run = joint._run

        def counted(turns, rows):
            ran.append(rows.stop - rows.start)
            return run(turns, rows)

        joint._run = counted
        angles = torch.linspace(0.2, 0.9, 3, dtype=torch.float64).requires_grad_()
        out = joint(torch.full((1, 1), 0.4, dtype=torch.float64), angles)
        (out * torch.arange(4.0, dtype=torch.float64)).sum().backward()
        return out.detach(), angles.grad

    alone = found(None)
    assert ran == [1, 6]
    ran.clear()
    for each in by_all(2, found):
        for ours, theirs in zip(each, alone, strict=True):
            assert torch.equal(ours, theirs)
    assert sorted(ran) == [0, 1, 3, 3]


@pytest.mark.parametrize(
    ("images", "options", "together"),
    [
        (1, {"train_on": "aer"}, True),
        (2, {"train_on": "aer"}, False),
        (9, {"train_on": "aer", "train_shots": 10}, True),
        (9, {"train_on": "noisy:fake_manila", "noise_injection": True}, True),
        (None, {"train_on": "noisy:fake_manila"}, True),
    ],
)
def test_who_runs_the_circuits_of_a_batch(images, options, together):
    sharing = Sharing(0, 2, torch.nn.Identity())
    target = TrainingTarget([{}], Draws(0), NoiseScale(), TrainingConfig(**options), None, sharing)
    assert target.together(images) is together is sharing.works


def test_one_process_shares_nothing():
    sharing = Sharing(0, 1, torch.nn.Identity())
    target = TrainingTarget(
        [{}], Draws(0), NoiseScale(), TrainingConfig(train_on="aer"), None, sharing
    )
    assert not target.together(1)
    assert sharing.team is None


def test_memory_is_seen_by_all_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(seen_memory, "_IN_MEMORY", tmp_path)
    sums = Sums(2)

    def seen(index):
        memory = SeenMemory(index, 2, sums.add)
        assert memory.everywhere
        place = memory.address(20_000)
        for time in range(1, 8):
            if time % 2 == index:
                memory._bytes[19_999] = time
            memory.meet()
            assert memory._bytes[19_999] == time
            memory.meet()
        return place, int(memory._bytes[19_999])

    with ThreadPoolExecutor(2) as pool:
        (first, one), (second, two) = pool.map(seen, range(2))
    assert first != second, "two mappings of one file"
    assert one == two == 7
    assert not list(tmp_path.iterdir())


def test_no_room_is_said_in_one_line(monkeypatch):
    memory = SeenMemory(0, 1, torch.nn.Identity())
    monkeypatch.setattr(SeenMemory, "_created", staticmethod(lambda size: b""))
    with pytest.raises(TargetUnavailable, match=r"no room for 95 MiB that processes share.*one pr"):
        memory.address(10**8)


def test_a_file_that_is_not_there_is_seen_by_nobody(monkeypatch, tmp_path):
    monkeypatch.setattr(SeenMemory, "_mapped", staticmethod(lambda path, size: None))
    monkeypatch.setattr(seen_memory, "_IN_MEMORY", tmp_path)
    assert not SeenMemory(0, 1, torch.nn.Identity()).everywhere
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_processes_run_one_density_matrix_together(tmp_path):
    done = launched(2, "tests.training.targets.in_team", tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"{k}.pt", weights_only=True) for k in range(2))
    for name, numbers in first["alone"].items():
        assert float(numbers.abs().max()) > 1e-3
        for found in (first["together"][name], second["together"][name]):
            np.testing.assert_allclose(found, numbers, rtol=1e-10, atol=1e-12)
