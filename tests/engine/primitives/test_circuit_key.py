"""A circuit that is changed in place between two runs of one primitive is another circuit."""

from __future__ import annotations

import copy
import gc
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import AnnotatedOperation, ControlModifier, Gate, InverseModifier, Parameter
from qiskit.circuit.library import (
    DiagonalGate,
    HamiltonianGate,
    PauliEvolutionGate,
    RXGate,
    UnitaryGate,
)
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.quantum_info import (
    Clifford,
    Operator,
    SparseObservable,
    SparsePauliOp,
    random_unitary,
)
from qiskit_aer.noise import NoiseModel
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient

from qdm_qiskit.circuits.readouts import ExpectationReadout
from qdm_qiskit.circuits.spec import register_spec
from qdm_qiskit.engine import (
    EngineEstimator,
    EngineEstimatorGradient,
    EngineSampler,
    EngineSamplerGradient,
    compile_circuit,
    compile_noisy,
)
from qdm_qiskit.engine.primitives.circuit_key import structure_key
from qdm_qiskit.layers import QuantumLayer, qnn_executor

OBSERVABLES = ["ZI", "IX", "YZ", "XX"]
t, u = Parameter("t"), Parameter("u")


class Own(Gate):
    """A user's gate that is defined by an attribute of its own."""

    def __init__(self, angle: float) -> None:
        super().__init__("own", 1, [])
        self.angle = angle

    def _define(self) -> None:
        self.definition = QuantumCircuit(1)
        self.definition.ry(self.angle, 0)


class Matrix(Gate):
    """A user's gate with a matrix that is kept elsewhere."""

    def __init__(self) -> None:
        super().__init__("matrix", 1, [])
        self.kept = {"matrix": np.eye(2)}

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.kept["matrix"], dtype=dtype)


def composite(*gates):
    inner = QuantumCircuit(1, name="inner")
    for name, angle in gates:
        getattr(inner, name)(angle, 0)
    return inner


def started(operation, qubits) -> QuantumCircuit:
    """On states in which everything shows, the operation itself and not a copy of it."""
    circuit = QuantumCircuit(2)
    circuit.ry(0.8, 0)
    circuit.ry(1.1, 1)
    circuit.rx(0.4, 1)
    circuit.append(operation, qubits, copy=False)
    circuit.cx(0, 1)
    return circuit


def held(circuit):
    return circuit.data[3].operation


def noisy(circuit):
    return compile_noisy(circuit, NoiseModel())


def values_of(estimator, circuit):
    pub = (circuit, OBSERVABLES, [[0.3] * circuit.num_parameters])
    return estimator.run([pub]).result()[0].data.evs


def assign(circuit):
    circuit.assign_parameters({t: 2 * t}, inplace=True)


def assign_deep(circuit):
    circuit.assign_parameters({t: u + 0.5}, inplace=True)


def new_definition(circuit):
    held(circuit).definition = composite(("ry", 1.3))


def edit_definition(circuit):
    held(circuit).definition.rx(0.9, 0)


def edit_nested_definition(circuit):
    held(circuit).definition.data[0].operation.definition.rx(0.9, 0)


def base_phase(circuit):
    held(circuit).base_op.definition.global_phase += 0.7


def own_angle(circuit):
    held(circuit).angle = 2.1


def own_matrix(circuit):
    held(circuit).kept["matrix"] = random_unitary(2, seed=8).data


def more_modifiers(circuit):
    held(circuit).modifiers.append(InverseModifier())


def modifier_state(circuit):
    held(circuit).modifiers[0].ctrl_state = 0


def annotated_base(circuit):
    held(circuit).base_op = RXGate(2.2)


def control_state(circuit):
    held(circuit).ctrl_state = 0


def evolution_operator(circuit):
    held(circuit).operator = SparsePauliOp(["XY"], [1.7])


def evolution_coefficient(circuit):
    held(circuit).operator.coeffs[0] = 2.2


def evolution_time(circuit):
    held(circuit).time = 1.9


def hamiltonian_time(circuit):
    held(circuit).params[1] = 1.4


def diagonal_entry(circuit):
    held(circuit).params[1] = 1j


def tableau(circuit):
    held(circuit).tableau[:] = Clifford(_clifford("h")).tableau


def _clifford(name):
    circuit = QuantumCircuit(1)
    getattr(circuit, name)(0)
    return circuit


def pop_gate(circuit):
    circuit.data.pop()


def replace_gate(circuit):
    circuit.data[3] = circuit.data[3].replace(operation=RXGate(1.6))


def grow(circuit):
    circuit.compose(composite(("rx", 0.7)), [0], inplace=True)


def twice(gate: Gate) -> Gate:
    outer = QuantumCircuit(1, name="outer")
    outer.append(gate, [0])
    return outer.to_gate()


INNER = [("rx", t), ("rz", 0.2)]
EDITS = {
    "parameters of a composite": (lambda: composite(*INNER).to_gate(), [0], [assign, assign_deep]),
    "of a nested one": (lambda: twice(composite(*INNER).to_gate()), [1], [assign, assign_deep]),
    "of a controlled one": (lambda: composite(*INNER).to_gate().control(1), [0, 1], [assign]),
    "of an annotated one": (
        lambda: AnnotatedOperation(composite(*INNER).to_gate(), ControlModifier(1)),
        [0, 1],
        [assign],
    ),
    "a definition": (
        lambda: composite(("rx", 0.4)).to_gate(),
        [0],
        [new_definition, edit_definition, edit_definition],
    ),
    "a definition in another": (
        lambda: twice(composite(("rx", 0.4)).to_gate()),
        [1],
        [edit_nested_definition, edit_nested_definition],
    ),
    "a phase under a control": (
        lambda: AnnotatedOperation(composite(("rx", 0.4)).to_gate(), ControlModifier(1)),
        [0, 1],
        [base_phase, base_phase],
    ),
    "a user's attribute": (lambda: Own(0.4), [0], [own_angle]),
    "a user's matrix": (Matrix, [0], [own_matrix]),
    "modifiers": (
        lambda: AnnotatedOperation(RXGate(0.9), [ControlModifier(1)]),
        [0, 1],
        [more_modifiers, modifier_state, annotated_base],
    ),
    "a control's state": (
        lambda: composite(("rx", 0.4)).to_gate().control(1),
        [0, 1],
        [control_state],
    ),
    "an evolution": (
        lambda: PauliEvolutionGate(SparsePauliOp(["XX"], [0.8]), 0.5),
        [0, 1],
        [evolution_coefficient, evolution_operator, evolution_time],
    ),
    "a Hamiltonian's time": (
        lambda: HamiltonianGate(Operator(_clifford("h")), 0.5),
        [0],
        [hamiltonian_time],
    ),
    "a diagonal": (lambda: DiagonalGate([1, -1]), [0], [diagonal_entry]),
    "a tableau": (lambda: Clifford(_clifford("s")), [0], [tableau]),
    "the circuit's own list": (
        lambda: composite(("rx", 0.4)).to_gate(),
        [0],
        [replace_gate, pop_gate, grow],
    ),
}


@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")  # Qiskit's evolution
@pytest.mark.parametrize("kind", EDITS)
def test_estimator_sees_what_was_changed_in_place(kind):
    make, qubits, edits = EDITS[kind]
    circuit = started(make(), qubits)
    estimator = EngineEstimator()
    last = None
    for edit in [None, *edits]:
        if edit is not None:
            edit(circuit)
        expected = values_of(StatevectorEstimator(), circuit)
        for _ in range(2):  # what is found in the cache too
            np.testing.assert_allclose(values_of(estimator, circuit), expected, atol=1e-10)
        if last is not None:
            assert np.abs(expected - last).max() > 1e-3, "the edit changes nothing: no test"
        last = expected


def test_what_the_circuit_does_not_see_changes_nothing():
    """Qiskit keeps a copy of a matrix, and of the angles of its own gates."""
    unitary, rotation = UnitaryGate(random_unitary(2, seed=3)), RXGate(0.3)
    circuit = started(unitary, [0])
    circuit.append(rotation, [1])
    estimator = EngineEstimator()
    before = values_of(estimator, circuit)
    unitary.params[0][:] = random_unitary(2, seed=5).data
    rotation.params[0] = 0.9
    np.testing.assert_allclose(values_of(estimator, circuit), before, atol=1e-12)
    np.testing.assert_allclose(values_of(StatevectorEstimator(), circuit), before, atol=1e-10)


def test_sampler_and_gradients_see_it_too():
    circuit = QuantumCircuit(1)
    circuit.append(composite(("rx", t)).to_gate(), [0])
    circuit.measure_all()
    bare = circuit.remove_final_measurements(inplace=False)
    sampler, estimator = EngineSampler(seed=1), EngineEstimator()
    observable = SparsePauliOp("Z")
    for change in (None, t + np.pi, 2 * t):
        for each in (circuit, bare):
            if change is not None:
                each.assign_parameters({t: change}, inplace=True)
        value = [[0.0]] if change is None else [[1e-9]]
        counts = sampler.run([(circuit, value, 64)]).result()[0].data.meas.get_counts()
        right = StatevectorSampler().run([(circuit, value, 64)]).result()[0].data.meas.get_counts()
        assert counts == right
        ours = EngineEstimatorGradient(estimator).run([bare], [observable], [[0.4]]).result()
        theirs = ParamShiftEstimatorGradient(StatevectorEstimator())
        np.testing.assert_allclose(
            ours.gradients[0], theirs.run([bare], [observable], [[0.4]]).result().gradients[0]
        )
        (found,) = EngineSamplerGradient(sampler).run([circuit], [[0.4]]).result().gradients
        slope = ours.gradients[0][0]
        assert found[0][0] == pytest.approx(slope / 2)
        assert found[0][1] == pytest.approx(-slope / 2)


def test_registers_are_part_of_a_circuit():
    """The same gates read into 'meas' and into others: outcomes differ, so do gradients."""
    gradients = []
    for order in ([0, 1], [1, 0]):
        c, d = ClassicalRegister(1, "c"), ClassicalRegister(1, "d")
        circuit = QuantumCircuit(QuantumRegister(2))
        for register in [c, d]:
            circuit.add_bits(register)
        for k in order:
            circuit.add_register([c, d][k])
        circuit.ry(t, 0)
        circuit.measure([0, 1], [0, 1])
        gradients.append(circuit)
    sampler = EngineSampler()
    found = [
        EngineSamplerGradient(sampler).run([circuit], [[0.4]]).result().gradients[0][0]
        for circuit in gradients
    ]
    assert [set(each) for each in found] == [{0, 1}, {0, 2}]
    assert len(sampler.cache) == 2


def test_identities_that_are_given_away_again_do_not_matter():
    estimator = EngineEstimator()
    for angle in np.linspace(0.1, 3, 8):
        circuit = QuantumCircuit(1)
        circuit.append(composite(("rx", float(angle))).to_gate(), [0])
        found = estimator.run([(circuit, "Z")]).result()[0].data.evs
        assert found == pytest.approx(np.cos(angle))
        del circuit
        gc.collect(0)


def test_programs_made_later_hold_what_the_circuit_was():
    """A cached circuit is compiled again where other columns vary, from a copy of its own."""
    circuit = QuantumCircuit(1)
    gate = composite(("rx", t)).to_gate()
    circuit.append(gate, [0], copy=False)
    same = copy.deepcopy(circuit)
    estimator = EngineEstimator()
    assert estimator.run([(circuit, "Z", [0.3])]).result()[0].data.evs == pytest.approx(np.cos(0.3))
    gate.definition.rx(1.0, 0)
    found = estimator.run([(same, "Z", [[0.3], [0.5]])]).result()[0].data.evs
    np.testing.assert_allclose(found, np.cos([0.3, 0.5]))
    assert len(estimator.cache) == 1


class Opaque(Gate):
    """Holds what cannot be looked into."""

    def __init__(self) -> None:
        super().__init__("opaque", 1, [])
        self.lock = threading.Lock()
        self.angle = 0.3

    def _define(self) -> None:
        self.definition = composite(("rx", self.angle))


class Uncopied(Opaque):
    def __deepcopy__(self, memo):
        raise TypeError("no copies")


@pytest.mark.parametrize("gate", [Opaque, Uncopied])
def test_gates_that_cannot_be_looked_into_are_compiled_each_time(gate):
    estimator = EngineEstimator()
    circuit = QuantumCircuit(1)
    circuit.append(gate(), [0], copy=False)
    assert structure_key(circuit) == (None, [])
    for angle in (0.3, 1.2):
        circuit.data[0].operation.angle = angle
        circuit.data[0].operation._definition = None
        found = estimator.run([(circuit, "Z")]).result()[0].data.evs
        assert found == pytest.approx(np.cos(angle))
    assert len(estimator.cache) == 0


def test_programs_are_compiled_from_what_the_circuit_is_now():
    """A gate's attributes are shared by Qiskit's deep copies, so no copy may be compiled later."""
    gate = PauliEvolutionGate(SparsePauliOp(["X"], [0.5]), t)
    circuit = QuantumCircuit(1)
    circuit.append(gate, [0], copy=False)
    estimator = EngineEstimator()
    for coefficient in (0.5, 0.8, 0.5):
        held_gate = circuit.data[0].operation
        held_gate.operator.coeffs[0] = coefficient
        held_gate._definition = None
        for values in ([0.3], [[0.3], [0.7]], [0.4]):
            found = estimator.run([(circuit, "Z", values)]).result()[0].data.evs
            right = np.cos(2 * coefficient * np.asarray(values)).reshape(found.shape)
            np.testing.assert_allclose(found, right, atol=1e-10)
    assert len(estimator.cache) == 2


def test_a_run_leaves_the_key_as_it_was():
    gate = PauliEvolutionGate(SparsePauliOp(["XX", "YY"]), t)
    circuit = QuantumCircuit(2)
    circuit.append(gate, [0, 1])
    estimator = EngineEstimator()
    for _ in range(3):
        estimator.run([(circuit, "ZZ", [0.3])]).result()
    assert len(estimator.cache) == 1


def test_jobs_do_not_see_what_changes_after_they_were_sent(monkeypatch):
    start = threading.Event()

    def late(method):
        return lambda *arguments: (start.wait(10), method(*arguments))[1]

    for each in (EngineSampler, EngineEstimator):
        monkeypatch.setattr(each, "_run", late(each._run))
    circuit = QuantumCircuit(2)
    circuit.append(composite(("rx", t)).to_gate(), [1], copy=False)
    bare = circuit.copy()
    circuit.measure_all()
    observable = SparseObservable("ZI")
    shots = EngineSampler(seed=2).run([(circuit, [np.pi], 16)])
    value = EngineEstimator().run([(bare, observable, [np.pi])])
    circuit.remove_final_measurements()
    bare.data.pop()
    observable *= 3
    start.set()
    assert shots.result()[0].data.meas.get_counts() == {"10": 16}
    assert value.result()[0].data.evs == pytest.approx(-1)


def rename(circuit, k):
    present = sorted(circuit.parameters, key=lambda p: p.name)
    if present:
        circuit.assign_parameters({present[0]: 2 * Parameter(f"n{k}") + 0.1}, inplace=True)


def bind_one(circuit, k):
    present = sorted(circuit.parameters, key=lambda p: p.name)
    if present:
        circuit.assign_parameters({present[-1]: 0.3 + k}, inplace=True)


def append_gate(circuit, k):
    inner = composite(("rx", Parameter(f"a{k}")), ("rz", 0.4)).to_gate()
    circuit.append(inner.control(1) if k % 2 else inner, [k % 2, 1 - k % 2][: 1 + k % 2])


def edit_any(circuit, k):
    for item in circuit.data:
        definition = getattr(item.operation, "_definition", None)
        if definition is not None and not item.is_standard_gate():
            definition.ry(0.2 + 0.1 * k, 0)
            return


def drop_first(circuit, k):
    if len(circuit.data) > 1:
        del circuit.data[k % len(circuit.data)]


def phase(circuit, k):
    circuit.global_phase += 0.3 * k


def nest(circuit, k):
    inner = circuit.copy()
    circuit.clear()
    circuit.global_phase = 0
    circuit.append(inner.to_gate(), [0, 1])


CHANGES = [rename, bind_one, append_gate, edit_any, drop_first, phase, nest]


@given(
    st.lists(st.tuples(st.sampled_from(CHANGES), st.integers(0, 5)), min_size=1, max_size=6),
)
@settings(max_examples=15, deadline=None)
def test_any_sequence_of_changes_is_seen(changes):
    circuit = started(composite(("rx", t), ("ry", u)).to_gate(), [1])
    estimator = EngineEstimator()
    for place, (change, k) in enumerate([(phase, 0), *changes]):
        change(circuit, k + 10 * place)  # so that names of parameters differ
        expected = values_of(StatevectorEstimator(), circuit)
        np.testing.assert_allclose(values_of(estimator, circuit), expected, atol=1e-10)


@pytest.mark.parametrize("make", [compile_circuit, noisy])
def test_programs_keep_the_matrices_that_they_were_compiled_from(make):
    gate = Matrix()
    gate.kept["matrix"] = np.array([[0, 1], [1, 0]], dtype=complex)
    circuit = QuantumCircuit(1)
    circuit.append(gate, [0], copy=False)
    program = make(circuit)
    gate.kept["matrix"][:] = np.eye(2)
    assert program.expectation([SparsePauliOp("Z")]).item() == pytest.approx(-1)


@pytest.mark.parametrize("on", ["engine", "primitive"])
def test_layers_keep_the_circuit_that_they_were_made_from(on):
    w = Parameter("w_0000")
    circuit = QuantumCircuit(1)
    circuit.append(composite(("rx", Parameter("x_0000")), ("ry", w)).to_gate(), [0], copy=False)
    readout = ExpectationReadout(observables=(SparsePauliOp("Z"),))
    spec = register_spec(circuit, source="test", encoding="angle", readout=readout)
    executor = None if on == "engine" else qnn_executor(spec, StatevectorEstimator())
    layer = QuantumLayer(spec, executor=executor, init_std=0.0)
    circuit.assign_parameters({w: 1.2}, inplace=True)
    circuit.x(0)
    for _ in range(2):
        found = layer(inputs=torch.full((1, 1), 0.5))
        assert found.item() == pytest.approx(np.cos(0.5), abs=1e-6)
        circuit.x(0)
