"""Gate angles: whatever Qiskit makes of an expression once it is bound, both engines make of it."""

from __future__ import annotations

import io
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter, ParameterExpression, ParameterVector
from qiskit.circuit.exceptions import CircuitError
from qiskit.circuit.library import HamiltonianGate, PauliEvolutionGate, RVGate
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_aer.noise import NoiseModel, depolarizing_error

from qdm_qiskit.engine import (
    EngineEstimator,
    EngineSampler,
    compile_circuit,
    compile_noisy,
)
from qdm_qiskit.engine.lowering import angles as expressions
from qdm_qiskit.engine.lowering.angles import Call, Symbol, compile_angle, tree_of
from qdm_qiskit.engine.primitives.gradients import EngineEstimatorGradient, EngineSamplerGradient
from qdm_qiskit.errors import InvalidData, QdmError, UnsupportedCircuit
from tests.helpers import tensor

a, b, c = (Parameter(name) for name in "abc")
VALUES = {a: 0.7, b: 0.4, c: -1.3}
v = ParameterVector("v", 3)


@pytest.mark.parametrize("angle", [1.0 * a, a * 1, a + 0])
def test_an_expression_that_is_its_parameter(angle):
    """Of these qiskit 2.3 keeps no instructions."""
    tree = tree_of(angle)
    assert isinstance(tree, Symbol)
    assert tree.parameter == a


def circuit_of(angle: ParameterExpression) -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.ry(0.3, 0)
    circuit.rx(angle, 0)
    circuit.cx(0, 1)
    circuit.crz(angle, 0, 1)
    circuit.h([0, 1])
    return circuit


def bound(circuit: QuantumCircuit, values: list[float]) -> np.ndarray:
    return Statevector(circuit.assign_parameters(values)).data


# Those that 0.1 answered with somebody else's traceback or wrongly, and others of their kind.
EXPRESSIONS = {
    "a parameter cancels": a - a + b,
    "a parameter cancels inside a function": (a - a + b).sin() * c,
    "a product with 0": a * 0 + b,
    "a quotient cancels": -(a / b) + a / b + c,
    "all cancel": a - a,
    "power of a number": 2**a,
    "power of a number to a sum": 3.5 ** (a + b),
    "number over a sum": 2 / (a + b),
    "number minus a function": 1 - (a + b).sin(),
    "power of a power": (2**a) ** (3**b),
    "power of a negative number": (c - a) ** 3 + (-1 * b) ** 2,
    "sign": a.sign() * b,
    "sign of a difference": (c - a).sign() * b,
    "a step from a sign": (1 + c.sign()) / 2 * b + (1 + a.sign()) / 2,
    "power 0": a**0 + b,
    "square of a negative number": c**2,
    "square of a root of a negative number": c**0.5 * c**0.5,
    "absolute value": abs(c) + a,
    "exponential of a logarithm": c.log().exp(),
    "complex numbers that cancel": (1j * a) * (1j * c),
    "modulus of a complex number": (a + 1j * b).abs(),
    "conjugate": (a * b).conjugate() - (1j * c).conjugate() * 1j,
    "inverse functions": a.arcsin() + b.arccos() - c.arctan(),
    "tangent": (a * b).tan(),
    "elements of a vector": v[1] - v[1] + v[0] * v[2],
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_unusual_expressions_are_what_qiskit_binds(name):
    circuit = circuit_of(EXPRESSIONS[name])
    free = list(circuit.parameters)
    values = [VALUES.get(p, 0.3 + 0.2 * k) for k, p in enumerate(free)]
    want = bound(circuit, values)
    exact = compile_circuit(circuit, [], free).statevector(None, tensor(values))[0]
    np.testing.assert_allclose(exact, want, atol=1e-12)
    samples = tensor([values, values])
    each = compile_circuit(circuit, free, []).statevector(samples)
    np.testing.assert_allclose(each, [want, want], atol=1e-12)
    for inputs, weights in ((samples, None), (None, tensor(values))):
        listed = (free, []) if weights is None else ([], free)
        noisy = compile_noisy(circuit, NoiseModel(), *listed)
        found = noisy.probabilities(inputs, weights)
        np.testing.assert_allclose(found[-1], np.abs(want) ** 2, atol=1e-9)
    observable = SparsePauliOp("XZ")
    estimated = EngineEstimator().run([(circuit, observable, values)]).result()[0].data.evs
    exact_value = Statevector(want).expectation_value(observable).real
    assert estimated == pytest.approx(exact_value, abs=1e-12)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_their_derivatives_are_finite_differences(name):
    circuit = circuit_of(EXPRESSIONS[name])
    free = list(circuit.parameters)
    values = [VALUES.get(p, 0.3 + 0.2 * k) for k, p in enumerate(free)]
    observable = SparsePauliOp(["XZ", "ZI"], [1.0, 0.5])

    def value(shift: np.ndarray) -> float:
        state = Statevector(bound(circuit, list(values + shift)))
        return float(state.expectation_value(observable).real)

    step = 1e-6
    want = [(value(e) - value(-e)) / (2 * step) for e in step * np.eye(len(free))]
    weights = tensor(values).requires_grad_()
    compile_circuit(circuit, [], free).expectation([observable], None, weights).sum().backward()
    assert weights.grad is not None
    np.testing.assert_allclose(weights.grad, want, atol=1e-7)
    inputs = tensor([values]).requires_grad_()
    noisy = compile_noisy(circuit, NoiseModel(), free, [])
    (noisy.expectation([observable], inputs) + 0 * inputs.sum()).sum().backward()
    assert inputs.grad is not None
    np.testing.assert_allclose(inputs.grad[0], want, atol=1e-7)
    gradient = EngineEstimatorGradient().run([circuit], [observable], [values]).result()
    np.testing.assert_allclose(gradient.gradients[0], want, atol=1e-7)


@pytest.mark.parametrize(
    ("angle", "values"),
    [
        (a.log(), [-0.5]),
        (a.log(), [0.0]),
        (a**0.5, [-0.5]),
        (1 / a, [0.0]),
        (a / (a - b), [0.7, 0.7]),
        ((a / b).exp(), [0.7, 0.0]),
        (a.arcsin(), [2.0]),
        (1j * a, [0.7]),
        (0**a, [-1.0]),
    ],
)
def test_values_for_which_an_angle_is_no_real_number_are_refused(angle, values):
    circuit = QuantumCircuit(1)
    circuit.rx(angle, 0)
    free = list(circuit.parameters)
    with pytest.raises((CircuitError, ZeroDivisionError, RuntimeError)):
        circuit.assign_parameters(values)
    for make in (compile_circuit, lambda *args: compile_noisy(args[0], NoiseModel(), *args[1:])):
        with pytest.raises(InvalidData, match=r"[gG]ate angle") as caught:
            make(circuit, [], free).probabilities(None, tensor(values))
        assert "\n" not in str(caught.value)
    with pytest.raises(QdmError):
        EngineEstimator().run([(circuit, "Z", values)]).result()
    circuit.measure_all()
    with pytest.raises(QdmError):
        EngineSampler().run([(circuit, values)]).result()


@pytest.mark.parametrize("name", ["a parameter cancels", "power of a number", "sign", "conjugate"])
def test_expressions_survive_qpy(name):
    circuit = circuit_of(EXPRESSIONS[name])
    stored = io.BytesIO()
    qpy.dump(circuit, stored)
    stored.seek(0)
    (loaded,) = qpy.load(stored)
    values = [VALUES[p] for p in circuit.parameters]
    got = compile_circuit(loaded, [], list(loaded.parameters)).statevector(None, tensor(values))
    np.testing.assert_allclose(got[0], bound(circuit, values), atol=1e-12)


def test_derivatives_of_probabilities_look_inside_partial_functions():
    circuit = circuit_of(1 / a + b.log() + c**0.5 * c**0.5)
    values = [0.7, 0.4, -1.3]
    measured = circuit.measure_all(inplace=False)
    found = EngineSamplerGradient().run([measured], [values]).result().gradients[0]
    step = 1e-6
    for k, shift in enumerate(step * np.eye(3)):
        ends = [np.abs(bound(circuit, list(values + e))) ** 2 for e in (shift, -shift)]
        got = [found[k].get(outcome, 0.0) for outcome in range(4)]
        np.testing.assert_allclose(got, (ends[0] - ends[1]) / (2 * step), atol=1e-7)


def test_one_sample_without_a_real_angle_refuses_the_batch():
    circuit = QuantumCircuit(1)
    circuit.rx(a**0.5, 0)
    program = compile_circuit(circuit, [a])
    assert program.probabilities(tensor([[0.5], [0.25]])).isfinite().all()
    with pytest.raises(InvalidData, match=r"'a\*\*0.5'"):
        program.probabilities(tensor([[0.5], [-0.25]]))


def test_a_division_by_0_inside_a_function_is_refused():
    circuit = QuantumCircuit(1)
    circuit.rx((a / (a - b)).sign(), 0)
    program = compile_circuit(circuit, [], [a, b])
    with pytest.raises(InvalidData, match="divides by a parameter"):
        program.probabilities(None, tensor([-2.0, -2.0]))


def test_an_angle_without_value_at_all_is_refused_when_it_is_compiled():
    with pytest.raises(UnsupportedCircuit, match="must be real and finite"):
        compile_angle((1j * a).bind({a: 0.5}), {})


def test_a_parameter_that_is_not_the_circuits_is_refused_by_name():
    with pytest.raises(UnsupportedCircuit, match=r"'a', which is none.*gate 'rx'"):
        compile_angle(2 * a, {}, "rx")


def test_a_circuit_whose_parameters_all_cancel_has_derivative_0():
    circuit = QuantumCircuit(1)
    circuit.rx(a - a, 0)
    circuit.ry(b * 0 + 0.3, 0)
    weights = tensor([0.7, 0.4]).requires_grad_()
    value = compile_circuit(circuit, [], [a, b]).expectation([SparsePauliOp("Z")], None, weights)
    value.sum().backward()
    assert float(value.detach()) == pytest.approx(math.cos(0.3))
    assert weights.grad is not None
    assert weights.grad.tolist() == [0, 0]


@pytest.mark.parametrize("name", ["x y", "lambda", "I", "E", "$\\theta$", "θ", "sin", "S"])
def test_names_mean_nothing(name):
    odd = Parameter(name)
    circuit = circuit_of((odd - b + b) * 2 + b.sin())
    free = list(circuit.parameters)
    got = compile_circuit(circuit, [], free).statevector(None, tensor([0.7, 0.4][: len(free)]))
    np.testing.assert_allclose(got[0], bound(circuit, [0.7, 0.4][: len(free)]), atol=1e-12)


def test_a_reading_that_differs_from_qiskits_value_is_refused(monkeypatch):
    """The steps of an expression are no public interface; a change must not go unseen."""
    monkeypatch.setattr("qdm_qiskit.engine.lowering.angles._BINARY", {**_swapped()})
    with pytest.raises(UnsupportedCircuit, match="reads angle 'a - 2\\*b' as another function"):
        compile_angle(a - 2 * b, {a: ("weights", 0), b: ("weights", 1)})


@pytest.mark.parametrize("angle", [3 ** (3 ** (3 + a)), 10 ** (30 * a), (7 ** (30 * a)).sin()])
def test_powers_beyond_64_bits_are_read_as_functions(angle):
    """Qiskit stops powers of integers at 2^63 - 1; nothing can be compared with it there."""
    weights = tensor([-0.05])
    compiled = compile_angle(angle, {a: ("weights", 0)})
    assert compiled.evaluate(None, weights, weights).item() == pytest.approx(
        float(angle.bind({a: -0.05})), rel=1e-9
    )


@pytest.mark.parametrize("angle", [a.log().sign(), (a**a).sign(), (a**a).sign().abs()])
def test_the_sign_of_what_is_not_real_is_refused(angle):
    """Not the angle 0, which torch calls the sign of NaN."""
    weights = tensor([-0.42])
    with pytest.raises(InvalidData, match="must be real and finite"):
        compile_angle(angle, {a: ("weights", 0)}).evaluate(None, weights, weights)


def test_the_sign_of_a_real_number_by_way_of_complex_ones():
    weights = tensor([-0.42])
    angle = (a.log() + (a - a.log())).sign()
    assert compile_angle(angle, {a: ("weights", 0)}).evaluate(None, weights, weights).item() == -1


def test_a_power_that_is_read_otherwise_is_still_refused(monkeypatch):
    swapped = {**expressions._BINARY, "POW": lambda x, y: y**x}
    monkeypatch.setattr("qdm_qiskit.engine.lowering.angles._BINARY", swapped)
    with pytest.raises(UnsupportedCircuit, match="as another function"):
        compile_angle(3 ** (a + 1), {a: ("weights", 0)})


def _swapped() -> dict[str, Any]:
    return {**expressions._BINARY, "SUB": lambda x, y: y - x}


UNARY = [
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "exp",
    "log",
    "abs",
    "sign",
    "conjugate",
]
LEAVES = st.sampled_from([a, b, c]) | st.sampled_from([0, 1, 2, -1, 0.5, -1.5, 3])


def _combined(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def unary(name: str, of: Any) -> Any:
        return getattr(of, name)() if isinstance(of, ParameterExpression) else of

    def binary(name: str, one: Any, other: Any) -> Any:
        try:
            return {
                "+": lambda: one + other,
                "-": lambda: one - other,
                "*": lambda: one * other,
                "/": lambda: one / other,
                "**": lambda: one**other,
            }[name]()
        except (ZeroDivisionError, OverflowError):
            return one

    return st.builds(unary, st.sampled_from(UNARY), children) | st.builds(
        binary, st.sampled_from(["+", "-", "*", "/", "**", "-", "+"]), children, children
    )


def calls_of(tree: Any) -> list[str]:
    """Return all parts of an expression that are functions of functions, as text."""
    if not isinstance(tree, Call):
        return []
    deep = any(isinstance(each, Call) for each in tree.arguments)
    return [repr(tree)] * deep + [each for of in tree.arguments for each in calls_of(of)]


def parts_of(tree: Any, values: dict[Parameter, float]) -> list[complex]:
    """Return the values of all parts of an expression."""
    parts: list[complex] = []

    def value(node: Any) -> complex:
        if isinstance(node, Symbol):
            found = complex(values[node.parameter])
        elif isinstance(node, Call):
            of = [np.complex128(value(each)) for each in node.arguments]
            with np.errstate(all="ignore"):
                found = complex(expressions._apply(node.function, of))
        else:
            found = complex(node)
        parts.append(found)
        return found

    value(tree)
    return parts


def check_random_expression(angle: Any, values: list[float]) -> None:
    assume(isinstance(angle, ParameterExpression) and angle.parameters)
    circuit = QuantumCircuit(1)
    try:
        circuit.rx(angle, 0)
        repeated = [n for n, count in Counter(calls_of(tree_of(angle))).items() if count > 1]
    except (CircuitError, UnsupportedCircuit):
        assume(False)
    assume(not repeated)  # Qiskit's value of a sum of equal exponentials may not come back
    circuit.ry(angle, 0)
    free = list(circuit.parameters)
    named = dict(zip([a, b, c], values, strict=True))
    values = [named[p] for p in free]
    try:
        want = bound(circuit, values)
    except Exception:  # whatever Qiskit raises where there is no value
        want = None
    try:
        program = compile_circuit(circuit, [], free, dtype=torch.float64)
        got = program.statevector(None, tensor(values))[0].numpy()
    except QdmError:
        # Qiskit makes 0 of conjugate(arcsin(b)) - arcsin(b), also where arcsin(b) is not real.
        assert want is None or any(part.imag for part in parts_of(tree_of(angle), named))
        return
    assert np.isfinite(got).all()
    if want is not None:
        angles = [float(circuit.assign_parameters(values).data[0].operation.params[0])]
        assume(abs(angles[0]) < 1e4)  # beyond, rounding alone turns the state
        parts = parts_of(tree_of(angle), named)
        assume(max(map(abs, parts)) < 1e6)  # the same inside of a sine
        # By way of complex parts the two may take other branches: the sign of a zero decides.
        assume(not any(part.imag for part in parts))
        np.testing.assert_allclose(got, want, atol=1e-8)


random_expressions = given(
    st.recursive(LEAVES, _combined, max_leaves=8),
    st.permutations([0.71, -0.42, 1.33, -2.07, 0.23, 3.19]).map(lambda values: values[:3]),
)


@random_expressions
@settings(max_examples=60, deadline=None)
def test_random_expressions_are_what_qiskit_binds(angle, values):
    check_random_expression(angle, values)


@pytest.mark.slow
@random_expressions
@settings(max_examples=4000, deadline=None)
def test_many_random_expressions_are_what_qiskit_binds(angle, values):
    check_random_expression(angle, values)


def _free_of(role: str) -> dict[str, QuantumCircuit]:
    """Circuits of x and w on which the parameter of a role has no say."""
    x, w = Parameter("x"), Parameter("w")
    idle, other = (x, w) if role == "inputs" else (w, x)
    made = {}
    for name, angle in {
        "cancelled": other + idle - idle,
        "times zero": idle * 0 + other,
        "all cancelled": idle - idle + other - other,
        "quotient": idle / idle + other * 0,
    }.items():
        made[name] = QuantumCircuit(1)
        made[name].ry(angle, 0)
    made["global phase"] = QuantumCircuit(1, global_phase=idle)
    made["global phase"].ry(other, 0)
    return made


@pytest.mark.parametrize("role", ["inputs", "weights"])
@pytest.mark.parametrize("kind", ["exact", "density", "trajectories"])
def test_derivatives_in_what_has_no_say_are_zero(kind, role):
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), ["ry"])
    for name, circuit in _free_of(role).items():
        inputs = [p for p in circuit.parameters if p.name == "x"]
        weights = [p for p in circuit.parameters if p.name == "w"]
        if kind == "exact":
            program = compile_circuit(circuit, inputs, weights)
        else:
            program = compile_noisy(circuit, model, inputs, weights, method=kind)
        x = torch.full((3, 1), 0.3, dtype=torch.float64, requires_grad=True)
        w = torch.full((1,), 0.2, dtype=torch.float64, requires_grad=True)
        idle = x if role == "inputs" else w
        for found in (program.expectation([SparsePauliOp("Z")], x, w), program.probabilities(x, w)):
            (slope,) = torch.autograd.grad(found[:, 0].sum(), idle)
            assert not slope.any(), name


@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")  # Qiskit's evolution
@pytest.mark.parametrize("angle", [a - a, a * 0 + b * 0, a * 0 + 0.3, a / a, -a + 2 + a])
@pytest.mark.parametrize(
    "make",
    [
        lambda t: RVGate(t, 2 * t, 0.1),
        lambda t: RVGate(t, t, t),
        lambda t: PauliEvolutionGate(SparsePauliOp("XYZ"), time=t),
        lambda t: PauliEvolutionGate(SparsePauliOp(["XY", "YX", "ZI"], [1, 0.3, 0.2]), time=2 * t),
        lambda t: PauliEvolutionGate(SparsePauliOp(["XI", "ZI"]), time=t).control(1, ctrl_state=0),
        lambda t: HamiltonianGate(np.array([[1, 0.3], [0.3, -0.5]]), t),
    ],
)
def test_gates_whose_parameters_have_all_cancelled(make, angle):
    circuit = QuantumCircuit(3)
    circuit.h([0, 1])
    circuit.ry(0.3, 2)
    gate = make(angle)
    circuit.append(gate, range(gate.num_qubits))
    parameters = list(circuit.parameters)
    expected = bound(circuit, [0.7] * len(parameters))
    weights = tensor([0.7] * len(parameters))
    state = compile_circuit(circuit, (), parameters).statevector(None, weights)
    np.testing.assert_allclose(state.reshape(-1), expected, atol=1e-12)
    noisy = compile_noisy(circuit, NoiseModel(), (), parameters)
    found = noisy.probabilities(None, weights)
    np.testing.assert_allclose(found[0], np.abs(expected) ** 2, atol=1e-12)
