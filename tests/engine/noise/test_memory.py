"""Predictions of memory against what a process takes."""

from __future__ import annotations

import ctypes
import gc
import platform
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from qiskit.quantum_info import SparsePauliOp

from qdm_qiskit.engine.noise import DensityProgram, compile_noisy, working_memory
from tests.engine.noise.test_columns import chain, relaxing

REFS = Path("/proc/self/clear_refs")
SLACK = 2**24
"""Bytes that the allocator keeps, and that no prediction of megabytes knows."""
FACTOR = 4
"""How many times as much may be predicted: gaps between tensors count, and are not always there."""


TIMES = 3


def of_process(name: str) -> int:
    """Return a line of the process's status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (found,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(found.split()[1]) * 1024


def peak_of(call) -> int:
    """Return how far the memory of the process rises above what it holds now."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(
        0
    )  # what is free goes back, so that it counts when it is taken again
    REFS.write_text("5")  # the peak begins anew
    before = of_process("VmRSS")
    call()
    return of_process("VmHWM") - before


def check(asked: list[int], taken: list[int]) -> None:
    """Hold a prediction to what was taken, now more, now less."""
    (predicted,) = set(asked)
    assert min(taken) <= predicted + SLACK
    assert predicted <= FACTOR * max(taken) + SLACK


Measured = tuple[list[int], list[int]]


M_MMAP_THRESHOLD = -3
"""mallopt(3)'s number of the size from which a block is mapped on its own."""
MAPPED = 2**20


def map_blocks() -> None:
    """Map each block of a megabyte on its own, so that a process takes what its tensors need.

    Otherwise glibc keeps blocks of up to 32 MiB (engine/evolution/allocator.py asks it to), and a step
    whose tensors do not fit into what lies between takes up to twice its need: no prediction's matter,
    as tens of megabytes are no memory that is missing.
    """
    assert ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MAPPED)


@pytest.fixture(scope="module")
def in_a_process_of_its_own():
    """Call a function in a process that holds nothing else, and whose blocks are mapped."""
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=map_blocks) as pool:
        yield lambda call, *arguments: pool.submit(call, *arguments).result()


needs_the_system = pytest.mark.skipif(
    not REFS.exists() or platform.libc_ver()[0] != "glibc",
    reason="the system does not say what a process takes",
)


def of_densities(qubits: int, batch: int, strings: int, picture: str, grad: bool) -> Measured:
    """Return what steps of a program of densities asked for, and what each took."""
    torch.set_num_threads(1)  # the memory of other threads stays theirs
    circuit, inputs, weights = chain(qubits, 2 if picture == "observables" else 1)
    program = compile_noisy(circuit, relaxing(), inputs, weights, method="density")
    assert isinstance(program, DensityProgram)
    asked: list[int] = []

    def choose(key, several, arguments, readout):
        if picture == "torch":
            return None
        backward = picture == "observables"
        place = (arguments.covered, backward)
        if place not in program._ways.known:
            way = program._ways.way(arguments.covered, readout, several, backward=backward)
            program._ways.known[place] = way
        return program._ways.known[place]

    observables = [
        SparsePauliOp.from_sparse_list([("Z", [qubits - 1 - k], 1.0)], qubits)
        for k in range(strings)
        if strings <= 2
    ]

    def step(rows: int) -> None:
        x = torch.rand(rows, qubits).requires_grad_(grad)
        w = torch.rand(len(weights)).requires_grad_(grad)
        state = None
        if picture == "states" and observables:
            state = torch.randn(rows, 2**qubits, dtype=torch.complex64).requires_grad_(grad)
        if observables:
            values = program.expectation(observables, x, w, state)
        else:
            values = program.probabilities(x, w)
        if grad:
            values.square().sum().backward()

    with pytest.MonkeyPatch.context() as monkeypatch:
        for module in ("density", "column_ways"):
            monkeypatch.setattr(
                f"qdm_qiskit.engine.noise.{module}.check_memory",
                lambda needed, *_: asked.append(needed),
            )
        monkeypatch.setattr(program._ways, "choose", choose)
        monkeypatch.setattr(working_memory, "_memory", working_memory._Memory())
        step(16)  # machine code and layouts stay, and are no part of what a step takes
        asked.clear()
        taken = []
        for _ in range(TIMES):
            working_memory._memory._held = np.empty(0, np.uint8)
            taken.append(peak_of(lambda: step(batch)))
    return asked, taken


@needs_the_system
@pytest.mark.parametrize(
    ("qubits", "batch", "strings", "picture"),
    [
        (10, 32, 2, "observables"),
        pytest.param(11, 32, 2, "observables", marks=pytest.mark.slow),
        (7, 160, 2, "states"),
        (4, 20000, 16, "torch"),
        pytest.param(8, 512, 256, "states", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("grad", [False, True])
def test_predictions_are_no_less_and_no_four_times_what_is_taken(
    qubits, batch, strings, picture, grad, in_a_process_of_its_own
):
    check(*in_a_process_of_its_own(of_densities, qubits, batch, strings, picture, grad))


def of_trajectories(qubits: int) -> Measured:
    """Return what chunks of trajectories asked for, and what each took."""
    torch.set_num_threads(1)
    circuit, inputs, weights = chain(qubits, 2)
    program = compile_noisy(circuit, relaxing(), inputs, weights, method="trajectories")
    asked: list[int] = []
    observables = [SparsePauliOp("Z" + "I" * (qubits - 1))]

    def step(trajectories: int) -> None:
        w = torch.rand(len(weights)).requires_grad_()
        values = program.expectation(
            observables, torch.rand(4, qubits), w, trajectories=trajectories
        )
        values.square().sum().backward()

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(
            "qdm_qiskit.engine.noise.trajectories.check_memory",
            lambda needed, *_: asked.append(needed),
        )
        step(2)
        asked.clear()
        taken = [peak_of(lambda: step(1600 if qubits == 4 else 300)) for _ in range(TIMES)]
    return asked, taken


@needs_the_system
@pytest.mark.parametrize("qubits", [4, 8])
def test_a_chunk_of_trajectories_takes_what_was_predicted(qubits, in_a_process_of_its_own):
    check(*in_a_process_of_its_own(of_trajectories, qubits))
