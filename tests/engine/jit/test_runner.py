"""Whole programs as machine code, tile by tile: against Qiskit, and against the steps in torch."""

from __future__ import annotations

import copy
import gc
import math
import os
import pickle
import select
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import SparsePauliOp, Statevector, random_unitary
from torch.autograd import forward_ad

from qdm_qiskit.engine import CircuitProgram, compile_circuit
from qdm_qiskit.engine import program as program_module
from qdm_qiskit.engine.jit import runner, step_table, tile_work

FREE = ("rx", "ry", "rz", "p", "u", "crx", "cry", "crz", "cp", "rxx", "ryy", "rzz", "rzx", "cu")
FIXED = (
    "h",
    "s",
    "tdg",
    "sx",
    "y",
    "cx",
    "cz",
    "swap",
    "iswap",
    "ecr",
    "ch",
    "ccx",
    "cswap",
    "ccz",
)
ANGLES = {"u": 3, "cu": 4}


@pytest.fixture(autouse=True, scope="module")
def _tiles_always() -> Iterator[None]:
    """Tiles are chosen wherever they are possible, for small programs too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qdm_qiskit.engine.program.TILES_PAY", math.inf)
        patch.setattr("qdm_qiskit.engine.jit.whole_program.SMALL_US", 0.0)
        yield


def qubits_of(name: str) -> int:
    """How many qubits a gate takes."""
    if name in ("ccx", "cswap", "ccz"):
        return 3
    two = ("crx", "cry", "crz", "cp", "rxx", "ryy", "rzz", "rzx", "cu")
    return 2 if name in (*two, "cx", "cz", "swap", "iswap", "ecr", "ch") else 1


class Problem:
    """A circuit with all that it is run with.

    Args:
        num_qubits: 1 to 5.
        gates: Name, or a number for a random unitary matrix; an order of qubits; whether angles are
            inputs.
        seed: Of angles, inputs, weights and states.
    """

    def __init__(
        self, num_qubits: int, gates: list[tuple[str | int, list[int], bool]], batch: int, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        self.circuit = QuantumCircuit(num_qubits, global_phase=0.4)
        free = {True: ParameterVector("x", 3), False: ParameterVector("w", 6)}

        def angle(is_input: bool) -> Any:
            pool = free[is_input]
            found = pool[int(rng.integers(len(pool)))] * float(rng.choice([1, -0.5])) + 0.1
            return found * free[False][0] if is_input and rng.random() < 0.3 else found

        for name, order, is_input in gates:
            if isinstance(name, int):
                where = order[: min(name, num_qubits)]
                self.circuit.unitary(random_unitary(2 ** len(where), seed=rng), where)
            elif qubits_of(name) <= num_qubits:
                count = ANGLES.get(name, 1) if name in FREE else 0
                angles = [angle(is_input) for _ in range(count)]
                getattr(self.circuit, name)(*angles, *order[: qubits_of(name)])
        # The end has weights on all qubits, so that there is something for tiles to do.
        for qubit in range(num_qubits):
            self.circuit.ry(angle(False), qubit)
            if qubit:
                self.circuit.crx(angle(False), qubit - 1, qubit)
        used = list(self.circuit.parameters)
        self.x = [each for each in used if each.name.startswith("x")]
        self.w = [each for each in used if each.name.startswith("w")]
        self.program = compile_circuit(self.circuit, self.x, self.w)
        self.inputs = torch.tensor(rng.uniform(-2, 2, (batch, len(self.x))))
        self.weights = torch.tensor(rng.uniform(-2, 2, len(self.w)))
        states = rng.normal(size=(2, batch, 2**num_qubits))
        states = states[0] + 1j * states[1]
        self.states = torch.tensor(states / np.linalg.norm(states, axis=1, keepdims=True))
        self.direction = torch.tensor(rng.normal(size=(2, batch, 2**num_qubits)))

    def lay_out(self, way: str | None) -> None:
        """Run this way; as the program itself chooses, if None."""
        if way is None:
            return
        n = self.circuit.num_qubits
        ending = way if n > 1 else {"blocks of 3": "blocks of 1"}.get(way, "gates one by one")
        ending = ending.replace("3", str(min(n, 3)))
        for covered in ((), tuple(range(n))):
            lay_out(self.program, ending, covered)

    def expected(self, row: int, *, zero: bool = False) -> np.ndarray:
        """Qiskit's final state of one sample."""
        values = dict(zip(self.x, self.inputs[row].tolist(), strict=True))
        values |= dict(zip(self.w, self.weights.tolist(), strict=True))
        bound = self.circuit.assign_parameters(values)
        start = Statevector(self.states[row].numpy())
        return np.asarray((Statevector(bound) if zero else start.evolve(bound)).data)

    def arguments(self, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
        """Inputs, weights and initial states that want gradients."""
        number = torch.complex128 if dtype == torch.float64 else torch.complex64
        kept = [self.inputs.to(dtype), self.weights.to(dtype), self.states.to(number)]
        return [each.clone().requires_grad_() for each in kept]

    def loss(self, state: torch.Tensor) -> torch.Tensor:
        """Not symmetric in any amplitude."""
        real, imaginary = self.direction.to(state.real.dtype)
        linear = (state.real * real + state.imag * imaginary).sum()
        return linear + (state.abs() ** 2 * real).sum()

    def gradients(self, program: CircuitProgram, dtype: torch.dtype = torch.float64) -> list:
        """The loss, and its gradients."""
        arguments = self.arguments(dtype)
        loss = self.loss(program.statevector(*arguments))
        return [loss.detach(), *torch.autograd.grad(loss, arguments, allow_unused=True)]


@st.composite
def problems(draw: Callable[..., Any]) -> Problem:
    num_qubits = draw(st.integers(1, 5))
    name = st.one_of(st.sampled_from(FREE), st.sampled_from(FIXED), st.integers(1, 5))
    gate = st.tuples(
        name, st.permutations(range(num_qubits)), st.integers(0, 3).map(lambda k: not k)
    )
    gates = draw(st.lists(gate, max_size=14))
    return Problem(num_qubits, gates, draw(st.integers(1, 40)), draw(st.integers(0, 999)))


def layers(num_qubits: int, depth: int) -> tuple[QuantumCircuit, list[Parameter]]:
    """Rotations, controlled rotations and CX gates on all qubits, again and again."""
    circuit, w = QuantumCircuit(num_qubits), ParameterVector("w", 3 * num_qubits * depth)
    angles = iter(w)
    for _ in range(depth):
        for qubit in range(num_qubits):
            circuit.ry(next(angles), qubit)
            circuit.rz(next(angles), qubit)
        for qubit in range(num_qubits):
            circuit.crx(next(angles), qubit, (qubit + 1) % num_qubits)
        circuit.cx(0, num_qubits - 1)
    return circuit, list(w)


def small(batch: int = 3) -> Problem:
    """Steps of all kinds: blocks with and without weights, permutations, phases; inputs at first."""
    gates: list[tuple[str | int, list[int], bool]] = [
        ("rx", [0, 1, 2], True),
        ("u", [2, 1, 0], True),
        ("cry", [1, 2, 0], False),
        (2, [2, 0, 1], False),
        ("ccx", [0, 2, 1], False),
        ("rzz", [0, 2, 1], False),
        ("cp", [1, 2, 0], False),
        ("swap", [0, 1, 2], False),
        ("u", [1, 0, 2], False),
        ("rxx", [2, 0, 1], False),
    ]
    return Problem(3, gates, batch, seed=5)


def lay_out(
    program: CircuitProgram, ending: str, covered: tuple[int, ...], *, head: bool = False
) -> None:
    """Let it take a way to use tiles whose name ends like this, with the longest head or the least."""
    options = program_module.tile_options

    def wanted(*arguments: Any, **named: Any) -> list[Any]:
        found = [each for each in options(*arguments, **named) if each.name.endswith(f": {ending}")]
        found.sort(key=lambda each: len(each.head), reverse=head)
        assert found[0].head or not head
        return found[:1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program_module, "tile_options", wanted)
        program._layout(covered, tiled=True)
    assert program._layouts[covered, True].tiles is not None


WAYS = ("gates one by one", "entangling monomials apart, blocks of 2", "blocks of 3")
"""Gates with angles by themselves; phases and permutations; and blocks."""


def uses_tiles(program: CircuitProgram) -> bool:
    """Whether tiles ran in all runs that may have them."""
    tiled = [layout for (_, may_tile), layout in program._layouts.items() if may_tile]
    return bool(tiled) and all(layout.tiles is not None for layout in tiled)


def close(found: Any, expected: Any, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


# ---- values ----------------------------------------------------------------------------------


@settings(max_examples=14, deadline=None)
@given(problems(), st.sampled_from((None, *WAYS)))
def test_states_are_those_of_qiskit(problem, way):
    problem.lay_out(way)
    got = problem.program.statevector(problem.inputs, problem.weights, problem.states)
    zero = problem.program.statevector(problem.inputs, problem.weights)
    assert uses_tiles(problem.program)
    batch = len(problem.inputs)
    for row in {0, batch // 2, batch - 1}:
        np.testing.assert_allclose(got[row], problem.expected(row), rtol=0, atol=1e-10)
        expected = problem.expected(row, zero=True)
        np.testing.assert_allclose(zero[row if len(zero) > 1 else 0], expected, rtol=0, atol=1e-10)
    plain = problem.program.without_recomputation()
    close(got, plain.statevector(problem.inputs, problem.weights, problem.states))


@settings(max_examples=12, deadline=None)
@given(problems(), st.sampled_from((None, *WAYS)))
def test_gradients_are_those_of_the_steps_in_torch(problem, way):
    problem.lay_out(way)
    got = problem.gradients(problem.program)
    assert uses_tiles(problem.program)
    close(got, problem.gradients(problem.program.without_recomputation()))


@pytest.mark.parametrize("batch", [1, 3, 8, 16, 17, 33])
def test_single_precision_and_batches_around_a_tile(batch):
    problem = Problem(3, [("u", [0, 2, 1], False), ("cx", [2, 0, 1], False)] * 4, batch, seed=batch)
    got = problem.gradients(problem.program, torch.float32)
    assert uses_tiles(problem.program)
    assert got[3].dtype == torch.complex64
    expected = problem.gradients(problem.program)
    # Some 30 products with a rounding error of 6e-8 each, and gradients of the order of the batch.
    scale = max(float(each.abs().max()) for each in expected if each is not None and each.numel())
    for left, right in zip(got, expected, strict=True):
        if right is not None:
            torch.testing.assert_close(left, right.to(left.dtype), rtol=0, atol=30 * 6e-8 * scale)


def test_initial_states_on_some_qubits():
    circuit, w = layers(4, 2)
    program = compile_circuit(circuit, (), w)
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(len(w), dtype=torch.float64, generator=generator)
    part = torch.randn(5, 4, dtype=torch.complex128, generator=generator)
    full = torch.zeros(5, 16, dtype=torch.complex128)
    for j in range(4):
        full[:, ((j & 1) << 3) | ((j >> 1) << 1)] = part[:, j]
    close(
        program.statevector(None, weights, part, initial_qubits=(3, 1)),
        program.statevector(None, weights, full),
    )
    assert len(program._layouts) == 2
    assert uses_tiles(program)


def test_projections_before_the_tiles():
    circuit, w = QuantumCircuit(3, 1), ParameterVector("w", 9)
    for qubit in range(3):
        circuit.ry(w[qubit], qubit)
    circuit.crx(w[3], 0, 2)
    circuit.measure(2, 0)
    circuit.reset(2)
    for k in range(4, 9):
        circuit.cry(w[k], k % 3, (k + 1) % 3)
    for renormalise in (False, True):
        program = compile_circuit(circuit, (), list(w), postselect={0: 1}, renormalise=renormalise)
        gradients = []
        for each in (program, program.without_recomputation()):
            weights = torch.linspace(0.5, 3, 9, dtype=torch.float64, requires_grad=True)
            loss = each.probabilities(None, weights)[0, 1:4].sum()
            gradients.append((loss.detach(), *torch.autograd.grad(loss, weights)))
        close(*gradients)
        assert uses_tiles(program)


@pytest.mark.slow
def test_single_precision_after_300_layers():
    circuit, w = layers(2, 300)
    program = compile_circuit(circuit, (), w)
    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(len(w), dtype=torch.float64, generator=generator)
    states = torch.randn(3, 4, dtype=torch.complex128, generator=generator)
    states /= torch.linalg.vector_norm(states, dim=1, keepdim=True)
    found = []
    for own, state in ((weights, states), (weights.float(), states.to(torch.complex64))):
        own, state = own.requires_grad_(), state.requires_grad_()
        final = program.statevector(None, own, state)
        loss = (final.abs()[:, :3] ** 2).sum()
        found.append((final.detach(), *torch.autograd.grad(loss, (own, state))))
    assert uses_tiles(program)
    for double, single in zip(*found, strict=True):
        error = float((double - single.to(double.dtype)).abs().max())
        assert 0 < error < 1e-4


# ---- derivatives -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_gradcheck_in_inputs_weights_and_initial_state(way):
    problem = small()
    problem.lay_out(way)
    assert torch.autograd.gradcheck(problem.program.probabilities, problem.arguments())
    assert uses_tiles(problem.program)


def test_second_derivatives():
    problem = small(batch=1)
    arguments = problem.arguments()
    program = problem.program
    assert torch.autograd.gradgradcheck(
        lambda *each: program.probabilities(*each)[:, :2], arguments
    )
    assert uses_tiles(program)


@pytest.mark.parametrize("way", WAYS)
def test_a_graph_of_the_gradient_equals_that_of_the_steps_in_torch(way):
    problem = small()
    problem.lay_out(way)
    found = []
    for program in (problem.program, problem.program.without_recomputation()):
        arguments = problem.arguments()
        loss = problem.loss(program.statevector(*arguments))
        first = torch.autograd.grad(loss, arguments, create_graph=True)
        norm = sum((each.abs() ** 2).sum() for each in first)
        found.append([*(each.detach() for each in first), *torch.autograd.grad(norm, arguments)])
    close(*found, tolerance=1e-9)
    assert uses_tiles(problem.program)


def test_a_graph_of_the_gradient_counts_shared_blocks_once():
    """Steps before the tiles use matrices of the same group: weights, inputs, weights."""
    x, a, b = Parameter("x"), Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(1)
    circuit.ry(a, 0)
    circuit.rx(x, 0)
    circuit.ry(b, 0)
    program = compile_circuit(circuit, [x], [a, b])
    lay_out(program, "blocks of 1", (0,), head=True)
    inputs = torch.tensor([[0.3], [1.1]], dtype=torch.float64)
    weights = torch.tensor([0.4, 0.9], dtype=torch.float64, requires_grad=True)
    state = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.complex128)

    def value(weights: torch.Tensor) -> torch.Tensor:
        return program.probabilities(inputs, weights, state)[:, 0]

    (plain,) = torch.autograd.grad(value(weights).sum(), weights)
    (graph,) = torch.autograd.grad(value(weights).sum(), weights, create_graph=True)
    close(graph.detach(), plain)
    assert torch.autograd.gradcheck(value, weights)
    assert torch.autograd.gradgradcheck(value, weights)


def test_the_parameter_shift_rule():
    circuit, w = QuantumCircuit(3), ParameterVector("w", 8)
    for qubit in range(3):
        circuit.u(0.7 + qubit, 0.4, 1.3 * qubit, qubit)
    for k, name in enumerate(["rx", "ry", "rz", "rzz", "rxx", "ry", "rzx", "rx"]):
        getattr(circuit, name)(w[k], *[k % 3, (k + 1) % 3][: qubits_of(name)])
        circuit.cx(k % 3, (k + 2) % 3)
        circuit.sx(k % 3)
    program = compile_circuit(circuit, (), list(w))
    observable = [SparsePauliOp(["XYZ", "ZZI", "IXX", "YIX"], [0.3, 0.5, -0.7, 0.9])]
    weights = torch.linspace(-2, 2, 8, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(program.expectation(observable, None, weights).sum(), weights)
    shifts = torch.pi / 2 * torch.eye(8, dtype=torch.float64)
    with torch.no_grad():
        up, down = (
            torch.stack([program.expectation(observable, None, each).sum() for each in side])
            for side in (weights + shifts, weights - shifts)
        )
    assert uses_tiles(program)
    assert int((found.abs() > 1e-3).sum()) >= 6
    close(found, (up - down) / 2)


@pytest.mark.parametrize("way", WAYS[::2])
@pytest.mark.parametrize("wanted", ["inputs", "weights", "states"])
def test_gradients_in_one_argument_only(wanted, way):
    problem = small()
    problem.lay_out(way)
    found = []
    for program in (problem.program, problem.program.without_recomputation()):
        arguments = dict(zip(("inputs", "weights", "states"), problem.arguments(), strict=True))
        for name, each in arguments.items():
            each.requires_grad_(name == wanted)
        loss = problem.loss(program.statevector(*arguments.values()))
        found.append(torch.autograd.grad(loss, arguments[wanted])[0])
    close(*found)
    assert uses_tiles(problem.program)


@pytest.mark.parametrize("way", WAYS)
def test_weights_may_change_between_forward_and_backward_pass(way):
    circuit, w = layers(3, 2)
    program = compile_circuit(circuit, (), w)
    lay_out(program, way, ())
    weights = torch.linspace(-2, 2, len(w), dtype=torch.float64, requires_grad=True)
    first = torch.autograd.grad(program.probabilities(None, weights)[0, 0], weights)[0]
    loss = program.probabilities(None, weights)[0, 0]
    with torch.no_grad():
        weights.sub_(0.3)
    close(torch.autograd.grad(loss, weights)[0], first)
    assert uses_tiles(program)


def test_a_changed_state_is_noticed():
    """The backward pass starts from the final state, so nobody may write there."""
    circuit, w = layers(3, 2)
    program = compile_circuit(circuit, (), w)
    weights = torch.linspace(-2, 2, len(w), dtype=torch.float64, requires_grad=True)
    state = program._run(None, weights, None, None)[0]
    loss = (state.real * 2).sum()
    with torch.no_grad():
        state.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    assert uses_tiles(program)


def test_a_second_backward_pass_adds_the_same():
    problem = small()
    arguments = problem.arguments()
    loss = problem.loss(problem.program.statevector(*arguments))
    first = torch.autograd.grad(loss, arguments, retain_graph=True)
    close(torch.autograd.grad(loss, arguments), first, tolerance=0)


CONJUGATES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "rows": lambda state: state.conj(),
    "columns": lambda state: state.t().conj().t(),
}


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("turned", CONJUGATES)
def test_conjugates_that_torch_only_notes(turned, batch):
    """``conj()`` sets a bit; the numbers in memory are still those from before."""
    problem = Problem(3, [("u", [0, 2, 1], False), ("cx", [2, 0, 1], False)] * 4, batch, seed=2)
    conjugate = CONJUGATES[turned]
    matrix = torch.complex(*problem.direction)
    found = []
    for program in (problem.program, problem.program.without_recomputation()):
        weights = problem.weights.clone().requires_grad_()
        for states in (problem.states, problem.states.t().contiguous().t()):
            states = states.clone(memory_format=torch.preserve_format).requires_grad_()
            final = program.statevector(problem.inputs, weights, conjugate(states))
            loss = (conjugate(final) * matrix).sum().real
            found.append([final.detach(), *torch.autograd.grad(loss, (weights, states))])
    assert uses_tiles(problem.program)
    for others in found[:3]:
        close(others, found[3])


# ---- weights of each sample ------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rows", [[3, 0, 3, 1, 0], [2] * 20])
def test_a_table_of_weights(rows, way):
    problem = small()
    problem.lay_out(way)
    named = torch.tensor(rows)
    generator = torch.Generator().manual_seed(4)
    table = torch.randn(4, len(problem.w), dtype=torch.float64, generator=generator)
    inputs = torch.randn(len(rows), len(problem.x), dtype=torch.float64, generator=generator)
    states = torch.randn(len(rows), 8, dtype=torch.complex128, generator=generator)
    program, found = problem.program, []
    for each in (program, program.without_recomputation()):
        arguments = [part.clone().requires_grad_() for part in (inputs, table, states)]
        final = each.statevector(*arguments, weight_rows=named)
        loss = (final.abs()[:, :3] ** 2).sum() + final.imag[:, 3].sum()
        found.append([final.detach(), *torch.autograd.grad(loss, arguments)])
    assert uses_tiles(program)
    close(*found)
    own = program.without_recomputation().statevector(inputs, table[named], states)
    close(found[0][0], own)


def test_weights_of_each_sample():
    problem = small()
    generator = torch.Generator().manual_seed(4)
    table = torch.randn(3, len(problem.w), dtype=torch.float64, generator=generator)
    found = []
    for program in (problem.program, problem.program.without_recomputation()):
        weights, inputs = table.clone().requires_grad_(), problem.inputs.clone().requires_grad_()
        final = program.statevector(inputs, weights, problem.states)
        gradients = torch.autograd.grad(problem.loss(final), (inputs, weights))
        found.append([final.detach(), *gradients])
    close(*found)


# ---- widths, threads, processes --------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_processors_with_narrower_vectors(monkeypatch, size, dtype):
    used, real = set(), step_table.kernels

    def noted(*, double: bool, lanes: int) -> Any:
        used.add((double, lanes))
        return real(double=double, lanes=lanes)

    monkeypatch.setattr(tile_work, "widest", lambda: size)
    monkeypatch.setattr(step_table, "kernels", noted)
    problem = Problem(3, [("u", [0, 2, 1], False), (3, [2, 0, 1], False)] * 3, 21, seed=1)
    got = problem.gradients(problem.program, dtype)
    expected = problem.gradients(problem.program.without_recomputation(), dtype)
    bits = 4 if dtype == torch.float32 else 8
    assert used == {(bits == 8, size // bits)}
    close(got, expected, 1e-10 if bits == 8 else 1e-4)


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[int]]:
    """Tiles in two threads however little there is to do; which ones ran."""
    seen: set[int] = set()
    share = runner.share

    def noted(run: Callable[[int, int], Any], *rest: Any, **named: Any) -> list[Any]:
        def own(first: int, end: int) -> Any:
            seen.add(threading.get_ident())
            return run(first, end)

        return share(own, *rest, **named)

    monkeypatch.setattr(runner, "share", noted)
    monkeypatch.setattr(tile_work, "THREAD_WORK", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        yield seen
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("batch", [9, 40, 100])
def test_two_threads_give_what_one_gives(two_threads, monkeypatch, batch):
    gates = [("u", [0, 2, 1], False), ("rzz", [2, 0, 1], False), ("cx", [2, 0, 1], False)] * 3
    problem = Problem(3, gates, batch, seed=1)
    plain = (problem.inputs, problem.weights, problem.states)
    both, in_both = problem.program.statevector(*plain), problem.gradients(problem.program)
    assert two_threads - {threading.get_ident()}
    two_threads.clear()
    torch.set_num_threads(1)
    one, in_one = problem.program.statevector(*plain), problem.gradients(problem.program)
    assert two_threads == {threading.get_ident()}
    close(both, one, tolerance=0)  # each tile is computed as before
    close(in_both, in_one, tolerance=1e-12)  # sums over samples are in another order


def test_threads_of_ones_own_may_run_a_program():
    """Several at once, each with its own numbers, on a program that none has run before."""
    problem = small()
    found: dict[int, list[Any]] = {}

    def run(number: int) -> None:
        weights = (problem.weights + number).requires_grad_()
        for _ in range(20):
            final = problem.program.statevector(problem.inputs, weights, problem.states)
            gradient = torch.autograd.grad(problem.loss(final), weights)[0]
        found[number] = [final.detach(), gradient]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert uses_tiles(problem.program)
    for number in range(3):
        weights = (problem.weights + number).requires_grad_()
        plain = problem.program.without_recomputation()
        final = plain.statevector(problem.inputs, weights, problem.states)
        gradient = torch.autograd.grad(problem.loss(final), weights)[0]
        close(found[number], [final.detach(), gradient])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_process_forked_after_a_run_in_threads(two_threads):
    circuit, w = layers(3, 2)
    program = compile_circuit(circuit, (), w)
    weights = torch.linspace(-2, 2, len(w), dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(40, 8, dtype=torch.complex128, generator=generator)
    expected = program.statevector(None, weights, states)
    assert two_threads - {threading.get_ident()}
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on: threads do not follow
        child = os.fork()
    if child == 0:
        try:
            os.write(writer, program.statevector(None, weights, states).numpy().tobytes())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        ready, _, _ = select.select([pipe], [], [], 20)
        if not ready:
            os.kill(child, 9)
        found = pipe.read()
    os.waitpid(child, 0)
    assert found == expected.numpy().tobytes()


COPIES: dict[str, Callable[[CircuitProgram], CircuitProgram]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda program: pickle.loads(pickle.dumps(program)),  # noqa: S301 - our own bytes
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", COPIES)
def test_a_program_that_has_run_can_be_copied(how, way):
    """As averages of weights and data loaders do."""
    problem = small()
    problem.lay_out(way)
    expected = problem.gradients(problem.program)
    assert uses_tiles(problem.program)
    other = COPIES[how](problem.program)
    problem.program._layouts.clear()  # what is shared by mistake would be freed here
    gc.collect()
    close(problem.gradients(other), expected, tolerance=0)
    assert uses_tiles(other)


# ---- where tiles do not run ------------------------------------------------------------------


def test_forward_mode_and_the_plain_program_use_no_tiles(monkeypatch):
    class Used(Exception):
        pass

    def refuse(*arguments: Any, **named: Any) -> None:
        raise Used

    monkeypatch.setattr(runner.TileRunner, "run", refuse)
    problem = small()
    arguments = (problem.inputs, problem.weights, problem.states)
    with pytest.raises(Used):
        problem.program.statevector(*arguments)
    plain = problem.program.without_recomputation()
    plain.statevector(*arguments)
    table = problem.weights.expand(3, -1)
    plain.statevector(problem.inputs, table, problem.states)
    rows = torch.tensor([0, 2, 0])
    plain.statevector(problem.inputs, table, problem.states, weight_rows=rows)
    tangent = torch.linspace(-1, 1, len(problem.weights), dtype=torch.float64)
    with forward_ad.dual_level(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script` is", DeprecationWarning)
        dual = forward_ad.make_dual(problem.weights, tangent)
        out = plain.statevector(problem.inputs, dual, problem.states)
        slope = forward_ad.unpack_dual(out).tangent
    step = 1e-5
    up, down = (
        plain.statevector(problem.inputs, problem.weights + sign * tangent, problem.states)
        for sign in (step, -step)
    )
    close(slope, (up - down) / (2 * step), tolerance=1e-8)
    operations = {"operations": problem.program._operations, "phases": problem.program._phases}
    stored = CircuitProgram(
        num_qubits=3,
        num_inputs=len(problem.x),
        num_weights=len(problem.w),
        adjoint=False,
        **operations,
    )
    stored.statevector(*arguments)


def test_inference_mode_first_and_gradients_later():
    problem = small()
    with torch.inference_mode():
        before = problem.program.statevector(problem.inputs, problem.weights, problem.states)
    got = problem.gradients(problem.program)
    assert uses_tiles(problem.program)
    close(got, problem.gradients(problem.program.without_recomputation()))
    close(problem.loss(before.clone()), got[0])


# ---- memory ----------------------------------------------------------------------------------


def kept_states(depth: int, *, tiles: bool) -> int:
    """Bytes in tensors as large as a state or larger, each counted once."""
    circuit, w = layers(4, depth)
    compiled = compile_circuit(circuit, (), w)
    program = CircuitProgram(
        num_qubits=4,
        num_inputs=0,
        num_weights=len(w),
        operations=compiled._operations,
        phases=[],
        strategy="blocks of 2",  # or else all gates become one matrix
        adjoint=None if tiles else False,
    )
    weights = torch.linspace(-2, 2, len(w), requires_grad=True)
    states = torch.zeros(2**14, 16, dtype=torch.complex64)
    states[:, 0] = 1
    sizes: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.numel() >= states.numel():
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        final = program._run(None, weights, states, None)[0]
    assert uses_tiles(program) == tiles
    # What a function keeps beside its saved tensors is seen as well: as objects that are alive.
    for each in gc.get_objects():
        if type(each) is torch.Tensor and each is not states and each.numel() >= states.numel():
            keep(each)
    (gradient,) = torch.autograd.grad(final.real.sum(), weights)
    assert float(gradient.abs().max()) > 0
    return sum(sizes.values())


def test_the_backward_pass_keeps_two_states_however_deep_the_circuit():
    state = 16 * 2**14 * 8  # bytes, of the first and of the last one
    assert kept_states(2, tiles=True) <= 2 * state
    assert kept_states(12, tiles=True) <= 2 * state
    assert kept_states(12, tiles=False) >= 12 * state


@pytest.mark.parametrize("way", WAYS)
def test_a_run_leaves_no_graph_behind(way):
    """What a program keeps for later runs must not hold the tensors of the first one."""
    problem = small()
    problem.lay_out(way)
    weights = problem.weights.clone().requires_grad_()
    state = problem.program.statevector(problem.inputs, weights, problem.states)
    problem.loss(state).backward()
    assert uses_tiles(problem.program)
    alive = weakref.ref(weights)
    del weights, state
    gc.collect()
    assert alive() is None


# ---- expectation values ----------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 5, 16, 33])
@pytest.mark.parametrize(
    "labels", [["ZII", "IZZ", "III", "ZZZ", "IIZ"], ["ZII", "XYI"]], ids=["diagonal", "mixed"]
)
def test_expectation_values_read_from_tiles(labels, batch):
    """Diagonal observables are read where the state is; others from the state that is returned."""
    problem = small(batch)
    operators = [SparsePauliOp([label, "IIZ"], [0.7, -1.3]) for label in labels]
    direction = problem.direction[0, :, : len(labels)]
    found = []
    for program in (problem.program, problem.program.without_recomputation()):
        given = [problem.inputs, problem.weights, problem.states]
        given = [each.clone().requires_grad_() for each in given]
        values = program.expectation(operators, *given)
        found.append((values.detach(), *torch.autograd.grad((values * direction).sum(), given)))
    close(*found)
    assert uses_tiles(problem.program)
    expected = Statevector(problem.expected(batch - 1)).expectation_value(operators[0]).real
    np.testing.assert_allclose(found[0][0][-1, 0], expected, rtol=0, atol=1e-10)


def test_second_derivatives_of_expectation_values():
    problem = small(3)
    operators = [SparsePauliOp("ZII"), SparsePauliOp("IZZ")]

    def value(weights: torch.Tensor) -> torch.Tensor:
        return problem.program.expectation(operators, problem.inputs, weights, problem.states)

    weights = problem.weights.clone().requires_grad_()
    assert torch.autograd.gradcheck(value, weights)
    assert torch.autograd.gradgradcheck(value, weights)
    assert uses_tiles(problem.program)


# ---- modes and threads -----------------------------------------------------------------------


def test_tensors_made_in_inference_mode():
    problem = small(4)
    expected = problem.program.statevector(problem.inputs, problem.weights)
    with torch.inference_mode():
        inputs, weights = problem.inputs.clone(), problem.weights.clone()
        close(problem.program.statevector(inputs, weights), expected)
    trained = problem.weights.clone().requires_grad_()
    found = problem.program.statevector(inputs, trained)
    close(found.detach(), expected)
    found.real.sum().backward()
    assert trained.grad is not None
    assert uses_tiles(problem.program)


def test_a_backward_pass_under_autocast_keeps_its_precision():
    problem = small(4)
    problem.lay_out(WAYS[2])
    gradients = []
    for enabled in (False, True):
        weights = problem.weights.float().requires_grad_()
        state = problem.program.statevector(problem.inputs.float(), weights)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            gradients.append(torch.autograd.grad(state.real.sum(), weights)[0])
    assert torch.equal(*gradients)


COLD = """
import sys
from concurrent.futures import ThreadPoolExecutor

import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from qdm_qiskit.engine import compile_circuit
from qdm_qiskit import machine_code as kernels

w, x, circuit = ParameterVector("w", 20), ParameterVector("x", 3), QuantumCircuit(3)
for q in range(3):
    circuit.ry(x[q], q)
for k in range(20):
    (circuit.rx, circuit.rz, circuit.ry)[k % 3](w[k], k % 3)
    circuit.cx(k % 3, (k + 1) % 3)
program = compile_circuit(circuit, list(x), list(w))
made = []
begun = kernels._Compiler.__init__
kernels._Compiler.__init__ = lambda self: (made.append(1), begun(self))[1]


def work(_):
    weights = torch.ones(20, requires_grad=True)
    program.probabilities(torch.ones(16, 3), weights)[:, 0].sum().backward()
    return weights.grad


with ThreadPoolExecutor(4) as pool:
    found = list(pool.map(work, range(12)))
assert all(torch.equal(each, found[0]) for each in found)
sys.exit(len(made) - 1)
"""


@pytest.mark.slow
def test_threads_that_use_the_tiles_first_at_the_same_time():
    done = subprocess.run(
        [sys.executable, "-c", COLD], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


COMPILED = """
import warnings

import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from qdm_qiskit.engine import compile_circuit

w, x, circuit = ParameterVector("w", 30), ParameterVector("x", 3), QuantumCircuit(3)
for q in range(3):
    circuit.rx(x[q], q)
for k in range(30):
    (circuit.rx, circuit.rz, circuit.ry)[k % 3](w[k], k % 3)
    circuit.cx(k % 3, (k + 1) % 3)
program = compile_circuit(circuit, list(x), list(w))
inputs, weights = torch.rand(20, 3), torch.rand(30, requires_grad=True)


def loss(inputs, weights):
    return (3 * program.probabilities(2 * inputs, weights)[:, 1]).sum()


(expected,) = torch.autograd.grad(loss(inputs, weights), weights)
warnings.simplefilter("ignore")
compiled = torch.compile(loss, backend="eager")
for _ in range(3):
    (found,) = torch.autograd.grad(compiled(inputs, weights), weights)
    torch.testing.assert_close(found, expected)
"""


@pytest.mark.slow
def test_torch_compile_leaves_machine_code_alone():
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


# ---- limits ----------------------------------------------------------------------------------


def test_gates_that_are_not_quite_unitary_stay_in_torch():
    """Undone fifty times, a gate that is off by 4e-6 would spoil the gradient."""
    circuit, w = QuantumCircuit(3), ParameterVector("w", 50)
    for k in range(50):
        circuit.ry(w[k], k % 3)
        gate = UnitaryGate(random_unitary(4, seed=k).data * (1 + 4e-6))
        circuit.append(gate, [k % 3, (k + 1) % 3])
    program = compile_circuit(circuit, (), list(w))
    gradients = []
    for each in (program, program.without_recomputation()):
        weights = torch.linspace(0, 3, 50, dtype=torch.float64, requires_grad=True)
        loss = each.probabilities(None, weights)[0, 0]
        gradients.append(torch.autograd.grad(loss, weights)[0])
    close(*gradients, 1e-9)
    assert not uses_tiles(program)


def test_gradients_of_a_large_batch_keep_their_digits():
    """Sums over ten thousand tiles in single precision alone would lose three."""
    circuit, w = layers(2, 2)
    program = compile_circuit(circuit, (), w)
    batch = 2**17
    states = torch.zeros(batch, 4)
    states[:, 0] = 1
    gradients = []
    for dtype in (torch.float32, torch.float64):
        weights = torch.linspace(0.5, 2.5, len(w), dtype=dtype, requires_grad=True)
        loss = program.probabilities(None, weights, states)[:, 0].sum()
        gradients.append(torch.autograd.grad(loss, weights)[0])
    assert uses_tiles(program)
    error = (gradients[0].double() - gradients[1]).abs().max() / gradients[1].abs().max()
    assert float(error) < 2e-6


@pytest.mark.parametrize(
    "ending", ["blocks of 2", "blocks of 3", "blocks of 2, fixed gates apart", WAYS[1]]
)
def test_sums_of_complex_blocks_begin_at_even_places(ending):
    """Three active rows of a real block, an odd number of sums, before a complex one."""
    circuit, w = QuantumCircuit(3), ParameterVector("w", 5)
    circuit.h([0, 1, 2])
    circuit.cry(w[0], 0, 1)
    circuit.cry(w[1], 1, 0)
    circuit.cx(0, 2)
    circuit.rx(w[2], 2)
    circuit.rz(w[3], 2)
    circuit.rx(w[4], 2)
    program = compile_circuit(circuit, (), list(w))
    lay_out(program, ending, ())
    gradients = []
    for each in (program, program.without_recomputation()):
        weights = torch.linspace(0.3, 2.0, 5, dtype=torch.float64, requires_grad=True)
        loss = each.probabilities(None, weights)[0, 1:4].sum()
        gradients.append(torch.autograd.grad(loss, weights)[0])
    close(*gradients)
