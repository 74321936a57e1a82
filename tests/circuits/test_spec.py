"""Specs: roles, readouts, the full circuit, and OpenQASM 3."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from qiskit import QuantumCircuit, qasm3
from qiskit.circuit import Parameter
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector

from qdm_qiskit.circuits import (
    CircuitSpec,
    ExpectationReadout,
    ProbabilityReadout,
    amplitude_loader,
    eeqdm,
    input_parameters,
    qddm,
    strongly_entangling_layers,
    weight_parameters,
)
from qdm_qiskit.errors import InvalidData, InvalidTemplate


def small_circuit(num_inputs: int = 2, num_qubits: int = 2) -> QuantumCircuit:
    circuit = QuantumCircuit(num_qubits)
    for index, parameter in enumerate(input_parameters(num_inputs)):
        circuit.rx(parameter, index % num_qubits)
    for index, parameter in enumerate(weight_parameters(3)):
        circuit.ry(parameter, index % num_qubits)
        circuit.cx(0, 1)
    return circuit


def small_spec(**changes) -> CircuitSpec:
    values = {
        "name": "small",
        "circuit": small_circuit(),
        "encoding": "angle",
        "data_qubits": (0, 1),
        "readout": ProbabilityReadout(qubits=(0, 1)),
        "source": "this test",
    }
    return CircuitSpec(**{**values, **changes})


def bound(circuit: QuantumCircuit, inputs: np.ndarray, weights: np.ndarray) -> QuantumCircuit:
    """The circuit with values in name order, as a runner binds them."""
    names = {p.name: p for p in circuit.parameters}
    x = sorted(name for name in names if name.startswith("x_"))
    w = sorted(name for name in names if name.startswith("w_"))
    values = [*zip(x, inputs, strict=True), *zip(w, weights, strict=True)]
    return circuit.assign_parameters({names[name]: value for name, value in values})


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("make", [eeqdm, qddm])
def test_full_circuit_is_the_denoiser_on_the_injected_state(make, guided):
    spec = make(3, 2, guided=guided)
    rng = np.random.default_rng(11)
    vectors = rng.normal(size=(3, 8))
    labels = rng.uniform(-np.pi, np.pi, (3, 1)) if guided else None
    weights = rng.uniform(-np.pi, np.pi, len(spec.weights))
    full = spec.full_circuit(measure=False)
    rows = spec.input_values(vectors, labels)
    assert rows.shape == (3, 7 + guided)
    for row, vector in enumerate(vectors):
        start = np.zeros(16, dtype=complex)
        start[spec.data_positions()] = vector / np.linalg.norm(vector)
        inputs = {} if labels is None else {spec.inputs[0]: labels[row, 0]}
        denoiser = spec.circuit.assign_parameters(
            {**inputs, **dict(zip(spec.weights, weights, strict=True))}
        )
        expected = Statevector(start).evolve(denoiser).data
        got = Statevector(bound(full, rows[row], weights)).data
        np.testing.assert_allclose(got, expected, atol=1e-12)


def test_overlapping_input_names_are_shifted_behind_the_loader():
    # The circuit's x_0003 and x_0004 are also names of loader angles' neighbours: all move at once.
    spec = small_spec(circuit=small_circuit(5), encoding="amplitude")
    vector, inputs, weights = (
        np.array([[1.0, -2, 3, 0.5]]),
        np.array([[0.1, 0.2, 0.3, 0.4, 0.5]]),
        [1, 2, 3],
    )
    full = spec.full_circuit(measure=False)
    got = Statevector(bound(full, spec.input_values(vector, inputs)[0], np.array(weights))).data
    start = Statevector(vector[0] / np.linalg.norm(vector))
    expected = start.evolve(bound(spec.circuit, inputs[0], np.array(weights))).data
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_full_circuit_of_angles_is_the_circuit_itself():
    spec = small_spec()
    full = spec.full_circuit(measure=False)
    values = np.random.default_rng(0).normal(size=5)
    assert spec.num_loader_inputs == 0
    assert "barrier" not in full.count_ops()
    np.testing.assert_allclose(
        Operator(bound(full, values[:2], values[2:])).data,
        Operator(bound(spec.circuit, values[:2], values[2:])).data,
        atol=1e-14,
    )


def test_barrier_stands_between_loader_and_denoiser():
    spec = eeqdm(3, 2)
    data = spec.full_circuit().data
    barriers = [k for k, item in enumerate(data) if item.operation.name == "barrier"]
    assert len(barriers) == 1
    assert data[barriers[0]].operation.label == "denoiser"
    assert len(data[barriers[0]].qubits) == spec.num_qubits
    used = [[p.name[0] for q in item.operation.params for p in q.parameters] for item in data]
    before, after = itertools.chain(*used[: barriers[0]]), itertools.chain(*used[barriers[0] :])
    assert set(before) == {"x"}
    assert set(after) == {"w"}


def test_measurement_keeps_qubit_numbers():
    spec = eeqdm(3, 2)
    full = spec.full_circuit()
    pairs = [
        (full.find_bit(item.qubits[0]).index, full.find_bit(item.clbits[0]).index)
        for item in full.data
        if item.operation.name == "measure"
    ]
    assert pairs == [(k, k) for k in range(4)]
    assert [register.name for register in full.cregs] == ["meas"]
    assert spec.full_circuit(measure=False).num_clbits == 0


def test_roles_of_eeqdm():
    spec = eeqdm(4, 1)
    assert (spec.num_qubits, spec.num_amplitudes, spec.num_loader_inputs) == (5, 16, 15)
    assert (spec.data_qubits, spec.ancilla_qubits) == ((1, 2, 3, 4), (0,))
    np.testing.assert_array_equal(spec.data_positions(), 2 * np.arange(16))
    np.testing.assert_array_equal(spec.readout.selection(5)[:, 0], 2 * np.arange(16))


def brute_force(readout: ProbabilityReadout, n: int, probabilities: np.ndarray) -> np.ndarray:
    result = np.zeros(2 ** len(readout.qubits))
    for state in itertools.product((0, 1), repeat=n):  # state[q] is the outcome of qubit q
        if all(state[qubit] == outcome for qubit, outcome in readout.postselect):
            output = sum(state[qubit] * 2**k for k, qubit in enumerate(readout.qubits))
            result[output] += probabilities[sum(bit * 2**q for q, bit in enumerate(state))]
    return result


@pytest.mark.parametrize(
    ("n", "qubits", "postselect"),
    [
        (1, (0,), ()),
        (3, (0, 1, 2), ()),
        (3, (2, 0), ()),
        (3, (1,), ((0, 1),)),
        (4, (3, 1), ((2, 0),)),
        (4, (0, 2), ((1, 1), (3, 0))),
        (5, (1, 2, 3, 4), ((0, 0),)),
        (3, (), ((1, 1),)),
    ],
)
def test_selection_is_the_brute_force_marginal(n, qubits, postselect):
    readout = ProbabilityReadout(qubits=qubits, postselect=postselect)
    probabilities = np.random.default_rng(n).dirichlet(np.ones(2**n))
    got = probabilities[readout.selection(n)].sum(-1)
    assert got.shape == (readout.num_outputs,)
    np.testing.assert_allclose(got, brute_force(readout, n, probabilities), atol=1e-15)


@pytest.mark.parametrize(
    "circuit",
    [
        strongly_entangling_layers(3, 4),
        eeqdm(3, 4, guided=True).circuit,
        qddm(2, 5).full_circuit(measure=False),
        eeqdm(4, 2, guided=True).full_circuit(measure=False),
        amplitude_loader(4, phases=True),
    ],
    ids=lambda circuit: f"{circuit.name}-{circuit.num_parameters}",
)
def test_openqasm3_keeps_parameter_order_and_unitary(circuit):
    assert circuit.num_parameters > 10  # from eleven on, unpadded names change their order
    back = qasm3.loads(qasm3.dumps(circuit))
    assert [p.name for p in back.parameters] == [p.name for p in circuit.parameters]
    values = np.random.default_rng(7).uniform(-np.pi, np.pi, circuit.num_parameters)
    # Values are bound by position, as a reader of the file would.
    np.testing.assert_allclose(
        Operator(back.assign_parameters(values)).data,
        Operator(circuit.assign_parameters(values)).data,
        atol=1e-12,
    )


def test_measured_circuit_survives_openqasm3():
    full = eeqdm(2, 1).full_circuit()
    back = qasm3.loads(qasm3.dumps(full))
    assert back.count_ops() == full.count_ops()
    assert [register.name for register in back.cregs] == ["meas"]


def with_clbits() -> QuantumCircuit:
    circuit = small_circuit()
    circuit.measure_all()
    return circuit


def named(*names: str) -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    for name in names:
        circuit.rx(Parameter(name), 0)
    return circuit


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_qubits": (0,)}, "is a data or an ancilla qubit"),
        ({"data_qubits": (0, 1), "ancilla_qubits": (1,)}, "is a data or an ancilla qubit"),
        ({"data_qubits": (0, 2)}, "is a data or an ancilla qubit"),
        ({"encoding": "basis"}, "'angle' or 'amplitude', got 'basis'"),
        ({"circuit": with_clbits()}, "no classical bits"),
        ({"circuit": named("theta")}, r"four digits .* got \['theta'\]"),
        ({"circuit": named("w_2", "w_10")}, r"four digits .* got \['w_10', 'w_2'\]"),
        ({"circuit": named("w_00000")}, "four digits"),
        ({"readout": ProbabilityReadout(qubits=(0, 0))}, "at most once"),
        ({"readout": ProbabilityReadout(qubits=(0, 2))}, "each qubit below 2"),
        ({"readout": ProbabilityReadout(qubits=(0, -1))}, "each qubit below 2"),
        ({"readout": ProbabilityReadout(qubits=(0, 1), postselect=((0, 0),))}, "at most once"),
        ({"readout": ProbabilityReadout(qubits=(0,), postselect=((1, 2),))}, "outcomes 0 or 1"),
        ({"readout": ExpectationReadout(observables=())}, "at least one observable"),
        ({"readout": ExpectationReadout(observables=(SparsePauliOp("Z"),))}, "all 2 qubits"),
        (
            {"readout": ExpectationReadout(observables=(SparsePauliOp("ZZ", 1j),))},
            "real coefficients",
        ),
    ],
)
def test_specs_that_contradict_themselves_are_refused(changes, message):
    with pytest.raises(InvalidTemplate, match=message) as caught:
        small_spec(**changes)
    assert "'small'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "amplitudes", "inputs", "message"),
    [
        (eeqdm(2, 1), None, None, "needs amplitudes"),
        (eeqdm(2, 1), np.ones((1, 8)), None, r"shape \(batch, 4\), got \(1, 8\)"),
        (eeqdm(2, 1), np.zeros((1, 4)), None, "all zeros"),
        (eeqdm(2, 1), np.ones((1, 4)), np.ones((1, 1)), "takes no inputs"),
        (
            eeqdm(2, 1, guided=True),
            np.ones((1, 4)),
            None,
            r"inputs of shape \(batch, 1\), got None",
        ),
        (eeqdm(2, 1, guided=True), np.ones((1, 4)), np.ones(1), r"got \(1,\)"),
        (eeqdm(2, 1, guided=True), np.ones((2, 4)), np.ones((1, 1)), "one batch size, got 2 and 1"),
        (eeqdm(2, 1, guided=True), np.ones((1, 4)), np.full((1, 1), np.nan), "must be finite"),
        (small_spec(), np.ones((1, 4)), np.ones((1, 2)), "takes no amplitudes"),
        (small_spec(), None, np.ones((1, 3)), r"inputs of shape \(batch, 2\), got \(1, 3\)"),
        (small_spec(circuit=small_circuit(0)), None, None, "takes no inputs"),
    ],
)
def test_input_values_refuse_what_does_not_fit(spec, amplitudes, inputs, message):
    with pytest.raises(InvalidData, match=message) as caught:
        spec.input_values(amplitudes, inputs)
    assert "\n" not in str(caught.value)


def test_a_loader_too_large_to_number_is_refused_before_it_is_built():
    with pytest.raises(InvalidTemplate, match="at most 10000 parameters"):
        qddm(14, 1).full_circuit()
