"""Machine code against numpy, on tiles between guard zones."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qdm_qiskit.engine.jit.compiler import kernels
from qdm_qiskit.machine_code import widest

SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 32)
WIDTHS = [(double, lanes) for double in (False, True) for lanes in (2, 4, 8, 16)]
"""Precision and samples of a tile; 16 doubles are more than any processor's vector."""
GUARD = 64
"""Numbers before and after each array."""
COUNT, USED = 5, (3, 0, 4)
"""Blocks that a tile has room for, and those on which a function is called."""


def sizes(double: bool, lanes: int) -> list[Any]:
    """All sizes for single precision with the widest vectors; a choice of them for the others."""
    chosen = {(False, 16): SIZES, (True, 8): (4, 9), (True, 4): (3,)}
    marks = [() if n in chosen.get((double, lanes), (9,)) else pytest.mark.slow for n in SIZES]
    return [pytest.param(double, lanes, n, marks=m) for n, m in zip(SIZES, marks, strict=True)]


CASES = [case for width in WIDTHS for case in sizes(*width)]
USUAL = [
    pytest.param(
        *width, marks=() if width in ((False, 16), (True, 8), (True, 2)) else pytest.mark.slow
    )
    for width in WIDTHS
]


class Guarded:
    """An array in memory that begins where vectors may, between numbers that must stay."""

    def __init__(self, values: np.ndarray) -> None:
        total = values.size + 2 * GUARD
        raw = np.zeros(total * values.itemsize + 128, dtype=np.uint8)
        shift = -raw.ctypes.data % 128
        self._all = raw[shift : shift + total * values.itemsize].view(values.dtype)
        self._all[:] = np.random.default_rng(7).integers(1, 99, total)
        self.values = self._all[GUARD : total - GUARD].reshape(values.shape)
        self.values[...] = values
        self._before = self._all.copy()

    @property
    def address(self) -> int:
        return int(self.values.ctypes.data)

    def is_untouched(self) -> bool:
        """Whether nothing at all was written."""
        return self._all.tobytes() == self._before.tobytes()

    def is_guarded(self) -> bool:
        """Whether nothing was written outside of the array."""
        ends = [(each[:GUARD], each[-GUARD:]) for each in (self._all, self._before)]
        return all(np.array_equal(*pair) for pair in zip(*ends, strict=True))


class Bench:
    """Tiles and calls for one precision and number of lanes."""

    def __init__(self, double: bool, lanes: int, seed: int = 0) -> None:
        self.made = kernels(double=double, lanes=lanes)
        self.lanes = lanes
        self.real = np.float64 if double else np.float32
        self.eps = float(np.finfo(self.real).eps)
        self.rng = np.random.default_rng(seed)

    def numbers(self, *shape: int) -> Guarded:
        return Guarded(self.rng.normal(size=shape).astype(self.real))

    def tile(self, rows: int) -> Guarded:
        return self.numbers(rows, 2, self.lanes)

    def factors(self, *shape: int, real: bool) -> Guarded:
        return self.numbers(*shape) if real else self.numbers(*shape, 2)

    def close(self, found: np.ndarray, expected: np.ndarray, terms: int) -> None:
        """Equal up to a sum of so many products of normal numbers, each at most about 16."""
        np.testing.assert_allclose(found, expected, rtol=0, atol=16 * self.eps * (terms + 4))


def call(address: int, *arguments: int | Guarded | np.ndarray) -> None:
    """Call a function of addresses and numbers."""
    places = [
        each.address
        if isinstance(each, Guarded)
        else each.ctypes.data
        if isinstance(each, np.ndarray)
        else each
        for each in arguments
    ]
    ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(places))(address)(*places)


def as_complex(numbers: Guarded | np.ndarray, *, real: bool = False, axis: int = 1) -> np.ndarray:
    """In double precision; the real and imaginary parts stand along an axis."""
    values = numbers.values if isinstance(numbers, Guarded) else numbers
    values = values.astype(np.float64)
    return values if real else values.take(0, axis) + 1j * values.take(1, axis)


def block_places(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First rows, offsets, and both together: ``(blocks, rows)``. Blocks lie anywhere."""
    first = np.array(USED, dtype=np.int32)
    offsets = (COUNT * rng.permutation(rows)).astype(np.int32)
    return first, offsets, first[:, None] + offsets[None, :]


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize(("double", "lanes", "rows"), CASES)
def test_apply_is_a_matrix_product_on_the_rows_it_is_told(double, lanes, rows, real):
    bench = Bench(double, lanes, seed=rows)
    tile, matrix = bench.tile(COUNT * rows), bench.factors(rows, rows, real=real)
    first, offsets, places = block_places(bench.rng, rows)
    expected = as_complex(tile)
    expected[places] = as_complex(matrix, real=real, axis=-1) @ expected[places]
    before = tile.values.copy()
    call(bench.made.apply(rows, real=real), tile, len(first), first, offsets, matrix)
    bench.close(as_complex(tile), expected, 2 * rows)
    assert not np.array_equal(tile.values, before)
    others = np.setdiff1d(np.arange(COUNT * rows), places)
    assert len(others)
    np.testing.assert_array_equal(tile.values[others], before[others])
    assert tile.is_guarded()
    assert matrix.is_untouched()


FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "forward": lambda matrix: matrix,
    "transposed": lambda matrix: matrix.swapaxes(0, 1),
    "adjoint": lambda matrix: matrix.swapaxes(0, 1).conj(),
}


@pytest.mark.parametrize("form", ["transposed", "adjoint"])
@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 4, 9])
def test_apply_takes_other_forms_of_a_matrix(rows, real, form):
    bench = Bench(True, 4, seed=rows)
    tile, matrix = bench.tile(COUNT * rows), bench.factors(rows, rows, real=real)
    first, offsets, places = block_places(bench.rng, rows)
    expected = as_complex(tile)
    expected[places] = FORMS[form](as_complex(matrix, real=real, axis=-1)) @ expected[places]
    address = bench.made.apply(rows, real=real, form=form)
    call(address, tile, len(first), first, offsets, matrix)
    bench.close(as_complex(tile), expected, 2 * rows)
    assert tile.is_guarded()
    assert matrix.is_untouched()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 4])
def test_apply_of_a_diagonal(rows, real, form):
    bench = Bench(False, 16, seed=rows)
    tile, diagonal = bench.tile(COUNT * rows), bench.factors(rows, real=real)
    first, offsets, places = block_places(bench.rng, rows)
    expected = as_complex(tile)
    weights = FORMS[form](np.diag(as_complex(diagonal, real=real, axis=-1)))
    expected[places] = weights @ expected[places]
    address = bench.made.apply(rows, real=real, diagonal=True, form=form)
    call(address, tile, len(first), first, offsets, diagonal)
    bench.close(as_complex(tile), expected, 2)
    assert tile.is_guarded()
    assert diagonal.is_untouched()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("rows", [2, 4])
@pytest.mark.parametrize(("double", "lanes"), [(False, 16), (True, 2)])
def test_each_lane_may_have_a_matrix_of_its_own(double, lanes, rows, diagonal, form):
    bench = Bench(double, lanes, seed=rows)
    stride = 3 * lanes  # of three tiles the second one
    entries = bench.factors(rows if diagonal else rows**2, stride, real=False)
    tile = bench.tile(COUNT * rows)
    first, offsets, places = block_places(bench.rng, rows)
    own = as_complex(entries, axis=-1)[:, lanes : 2 * lanes]
    matrix = np.zeros((rows, rows, lanes), dtype=complex)
    if diagonal:
        matrix[np.arange(rows), np.arange(rows)] = own
    else:
        matrix[...] = own.reshape(rows, rows, lanes)
    expected = as_complex(tile)
    expected[places] = np.einsum("rcl,kcl->krl", FORMS[form](matrix), expected[places])
    address = bench.made.apply_each(rows, diagonal=diagonal, form=form)
    here = entries.address + lanes * 2 * entries.values.itemsize
    call(address, tile, len(first), first, offsets, here, stride)
    bench.close(as_complex(tile), expected, 2 * rows)
    assert tile.is_guarded()
    assert entries.is_untouched()


@pytest.mark.parametrize("each", [True, False])
@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("rows", [2, 4])
@pytest.mark.parametrize(("double", "lanes"), [(False, 16), (True, 2)])
def test_slope_along_a_generator(double, lanes, rows, diagonal, each):
    bench = Bench(double, lanes, seed=rows)
    state, grad = bench.tile(COUNT * rows), bench.tile(COUNT * rows)
    generator = bench.factors(rows if diagonal else rows**2, real=False)
    out = bench.numbers(lanes if each else 1)
    first, offsets, places = block_places(bench.rng, rows)
    numbers = as_complex(generator, axis=-1)
    matrix = np.diag(numbers) if diagonal else numbers.reshape(rows, rows)
    x, y = (as_complex(part)[places] for part in (state, grad))
    slopes = np.einsum("krl,rc,kcl->l", y, matrix, x).real
    expected = slopes if each else out.values + slopes.sum()
    address = bench.made.slope(rows, diagonal=diagonal, each=each)
    call(address, state, grad, len(first), first, offsets, generator, out)
    bench.close(out.values, expected, 8 * rows**2 * lanes)
    assert out.is_guarded()
    assert state.is_untouched()
    assert grad.is_untouched()
    assert generator.is_untouched()


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize(("double", "lanes", "rows"), CASES)
def test_overlap_adds_state_times_gradient(double, lanes, rows, real):
    bench = Bench(double, lanes, seed=rows)
    state, grad = bench.tile(COUNT * rows), bench.tile(COUNT * rows)
    sums = bench.factors(rows, rows, real=real)
    first, offsets, places = block_places(bench.rng, rows)
    x, y = (as_complex(each)[places] for each in (state, grad))
    expected = np.einsum("krl,kcl->rc", x, y)
    start = as_complex(sums, real=real, axis=-1)
    address = bench.made.overlap(rows, real=real)
    call(address, state, grad, len(first), first, offsets, sums)
    wanted = start + (expected.real if real else expected)
    bench.close(as_complex(sums, real=real, axis=-1), wanted, 2 * lanes * len(first))
    assert sums.is_guarded()
    assert state.is_untouched()
    assert grad.is_untouched()


@pytest.mark.parametrize("factors", ["none", "real", "complex"])
@pytest.mark.parametrize(("backward", "conjugate"), [(0, False), (1, False), (1, True)])
@pytest.mark.parametrize(("double", "lanes"), USUAL)
def test_move_gathers_rows_or_puts_them_back(double, lanes, backward, conjugate, factors):
    rows, real = 11, factors == "real"
    bench = Bench(double, lanes)
    here, there = bench.tile(rows), bench.tile(rows)
    source = bench.rng.permutation(rows).astype(np.int32)
    values = bench.factors(rows, real=real)
    x = as_complex(here)
    weights = 1 if factors == "none" else as_complex(values, real=real, axis=-1)[:, None]
    weights = np.conj(weights) if conjugate else weights
    expected = np.zeros_like(x)
    if backward:
        expected[source] = x * weights
    else:
        expected[:] = x[source] * weights
    address = bench.made.move(factors=factors, conjugate=conjugate)
    call(address, here, there, rows, source, values, backward)
    bench.close(as_complex(there), expected, 0 if factors == "none" else 2)
    assert there.is_guarded()
    assert here.is_untouched()
    assert values.is_untouched()


@pytest.mark.parametrize("conjugate", [True, False])
@pytest.mark.parametrize("factors", ["real", "complex"])
@pytest.mark.parametrize(("double", "lanes"), USUAL)
def test_turn_multiplies_each_row(double, lanes, factors, conjugate):
    rows, real = 11, factors == "real"
    bench = Bench(double, lanes)
    tile, values = bench.tile(rows), bench.factors(rows, real=real)
    weights = as_complex(values, real=real, axis=-1)[:, None]
    expected = as_complex(tile) * (weights.conj() if conjugate else weights)
    call(bench.made.turn(factors=factors, conjugate=conjugate), tile, rows, 0, 0, values)
    bench.close(as_complex(tile), expected, 2)
    assert tile.is_guarded()
    assert values.is_untouched()


@pytest.mark.parametrize(("double", "lanes"), WIDTHS)
def test_products_add_the_sum_of_each_row(double, lanes):
    rows = 11
    bench = Bench(double, lanes)
    state, grad, sums = bench.tile(rows), bench.tile(rows), bench.factors(rows, real=False)
    expected = as_complex(sums) + (as_complex(state) * as_complex(grad)).sum(1)
    call(bench.made.products(), state, grad, rows, 0, 0, sums)
    bench.close(as_complex(sums), expected, 2 * lanes)
    assert sums.is_guarded()
    assert state.is_untouched()
    assert grad.is_untouched()


@pytest.mark.parametrize(("double", "lanes"), WIDTHS)
def test_expect_sums_weighted_probabilities(double, lanes):
    rows, count, stride = 11, 3, 3 * lanes
    bench = Bench(double, lanes)
    state, weights = bench.tile(rows), bench.numbers(count, rows)
    values = bench.numbers(count, stride)
    expected = values.values.copy()
    expected[:, :lanes] = weights.values @ (as_complex(state) * as_complex(state).conj()).real
    call(bench.made.expect(), state, rows, weights, count, values, stride)
    bench.close(values.values, expected, 2 * rows)
    assert values.is_guarded()
    assert state.is_untouched()


@pytest.mark.parametrize(("double", "lanes"), WIDTHS)
def test_seed_is_the_conjugate_gradient_of_weighted_probabilities(double, lanes):
    rows, count, stride = 11, 3, 2 * lanes
    bench = Bench(double, lanes)
    state, grad, weights = bench.tile(rows), bench.tile(rows), bench.numbers(count, rows)
    cotangents = bench.numbers(count, stride)
    slopes = weights.values.T.astype(float) @ cotangents.values[:, :lanes]
    expected = 2 * slopes * as_complex(state).conj()
    call(bench.made.seed(), state, grad, rows, weights, count, cotangents, stride)
    bench.close(as_complex(grad), expected, 8 * count)
    assert grad.is_guarded()
    assert state.is_untouched()
    assert cotangents.is_untouched()


def test_nothing_to_do_changes_nothing():
    bench = Bench(True, 4)
    tile, other = bench.tile(4), bench.tile(4)
    matrix, sums = bench.factors(2, 2, real=False), bench.factors(2, 2, real=False)
    none = np.zeros(0, dtype=np.int32)
    offsets = np.array([0, 1], dtype=np.int32)
    call(bench.made.apply(2, real=False), tile, 0, none, offsets, matrix)
    call(bench.made.overlap(2, real=False), tile, other, 0, none, offsets, sums)
    call(bench.made.products(), tile, other, 0, 0, 0, sums)
    call(bench.made.turn(factors="complex"), tile, 0, 0, 0, matrix)
    assert tile.is_untouched()
    assert other.is_untouched()
    np.testing.assert_array_equal(sums.values, sums._before[GUARD:-GUARD].reshape(2, 2, 2))


def test_lanes_do_not_mix():
    """Samples whose numbers are huge or not numbers stay in their own lanes."""
    bench = Bench(True, 4)
    tile, matrix = bench.tile(COUNT * 4), bench.factors(4, 4, real=False)
    first, offsets, places = block_places(bench.rng, 4)
    tile.values[:, :, 1] = np.nan
    tile.values[:, :, 3] = 1e300
    expected = as_complex(tile)[places][:, :, [0, 2]]
    expected = as_complex(matrix, axis=-1) @ expected
    call(bench.made.apply(4, real=False), tile, len(first), first, offsets, matrix)
    bench.close(as_complex(tile)[places][:, :, [0, 2]], expected, 8)


def test_functions_are_made_once_for_each_kind():
    made = kernels(double=True, lanes=4)
    assert kernels(double=True, lanes=4) is made
    assert made.apply(4, real=True) == made.apply(4, real=True)
    different = {
        made.apply(4, real=True),
        made.apply(4, real=False),
        made.apply(2, real=True),
        made.overlap(4, real=True),
        made.move(factors="none"),
        made.move(factors="real"),
        made.turn(factors="real"),
        made.products(),
        kernels(double=False, lanes=4).apply(4, real=True),
        kernels(double=True, lanes=2).apply(4, real=True),
    }
    assert len(different) == 10


def test_the_widest_vectors_hold_a_tile_of_a_processor_there_is():
    assert widest() in (16, 32, 64)
