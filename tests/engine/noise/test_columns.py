"""Columns in machine code against calls of torch, numpy and Aer."""

from __future__ import annotations

import itertools
import platform

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp, random_statevector
from qiskit_aer.noise import NoiseModel, depolarizing_error, thermal_relaxation_error

from qdm_qiskit.engine.jit.column_forms import LOW_DIGITS
from qdm_qiskit.engine.jit.column_parts import (
    RUN_DIGITS,
    apart,
    length,
    part_of,
    spread,
    tiles_of,
    with_neighbours,
)
from qdm_qiskit.engine.jit.columns import column_kernels
from qdm_qiskit.engine.noise import DensityProgram, column_runner, compile_noisy
from qdm_qiskit.engine.noise.column_steps import ROW_DIGITS, Column, Step
from qdm_qiskit.errors import InvalidData
from tests.engine.noise import test_density as density
from tests.helpers import random_angles

DTYPES = [(np.float64, 1e-12), (np.float32, 3e-5)]


# ---------------------------------------------------------------------- kernels


def guarded(size: int, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers at a multiple of 64 bytes, and the array with 16 numbers around them."""
    whole = np.full(size + 64, np.nan, dtype)
    start = 16 + (-(whole.ctypes.data + 16 * whole.itemsize) % 64) // whole.itemsize
    inner = whole[start : start + size]
    inner[:] = 0
    return inner, whole


def rows_of(vector: np.ndarray, digits: int, block: tuple[int, ...]) -> np.ndarray:
    """Return a vector with the block's digits in front, ``(rows, others)``."""
    axes = [digits - 1 - digit for digit in block]
    moved = np.moveaxis(vector.reshape([4] * digits), axes, range(len(block)))
    return moved.reshape(4 ** len(block), -1)


def masks(pattern: np.ndarray) -> tuple[int, ...]:
    return tuple(int(row @ (1 << np.arange(len(row)))) for row in pattern)


def rows_and_blocks(digits: int):
    """Return rows of parts, and blocks within, so that each block and each way to fetch is met."""
    pairs = itertools.permutations(range(digits), 2)
    for block in [*pairs, *((d,) for d in range(digits))]:
        yield tuple(sorted(with_neighbours(frozenset(block)))), block


@pytest.mark.parametrize("form", ["forward", "transposed"])
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("digits", [5, pytest.param(6, marks=pytest.mark.slow)])
def test_blocks_and_their_gradients_against_numpy(digits, dtype, tolerance, form):
    kernels = column_kernels(double=dtype is np.float64)
    rng = np.random.default_rng(digits)
    # A few patterns, each with its own machine code: full, sparse with an empty row, and a few wanted.
    chosen = {size: rng.random((size, size)) < 0.3 for size in (4, 16)}
    for each in chosen.values():
        each[2] = False
    for k, (rows, block) in enumerate(rows_and_blocks(digits)):
        size, part, size_of = 4 ** len(block), part_of(digits, rows), np.dtype(dtype).itemsize
        pattern = chosen[size] if k % 3 else np.ones((size, size), bool)
        wanted = pattern & chosen[size]
        (x, around), (y, beyond), (g, beside) = (guarded(4**digits, dtype) for _ in range(3))
        (kept, over), (inner_g, under) = (guarded(16 * 4 ** len(rows), dtype) for _ in range(2))
        (matrix, _), (sums, _) = (guarded(size**2, dtype) for _ in range(2))
        x[:], g[:] = rng.normal(size=(2, 4**digits))
        matrix[:] = (rng.normal(size=(size, size)) * pattern / size).ravel()
        square = matrix.reshape(size, size)
        square = square if form == "forward" else square.T
        before, given = rows_of(x, digits, block), rows_of(g, digits, block).copy()
        local = tuple(rows.index(digit) for digit in block)
        bases, strides = tiles_of(len(rows), local, size_of)
        tiles = len(bases), bases.ctypes.data, strides.ctypes.data
        carried = part.count, part.places.ctypes.data, 0, 0, 0
        code = masks(pattern)
        table = np.array(
            [
                [kernels.address("fetch", part.mode), x.ctypes.data, kept.ctypes.data, *carried],
                [kernels.address("fetch", part.mode), g.ctypes.data, inner_g.ctypes.data, *carried],
                [kernels.address("pull", form, code, masks(wanted)), kept.ctypes.data,
                 inner_g.ctypes.data, *tiles, matrix.ctypes.data, sums.ctypes.data],
                [kernels.address("put", part.mode), inner_g.ctypes.data, g.ctypes.data, *carried],
                [kernels.address("apply", form, code), kept.ctypes.data, kept.ctypes.data, *tiles,
                 matrix.ctypes.data, 0],
                [kernels.address("put", part.mode), kept.ctypes.data, y.ctypes.data, *carried],
            ],
            np.int64,
        )  # fmt: skip
        shifts = np.zeros((*table.shape, 2), np.int64)
        for record, field in ((0, 1), (1, 1), (3, 2), (5, 2)):
            shifts[record, field, 0] = size_of
        outer = np.array(
            [kernels.address("parts_of"), table.ctypes.data, len(table), len(part.bases),
             part.bases.ctypes.data, shifts.ctypes.data, 0, 0],
            np.int64,
        )  # fmt: skip
        kernels.run(outer.ctypes.data, 0, 1)
        assert np.abs(rows_of(y, digits, block) - square @ before).max() < tolerance
        assert np.abs(rows_of(g, digits, block) - square.T @ given).max() < tolerance
        expected = given @ before.T
        expected = (expected if form == "forward" else expected.T)[wanted]
        assert np.abs(sums[: wanted.sum()] - expected).max() < 40 * tolerance
        for whole in (around, beyond, beside, over, under):  # nothing is written beside the vectors
            assert np.isnan(whole).sum() == 64


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("digits", [2, 3, 5, 7])
def test_columns_in_product_states_against_numpy(digits, dtype, tolerance):
    """Values, gradients of the column and those of the states' vectors."""
    kernels, batch, itemsize = (
        column_kernels(double=dtype is np.float64),
        32,
        np.dtype(dtype).itemsize,
    )
    rng = np.random.default_rng(digits)
    qubits = rng.permutation(digits + 1)[:digits].astype(np.int32)
    sizes = [length(digits), (digits + 1) * 4 * batch, batch]
    (x, _), (vectors, _), (given, _) = (guarded(size, dtype) for size in sizes)
    (grad, over), (theirs, beyond), (values, beside) = (guarded(size, dtype) for size in sizes)
    for each in (x, vectors, given):
        each[:] = rng.normal(size=each.size) / 2
    grad[:] = np.nan  # what was there does not matter
    low = min(digits, LOW_DIGITS)
    split = [low, min(digits - low, LOW_DIGITS)]
    split.append(digits - sum(split))
    levels = [(4 ** (k + 1) - 1) // 3 for k in split]
    distance = sum(levels) * batch * itemsize
    (tables, under) = guarded(2 * sum(levels) * batch, dtype)
    starts = [tables.ctypes.data + sum(levels[:k]) * batch * itemsize for k in range(3)]
    tops = [at + (4**k - 1) // 3 * batch * itemsize for at, k in zip(starts, split, strict=True)]
    parts = [np.ascontiguousarray(each) for each in np.split(qubits, np.cumsum(split)[:-1])]
    shape = np.array([4 ** split[2], 4 ** split[1], 4 ** split[0], distance, apart(RUN_DIGITS)])
    rest = *reversed(tops), shape.ctypes.data, batch
    rows, low_rows = (min(16, 4**k) for k in (split[1], split[0]))
    several = list(zip(starts, parts, split, strict=True))
    table = [
        [kernels.address("products"), at, vectors.ctypes.data, each.ctypes.data, k, batch, 0, 0]
        for at, each, k in several
    ]
    table += [
        [kernels.address("read", rows), x.ctypes.data, values.ctypes.data, *rest],
        [kernels.address("seed", rows), given.ctypes.data, grad.ctypes.data, *rest],
        [
            kernels.address("clear"),
            0,
            tables.ctypes.data + distance,
            sum(levels) * batch,
            0,
            0,
            0,
            0,
        ],
        [kernels.address("unread", rows, low_rows), given.ctypes.data, x.ctypes.data, *rest],
    ]
    table += [
        [kernels.address("unproducts"), at, at + distance, vectors.ctypes.data, theirs.ctypes.data,
         each.ctypes.data, k, batch]
        for at, each, k in several
    ]  # fmt: skip
    kernels.run(np.array(table, np.int64).ctypes.data, 0, len(table))
    inside = spread(np.arange(4**digits))
    column = torch.tensor(x[inside], dtype=torch.float64, requires_grad=True)
    states = torch.tensor(vectors.reshape(-1, 4, batch), dtype=torch.float64, requires_grad=True)
    product = torch.ones(1, batch, dtype=torch.float64)
    for qubit in qubits:
        product = (states[qubit][:, None] * product).flatten(0, 1)
    expected = column @ product
    (expected * torch.from_numpy(given)).sum().backward()
    for found, exact in ((values, expected), (grad[inside], column.grad), (theirs, states.grad)):
        exact = exact.detach().numpy().ravel()
        assert np.abs(found - exact).max() < tolerance * max(np.abs(exact).max(), 1)
    assert np.isnan(over).sum() == 64 + length(digits) - 4**digits  # gaps too are left alone
    for whole in (beyond, beside, under):
        assert np.isnan(whole).sum() == 64


@pytest.mark.parametrize(("digits", "rows"), [(6, (0, 1, 5)), (8, (4, 5, 6, 7)), (8, (0, 1, 2, 7))])
def test_parts_take_each_number_once_and_no_gap(digits, rows):
    part = part_of(digits, rows)
    lines = np.add.outer(part.places, np.arange(16))  # of 16 numbers each
    taken = np.add.outer(part.bases, lines).ravel()
    assert np.array_equal(np.sort(taken), spread(np.arange(4**digits)))
    assert taken.max() < length(digits) <= 4**digits * (1 + 1 / 256)
    assert not (part.bases % 16).any()  # lines of the cache
    assert not (part.places % 16).any()
    index = np.arange(4**digits)
    places = sum((index >> 2 * digit & 3) * apart(digit) for digit in range(digits))
    assert np.array_equal(places, spread(index))


def test_what_is_kept_is_found_again_part_by_part():
    """A field's second shift counts parts."""
    kernels, digits = column_kernels(double=False), 5
    part = part_of(digits, (2, 3))
    (x, _), (kept, over) = (guarded(4**digits, np.float32) for _ in range(2))
    x[:] = np.arange(4**digits)
    table = np.array([[kernels.address("fetch", "runs"), x.ctypes.data, kept.ctypes.data,
                       part.count, part.places.ctypes.data, 0, 0, 0]], np.int64)  # fmt: skip
    shifts = np.zeros((1, 8, 2), np.int64)
    shifts[0, 1, 0], shifts[0, 2, 1] = 4, 4 * 256
    outer = np.array([[kernels.address("parts_of"), table.ctypes.data, 1, len(part.bases),
                       part.bases.ctypes.data, shifts.ctypes.data, 0, 0]], np.int64)  # fmt: skip
    kernels.run(outer.ctypes.data, 0, 1)
    assert np.array_equal(kept, x)  # the digit that stands still is the most significant one
    assert np.isnan(over).sum() == 64


def test_subnormal_numbers_are_zero_within_and_as_they_were_outside():
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("other processors take no longer for them")
    kernels = column_kernels(double=False)
    (x, _), (one, _) = (guarded(16, np.float32) for _ in range(2))
    x[0], one[:4] = 1e-40, 1
    table = np.array([kernels.address("grow"), x.ctypes.data, 0, 1, 1, 0, one.ctypes.data, 0])
    kernels.run(table.ctypes.data, 0, 1)
    assert not x[:4].any()
    assert np.float32(1e-40) * np.float32(1) > 0


# ---------------------------------------------------------------------- groups


@settings(max_examples=60, deadline=None)
@given(st.integers(5, 9), st.data())
def test_groups_keep_the_order_on_each_qubit(digits, data):
    pairs = st.lists(st.integers(0, digits - 1), min_size=1, max_size=2, unique=True)
    blocks = data.draw(st.lists(pairs, max_size=30))
    column = Column(list(range(digits)))
    met = 5
    for k, at in enumerate(blocks):
        met = max(met, max(at) + 1)  # as a column grows
        column.steps.append(Step(met, k, tuple(at)))
    groups = column.groups
    order = [step for group in groups for step in group.steps]
    assert sorted(step.block for step in order) == list(range(len(blocks)))
    for qubit in range(digits):
        met = [step.block for step in order if qubit in step.at]
        assert met == sorted(met)
    for group in groups:
        assert set(group.rows) >= {digit for step in group.steps for digit in step.at}
        assert len(group.rows) <= min(ROW_DIGITS, group.digits - 2)
        assert group.digits > max(group.rows)
    sizes = [group.digits for group in groups]
    assert sizes == sorted(sizes)  # what a column has taken in stays


# ---------------------------------------------------------------------- programs


def forced(program: DensityProgram, backward: bool | None, monkeypatch) -> list[bool]:
    """Make a program take one way, or the calls of torch if None; return where it did."""
    taken: list[bool] = []

    def columns(key, strings, arguments, readout):
        if backward is None:
            return None
        way = program._ways.way(arguments.covered, readout, strings, backward=backward)
        taken.append(way.columns is not None)
        return way if taken[-1] else None

    monkeypatch.setattr(program._ways, "choose", columns)
    return taken


def some_observables(num_qubits: int, seed: int) -> list[SparsePauliOp]:
    rng = np.random.default_rng(seed)
    letters = rng.choice(list("IXYZ"), (4, num_qubits), p=[0.55, 0.15, 0.15, 0.15])
    labels = ["".join(each) for each in letters]
    return [SparsePauliOp(labels[:2], [0.3, -1]), *map(SparsePauliOp, labels[2:])]


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@example(31506, 5, 14, False)  # weights outside of the light cones of all observables
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(0, 30), st.booleans())
def test_every_way_gives_what_calls_of_torch_give(seed, num_qubits, depth, with_states):
    """Values, gradients and gradients of gradients, whatever the channels: 1e-10 in float64."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(density, "THREE_QUBITS", ())
        circuit, inputs, weights = density.random_noisy_circuit(num_qubits, depth, seed)
        noise = density.random_noise(num_qubits, seed)
        program = compile_noisy(
            circuit, noise, inputs, weights, method="density", unknown_gates="noiseless"
        )
        x, w = (each.requires_grad_() for each in random_angles(3, 3, 3, seed))
        wanted, states = [x, w], None
        if with_states:
            size = 2 ** len(program.active)
            rows = [random_statevector(size, seed=seed + j).data for j in range(3)]
            states = torch.tensor(np.stack(rows)).requires_grad_()
            wanted.append(states)
        observables = some_observables(num_qubits, seed)
        mix = torch.Generator().manual_seed(seed)
        cotangents = torch.randn(3, len(observables) + 2**num_qubits, generator=mix).double()

        def results():
            values = torch.cat(
                [
                    program.expectation(observables, x, w, states),
                    program.probabilities(x, w, states),
                ],
                1,
            )
            loss = (values * cotangents).sum()
            first = torch.autograd.grad(loss, wanted, retain_graph=True)
            again = torch.autograd.grad(loss, wanted, create_graph=True)
            square = sum(each.abs().square().sum() for each in again[:2])
            return [values, *first, *torch.autograd.grad(square, [x, w])]

        forced(program, None, patch)
        expected = results()
        for backward in (False, True):
            forced(program, backward, patch)
            for got, want in zip(results(), expected, strict=True):
                assert (got - want).abs().max() < 1e-10


def chain(num_qubits: int, layers: int = 2):
    """RX of inputs, then layers of RY and CX from neighbour to neighbour."""
    inputs = [Parameter(f"x_{k:04d}") for k in range(num_qubits)]
    weights = [Parameter(f"w_{k:04d}") for k in range(layers * num_qubits)]
    circuit = QuantumCircuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.rx(inputs[qubit], qubit)
    for k, weight in enumerate(weights):
        circuit.ry(weight, k % num_qubits)
        if num_qubits > 1 and k % num_qubits == num_qubits - 1:
            circuit.cx(range(num_qubits - 1), range(1, num_qubits))
    return circuit, inputs, weights


def relaxing() -> NoiseModel:
    noise = NoiseModel()
    relaxation = thermal_relaxation_error(50, 30, 4, 0.1)
    noise.add_all_qubit_quantum_error(relaxation, ["rx", "ry"])
    both = depolarizing_error(0.05, 2).compose(relaxation.tensor(relaxation))
    noise.add_all_qubit_quantum_error(both, ["cx"])
    return noise


class GuardedTorch:
    """torch, whose `empty` has bytes behind it that nobody may write to."""

    def __init__(self) -> None:
        self.wholes: list[torch.Tensor] = []

    def __getattr__(self, name: str):
        return getattr(torch, name)

    def empty(self, size: int, dtype: torch.dtype) -> torch.Tensor:
        whole = torch.full((size + GUARD,), MARK, dtype=dtype)
        self.wholes.append(whole[size:])
        return whole[:size]


GUARD, MARK = 2**16, 0xA5


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("num_qubits", [1, 2, 3, 6, pytest.param(7, marks=pytest.mark.slow)])
def test_nothing_is_written_behind_the_memory_to_work_in(num_qubits, backward, monkeypatch):
    """Columns of no, one and more digits, read in product states and on initial states."""
    guarded_torch, behind = GuardedTorch(), []

    def working(size: int) -> np.ndarray:
        whole = np.full(size + GUARD, MARK, np.uint8)
        behind.append(whole[size:])
        return whole[:size]

    monkeypatch.setattr(column_runner, "torch", guarded_torch)
    monkeypatch.setattr(column_runner, "working_memory", working)
    circuit, inputs, weights = chain(num_qubits, 1)
    program = compile_noisy(circuit, relaxing(), inputs, weights, method="density")
    taken = forced(program, backward, monkeypatch)
    observables = [SparsePauliOp("Z" + "I" * (num_qubits - 1)), SparsePauliOp("X" * num_qubits)]
    for dtype, batch in itertools.product((torch.float32, torch.float64), (1, 3, 33)):
        x = torch.rand(batch, num_qubits, dtype=dtype).requires_grad_()
        w = torch.rand(num_qubits, dtype=dtype).requires_grad_()
        start = torch.zeros(batch, 2**num_qubits, dtype=torch.complex128)
        start[:, -1] = 1
        for state in (None, start.to(dtype.to_complex())):
            values = [
                program.expectation(observables, x, w, state),
                program.probabilities(x, w, state, qubits=[0]),
            ]
            torch.cat(values, 1).square().sum().backward()
    assert any(taken)
    assert behind
    for each in (*behind, *guarded_torch.wholes):
        assert (each == MARK).all()


@pytest.mark.parametrize("backward", [False, True])
def test_gradients_against_finite_differences(backward, monkeypatch):
    circuit, inputs, weights = chain(3)
    program = compile_noisy(circuit, relaxing(), inputs, weights, method="density")
    taken = forced(program, backward, monkeypatch)
    x, w = (each.requires_grad_() for each in random_angles(3, 6, 2))
    states = torch.tensor(random_statevector(4, seed=1).data[None].repeat(2, 0)).requires_grad_()

    def values(*arguments):
        observables = [SparsePauliOp(["XYZ", "ZII"], [1, 0.3]), SparsePauliOp("IZI")]
        return program.expectation(observables, *arguments, initial_qubits=[0, 2])

    assert torch.autograd.gradcheck(values, (x, w, states))
    assert all(taken)


@pytest.mark.parametrize("backward", [False, True])
def test_columns_that_grow_give_what_calls_of_torch_give(backward, monkeypatch):
    """Seven qubits, taken in one after the other while groups of blocks change their order."""
    circuit, inputs, weights = chain(7, 3)
    program = compile_noisy(circuit, relaxing(), inputs, weights, method="density")
    x, w = (each.requires_grad_() for each in random_angles(7, 21, 2))
    observables = [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], 7) for q in range(7)]

    def results():
        values = program.expectation(observables, x, w)
        return [values, *torch.autograd.grad(values.square().sum(), (x, w))]

    forced(program, None, monkeypatch)
    expected = results()
    taken = forced(program, backward, monkeypatch)
    for got, want in zip(results(), expected, strict=True):
        assert (got - want).abs().max() < 1e-10
    assert taken == [True]


@pytest.mark.parametrize("backward", [False, True])
def test_the_distribution_is_aers(backward, monkeypatch):
    circuit, inputs, weights = chain(4)
    circuit.reset(1)
    circuit.ry(weights[0], 1)
    noise = relaxing()
    program = compile_noisy(circuit, noise, inputs, weights, method="density")
    taken = forced(program, backward, monkeypatch)
    x, w = random_angles(4, 8, 2)
    got = program.probabilities(x, w, readout=False).numpy()
    for row in range(2):
        bound = density.bind(circuit, inputs, weights, x[row].numpy(), w.numpy())
        expected = np.diag(density.aer_matrix(bound, noise)).real
        assert np.abs(got[row] - expected).max() < 1e-10
    assert taken == [True]


def test_samples_do_not_depend_on_their_batch_or_on_threads():
    circuit, inputs, weights = chain(6)
    program = compile_noisy(circuit, relaxing(), inputs, weights, method="density")
    x, w = random_angles(6, 12, 70)
    w.requires_grad_()

    def both(rows):
        values = program.probabilities(x[rows], w)
        return values.detach(), torch.autograd.grad(values[:, ::3].square().sum(), w)[0]

    values, gradient = both(slice(None))
    parts = [both(slice(0, 33)), both(slice(33, 70))]
    assert torch.allclose(values, torch.cat([each[0] for each in parts]), atol=1e-14)
    assert torch.allclose(gradient, parts[0][1] + parts[1][1], atol=1e-12)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        again = both(slice(None))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(values, again[0])
    assert torch.allclose(gradient, again[1], atol=1e-12)


@pytest.mark.parametrize("layout", ["reversed", "strided", "expanded"])
def test_gradients_and_weights_may_lie_as_they_like(layout):
    circuit, inputs, weights = chain(3)
    program = compile_noisy(circuit, relaxing(), inputs, weights, method="density")
    x, w = random_angles(3, 6, 4)
    observables = [SparsePauliOp("ZII"), SparsePauliOp("IZX")]
    if layout == "expanded":
        plain = x[:1].repeat(4, 1)
        other = x[:1].expand(4, 3)
    elif layout == "strided":
        plain, other = x, torch.stack([x, x], 2)[..., 0]
    else:
        plain, other = x, x.flip(0).contiguous().flip(0)
    found = []
    for given_x in (plain, other):
        each = w.clone().requires_grad_()
        values = program.expectation(observables, given_x, each)
        values.backward(torch.ones(()).double().expand_as(values))
        found.append((values.detach(), each.grad))
    for one, two in zip(*found, strict=True):
        assert torch.equal(one, two)


def test_columns_one_behind_the_other_give_the_same_bits(monkeypatch):
    """Short columns run from one table, long ones each from its own."""
    circuit, inputs, weights = chain(4, 2)
    x, w = (each.requires_grad_() for each in random_angles(4, 8, 3))
    strings = ["ZIII", "IXII", "IIZY", "ZZZZ"]
    found = []
    for short in (column_runner.SHORT, 0):
        monkeypatch.setattr(column_runner, "SHORT", short)
        program = compile_noisy(circuit, relaxing(), inputs, weights, method="density")
        taken = forced(program, True, monkeypatch)
        values = program.expectation([SparsePauliOp(each) for each in strings], x, w)
        found.append([values, *torch.autograd.grad(values.square().sum(), (x, w))])
        assert taken == [True]
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


# ---------------------------------------------------------------------- light cones


def test_an_observable_pays_for_its_light_cone_only():
    """Four neighbours decide it; 22 qubits would be 4**22 numbers."""
    n, local = 22, 5
    circuit, inputs, weights = chain(n, 1)
    program = compile_noisy(circuit, relaxing(), inputs, weights, method="density")
    few, few_inputs, few_weights = chain(local, 1)
    part = compile_noisy(few, relaxing(), few_inputs, few_weights, method="density")
    x, w = random_angles(n, n, 3)
    observable = SparsePauliOp.from_sparse_list([("ZX", [3, 1], 1.0)], n)
    value = program.expectation([observable], x, w)
    small = SparsePauliOp.from_sparse_list([("ZX", [3, 1], 1.0)], local)
    assert torch.allclose(value, part.expectation([small], x[:, :local], w[:local]), atol=1e-12)
    (way,) = (way for way in program._ways.known.values() if way.pictures.backward is None)
    assert way.columns is not None
    assert way.columns[0].digits == local


def test_more_than_the_memory_is_refused_before_it_is_taken(monkeypatch):
    circuit, inputs, weights = chain(8)
    program = compile_noisy(circuit, relaxing(), inputs, weights, method="density")
    monkeypatch.setattr("qdm_qiskit.engine.noise.memory.SMALL_BYTES", 0)
    monkeypatch.setattr("qdm_qiskit.engine.noise.memory.available_bytes", lambda device: 2**18)
    x, w = random_angles(8, 16, 2)
    with pytest.raises(InvalidData, match=r"8 qubits for 2 samples needs about .* available; use"):
        program.expectation([SparsePauliOp("ZIIIIIII")], x, w.requires_grad_())


# ---------------------------------------------------------------------- other ways


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_blocks_of_three_qubits_and_forward_mode_run_in_torch():
    circuit, inputs, weights = chain(3)
    x, w = random_angles(3, 6, 2)
    observables = [SparsePauliOp("ZII")]
    program = compile_noisy(circuit, relaxing(), inputs, weights, method="density")

    def value(given):
        return program.expectation(observables, x, given)

    _, slope = torch.func.jvp(value, (w,), (torch.ones_like(w),))
    each = w.clone().requires_grad_()
    rows = [torch.autograd.grad(entry, each, retain_graph=True)[0] for entry in value(each)]
    assert torch.allclose(slope[:, 0], torch.stack(rows).sum(1), atol=1e-12)
    circuit.ccx(0, 1, 2)
    wide = compile_noisy(
        circuit, relaxing(), inputs, weights, method="density", unknown_gates="noiseless"
    )
    bound = density.bind(circuit, inputs, weights, x[0].numpy(), w.numpy())
    expected = np.diag(density.aer_matrix(bound, relaxing())).real
    assert np.abs(wide.probabilities(x, w)[0].numpy() - expected).max() < 1e-10
    assert all(way.columns is None for way in wide._ways.known.values())
