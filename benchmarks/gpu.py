"""How fast is a training step on a GPU, how near to its memory's speed, and is it the CPU's result?

    python benchmarks/gpu.py [--seconds 240] [--json FILE]      # on a machine with a card
    python benchmarks/gpu.py --device cpu --seconds 20          # tries the script itself

One command of at most five minutes. For exact circuits and for circuits through a device's noise:

* outputs and gradients on the card against those on the CPU, in both precisions, first of all;
* a training step (outputs, mean square, gradients in weights and inputs) for one batch after the other:
  milliseconds, rows a second;
* the bytes that its calls of torch read and write, divided by the time, as a share of what a copy of
  256 MiB reaches on the same card. Far below 1 the calls wait for their launch, and a larger batch is
  free; near 1 there is nothing to gain but fewer calls. On a CPU machine code moves bytes that are not
  calls of torch; tiles are counted, small programs in one call are not.

It stops when its time is over, and says what it left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from traffic import Traffic

from qdm_qiskit.circuits import input_parameters, weight_parameters
from qdm_qiskit.engine import compile_circuit, compile_noisy
from qdm_qiskit.errors import QdmError
from qdm_qiskit.execution.region import active_qubits, noise_of
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.passes import transpile_for

NOISE = "fake_torino"
LAYERS, SEED = 2, 1
EXACT, NOISY = (4, 6, 9, 12), (4, 6, 8)
"""Qubits of the circuits."""
BATCHES = (1, 8, 64, 512, 4096)
COPIED = 2**28
"""Bytes of the array that is copied."""
LONGEST = 285.0
"""Most seconds that may be asked for, so that the command ends within five minutes."""
TOLERANCES = {torch.float64: 1e-9, torch.float32: 2e-4}
"""Largest difference from the CPU in double precision, relative to the largest entry."""


class Unequal(Exception):
    """A result on the card is not the CPU's."""


@dataclass(frozen=True)
class Row:
    """One circuit with one batch."""

    circuit: str
    qubits: int
    batch: int
    ms: float
    """Median of a training step."""
    rows_per_second: float
    gbytes_per_second: float
    share_of_copy: float


@dataclass(frozen=True)
class Equality:
    """Largest relative difference of outputs and gradients from the CPU's in double precision."""

    circuit: str
    float64: float
    float32: float


Outputs = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Subject:
    """A circuit, as a function of inputs and weights."""

    name: str
    qubits: int
    num_weights: int
    outputs: Outputs

    def step(self, batch: int, device: str, dtype: torch.dtype) -> Callable[[], list[torch.Tensor]]:
        """Return a training step on numbers that every device and precision gets alike."""
        rng = np.random.default_rng(SEED)
        weights = torch.tensor(rng.uniform(-3, 3, self.num_weights), dtype=dtype, device=device)
        rows = rng.uniform(-3, 3, (batch, self.qubits))
        inputs = torch.tensor(rows, dtype=dtype, device=device)

        def one() -> list[torch.Tensor]:
            w, x = weights.clone().requires_grad_(), inputs.clone().requires_grad_()
            said = self.outputs(x, w)
            said.square().mean().backward()
            assert w.grad is not None
            assert x.grad is not None
            return [said.detach(), w.grad, x.grad]

        return one


def ring(qubits: int) -> tuple[QuantumCircuit, list[Parameter], list[Parameter]]:
    """RX inputs, then layers of RY and a ring of CX."""
    x, w = input_parameters(qubits), weight_parameters(LAYERS * qubits)
    made = QuantumCircuit(qubits)
    for qubit in range(qubits):
        made.rx(x[qubit], qubit)
    for layer in range(LAYERS):
        for qubit in range(qubits):
            made.ry(w[layer * qubits + qubit], qubit)
        for qubit in range(qubits):
            made.cx(qubit, (qubit + 1) % qubits)
    return made, x, w


def _z(qubits: int) -> list[SparsePauliOp]:
    return [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], qubits) for q in range(qubits)]


def exact(qubits: int) -> Subject:
    """Return the circuit without noise."""
    circuit, x, w = ring(qubits)
    program, observables = compile_circuit(circuit, x, w), _z(qubits)
    return Subject(
        f"exact, {qubits} qubits",
        qubits,
        len(w),
        lambda inputs, weights: program.expectation(observables, inputs, weights),
    )


def noisy(qubits: int) -> Subject:
    """Return the circuit through the noise of a device, transpiled for it."""
    circuit, x, w = ring(qubits)
    backend = load_backend(NOISE)
    isa = transpile_for(circuit, backend, seed=SEED)
    program = compile_noisy(isa, noise_of(backend, active_qubits([isa])), x, w)
    observables = [each.apply_layout(isa.layout) for each in _z(qubits)]
    return Subject(
        f"{NOISE}, {qubits} qubits",
        qubits,
        len(w),
        lambda inputs, weights: program.expectation(observables, inputs, weights, readout=False),
    )


def compared(subject: Subject, device: str, batch: int = 4) -> Equality:
    """Return how far results on a device are from those on the CPU in double precision.

    Raises:
        Unequal: If it is further than rounding.
    """
    wanted = subject.step(batch, "cpu", torch.float64)()
    found: dict[torch.dtype, float] = {}
    for dtype, tolerance in TOLERANCES.items():
        said = subject.step(batch, device, dtype)()
        apart = [
            float((mine.double().cpu() - theirs).abs().max() / theirs.abs().max().clamp_min(1e-12))
            for mine, theirs in zip(said, wanted, strict=True)
        ]
        found[dtype] = max(apart)
        if not found[dtype] <= tolerance:  # nor NaN
            raise Unequal(
                f"{subject.name} on {device} in {dtype} is {found[dtype]:.2g} from the CPU's results, "
                f"more than {tolerance:g}."
            )
    return Equality(subject.name, found[torch.float64], found[torch.float32])


class NoRates:
    """Rates of a machine whose floor nobody asks for: the traffic counts bytes only."""

    flops = float("inf")

    def copy_rate(self, size: int) -> float:
        """Return a rate that takes no time."""
        return float("inf")


def moved_bytes(step: Callable[[], object]) -> int:
    """Return the bytes that the calls of a step read and write."""
    with Traffic(NoRates()) as traffic:
        step()
    return traffic.bytes


def seconds_of(call: Callable[[], object], device: str, spend: float) -> float:
    """Return the median seconds of a call, the device's work included."""

    def wait() -> None:
        if device != "cpu":
            torch.cuda.synchronize(device)

    for _ in range(3):
        call()
    wait()
    taken: list[float] = []
    end = time.perf_counter() + spend
    while len(taken) < 3 or time.perf_counter() < end:
        started = time.perf_counter()
        call()
        wait()
        taken.append(time.perf_counter() - started)
    return median(taken)


def copy_rate(device: str, size: int = COPIED) -> float:
    """Return the bytes a second, read and written, of a copy."""
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size / seconds_of(lambda: target.copy_(source), device, 0.3)


def measured(subject: Subject, batch: int, device: str, rate: float, spend: float) -> Row:
    """Time one circuit with one batch in single precision."""
    step = subject.step(batch, device, torch.float32)
    seconds = seconds_of(step, device, spend)
    bytes_per_second = moved_bytes(step) / seconds
    return Row(
        subject.name,
        subject.qubits,
        batch,
        1e3 * seconds,
        batch / seconds,
        bytes_per_second / 1e9,
        bytes_per_second / rate,
    )


def all_rows(
    subjects: Sequence[Subject], batches: Sequence[int], device: str, rate: float, end: float
) -> tuple[list[Row], list[str]]:
    """Time all circuits with all batches until the time is over.

    Returns:
        The rows, and in words what was left out.
    """
    rows: list[Row] = []
    left: list[str] = []
    pairs = [(subject, batch) for batch in batches for subject in subjects]
    for number, (subject, batch) in enumerate(pairs):
        name, now = f"{subject.name}, batch {batch}", time.perf_counter()
        before = [row for row in rows if row.circuit == subject.name]
        # A step takes as long as its batch asks for, once the device is full.
        guess = 8e-3 * before[-1].ms * batch / before[-1].batch if before else 0.0
        if now + guess >= end:
            left.append(f"{name}: no time")
            continue
        spend = min(1.0, (end - now) / (2 * (len(pairs) - number)))
        try:
            rows.append(measured(subject, batch, device, rate, spend))
        except (QdmError, torch.OutOfMemoryError) as error:
            left.append(f"{name}: {str(error).splitlines()[0]:.120}")
            continue
        row = rows[-1]
        print(
            f"{row.circuit:24s} {row.batch:6d} {row.ms:10.3f} {row.rows_per_second:12.0f} "
            f"{row.gbytes_per_second:9.1f} {row.share_of_copy:8.3f}",
            flush=True,
        )
    return rows, left


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or cpu to try the script")
    parser.add_argument("--seconds", type=float, default=240.0, help="most seconds of it all")
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)))
    parser.add_argument(
        "--exact", default=",".join(map(str, EXACT)), help="qubits of exact circuits"
    )
    parser.add_argument("--noisy", default=",".join(map(str, NOISY)), help="qubits of noisy ones")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if not 0 < options.seconds <= LONGEST:
        print(f"gpu.py: --seconds is above 0 and at most {LONGEST:g}.", file=sys.stderr)
        return 2
    if options.device != "cpu" and not torch.cuda.is_available():
        print(
            "gpu.py: there is no CUDA card that torch sees; `--device cpu` tries the script itself.",
            file=sys.stderr,
        )
        return 2
    end = time.perf_counter() + options.seconds
    device = options.device
    card = "the CPU" if device == "cpu" else torch.cuda.get_device_name(device)
    rate = copy_rate(device, COPIED if device != "cpu" else 2**26)
    print(f"{card}: a copy moves {rate / 1e9:.0f} GB/s; torch {version('torch')}")
    batches = [int(each) for each in options.batches.split(",")]
    subjects = [exact(int(n)) for n in options.exact.split(",") if n]
    subjects += [noisy(int(n)) for n in options.noisy.split(",") if n]
    try:
        equal = [compared(each, device) for each in subjects]
    except Unequal as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        return 1
    for each in equal:
        print(f"{each.circuit:24s} differs from the CPU by {each.float64:.1e}, {each.float32:.1e}")
    print(f"{'circuit':24s} {'batch':>6s} {'ms':>10s} {'rows/s':>12s} {'GB/s':>9s} {'of copy':>8s}")
    rows, left = all_rows(subjects, batches, device, rate, end)
    for text in left:
        print(f"left out: {text}")
    if options.json is not None:
        content = {
            "card": card,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "torch": version("torch"),
            "copy_gbytes_per_second": rate / 1e9,
            "equality": [asdict(each) for each in equal],
            "rows": [asdict(each) for each in rows],
            "left_out": left,
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(content, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
