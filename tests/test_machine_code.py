"""Machine code: functions are written, compiled and called; memory begins where vectors want it."""

import ctypes

import numpy as np
import pytest
from llvmlite import ir

from qdm_qiskit.machine_code import INT64, aligned, carrying, compiled, loop, widest


def test_a_function_is_compiled_and_called():
    kind = ir.FunctionType(INT64, [INT64, INT64])
    module = ir.Module(name="sums")
    function = ir.Function(module, kind, name="sum")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    start, end = function.args
    with carrying(b, end, [INT64(0)], start) as (k, total, new):
        new.append(b.add(total[0], k))
    b.ret(total[0])
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(compiled(function))
    assert [call(0, 5), call(3, 5), call(5, 5)] == [10, 7, 0]


def test_loops_stand_in_loops():
    kind = ir.FunctionType(INT64, [INT64])
    function = ir.Function(ir.Module(name="squares"), kind, name="square")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    (end,) = function.args
    place = b.alloca(INT64)
    b.store(INT64(0), place)
    with loop(b, end), loop(b, end):
        b.store(b.add(b.load(place), INT64(1)), place)
    b.ret(b.load(place))
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(compiled(function))
    assert [call(k) for k in range(4)] == [0, 1, 4, 9]


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 4)])
def test_memory_is_aligned_and_empty(shape):
    found = aligned(shape)
    assert found.shape == shape
    assert found.dtype == np.float32
    assert found.ctypes.data % 64 == 0
    assert found.flags.c_contiguous
    assert not found.any()
    found[:] = 1


def test_vectors_have_a_width_that_memory_is_aligned_to():
    assert widest() in (16, 32, 64)
