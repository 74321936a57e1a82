"""What a training step cannot do without: bytes to move and arithmetic to do, and this machine's rates.

Two floors. ``issued``: every operation that the step issues, at the speed of a plain copy for its bytes
or of a large matrix product for its arithmetic, whichever takes longer; what is above it is dispatch,
Python and kernels that are slower than that. A step on a tile counts as one, with the rate of a copy
that is as large as the tile. ``least``: only reading what the step is given and writing
what it returns, which no program can avoid, whatever its algorithm.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from workloads import Result, Step, Workload

from qdm_qiskit.engine.evolution.steps import Frame, Move
from qdm_qiskit.engine.jit.runner import TileRunner
from qdm_qiskit.engine.jit.steps import Angled, TileStep

_PRODUCTS = {"mm", "bmm", "addmm", "baddbmm"}
MOST_LANES = 16
"""Samples of a tile in float32 with the widest vectors."""
_LEAST_COPY = 2**16
"""Bytes below which a copy measures the call instead of the memory."""


class Rates(Protocol):
    """What :class:`Traffic` asks of a machine."""

    flops: float

    def copy_rate(self, size: int) -> float:
        """Bytes a second of a copy whose arrays together have this size."""
        ...


class Machine:
    """Rates of this machine, measured now, by one thread; copies for each size once."""

    def __init__(self) -> None:
        self.copies: dict[int, float] = {}
        self.flops = max(_matmul_rate(size) for size in (256, 512, 1024))
        """Floating-point operations a second of a float32 matrix product."""

    def copy_rate(self, size: int) -> float:
        """Bytes a second, read and written, of a copy whose arrays together have this size."""
        size = max(_LEAST_COPY, 1 << (size - 1).bit_length())
        if size not in self.copies:
            source = torch.ones(size // 8)
            target = torch.empty_like(source)
            count = max(3, 2**26 // size)
            self.copies[size] = size / _least_time(lambda: target.copy_(source), count)
        return self.copies[size]


class Traffic(TorchDispatchMode):
    """Sums up operations, bytes and arithmetic while it is active."""

    def __init__(self, machine: Rates) -> None:
        super().__init__()
        self.machine = machine
        self.calls = self.bytes = self.flops = 0
        self.seconds = 0.0
        """Of the floor: for each operation its bytes or its arithmetic, what takes longer."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count it; a view moves nothing."""
        result = func(*args, **(kwargs or {}))
        self.calls += 1
        name = func.overloadpacket.__name__
        if func.is_view or name in ("empty", "empty_like", "detach", "empty_strided"):
            return result
        read = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        written = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        given = {id(t) for t in read}
        moved = sum(_size(t) for t in read) + sum(_size(t) for t in written if id(t) not in given)
        flops = 0
        if name in _PRODUCTS:
            left = read[-2] if kwargs is None or "out" not in kwargs else read[0]
            inner = left.shape[-1]
            flops = (8 if left.is_complex() else 2) * inner * written[0].numel()
        self.bytes += moved
        self.flops += flops
        self.seconds += max(
            moved / self.machine.copy_rate(moved) if moved else 0.0, flops / self.machine.flops
        )
        return result

    def __enter__(self) -> Traffic:
        """Count also what runs as machine code."""
        plain = TileRunner.run

        def counted(runner: TileRunner, x: Tensor, frame: Frame, *rest: Any) -> Tensor:
            result = plain(runner, x, frame, *rest)
            self._count_tiles(runner, frame, result)
            return result

        TileRunner.run = counted
        self._plain = plain
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        """Stop counting."""
        TileRunner.run = self._plain
        super().__exit__(*error)

    def _count_tiles(self, runner: TileRunner, frame: Frame, result: Tensor) -> None:
        """Forward and backward pass of a run of steps on tiles."""
        rows, batch = result.shape
        tile = 2 * rows * MOST_LANES * result.element_size()
        for step in runner.tiles.steps:
            touched, width, is_real, is_read = _step_work(step, rows, frame)
            moved = 2 * touched * batch * result.element_size()
            flops = (4 if is_real else 8) * width * touched * batch
            # Applied forward, to the state and to the gradient; and read.
            for times, count in ((3, 1.0), (1, 0.5 if is_read else 0.0)):
                each = moved * count
                self.bytes += int(times * each)
                self.flops += int(times * flops * bool(count))
                least = max(each / self.machine.copy_rate(tile), flops / self.machine.flops)
                self.seconds += times * least * bool(count)


def _step_work(step: TileStep, rows: int, frame: Frame) -> tuple[int, int, bool, bool]:
    """Rows touched, multiplications for each, whether these are real, whether a gradient is read."""
    if isinstance(step, Move):
        has_factors = step.signs is not None or step.phases is not None
        return rows, int(has_factors), step.phases is None, step.phases is not None
    applied = len(frame.constants.array(step.first))
    if isinstance(step, Angled):
        size = step.shape.size
        return applied * size, 1 if step.shape.diagonal else size, step.shape.real, True
    size = len(step.active)
    if step.block is None:
        assert step.fixed is not None
        is_real = not np.iscomplexobj(frame.constants.array(step.fixed))
        return applied * size, size, is_real, False
    return applied * size, size, not frame.blocks[step.block.group].is_complex(), True


def floors(workload: Workload, step: Step, machine: Machine) -> dict[str, float]:
    """Both floors in milliseconds, with what the step issues."""
    with Traffic(machine) as traffic:
        result = step()
    least = _least_bytes(workload, result)
    return {
        "calls": traffic.calls,
        "issued_mbytes": traffic.bytes / 1e6,
        "issued_mflops": traffic.flops / 1e6,
        "floor_issued_ms": 1e3 * traffic.seconds,
        "floor_least_ms": 1e3 * least / machine.copy_rate(least),
    }


def _least_bytes(workload: Workload, result: Result) -> int:
    """Data in; targets in; outputs and gradients out; all in float32."""
    data = workload.data
    given = [data.weights, data.targets, data.amplitudes, data.inputs]
    returned = [result.outputs, result.weight_grad, result.input_grad]
    return 4 * sum(a.size for a in given if a is not None) + sum(
        _size(a) for a in returned if a is not None
    )


def _size(tensor: Tensor) -> int:
    """Bytes that are really there: an expanded axis is read from the same place."""
    spread = [
        n for n, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or n == 1
    ]
    return tensor.element_size() * int(torch.Size(spread).numel())


def _matmul_rate(size: int) -> float:
    left, right = torch.rand(size, size), torch.rand(size, size)
    target = torch.empty_like(left)
    return 2 * size**3 / _least_time(lambda: torch.mm(left, right, out=target), 10)


def _least_time(call: Any, count: int) -> float:
    best = float("inf")
    for _ in range(count):
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best
