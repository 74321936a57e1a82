"""Kölle's circuits: counts of the paper, roles, and the order of labels and layers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import Operator, Statevector

from qdm_qiskit.circuits import CircuitSpec, strongly_entangling_layers
from qdm_qiskit.circuits.koelle import q_dense, quantum_convolution, repeated
from qdm_qiskit.errors import InvalidTemplate


def angles(spec: CircuitSpec, seed: int = 0) -> dict:
    values = np.random.default_rng(seed).uniform(-np.pi, np.pi, len(spec.weights))
    return dict(zip(spec.weights, values, strict=True))


@pytest.mark.parametrize(
    ("num_data", "depth", "guided", "count"),
    [
        (6, 47, True, 987),
        (6, 50, False, 900),
        (6, 55, False, 990),
        (6, 95, True, 1995),
        (6, 111, False, 1998),
        (6, 476, True, 9996),
        (6, 555, False, 9990),
        (10, 66, False, 1980),
        (10, 133, False, 3990),
        (10, 30, True, 990),
        (10, 60, True, 1980),
        (10, 121, True, 3993),
    ],
)
def test_counts_of_the_paper(num_data, depth, guided, count):
    assert len(q_dense(num_data, depth, ancilla=guided, guided=guided).weights) == count


def test_one_step_of_56_layers_has_1008_rotations():
    gates = q_dense(6, 56).circuit.count_ops()
    assert gates["rz"] + gates["ry"] == 1008
    assert gates["cx"] == 6 * 56
    chain = repeated(q_dense(6, 56), 10).circuit.count_ops()
    assert chain["rz"] + chain["ry"] == 10 * 1008


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.booleans())
def test_it_is_the_strongly_entangling_circuit(num_data, depth, ancilla):
    spec = q_dense(num_data, depth, ancilla=ancilla)
    plain = strongly_entangling_layers(num_data + ancilla, depth)
    values = list(angles(spec).values())
    assert Operator(spec.circuit.assign_parameters(values)).equiv(
        Operator(plain.assign_parameters(values))
    )
    assert spec.readout.num_outputs == 2**num_data
    assert spec.ancilla_qubits == ((0,) if ancilla else ())


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_the_label_comes_before_each_group(data):
    depth = data.draw(st.integers(1, 5))
    groups = data.draw(st.integers(1, depth))
    spec = q_dense(1, depth, ancilla=True, guided=True, reuploads=groups)
    names = [instruction.operation.name for instruction in spec.circuit.data]
    assert names.count("rx") == groups
    assert names[0] == "rx"
    lengths = [part.count("ry") // 2 for part in " ".join(names).split("rx")[1:]]
    assert sum(lengths) == depth
    assert max(lengths) - min(lengths) <= 1
    assert lengths == sorted(lengths, reverse=True)
    assert len(spec.inputs) == 1  # one and the same label
    assert len(spec.weights) == 6 * depth


def test_ranges_start_anew_in_each_group():
    spec = q_dense(2, 4, ancilla=True, guided=True, reuploads=2)
    whole = spec.circuit.assign_parameters({**angles(spec), spec.inputs[0]: 0.7})
    values = list(angles(spec).values())
    expected = Operator(np.eye(8))
    for half in (values[:18], values[18:]):
        label = q_dense(2, 2, ancilla=True, guided=True)
        bound = dict(zip(label.weights, half, strict=True)) | {label.inputs[0]: 0.7}
        expected = expected.compose(Operator(label.circuit.assign_parameters(bound)))
    assert Operator(whole).equiv(expected)


def test_a_repeated_circuit_is_a_power():
    spec = q_dense(2, 3)
    power = repeated(spec, 4)
    assert power.weights == spec.weights
    one, four = (
        Operator(each.circuit.assign_parameters(angles(each))).data for each in (spec, power)
    )
    np.testing.assert_allclose(four, np.linalg.matrix_power(one, 4), atol=1e-12)


def test_the_filter_reads_the_even_states():
    spec = quantum_convolution(3, 2)
    state = Statevector.from_label("000").evolve(spec.circuit.assign_parameters(angles(spec)))
    p = state.probabilities()
    selection = spec.readout.selection(3)
    np.testing.assert_allclose(p[selection].sum(-1), p[::2], atol=1e-12)
    assert len(spec.weights) == 18


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: q_dense(0, 1), "num_data >= 1 .*num_data=0"),
        (lambda: q_dense(2, 0), "depth >= 1 .*depth=0"),
        (lambda: q_dense(2, 10**9), "depth=1000000000"),
        (lambda: q_dense(2, 2000), "at most 10000 parameters"),
        (lambda: q_dense(2, 1, guided=True), "guided=True needs ancilla=True"),
        (lambda: q_dense(2, 2, ancilla=True, guided=True, reuploads=3), "at most 2 here, got 3"),
        (lambda: q_dense(2, 2, reuploads=2), "at most 1 here, got 2"),
        (lambda: q_dense(2, 2, reuploads=0), "reuploads=0"),
        (lambda: quantum_convolution(0, 1), "num_wires=0"),
        (lambda: repeated(q_dense(2, 1), 0), "times=0"),
        (lambda: repeated(q_dense(2, 1, ancilla=True), 2), "needs a fresh ancilla"),
        (lambda: repeated(quantum_convolution(2, 1), 2), "post-selects"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(call, message):
    with pytest.raises(InvalidTemplate, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
