"""Everything in Qiskit's circuit library is right, or refused in one line that names it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Delay, Gate, Parameter
from qiskit.circuit.library import (
    Initialize,
    PauliProductMeasurement,
    PermutationGate,
    QFTGate,
    UnitaryGate,
)
from qiskit.quantum_info import Operator, Pauli, SparsePauliOp, Statevector, random_unitary
from qiskit_aer.noise import NoiseModel

from qdm_qiskit.engine import EngineEstimator, compile_circuit, compile_noisy
from qdm_qiskit.engine.noise.lowering import MAX_EXACT_QUBITS
from qdm_qiskit.errors import UnsupportedCircuit
from tests.engine.qiskit_library import EXAMPLES, NOT_CIRCUITS, examples, names, wrapped

pytestmark = [
    pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning"),  # Qiskit's own
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # old names are swept too
]

MOST_NOISY_QUBITS = 8
REFUSED = {
    "Initialize": "'initialize'",
    "MSGate": "'ms'",
    "PauliProductMeasurement": "'pauli_product_measurement'",
    "WeightedSumGate": "'WeightedSum'",
}
"""What Statevector cannot run either, or runs by drawing random numbers; and how it is named."""


def check(name: str, *, noisy: bool) -> None:
    """Compare with Statevector; refusals are for what it refuses, and name the gate."""
    for circuit in examples(name):
        free = list(circuit.parameters)
        values = [0.9 * np.cos(1 + 3.1 * k) for k in range(len(free))]
        weights = torch.tensor(values, dtype=torch.float64) if free else None
        try:
            want = Statevector(circuit.assign_parameters(values)).data
        except Exception:  # Qiskit's own limits, of many types
            want = None
        if want is None or name == "Initialize":
            with pytest.raises(UnsupportedCircuit, match=REFUSED[name]) as caught:
                compile_circuit(circuit, [], free)
            assert "\n" not in str(caught.value)
            continue
        program = compile_circuit(circuit, [], free, dtype=torch.float64)
        got = program.statevector(None, weights)[0].numpy()
        np.testing.assert_allclose(got, want, atol=1e-9, err_msg=name)
        if noisy and circuit.num_qubits <= MOST_NOISY_QUBITS:
            check_without_noise(circuit, values, np.abs(want) ** 2)


def check_without_noise(circuit: QuantumCircuit, values: list[float], want: np.ndarray) -> None:
    """The noisy engine too; its largest exact evolutions are smaller, which it says."""
    free = list(circuit.parameters)
    weights = torch.tensor(values, dtype=torch.float64) if free else None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Gate 'PauliEvolution' runs as its definition")
            program = compile_noisy(circuit, NoiseModel(), [], free)
    except UserWarning:
        assert circuit.num_qubits > MAX_EXACT_QUBITS
        return
    except UnsupportedCircuit:
        assert circuit.num_qubits > MAX_EXACT_QUBITS
        assert any(item.operation.name == "hamiltonian" for item in circuit.data)
        return
    found = program.probabilities(None, weights, qubits=range(circuit.num_qubits))[0]
    tolerance = 1e-8 if free else 1e-4  # without tensors in single precision
    np.testing.assert_allclose(found, want, atol=tolerance)


def test_every_name_of_the_library_has_an_example_or_a_reason():
    known = set(names())
    assert set(EXAMPLES) <= known
    assert len(known) > 200
    assert not known & set(NOT_CIRCUITS)


@pytest.mark.parametrize(
    "name",
    [
        "BitwiseXorGate",
        "CUGate",
        "EvolvedOperatorAnsatz",
        "GraphStateGate",
        "HamiltonianGate",
        "Initialize",
        "MCPhaseGate",
        "MSGate",
        "PauliProductMeasurement",
        "PauliProductRotationGate",
        "PermutationGate",
        "QuadraticForm",
        "RVGate",
        "UCRYGate",
        "UniformSuperpositionGate",
        "WeightedSumGate",
        "XXPlusYYGate",
        "excitation_preserving",
        "hamiltonian_variational_ansatz",
        "phase_estimation",
        "rzx_zz2",
        "template_nct_5a_3",
    ],
)
def test_a_sample_of_the_library_is_right(name):
    check(name, noisy=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_the_whole_library_is_right(name):
    check(name, noisy=True)


@pytest.mark.parametrize(
    "operation",
    [
        PermutationGate([3, 2, 0, 1]),
        PermutationGate([5, 2, 4, 0, 1, 3, 6]),
        PermutationGate([5, 2, 4, 0, 1, 3, 6]).inverse(),
        PermutationGate([4, 0, 3, 1, 2]),
        QFTGate(6),
        QFTGate(4).inverse(),
    ],
)
def test_gates_with_a_synthesis_and_no_definition(operation):
    circuit = wrapped(operation)
    want = Statevector(circuit)
    got = compile_circuit(circuit, dtype=torch.float64).statevector()[0]
    np.testing.assert_allclose(got, want.data, atol=1e-10)
    found = compile_noisy(circuit, NoiseModel(), method="density").probabilities()[0]
    np.testing.assert_allclose(found, want.probabilities(), atol=1e-5)


def test_a_permutation_too_large_for_a_matrix():
    pattern = [(5 * k + 3) % 12 for k in range(12)]
    circuit = QuantumCircuit(12)
    circuit.x([0, 3, 7])
    circuit.append(PermutationGate(pattern), range(12))
    state = compile_circuit(circuit).statevector()[0]
    want = sum(1 << new for new, old in enumerate(pattern) if old in (0, 3, 7))
    assert int(state.abs().argmax()) == want
    noisy = compile_noisy(circuit, NoiseModel(), method="trajectories")
    assert int(noisy.probabilities()[0].argmax()) == want


class Rotor(Gate):
    """A user's gate with a matrix and nothing else."""

    def __init__(self, num_qubits: int) -> None:
        super().__init__("rotor", num_qubits, [])

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return random_unitary(2**self.num_qubits, seed=7).data


class Doubtful(Rotor):
    """Another one, whose definition is not its matrix; Statevector takes the matrix."""

    def _define(self) -> None:
        self.definition = QuantumCircuit(self.num_qubits)


@pytest.mark.parametrize("gate", [Rotor(4), Rotor(6), Doubtful(6), UnitaryGate(Rotor(7))])
def test_gates_with_a_matrix_and_no_definition(gate):
    circuit = wrapped(gate)
    got = compile_circuit(circuit, dtype=torch.float64).statevector()[0]
    np.testing.assert_allclose(got, Statevector(circuit).data, atol=1e-10)


class Unbound(Gate):
    """A gate whose definition fails until its parameter is bound."""

    def __init__(self, angle: object) -> None:
        super().__init__("needs_numbers", 1, [angle])

    def _define(self) -> None:
        circuit = QuantumCircuit(1)
        circuit.rx([0.1, 0.2][int(self.params[0])], 0)
        self.definition = circuit


def test_a_definition_that_fails_is_refused_by_the_gates_name():
    circuit = QuantumCircuit(1)
    angle = Parameter("a")
    circuit.append(Unbound(angle), [0])
    makers = (compile_circuit, lambda *args: compile_noisy(args[0], NoiseModel(), *args[1:]))
    for make in makers:
        with pytest.raises(UnsupportedCircuit, match=r"'needs_numbers'.*bind its param") as caught:
            make(circuit, [], [angle])
        assert "\n" not in str(caught.value)


def in_the_middle(kind: str) -> QuantumCircuit:
    circuit = QuantumCircuit(2, 1)
    circuit.h([0, 1])
    if kind == "initialize":
        circuit.append(Initialize([0.6, 0.8]), [0])
    elif kind == "pauli_product_measurement":
        circuit.append(PauliProductMeasurement(Pauli("XZ")), [0, 1], [0])
    else:
        inner = QuantumCircuit(1, 1, name=kind)
        inner.measure(0, 0)
        inner.h(0)
        circuit.append(inner.to_instruction(), [1], [0])
    return circuit


@pytest.mark.parametrize("kind", ["initialize", "pauli_product_measurement", "my_routine"])
def test_a_refusal_names_the_users_own_instruction(kind):
    with pytest.raises(UnsupportedCircuit, match=rf"'{kind}', through its '\w+'"):
        compile_circuit(in_the_middle(kind))
    if kind != "initialize":  # the noisy engine resets
        with pytest.raises(UnsupportedCircuit, match=rf"'{kind}', through its '\w+'"):
            compile_noisy(in_the_middle(kind), NoiseModel())


def test_initialize_in_the_middle_runs_in_the_noisy_engine():
    found = compile_noisy(in_the_middle("initialize"), NoiseModel()).probabilities()[0]
    np.testing.assert_allclose(found, np.kron([0.5, 0.5], [0.36, 0.64]), atol=1e-6)


def test_measurements_inside_a_subroutine_at_the_end_run():
    inner = QuantumCircuit(1, 1)
    inner.ry(0.7, 0)
    inner.measure(0, 0)
    circuit = QuantumCircuit(1, 1)
    circuit.append(inner.to_instruction(), [0], [0])
    want = [np.cos(0.35) ** 2, np.sin(0.35) ** 2]
    np.testing.assert_allclose(compile_circuit(circuit).probabilities()[0], want, atol=1e-6)
    found = compile_noisy(circuit, NoiseModel()).probabilities()[0]
    np.testing.assert_allclose(found, want, atol=1e-6)


def test_global_phases_and_delays_alone():
    phase, time = Parameter("phase"), Parameter("time")
    circuit = QuantumCircuit(1)
    circuit.append(Delay(time, "s"), [0])
    circuit.global_phase = 2 * phase
    weights = torch.tensor([0.3, 5.0], dtype=torch.float64, requires_grad=True)
    program = compile_circuit(circuit, [], [phase, time])
    state = program.statevector(None, weights)[0]
    np.testing.assert_allclose(state.detach(), [np.exp(0.6j), 0], atol=1e-15)
    program.expectation([SparsePauliOp("X")], None, weights).sum().backward()
    assert weights.grad is not None
    assert weights.grad.tolist() == [0, 0]
    assert EngineEstimator().run([(circuit, "Z", [0.3, 5.0])]).result()[0].data.evs == 1.0


@pytest.mark.parametrize("phase", [0, Parameter("a")])
def test_circuits_without_qubits_are_refused(phase):
    circuit = QuantumCircuit(global_phase=phase)
    with pytest.raises(UnsupportedCircuit, match="at least 1 qubit, got 'circuit-"):
        compile_circuit(circuit, [], list(circuit.parameters))


def test_circuits_without_gates_are_the_start():
    assert Operator(QuantumCircuit(2)).dim == (4, 4)
    assert compile_circuit(QuantumCircuit(2)).statevector()[0].tolist() == [1, 0, 0, 0]
