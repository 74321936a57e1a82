"""Evolutions: free or bound, few or many qubits, plain or modified, all are Qiskit's reference."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import (
    AnnotatedOperation,
    ControlModifier,
    InverseModifier,
    Operation,
    Parameter,
    PowerModifier,
)
from qiskit.circuit.library import HamiltonianGate, PauliEvolutionGate, RVGate
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import Operator, Pauli, SparseObservable, SparsePauliOp, Statevector
from qiskit.synthesis import LieTrotter, MatrixExponential, QDrift, SuzukiTrotter
from qiskit_aer.noise import NoiseModel, depolarizing_error

from qdm_qiskit.engine import EngineEstimator, compile_circuit, compile_noisy
from qdm_qiskit.engine.lowering.decompose import exact_circuit
from qdm_qiskit.engine.lowering.evolutions import MAX_DENSE_QUBITS, exponential_circuit
from qdm_qiskit.engine.noise.lowering import MAX_EXACT_QUBITS
from qdm_qiskit.engine.primitives.gradients import EngineEstimatorGradient, EngineSamplerGradient
from qdm_qiskit.errors import UnsupportedCircuit
from tests.helpers import tensor

# Qiskit's own, from the exponential of a sparse matrix.
pytestmark = pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")

s, t = Parameter("s"), Parameter("t")
TWO = SparsePauliOp(["ZZ", "XI", "IY"], [0.7, -0.4, 0.9])


def ising(num_qubits: int) -> SparsePauliOp:
    """Terms that do not commute, on all qubits."""
    pairs = [("ZZ", [k, k + 1], 0.5 + 0.1 * k) for k in range(num_qubits - 1)]
    fields = [("X", [k], 0.8 - 0.05 * k) for k in range(num_qubits)]
    return SparsePauliOp.from_sparse_list([*pairs, *fields], num_qubits)


def composite(*, twice: bool = False) -> QuantumCircuit:
    circuit = QuantumCircuit(2, global_phase=0.3 * t)
    circuit.append(PauliEvolutionGate(TWO, t), [1, 0])
    circuit.ry(s, 0)
    if twice:
        circuit.append(PauliEvolutionGate(TWO, s * t), [0, 1])
    return circuit


def annotated(operation: Operation, *modifiers: object) -> AnnotatedOperation:
    return AnnotatedOperation(operation, list(modifiers))


GATES = {
    "few qubits": PauliEvolutionGate(TWO, t),
    "one Pauli": PauliEvolutionGate(Pauli("XYZ"), 2 * t),
    "six qubits": PauliEvolutionGate(ising(6), t),
    "two times": PauliEvolutionGate(TWO, s * t - s),
    "inverse": PauliEvolutionGate(TWO, t).inverse(),
    "controlled": PauliEvolutionGate(TWO, t).control(1),
    "controlled on 0 and 1": PauliEvolutionGate(TWO, t).control(2, ctrl_state=1),
    "controlled, six qubits": PauliEvolutionGate(ising(5), t).control(1),
    "power": PauliEvolutionGate(TWO, t).power(2.5),
    "repeated": PauliEvolutionGate(TWO, t).repeat(3),
    "list of operators": PauliEvolutionGate([TWO, SparsePauliOp(["XX", "YY"])], t),
    "projectors": PauliEvolutionGate(SparseObservable.from_list([("0X+", 0.3), ("lZZ", 0.8)]), t),
    "identity terms": PauliEvolutionGate(SparsePauliOp(["II", "XI", "ZI"], [0.4, 0.3, 0.2]), t),
    "terms that cancel": PauliEvolutionGate(SparsePauliOp(["XI", "ZI", "XI"], [1, 2, -1]), t),
    "groups": PauliEvolutionGate(SparsePauliOp(["XIII", "ZIII", "IIXI", "IIZZ", "IYII"]), t),
    "suzuki": PauliEvolutionGate(TWO, t, synthesis=SuzukiTrotter(order=4, reps=2)),
    "lie": PauliEvolutionGate(TWO, t, synthesis=LieTrotter(reps=3)),
    "qdrift, which is random": PauliEvolutionGate(TWO, t, synthesis=QDrift(reps=2, seed=1)),
    "matrix exponential": PauliEvolutionGate(TWO, t, synthesis=MatrixExponential()),
    "composite": composite(twice=True).to_gate(),
    "composite, inverse": composite().to_gate().inverse(),
    "composite, repeated": composite().to_gate().repeat(2),
    "composite, controlled by definition": composite().to_gate().control(1),
    "composite, controlled lazily": composite(twice=True).to_gate().control(1, annotated=True),
    "composite, all modifiers": annotated(
        composite().to_gate(), ControlModifier(1, 0), InverseModifier(), PowerModifier(2)
    ),
    "composite in a composite": annotated(
        composite(twice=True).to_gate().repeat(2), InverseModifier(), ControlModifier(2, 2)
    ),
    "modifiers": annotated(
        PauliEvolutionGate(TWO, t), InverseModifier(), ControlModifier(1), PowerModifier(-2)
    ),
    # Qiskit 2.6.2 cannot bind parameters of an annotated operation in another one.
    "two controls": annotated(
        PauliEvolutionGate(TWO, t), ControlModifier(1, 0), ControlModifier(1)
    ),
    "hamiltonian": HamiltonianGate(TWO.to_matrix(), t),
    "hamiltonian, complex": HamiltonianGate(
        SparsePauliOp(["XYZ", "ZZI", "IYI"]).to_matrix(), s * t
    ),
    "hamiltonian, diagonal": HamiltonianGate(np.diag([1.0, 2.0, 2.0, -1.0]), t),
    "hamiltonian, six qubits": HamiltonianGate(ising(6).to_matrix(), t),
    "hamiltonian, inverse": HamiltonianGate(TWO.to_matrix(), t).inverse(),
    "hamiltonian, modifiers": annotated(
        HamiltonianGate(TWO.to_matrix(), t), InverseModifier(), ControlModifier(2, 1)
    ),
    "rotation vector": RVGate(t, s, 0.3),
    "rotation vector, inverse": RVGate(t * s, 0.0, s).inverse(),
    "rotation vector, lazily": annotated(RVGate(t, 0.2, 0.0), InverseModifier(), PowerModifier(3)),
}


def around(operation: Operation) -> QuantumCircuit:
    """The operation on entangled qubits, in a state without symmetry."""
    n = operation.num_qubits
    circuit = QuantumCircuit(n)
    for qubit in range(n):
        circuit.ry(0.3 + 0.4 * qubit, qubit)
        circuit.rz(0.2 + qubit, qubit)
    circuit.append(operation, range(n))
    for qubit in range(n):
        circuit.rx(0.5, qubit)
    return circuit


def values_of(circuit: QuantumCircuit, *, large: bool = False) -> list[float]:
    named = {"s": -2.4 if large else 0.7, "t": 5.3 if large else -0.6}
    return [named[p.name] for p in circuit.parameters]


@pytest.mark.parametrize("large", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", GATES)
def test_free_and_bound_are_the_reference(name, large):
    circuit = around(GATES[name])
    values = values_of(circuit, large=large)
    bound = circuit.assign_parameters(values)
    want = Statevector(bound).data
    got = compile_circuit(bound, dtype=torch.float64).statevector()[0]
    np.testing.assert_allclose(got, want, atol=1e-11)
    free = list(circuit.parameters)
    got = compile_circuit(circuit, [], free).statevector(None, tensor(values))[0]
    np.testing.assert_allclose(got, want, atol=1e-11)
    each = compile_circuit(circuit, free).statevector(tensor([values, values]))[1]
    np.testing.assert_allclose(each, want, atol=1e-11)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, gate in GATES.items()
        if not isinstance(gate, AnnotatedOperation) and gate.num_qubits <= MAX_EXACT_QUBITS
    ],
)
def test_without_errors_the_noisy_engine_agrees(name):
    circuit = around(GATES[name])
    values = values_of(circuit)
    want = Statevector(circuit.assign_parameters(values)).probabilities()
    free = list(circuit.parameters)
    for listed, given_ in (((free, []), (tensor([values]), None)), (([], free), (None, values))):
        inputs, weights = given_[0], None if given_[1] is None else tensor(given_[1])
        for method in ("density", "trajectories"):
            program = compile_noisy(circuit, NoiseModel(), *listed, method=method)
            found = program.probabilities(inputs, weights)[0]
            np.testing.assert_allclose(found, want, atol=1e-9)


@pytest.mark.parametrize(
    "name",
    [
        "few qubits",
        "controlled",
        "two times",
        "hamiltonian",
        "groups",
        "composite, controlled lazily",
        "rotation vector",
    ],
)
def test_derivatives_in_the_time(name):
    circuit = around(GATES[name])
    values = np.array(values_of(circuit))
    observable = SparsePauliOp(
        "XZ" + "Y" * (circuit.num_qubits - 2) if circuit.num_qubits > 1 else "X"
    )

    def value(point: np.ndarray) -> float:
        state = Statevector(circuit.assign_parameters(list(point)))
        return float(state.expectation_value(observable).real)

    step = 1e-6
    shifts = step * np.eye(len(values))
    want = [(value(values + e) - value(values - e)) / (2 * step) for e in shifts]
    found = EngineEstimatorGradient().run([circuit], [observable], [list(values)]).result()
    np.testing.assert_allclose(found.gradients[0], want, atol=1e-8)
    measured = circuit.measure_all(inplace=False)
    found = EngineSamplerGradient().run([measured], [list(values)]).result().gradients[0]
    for k, shift in enumerate(shifts):
        states = [Statevector(circuit.assign_parameters(list(values + e))) for e in (shift, -shift)]
        slopes = (states[0].probabilities() - states[1].probabilities()) / (2 * step)
        got = [found[k].get(outcome, 0.0) for outcome in range(len(slopes))]
        np.testing.assert_allclose(got, slopes, atol=1e-8)


VECTORS = [
    (0, 0, 0),
    (0.4, 0, 0),
    (0, np.pi / 2, 0),
    (0.3, -np.pi / 2, 0.2),
    (0, np.pi, 0),
    (1e-5, 0, 0),
    (0, 0, 2 * np.pi),
    (-8.0, 7.5, 9.1),
]


@pytest.mark.parametrize("vector", VECTORS)
def test_derivatives_of_a_rotation_vector_exist_everywhere(vector):
    names = [Parameter(name) for name in "xyz"]
    circuit = around(RVGate(*names))
    program = compile_circuit(circuit, [], names)
    weights = tensor(vector).requires_grad_()
    state = torch.view_as_real(program.statevector(None, weights)).reshape(-1)
    found = torch.stack([torch.autograd.grad(x, weights, retain_graph=True)[0] for x in state])
    step = 1e-6
    for k in range(3):
        ends = []
        for sign in (1, -1):
            moved = np.array(vector, dtype=float)
            moved[k] += sign * step
            ends.append(Statevector(circuit.assign_parameters(list(moved))).data)
        slope = (ends[0] - ends[1]) / (2 * step)
        want = np.stack([slope.real, slope.imag], axis=-1).reshape(-1)
        np.testing.assert_allclose(found[:, k], want, atol=1e-8)


def test_pubs_are_broadcast_over_times():
    circuit = around(GATES["two times"])
    observables = [["ZI"], ["XY"]]
    values = np.random.default_rng(0).normal(size=(1, 5, 2)) * 3
    pub = (circuit, observables, values)
    found = EngineEstimator().run([pub]).result()[0].data.evs
    want = StatevectorEstimator(default_precision=0).run([pub]).result()[0].data.evs
    assert found.shape == (2, 5)
    np.testing.assert_allclose(found, want, atol=1e-10)


@st.composite
def _sums(draw: st.DrawFn) -> SparsePauliOp:
    n = draw(st.integers(1, 4))
    labels = draw(st.lists(st.text("IXYZ", min_size=n, max_size=n), min_size=1, max_size=6))
    number = st.floats(-1.5, 1.5).map(lambda x: round(x, 3))
    return SparsePauliOp(labels, [draw(number) for _ in labels])


@given(_sums(), st.floats(-6, 6), st.booleans())
@settings(max_examples=25, deadline=None)
def test_random_sums_evolve_exactly(total, time, control):
    gate = PauliEvolutionGate(total, t)
    circuit = around(gate.control(1, ctrl_state=0) if control else gate)
    want = Statevector(circuit.assign_parameters([time])).data
    got = compile_circuit(circuit, [], [t]).statevector(None, tensor([time]))[0]
    np.testing.assert_allclose(got, want, atol=1e-10)


def test_the_rotations_of_a_diagonal_are_its_phases():
    values = np.random.default_rng(4).normal(size=8)
    circuit = exponential_circuit(np.diag(values), t)
    found = Operator(circuit.assign_parameters([0.7])).data
    np.testing.assert_allclose(found, np.diag(np.exp(-0.7j * values)), atol=1e-12)


def test_commuting_terms_are_exact_on_any_number_of_qubits():
    n = 14
    chain = SparsePauliOp.from_sparse_list([("ZZ", [k, k + 1], 0.3 + k) for k in range(n - 1)], n)
    circuit = QuantumCircuit(n)
    circuit.h(range(n))
    circuit.append(PauliEvolutionGate(chain, t), range(n))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        program = compile_circuit(circuit, [], [t])
    got = program.statevector(None, tensor([0.7]))[0]
    bits = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    energy = (bits[:, :-1] * bits[:, 1:]) @ (0.3 + np.arange(n - 1))
    np.testing.assert_allclose(got, np.exp(-0.7j * energy) / 2 ** (n / 2), atol=1e-10)


def test_beyond_the_largest_matrix_the_definition_runs_and_says_so():
    n = MAX_DENSE_QUBITS + 1
    gate = PauliEvolutionGate(ising(n), t)
    circuit, plain = QuantumCircuit(n), QuantumCircuit(n)
    circuit.append(gate, range(n))
    plain.compose(gate.definition, inplace=True)
    want = Statevector(plain.assign_parameters([0.4])).data
    for each, free in ((circuit, [t]), (circuit.assign_parameters([0.4]), [])):
        with pytest.warns(
            UserWarning, match=rf"'PauliEvolution' runs as its definition.* {n} qubits"
        ):
            program = compile_circuit(each, [], free, dtype=torch.float64)
        got = program.statevector(None, tensor([0.4]) if free else None)[0]
        np.testing.assert_allclose(got, want, atol=1e-10)


def test_a_large_hamiltonian_with_a_free_time_is_refused_by_name():
    gate = HamiltonianGate(np.eye(2**4), t)
    with pytest.raises(UnsupportedCircuit, match="'hamiltonian' with a free time has at most 3"):
        exact_circuit(gate, 3)


def test_with_errors_the_gates_of_the_definition_run_and_the_engine_says_so():
    model = NoiseModel(basis_gates=["rx", "ry", "rzz"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), ["rzz"])
    circuit, plain = QuantumCircuit(2), QuantumCircuit(2)
    circuit.append(PauliEvolutionGate(TWO, t), [0, 1])
    plain.compose(PauliEvolutionGate(TWO, t).definition, inplace=True)
    with pytest.warns(UserWarning, match="'PauliEvolution' runs as its definition.* errors follow"):
        program = compile_noisy(circuit, model, [], [t])
    want = compile_noisy(plain, model, [], [t]).probabilities(None, tensor([0.4]))
    np.testing.assert_allclose(program.probabilities(None, tensor([0.4])), want, atol=1e-12)


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (annotated(RVGate(s, t, 0.3), ControlModifier(1)), "annotated rv"),
        (annotated(PauliEvolutionGate(TWO, t), PowerModifier(0.5)), "PauliEvolution"),
    ],
)
def test_what_cannot_run_is_refused_by_name(operation, name):
    circuit = around(operation)
    with pytest.raises(UnsupportedCircuit, match=f"'{name}'") as caught:
        compile_circuit(circuit, [], list(circuit.parameters))
    assert "\n" not in str(caught.value)
    with pytest.raises(UnsupportedCircuit, match=name):
        compile_noisy(circuit, NoiseModel(), [], list(circuit.parameters))
    values = values_of(circuit)
    bound = circuit.assign_parameters(values)
    got = compile_circuit(bound, dtype=torch.float64).statevector()[0]
    np.testing.assert_allclose(got, Statevector(bound).data, atol=1e-11)
