"""How circuits are cut for tiles: all ways compute the same; rows that never change are left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import Statevector, random_unitary

from qdm_qiskit.engine import CircuitProgram, compile_circuit, program
from qdm_qiskit.engine.evolution.steps import Move, Step
from qdm_qiskit.engine.jit import steps as tile_steps
from qdm_qiskit.engine.jit.planner import TileOption, TilePlanner, tile_options
from qdm_qiskit.engine.lowering.fusion import strategies


@pytest.fixture(autouse=True)
def _tiles_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles are chosen wherever they are possible."""
    monkeypatch.setattr(program, "TILES_PAY", math.inf)
    monkeypatch.setattr("qdm_qiskit.engine.jit.whole_program.SMALL_US", 0.0)


def everything() -> tuple[QuantumCircuit, list, list]:
    """Gates of all kinds on four qubits, inputs at the beginning and in between."""
    circuit, x, w = QuantumCircuit(4), ParameterVector("x", 4), ParameterVector("w", 16)
    angles = iter(w)
    for qubit in range(4):
        circuit.rx(x[qubit], qubit)
    for first, second in ((0, 2), (3, 1)):
        circuit.u(next(angles), next(angles), 0.3, first)
        circuit.crx(next(angles), first, second)
        circuit.cx(second, (second + 1) % 4)
        circuit.rzz(next(angles), 0, 3)
        circuit.swap(1, 2)
        circuit.unitary(random_unitary(8, seed=first), [second, first, (second + 1) % 4])
        circuit.crz(x[first], 1, 3)
        circuit.rxx(next(angles) * x[second], 2, 0)
        circuit.cp(next(angles), 1, 0)
        circuit.ry(next(angles), 1)
    circuit.ccx(3, 0, 2)
    circuit.crx(next(angles), 1, 3)
    circuit.cry(next(angles), 1, 3)
    return circuit, list(x), list(w)


def options_of(compiled: CircuitProgram, covered: Sequence[int] = ()) -> list[TileOption]:
    """All ways to use tiles after the first of the cheapest ways without."""
    found = strategies(compiled._operations, compiled.num_qubits)
    return tile_options(found, "blocks of 2", compiled.num_qubits, covered)


def forced(monkeypatch: pytest.MonkeyPatch, option: TileOption) -> None:
    """Programs that are laid out from now on take this option."""
    monkeypatch.setattr(program, "tile_options", lambda *rest, **named: [option])


def steps_of(compiled: CircuitProgram, covered: tuple[int, ...] = ()) -> list[Step]:
    """The steps that run on tiles, of a program that has run."""
    layout = compiled._layouts[covered, True]
    assert layout.tiles is not None
    before = [
        k
        for k, step in enumerate(layout.plan.steps)
        if not isinstance(step, Move) and type(step).__module__ != tile_steps.__name__
    ]
    return layout.plan.steps[max(before, default=-1) + 1 :]


def only_blocks(monkeypatch: pytest.MonkeyPatch, compiled: CircuitProgram, size: int) -> None:
    """All gates on tiles, in blocks of so many qubits, from the first gate on."""
    name = f"blocks of {size}"
    wanted = [each for each in options_of(compiled, ()) if each.name.endswith(f": {name}")]
    tail = strategies(compiled._operations, compiled.num_qubits)[name]
    forced(monkeypatch, TileOption(name, [], tail, wanted[0].cost))


def expected(circuit: QuantumCircuit, values: dict[Any, float]) -> np.ndarray:
    return np.asarray(Statevector(circuit.assign_parameters(values)).data)


# ---- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize("covered", [(), (0, 1, 2, 3), (3, 1)])
def test_options_hold_each_gate_once_and_in_order(covered):
    compiled = compile_circuit(*everything())
    options = options_of(compiled, covered)
    assert len(options) > 10
    assert len({option.name for option in options}) == len(options)
    for option in options:
        assert option.name.startswith(
            f"{len(option.head)} segments of blocks of 2, then on tiles: "
        )
        assert option.tail
        assert 0 < option.cost < math.inf
        flat = [each for item in (*option.head, *option.tail) for each in item.operations]
        assert sorted(map(id, flat)) == sorted(map(id, compiled._operations))
        for qubit in range(4):
            kept = [id(each) for each in flat if qubit in each.qubits]
            assert kept == [id(each) for each in compiled._operations if qubit in each.qubits]


def count_of_options() -> int:
    return len(options_of(compile_circuit(*everything())))


@pytest.mark.parametrize("number", range(count_of_options()))
def test_every_option_gives_the_same_state_and_gradients(monkeypatch, number):
    circuit, x, w = everything()
    compiled = compile_circuit(circuit, x, w)
    forced(monkeypatch, options_of(compiled)[number])
    generator = torch.Generator().manual_seed(2)
    values = torch.randn(3, len(x), dtype=torch.float64, generator=generator)
    own = torch.randn(len(w), dtype=torch.float64, generator=generator)
    found = []
    for each in (compiled, compiled.without_recomputation()):
        inputs, weights = values.clone().requires_grad_(), own.clone().requires_grad_()
        state = each.statevector(inputs, weights)
        loss = (state.abs()[:, :5] ** 2).sum() + state.imag[:, 7].sum()
        found.append([state.detach(), *torch.autograd.grad(loss, (inputs, weights))])
    assert steps_of(compiled)
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-10)
    bound = dict(zip([*x, *w], [*values[1].tolist(), *own.tolist()], strict=True))
    np.testing.assert_allclose(found[0][0][1], expected(circuit, bound), rtol=0, atol=1e-10)


def test_the_options_cover_all_kinds_of_steps(monkeypatch):
    """Or else the test above compares less than it seems to."""
    compiled = compile_circuit(*everything())
    lines: set[str] = set()
    for option in options_of(compiled):
        forced(monkeypatch, option)
        each = compile_circuit(*everything())
        each.explain()
        lines |= {step.describe() for step in steps_of(each)}
    for part in (
        "permutation",
        "phases with weights",
        "rows act",
        "8 x 8 matrix",
        "fixed",
        "each sample",
    ):
        assert any(part in line for line in lines), part


def test_costs_grow_with_the_work():
    def cost(depth: int) -> float:
        circuit, w = QuantumCircuit(4), ParameterVector("w", 4 * depth)
        for k in range(4 * depth):
            circuit.crx(w[k], k % 4, (k + 1) % 4)
        compiled = compile_circuit(circuit, (), list(w))
        return min(option.cost for option in options_of(compiled))

    costs = [cost(depth) for depth in (1, 2, 4, 8)]
    assert costs == sorted(costs)
    assert costs[-1] > costs[0]


@pytest.mark.parametrize("pay", [0.0, math.inf])
def test_tiles_are_taken_where_they_pay(monkeypatch, pay):
    monkeypatch.setattr(program, "TILES_PAY", pay)
    compiled = compile_circuit(*everything())
    compiled.explain()
    (layout,) = compiled._layouts.values()
    assert (layout.tiles is not None) == (pay > 0)
    assert layout.strategy in layout.candidates
    assert any("then on tiles" in name for name in layout.candidates)
    assert ("then on tiles" in layout.strategy) == (pay > 0)


# ---- explain ---------------------------------------------------------------------------------


def test_explain_names_the_steps_on_tiles(monkeypatch):
    circuit, w = QuantumCircuit(3), ParameterVector("w", 4)
    circuit.crx(w[0], 0, 2)
    circuit.cry(w[3], 0, 2)
    circuit.cx(2, 1)
    circuit.rzz(w[1], 0, 1)
    circuit.ry(w[2], 1)
    circuit.unitary(random_unitary(4, seed=1), [2, 0])
    compiled = compile_circuit(circuit, (), list(w))
    options = options_of(compiled, (0, 1, 2))
    ending = ": monomials apart, blocks of 2"
    forced(monkeypatch, next(each for each in options if each.name.endswith(ending)))
    text = compiled.explain((0, 1, 2))
    steps = text.split("\n\n")[1].splitlines()[1:]
    layout = compiled._layouts[(0, 1, 2), True]
    assert len(steps) == len(layout.plan.steps) == len(layout.plan.costs)
    for line, step, cost in zip(steps, layout.plan.steps, layout.plan.costs, strict=True):
        assert line.strip() == f"{cost:.0f}  {step.describe()}"
        assert step.describe()
    for part in (
        "permutation",
        "phases with weights",
        "4 x 4 matrix of",
        "rows act",
        "on qubits [",
    ):
        assert part in text
    assert text.splitlines()[0].endswith(f"then on tiles{ending}")


# ---- rows that act ---------------------------------------------------------------------------


def changing_rows(circuit: QuantumCircuit, weights: Sequence[Any]) -> list[int]:
    """Rows and columns of the circuit's matrix that differ from the identity for some angles."""
    rng = np.random.default_rng(0)
    size = 2**circuit.num_qubits
    differs = np.zeros(size, dtype=bool)
    compiled = compile_circuit(circuit, (), list(weights)).without_recomputation()
    identity = torch.eye(size, dtype=torch.complex128)
    for _ in range(5):
        drawn = torch.tensor(rng.uniform(-3, 3, len(weights)))
        change = compiled.statevector(None, drawn, identity).numpy() - np.eye(size)
        differs |= (np.abs(change) > 1e-9).any(0) | (np.abs(change) > 1e-9).any(1)
    return [int(row) for row in np.flatnonzero(differs)]


def controlled(circuit: QuantumCircuit, w: ParameterVector) -> None:
    circuit.crx(w[0], 0, 1)
    circuit.cry(w[1], 0, 1)


def both_ways(circuit: QuantumCircuit, w: ParameterVector) -> None:
    circuit.crx(w[0], 0, 1)
    circuit.cry(w[1], 1, 2)


def opened(circuit: QuantumCircuit, w: ParameterVector) -> None:
    circuit.x(0)
    circuit.cry(w[0], 0, 2)
    circuit.x(0)
    circuit.crx(w[1], 2, 1)


def twice_controlled(circuit: QuantumCircuit, w: ParameterVector) -> None:
    circuit.ccx(0, 1, 2)
    circuit.crx(w[0], 1, 2)
    circuit.ccx(0, 1, 2)
    circuit.cp(w[1], 1, 2)


def nothing_idle(circuit: QuantumCircuit, w: ParameterVector) -> None:
    circuit.crx(w[0], 0, 1)
    circuit.ry(w[1], 0)
    circuit.rxx(w[1], 2, 0)


def cancelling(circuit: QuantumCircuit, w: ParameterVector) -> None:
    """Fixed gates that move everything, and back again, around gates that do little."""
    circuit.h([0, 1, 2])
    circuit.cx(0, 1)
    circuit.cx(0, 1)
    circuit.h([0, 1, 2])
    circuit.crx(w[0], 2, 0)
    circuit.cx(2, 0)
    circuit.cz(2, 1)
    circuit.crz(w[1], 2, 1)


ACTING = [
    (controlled, {1, 3, 5, 7}, 2),
    (both_ways, {1, 2, 3, 5, 6, 7}, 3),
    (opened, {0, 2, 4, 5, 6, 7}, 3),
    (twice_controlled, {2, 3, 6, 7}, 3),
    (nothing_idle, set(range(8)), 3),
    (cancelling, {4, 5, 6, 7}, 3),
]


@pytest.mark.parametrize(("make", "rows", "size"), ACTING)
def test_rows_that_never_change_are_left_out(monkeypatch, make, rows, size):
    circuit, w = QuantumCircuit(3), ParameterVector("w", 2)
    make(circuit, w)
    compiled = compile_circuit(circuit, (), list(w))
    only_blocks(monkeypatch, compiled, size)
    assert changing_rows(circuit, list(w)) == sorted(rows)
    states = torch.randn(5, 8, dtype=torch.complex128, generator=torch.Generator().manual_seed(1))
    found = []
    for each in (compiled, compiled.without_recomputation()):
        weights = torch.tensor([0.4, -1.3], dtype=torch.float64, requires_grad=True)
        start = states.clone().requires_grad_()
        state = each.statevector(None, weights, start)
        loss = (state.abs()[:, 3:] ** 2).sum() + state.imag[:, ::3].sum()
        found.append([state.detach(), *torch.autograd.grad(loss, (weights, start))])
    torch.testing.assert_close(*found, rtol=1e-11, atol=1e-11)
    (step,) = steps_of(compiled, (0, 1, 2))
    local = len(rows) if size == 3 else len(rows) // 2
    if local < 2**size:
        assert f"of which {local} rows act" in step.describe()
    else:
        assert "rows act" not in step.describe()
    idle = sorted(set(range(8)) - rows)
    assert torch.equal(found[0][0][:, idle], states[:, idle])


def test_blocks_that_do_nothing_at_all(monkeypatch):
    circuit, w = QuantumCircuit(3), ParameterVector("w", 2)
    circuit.ecr(0, 1)
    circuit.ecr(0, 1)
    circuit.crx(w[0], 2, 0)
    circuit.iswap(1, 2)
    circuit.iswap(1, 2)
    circuit.iswap(1, 2)
    circuit.iswap(1, 2)
    circuit.ry(w[1], 1)
    compiled = compile_circuit(circuit, (), list(w))
    name = "blocks of 2, fixed gates apart"
    tail = strategies(compiled._operations, 3)[name]
    forced(monkeypatch, TileOption(name, [], tail, 1.0))
    states = torch.randn(5, 8, dtype=torch.complex128)
    weights = torch.tensor([0.4, -1.3], dtype=torch.float64, requires_grad=True)
    gradients = []
    for each in (compiled, compiled.without_recomputation()):
        loss = each.statevector(None, weights, states).real[:, ::2].sum()
        gradients.append([loss.detach(), torch.autograd.grad(loss, weights)[0]])
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-11)
    assert not any("fixed" in step.describe() for step in steps_of(compiled, (0, 1, 2)))


# ---- special circuits ------------------------------------------------------------------------


def test_monomials_alone():
    circuit, w = QuantumCircuit(4), ParameterVector("w", 4)
    circuit.rz(w[0], 0)
    circuit.cx(0, 3)
    circuit.cp(w[1], 3, 1)
    circuit.swap(1, 2)
    circuit.rzz(w[2] * w[1], 0, 2)
    circuit.y(2)
    circuit.ccx(3, 2, 0)
    circuit.crz(w[3], 0, 1)
    compiled = compile_circuit(circuit, (), list(w))
    options = [each for each in options_of(compiled) if {i.kind for i in each.tail} == {"monomial"}]
    assert options
    with pytest.MonkeyPatch.context() as patch:
        forced(patch, options[0])
        states = torch.randn(
            21, 16, dtype=torch.complex128, generator=torch.Generator().manual_seed(1)
        )
        found = []
        for each in (compiled, compiled.without_recomputation()):
            weights = torch.tensor([0.4, -1.3, 2.2, 0.9], dtype=torch.float64, requires_grad=True)
            start = states.clone().requires_grad_()
            state = each.statevector(None, weights, start)
            loss = (state.real * state.imag.roll(1, 1))[:, ::3].sum()
            found.append([state.detach(), *torch.autograd.grad(loss, (weights, start))])
        torch.testing.assert_close(*found, rtol=1e-11, atol=1e-11)
        assert {type(step) for step in steps_of(compiled, (0, 1, 2, 3))} == {Move}
    values = dict(zip(w, [0.4, -1.3, 2.2, 0.9], strict=True))
    bound = circuit.assign_parameters(values)
    first = Statevector(states[0].numpy()).evolve(bound).data
    np.testing.assert_allclose(found[0][0][0], first, rtol=0, atol=1e-11)


def test_fixed_monomials(monkeypatch):
    circuit, w = QuantumCircuit(3), ParameterVector("w", 1)
    circuit.cx(0, 1)
    circuit.s(1)
    circuit.y(2)
    circuit.iswap(1, 2)
    circuit.t(0)
    circuit.cz(2, 0)
    circuit.ry(w[0], 0)
    circuit.p(0.3, 2)
    circuit.cz(0, 1)
    compiled = compile_circuit(circuit, (), list(w))
    options = options_of(compiled, (0, 1, 2))
    ending = ": monomials apart, blocks of 1"
    forced(monkeypatch, next(each for each in options if each.name.endswith(ending)))
    generator = torch.Generator().manual_seed(3)
    states = torch.randn(5, 8, dtype=torch.complex128, generator=generator)
    states /= torch.linalg.vector_norm(states, dim=1, keepdim=True)
    found = []
    for each in (compiled, compiled.without_recomputation()):
        weights = torch.tensor([0.8], dtype=torch.float64, requires_grad=True)
        start = states.clone().requires_grad_()
        state = each.statevector(None, weights, start)
        loss = (state.real * state.imag.roll(1, 1))[:, ::3].sum()
        found.append([state.detach(), *torch.autograd.grad(loss, (weights, start))])
    torch.testing.assert_close(*found, rtol=1e-11, atol=1e-11)
    first = Statevector(states[0].numpy()).evolve(circuit.assign_parameters({w[0]: 0.8})).data
    np.testing.assert_allclose(found[0][0][0], first, rtol=0, atol=1e-11)
    lines = [step.describe() for step in steps_of(compiled, (0, 1, 2))]
    assert any("permutation, fixed phases" in line for line in lines)
    assert any("fixed phases" in line and "permutation" not in line for line in lines)


@pytest.fixture
def fixed_blocks() -> tuple[QuantumCircuit, ParameterVector]:
    circuit, w = QuantumCircuit(6), ParameterVector("w", 6)
    for qubit in range(6):
        circuit.ry(w[qubit], qubit)
    return circuit, w


@pytest.mark.parametrize("size", [3, 4, 5])
@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fixed_blocks_of_three_to_five_qubits(fixed_blocks, size, real, dtype):
    circuit, w = fixed_blocks
    matrix = random_unitary(2**size, seed=size).data
    if real:
        matrix, _ = np.linalg.qr(np.random.default_rng(size).normal(size=(2**size, 2**size)))
    circuit.unitary(matrix, [5, 1, 3, 0, 4][:size])
    circuit.cry(w[0], 1, 2)
    compiled = compile_circuit(circuit, (), list(w))
    number = torch.complex64 if dtype == torch.float32 else torch.complex128
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(7, 64, dtype=torch.complex128, generator=generator)
    states = (states / torch.linalg.vector_norm(states, dim=1, keepdim=True)).to(number)
    values = torch.linspace(-2, 2, 6, dtype=torch.float64)
    found = []
    for each in (compiled, compiled.without_recomputation()):
        weights, start = values.to(dtype).requires_grad_(), states.clone().requires_grad_()
        state = each.statevector(None, weights, start)
        loss = (state.abs()[:, ::3] ** 2).sum() + state.imag[:, ::5].sum()
        found.append([state.detach(), *torch.autograd.grad(loss, (weights, start))])
    tolerance = 1e-11 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(*found, rtol=tolerance, atol=tolerance)
    bound = circuit.assign_parameters(dict(zip(w, values.tolist(), strict=True)))
    state = Statevector(states[0].numpy().astype(complex)).evolve(bound, range(6)).data
    np.testing.assert_allclose(found[0][0][0], state, rtol=0, atol=max(tolerance / 10, 1e-10))
    lines = [step.describe() for step in steps_of(compiled, tuple(range(6)))]
    assert any(f"{2**size} x {2**size} matrix" in line and "fixed" in line for line in lines)


def test_one_qubit():
    circuit, w = QuantumCircuit(1), ParameterVector("w", 2)
    circuit.ry(w[0], 0)
    circuit.h(0)
    circuit.rz(w[1], 0)
    compiled = compile_circuit(circuit, (), list(w))
    values = torch.tensor([0.3, 1.2], dtype=torch.float64)
    state = compiled.statevector(None, values)[0].numpy()
    assert steps_of(compiled)
    bound = dict(zip(w, values.tolist(), strict=True))
    np.testing.assert_allclose(state, expected(circuit, bound), rtol=0, atol=1e-14)


def test_estimates_need_no_matrices():
    """A planner without a builder counts the same as one that builds."""
    compiled = compile_circuit(*everything())
    compiled.explain()
    layout = compiled._layouts[(), True]
    option = next(each for each in _all_options(compiled) if each.name == layout.strategy)
    estimate = TilePlanner(option.tail, tuple(range(4)), None, layout.constants)
    assert not estimate.steps
    assert len(estimate.costs) == len(steps_of(compiled))
    np.testing.assert_allclose(estimate.costs, layout.plan.costs[-len(estimate.costs) :])


def _all_options(compiled: CircuitProgram) -> list[TileOption]:
    found = strategies(compiled._operations, compiled.num_qubits)
    return [
        option for best in found for option in tile_options(found, best, compiled.num_qubits, ())
    ]
