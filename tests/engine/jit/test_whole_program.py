"""Small programs in one call of machine code: against Qiskit, calls of torch, and shifted angles."""

from __future__ import annotations

import copy
import math
import pickle
import threading
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector, random_unitary

from qdm_qiskit.engine import CircuitProgram, compile_circuit
from qdm_qiskit.engine.jit import tile_work, whole_program
from qdm_qiskit.errors import InvalidData

ONE = ("rx", "ry", "rz", "p")
TWO = ("crx", "cry", "crz", "cp", "rxx", "ryy", "rzz", "rzx")
FIXED = ("h", "s", "sx", "y", "cx", "cz", "swap", "iswap", "ecr")
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """Equal to rounding, in units of the largest number or of 1."""
    assert found.shape == wanted.shape
    largest = max(float(wanted.detach().abs().max()), 1.0)
    real = found.dtype.to_real()
    assert float((found - wanted).detach().abs().max()) <= TOLERANCE[real] * largest


class Case:
    """A circuit with inputs and weights.

    Args:
        num_qubits: 1 to 4.
        names: Gates; a number stands for a random unitary matrix.
        batch: Samples.
        seed: Of qubits, angles and values.
        dtype: Real precision.
    """

    def __init__(
        self,
        num_qubits: int,
        names: list[str | int],
        batch: int,
        seed: int,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        rng = np.random.default_rng(seed)
        x, w = ParameterVector("x", 3), ParameterVector("w", 4)
        self.circuit = QuantumCircuit(num_qubits, global_phase=0.3)
        for k, parameter in enumerate([*x, *w]):
            self.circuit.ry(parameter, k % num_qubits)

        def angle() -> Any:
            """A weight, an input, or a sum with slopes and an offset."""
            slope = float(rng.choice([1.0, -0.5, 2.0]))
            one, other = x[int(rng.integers(3))], w[int(rng.integers(4))]
            return [one, other, slope * one + 0.2, slope * other - 1, one + slope * other][
                int(rng.integers(5))
            ]

        for name in names:
            order = rng.permutation(num_qubits).tolist()
            if isinstance(name, int):
                where = order[: min(name, num_qubits)]
                self.circuit.unitary(random_unitary(2 ** len(where), seed=rng), where)
                continue
            size = 2 if name in TWO or name in FIXED[4:] else 1
            if size <= num_qubits:
                given = [angle()] if name in (*ONE, *TWO) else []
                getattr(self.circuit, name)(*given, *order[:size])
        self.x, self.w = list(x), list(w)
        self.program = compile_circuit(self.circuit, self.x, self.w, dtype=dtype)
        self.inputs = torch.tensor(rng.uniform(-3, 3, (batch, 3)), dtype=dtype)
        self.weights = torch.tensor(rng.uniform(-3, 3, 4), dtype=dtype)
        self.rng = rng

    def arguments(self) -> list[torch.Tensor]:
        """Inputs and weights that want gradients."""
        return [each.clone().requires_grad_() for each in (self.inputs, self.weights)]

    def expected(self, row: int) -> np.ndarray:
        """Qiskit's final state of one sample."""
        values = dict(zip(self.x, self.inputs[row].tolist(), strict=True))
        values |= dict(zip(self.w, self.weights.tolist(), strict=True))
        return np.asarray(Statevector(self.circuit.assign_parameters(values)).data)


def is_whole(program: CircuitProgram) -> bool:
    """The program has run in one call."""
    return program._whole is not None and bool(program._whole._tables)


def ring(n: int = 3, layers: int = 2) -> tuple[QuantumCircuit, list[Parameter], list[Parameter]]:
    """RX of inputs, then layers of RY and CX."""
    circuit, x, w = QuantumCircuit(n), ParameterVector("x", n), ParameterVector("w", n * layers)
    for qubit in range(n):
        circuit.rx(x[qubit], qubit)
    for layer in range(layers):
        for qubit in range(n):
            circuit.ry(w[layer * n + qubit], qubit)
        for qubit in range(n):
            circuit.cx(qubit, (qubit + 1) % n)
    return circuit, list(x), list(w)


def observables(n: int) -> list[SparsePauliOp]:
    """Z of each qubit, and a sum."""
    each = ["I" * (n - 1 - q) + "Z" + "I" * q for q in range(n)]
    return [*map(SparsePauliOp, each), SparsePauliOp(["Z" * n, "I" * n], [0.5, 0.25])]


GATES = st.lists(st.sampled_from([*ONE, *TWO, *FIXED, 1, 2, 3]), min_size=1, max_size=10)


@settings(max_examples=40, deadline=None)
@given(
    num_qubits=st.integers(1, 4),
    names=GATES,
    batch=st.sampled_from([1, 2, 4, 5, 16, 17, 33]),
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from([torch.float64, torch.float32]),
)
def test_any_circuit_is_qiskits_and_torchs(num_qubits, names, batch, seed, dtype):
    case = Case(num_qubits, names, batch, seed, dtype)
    plain = case.program.without_recomputation()
    state = case.program.statevector(case.inputs, case.weights)
    assert is_whole(case.program)
    assert not is_whole(plain)
    row = batch - 1
    close(state[row], torch.tensor(case.expected(row)).to(state.dtype))
    direction = torch.tensor(case.rng.normal(size=(2, *state.shape)), dtype=dtype)
    weight = torch.tensor(case.rng.normal(size=(batch, num_qubits + 1)), dtype=dtype)

    def losses(program: CircuitProgram, arguments: list[torch.Tensor]) -> list[torch.Tensor]:
        amplitudes = program.statevector(*arguments)
        values = program.expectation(observables(num_qubits), *arguments)
        linear = (amplitudes.real * direction[0] + amplitudes.imag * direction[1]).sum()
        return [linear, (weight * values).sum(), values.square().sum()]

    ours, theirs = case.arguments(), case.arguments()
    both = zip(losses(case.program, ours), losses(plain, theirs), strict=True)
    for loss, wanted in both:
        close(loss, wanted)
        found = torch.autograd.grad(loss, ours, retain_graph=True)
        other = torch.autograd.grad(wanted, theirs, retain_graph=True)
        for one, two in zip(found, other, strict=True):
            close(one, two)


def test_gradients_are_those_of_shifted_angles():
    circuit, x, w = ring()
    program = compile_circuit(circuit, x, w)
    inputs = torch.linspace(-2, 2, 15, dtype=torch.float64).view(5, 3).requires_grad_()
    weights = torch.linspace(-1, 3, 6, dtype=torch.float64).requires_grad_()
    z = observables(3)
    program.expectation(z, inputs, weights).sum().backward()
    assert is_whole(program)
    with torch.no_grad():
        for k in range(6):
            shift = math.pi / 2 * torch.eye(6, dtype=torch.float64)[k]
            sides = [program.expectation(z, inputs, weights + s * shift).sum() for s in (1, -1)]
            close(weights.grad[k], (sides[0] - sides[1]) / 2)
        for k in range(3):
            shift = math.pi / 2 * torch.eye(3, dtype=torch.float64)[k]
            sides = [program.expectation(z, inputs + s * shift, weights).sum(1) for s in (1, -1)]
            close(inputs.grad[:, k], (sides[0] - sides[1]) / 2)
    assert float(inputs.grad.abs().min()) > 1e-3


def test_second_derivatives_are_torchs():
    circuit, x, w = ring()
    program = compile_circuit(circuit, x, w)
    found = []
    for each in (program, program.without_recomputation()):
        inputs = torch.linspace(-2, 2, 6, dtype=torch.float64).view(2, 3).requires_grad_()
        weights = torch.linspace(-1, 3, 6, dtype=torch.float64).requires_grad_()
        value = each.expectation(observables(3), inputs, weights).square().sum()
        first = torch.autograd.grad(value, (inputs, weights), create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), (inputs, weights))
        found.append([*first, *second])
    assert is_whole(program)
    for one, two in zip(*found, strict=True):
        close(one, two)
        assert float(two.detach().abs().max()) > 1e-2


def test_second_derivatives_after_a_change_in_place_are_refused():
    circuit, x, w = ring()
    program = compile_circuit(circuit, x, w)
    weights = torch.ones(6, dtype=torch.float64).requires_grad_()
    inputs = torch.ones(2, 3, dtype=torch.float64)
    value = program.expectation(observables(3), inputs, weights).sum()
    with torch.no_grad():
        weights.add_(1)
    (plain,) = torch.autograd.grad(value, weights, retain_graph=True)
    with pytest.raises(InvalidData, match="changed in place"):
        torch.autograd.grad(value, weights, create_graph=True)
    old = torch.ones(6, dtype=torch.float64).requires_grad_()
    program.expectation(observables(3), inputs, old).sum().backward()
    close(plain, old.grad)  # of the weights that were run


STRIDES = {
    "columns of another": lambda t: torch.stack([t, -t], dim=-1)[..., 0],
    "transposed": lambda t: t.t().contiguous().t() if t.ndim == 2 else t.clone(),
    "negative by a flag": lambda t: torch.complex(torch.zeros_like(t), -t).conj().imag,
    "another precision": lambda t: t.float(),
}


@pytest.mark.parametrize("change", STRIDES)
def test_tensors_that_do_not_lie_in_order(change):
    circuit, x, w = ring()
    program = compile_circuit(circuit, x, w)
    rng = torch.Generator().manual_seed(0)
    inputs = torch.randn(5, 3, generator=rng, dtype=torch.float64).float().double()
    weights = torch.randn(6, generator=rng, dtype=torch.float64).float().double()
    wanted = program.expectation(observables(3), inputs, weights)
    moved = STRIDES[change](inputs)
    own = weights if change == "another precision" else STRIDES[change](weights)
    close(program.expectation(observables(3), moved, own), wanted)
    assert is_whole(program)
    row = inputs[:1].expand(5, -1)  # a stride of 0
    close(
        program.expectation(observables(3), row, weights),
        program.expectation(observables(3), row.clone(), weights),
    )


@pytest.mark.parametrize("cotangent", ["expanded", "transposed", "strided"])
def test_gradients_that_do_not_lie_in_order(cotangent):
    circuit, x, w = ring()
    program = compile_circuit(circuit, x, w)
    inputs, weights = torch.linspace(0, 1, 15).view(5, 3), torch.linspace(-1, 1, 6)
    weights.requires_grad_()
    grad = torch.linspace(-1, 1, 20).view(5, 4)
    given = {
        "expanded": torch.tensor(1.5).expand(5, 4),
        "transposed": grad.t().contiguous().t(),
        "strided": torch.stack([grad, grad + 1], dim=-1)[..., 0],
    }[cotangent]
    values = program.expectation(observables(3), inputs, weights)
    (found,) = torch.autograd.grad(values, weights, given, retain_graph=True)
    (wanted,) = torch.autograd.grad(
        values, weights, given.clone(memory_format=torch.contiguous_format)
    )
    close(found, wanted)
    plain = program.without_recomputation().expectation(observables(3), inputs, weights)
    close(found, torch.autograd.grad(plain, weights, given)[0])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["Inputs", "Weights"])
def test_what_is_not_finite_is_named(value, name):
    circuit, x, w = ring()
    program = compile_circuit(circuit, x, w)
    inputs, weights = torch.zeros(5, 3), torch.zeros(6)
    (inputs[4] if name == "Inputs" else weights)[2] = value
    with pytest.raises(InvalidData, match=f"{name} must be finite"):
        program.expectation(observables(3), inputs, weights)
    assert program._whole is not None


def test_angles_that_are_large_but_finite_run():
    circuit, x, w = ring()
    program = compile_circuit(circuit, x, w)
    huge = torch.full((2, 3), 3e38)  # their sum overflows
    assert bool(program.statevector(huge, torch.zeros(6)).isfinite().all())


def test_an_empty_batch_is_refused():
    circuit, x, w = ring()
    with pytest.raises(InvalidData, match="at least one sample"):
        compile_circuit(circuit, x, w).expectation(
            observables(3), torch.zeros(0, 3), torch.zeros(6)
        )


def test_only_the_gradients_that_are_wanted():
    circuit, x, w = ring()
    program = compile_circuit(circuit, x, w)
    values = torch.linspace(-1, 1, 15, dtype=torch.float64).view(5, 3)
    angles = torch.linspace(-1, 1, 6, dtype=torch.float64)
    found = []
    for names in ("inputs", "weights", "both"):
        inputs, weights = values.clone(), angles.clone()
        inputs.requires_grad_(names != "weights")
        weights.requires_grad_(names != "inputs")
        program.expectation(observables(3), inputs, weights).sum().backward()
        found.append((inputs.grad, weights.grad))
    assert found[0][1] is None
    assert found[1][0] is None
    close(found[0][0], found[2][0])
    close(found[1][1], found[2][1])
    assert not program.expectation(observables(3), values, angles).requires_grad


def test_weights_of_each_sample():
    circuit, x, w = ring()
    program = compile_circuit(circuit, x, w)
    inputs = torch.linspace(-1, 1, 15, dtype=torch.float64).view(5, 3)
    weights = torch.linspace(-1, 1, 30, dtype=torch.float64).view(5, 6).requires_grad_()
    found = program.expectation(observables(3), inputs, weights)
    assert is_whole(program._per_sample)
    (gradient,) = torch.autograd.grad(found.sum(), weights)
    for row in range(5):
        own = weights[row].detach().requires_grad_()
        one = program.expectation(observables(3), inputs[row : row + 1], own)
        close(found[row], one[0])
        close(gradient[row], torch.autograd.grad(one.sum(), own)[0])


@pytest.mark.parametrize("reads", ["values", "states"])
def test_two_threads_give_what_one_gives(monkeypatch, reads):
    circuit, x, w = ring()
    program = compile_circuit(circuit, x, w)
    seen: set[int] = set()
    share = tile_work.share

    def noted(run: Any, *rest: Any) -> list[Any]:
        def own(first: int, end: int) -> Any:
            seen.add(threading.get_ident())
            return run(first, end)

        return share(own, *rest)

    monkeypatch.setattr(whole_program, "share", noted)
    found = []
    before = torch.get_num_threads()
    try:
        for threads, work in ((1, 2**20), (2, 1)):
            torch.set_num_threads(threads)
            tile_work._pool.cache_clear()
            monkeypatch.setattr(tile_work, "THREAD_WORK", work)
            inputs = torch.linspace(-1, 1, 300, dtype=torch.float64).view(100, 3).requires_grad_()
            weights = torch.linspace(-1, 1, 6, dtype=torch.float64).requires_grad_()
            if reads == "values":
                values = program.expectation(observables(3), inputs, weights)
            else:
                values = program.statevector(inputs, weights).real
            gradients = torch.autograd.grad(values.square().sum(), (inputs, weights))
            found.append([values.detach(), *gradients])
    finally:
        torch.set_num_threads(before)
        tile_work._pool.cache_clear()
    assert len(seen) > 1
    for one, two in zip(*found, strict=True):
        close(two, one)


def test_sums_of_large_batches_keep_their_digits():
    circuit, x, w = ring()
    program = compile_circuit(circuit, x, w)
    rng = torch.Generator().manual_seed(0)
    inputs = torch.randn(20_000, 3, generator=rng, dtype=torch.float64)
    found = []
    for dtype in (torch.float32, torch.float64):
        weights = torch.linspace(-1, 1, 6, dtype=dtype).requires_grad_()
        program.expectation(observables(3), inputs.to(dtype), weights).sum().backward()
        found.append(weights.grad.double())
    assert float((found[0] - found[1]).abs().max() / found[1].abs().max()) < 2e-6


def test_a_graph_may_be_used_twice_and_by_two_threads():
    circuit, x, w = ring()
    program = compile_circuit(circuit, x, w)
    inputs = torch.linspace(-1, 1, 99, dtype=torch.float64).view(33, 3).requires_grad_()
    weights = torch.linspace(-1, 1, 6, dtype=torch.float64).requires_grad_()
    values = program.expectation(observables(3), inputs, weights)
    directions = [torch.full((33, 4), float(k), dtype=torch.float64) for k in (1, 2)]
    wanted = torch.autograd.grad(values, weights, directions[0], retain_graph=True)[0]
    found: dict[int, list[torch.Tensor]] = {0: [], 1: []}

    def run(number: int) -> None:
        for _ in range(50):
            found[number] += torch.autograd.grad(
                values, weights, directions[number], retain_graph=True
            )

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(2):
        assert len(found[number]) == 50
        for each in found[number]:
            close(each, (number + 1) * wanted)


@pytest.mark.parametrize(
    "make",
    [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))],  # noqa: S301 (our own)
)
def test_copies_run(make):
    circuit, x, w = ring()
    program = compile_circuit(circuit, x, w)
    given = torch.ones(2, 3), torch.linspace(-1, 1, 6)
    wanted = program.expectation(observables(3), *given)
    copied = make(program)
    close(copied.expectation(observables(3), *given), wanted)


def test_inference_mode_leaves_nothing_behind():
    circuit, x, w = ring()
    program = compile_circuit(circuit, x, w)
    with torch.inference_mode():
        program.expectation(observables(3), torch.ones(2, 3), torch.ones(6))
    weights = torch.ones(6).requires_grad_()
    program.expectation(observables(3), torch.ones(2, 3), weights).sum().backward()
    assert weights.grad is not None


def test_values_may_be_changed_in_place():
    circuit, x, w = ring()
    program = compile_circuit(circuit, x, w)
    for batch in (3, 16):
        weights = torch.linspace(-1, 1, 6).requires_grad_()
        values = program.expectation(observables(3), torch.ones(batch, 3), weights)
        values += 1
        (found,) = torch.autograd.grad(values.sum(), weights)
        again = program.expectation(observables(3), torch.ones(batch, 3), weights)
        close(found, torch.autograd.grad(again.sum(), weights)[0])


@pytest.mark.parametrize("batch", [1, 3, 16, 17])
def test_values_of_tiles_that_are_not_full_are_no_views(batch):
    """What machine code writes beside the last sample is not seen, also by who reads the memory."""
    circuit, x, w = ring()
    program = compile_circuit(circuit, x, w)
    weights = torch.linspace(-1, 1, 6).requires_grad_()
    inputs = torch.linspace(0, 3, 3 * batch).reshape(batch, 3)
    values = program.expectation(observables(3), inputs, weights)
    assert values.shape == (batch, 4)
    assert values._base is None
    alone = [program.expectation(observables(3), inputs[k : k + 1], weights) for k in range(batch)]
    close(values, torch.cat(alone))
    close(values.contiguous().flatten(), torch.cat(alone).flatten())


def left_to_other_ways() -> dict[str, QuantumCircuit]:
    """Circuits that are not for one call."""
    x, y = Parameter("x"), Parameter("y")
    product, square, many = QuantumCircuit(1), QuantumCircuit(1), QuantumCircuit(10)
    product.rx(x * y, 0)
    square.rx(x**2 + y, 0)
    for _ in range(20):
        for qubit in range(10):
            many.rx(x, qubit)
            many.ry(y, qubit)
    selects = QuantumCircuit(2, 1)
    selects.rx(x, 0)
    selects.ry(y, 1)
    selects.measure(0, 0)
    return {"product": product, "square": square, "many": many, "selects": selects}


@pytest.mark.parametrize("name", left_to_other_ways())
def test_other_programs_keep_their_way(name):
    circuit = left_to_other_ways()[name]
    x, y = sorted(circuit.parameters, key=lambda p: p.name)
    chosen = {"postselect": {0: 1}} if name == "selects" else {}
    program = compile_circuit(circuit, [x], [y], **chosen)
    assert program._whole is None
    program.statevector(torch.ones(2, 1), torch.ones(1))
    assert program.explain().splitlines()[0] != f"strategy: {whole_program.WAY}"


def test_the_way_is_explained():
    circuit, x, w = ring()
    lines = compile_circuit(circuit, x, w).explain().splitlines()
    assert lines[0] == f"strategy: {whole_program.WAY}"
    assert sum("ry on qubits" in line for line in lines) == 6
    assert "strategy" in compile_circuit(circuit, x, w).explain([0, 1, 2])


def test_weights_in_angles_of_samples_have_gradients_where_inputs_want_none():
    circuit, x, w = QuantumCircuit(2), Parameter("x"), Parameter("w")
    circuit.ry(x - 2 * w, 0)
    circuit.crx(x + w, 0, 1)
    program = compile_circuit(circuit, [x], [w])
    found = []
    for each in (program, program.without_recomputation()):
        weights = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
        inputs = torch.linspace(-1, 1, 19, dtype=torch.float64).unsqueeze(1)
        each.expectation(observables(2), inputs, weights).sum().backward()
        found.append(weights.grad)
    assert is_whole(program)
    close(*found)
    assert float(found[0].abs()) > 0.1


def test_an_infinite_factor_of_a_parameter_is_refused_as_ever():
    a = Parameter("a")
    circuit = QuantumCircuit(1)
    circuit.rx(0 / (0 / a), 0)  # Qiskit makes inf * a of it
    program = compile_circuit(circuit, [], [a], dtype=torch.float64)
    with pytest.raises(InvalidData, match="real and finite"):
        program.statevector(None, torch.tensor([0.7], dtype=torch.float64))
