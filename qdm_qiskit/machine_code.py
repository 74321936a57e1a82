"""Machine code that this process writes for the processor at hand, by LLVM, when first asked for.

A function is written step by step with llvmlite's builder, as a list of operations on vectors, one
number of each of several samples in a vector. It is compiled in some hundredths of a second; nothing
is kept on disk.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

__all__ = ["INT32", "INT64", "OPTIMISE", "aligned", "carrying", "compiled", "loop", "widest"]

INT32, INT64 = ir.IntType(32), ir.IntType(64)
OPTIMISE = 2
"""LLVM's level of optimisation, 0 to 3."""
ALIGNED = 64
"""Bytes on which memory of :func:`aligned` begins: the widest vectors, and a line of the cache."""
_ONCE = threading.RLock()
"""Lock held while the process makes its only compiler; a cache alone lets threads make more."""


@cache
def widest() -> int:
    """Return the bytes of the processor's widest vectors."""
    features = llvm.get_host_cpu_features()
    wide = {"avx512f": 64, "avx": 32}
    return next((size for name, size in wide.items() if features.get(name)), 16)


def aligned(shape: tuple[int, ...]) -> np.ndarray:
    """Return float32 zeros in memory that begins where vectors want it."""
    size = int(np.prod(shape)) * 4
    room = np.zeros(size + ALIGNED, np.uint8)
    first = -room.ctypes.data % ALIGNED
    return room[first : first + size].view(np.float32).reshape(shape)


class _Compiler:
    """Compiler of functions to machine code, which lives as long as the process."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self._features = llvm.get_host_cpu_features().flatten()
        # The engine owns the machine that it is given.
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self._machine())
        tuning = llvm.create_pipeline_tuning_options(speed_level=OPTIMISE)
        self._builder = llvm.create_pass_builder(self._machine(), tuning)
        # The functions are written as they should run; a whole pipeline would take five times as long.
        self._passes = llvm.create_new_function_pass_manager()
        self._passes.add_sroa_pass()
        self._passes.add_instruction_combine_pass()
        self._passes.add_new_gvn_pass()
        self._passes.add_simplify_cfg_pass()
        self._count = 0
        self._lock = threading.Lock()

    def _machine(self) -> llvm.TargetMachine:
        target = llvm.Target.from_default_triple()
        name = llvm.get_host_cpu_name()
        return target.create_target_machine(cpu=name, features=self._features, opt=OPTIMISE)

    def address(self, function: ir.Function) -> int:
        """Compile a function and return its address."""
        with self._lock:
            self._count += 1
            name = f"tile.{self._count}"
            function.name = name
            module = llvm.parse_assembly(str(function.module))
            module.verify()
            self._passes.run(module.get_function(name), self._builder)
            self._engine.add_module(module)
            self._engine.finalize_object()
            return self._engine.get_function_address(name)


@cache
def _only_compiler() -> _Compiler:
    return _Compiler()


def compiled(function: ir.Function) -> int:
    """Return the address of a function, compiled.

    Args:
        function: The only function of its module that is called from elsewhere.
    """
    with _ONCE:
        compiler = _only_compiler()
    return compiler.address(function)


@contextmanager
def loop(b: ir.IRBuilder, end: ir.Value, start: ir.Value | None = None) -> Iterator[ir.Value]:
    """Count from ``start`` (0) to below ``end``."""
    with carrying(b, end, [], start) as (k, _, _):
        yield k


@contextmanager
def carrying(
    b: ir.IRBuilder, end: ir.Value, initial: list[ir.Value], start: ir.Value | None = None
) -> Iterator[tuple[ir.Value, list[ir.Value], list[ir.Value]]]:
    """Carry values through a loop: its counter, values before the round, a list for those after.

    After the loop the values before the round are the final ones.
    """
    before, function = b.block, b.function
    head, body, done = (function.append_basic_block() for _ in range(3))
    b.branch(head)
    b.position_at_end(head)
    k = b.phi(INT64)
    k.add_incoming(INT64(0) if start is None else start, before)
    carried = [b.phi(value.type) for value in initial]
    for phi, value in zip(carried, initial, strict=True):
        phi.add_incoming(value, before)
    b.cbranch(b.icmp_signed("<", k, end), body, done)
    b.position_at_end(body)
    new: list[ir.Value] = []
    yield k, carried, new
    for phi, value in zip(carried, new, strict=True):
        phi.add_incoming(value, b.block)
    k.add_incoming(b.add(k, INT64(1)), b.block)
    b.branch(head)
    b.position_at_end(done)
