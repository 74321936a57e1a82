"""Specs of circuits that somebody else wrote: roles, registers, measurements, gates of any kind."""

from __future__ import annotations

import base64
import io
import math
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, qpy, transpile
from qiskit.circuit import AnnotatedOperation, Gate, InverseModifier, Parameter, ParameterVector
from qiskit.circuit.library import (
    PauliEvolutionGate,
    PermutationGate,
    QFTGate,
    StatePreparation,
    UnitaryGate,
    XGate,
    efficient_su2,
)
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector, random_unitary
from qiskit_aer import AerSimulator

from qdm_qiskit.circuits import CircuitSpec, ExpectationReadout, ProbabilityReadout
from qdm_qiskit.circuits.canonical import canonical_circuit, is_plain
from qdm_qiskit.circuits.saved import circuit_from_text, circuit_text
from qdm_qiskit.errors import InvalidArgument, InvalidOption, InvalidTemplate
from qdm_qiskit.layers import QuantumLayer


class Crooked(Gate):
    """A gate whose matrix and definition differ; Qiskit's Statevector takes the matrix."""

    def __init__(self) -> None:
        super().__init__("crooked", 1, [])
        self.definition = QuantumCircuit(1)

    def __array__(self, dtype=None, copy=None):
        return np.array([[0, 1], [1, 0]], dtype=dtype or complex)


def inner(angle, name: str = "rx") -> Gate:
    """Of a name that Qiskit has for another gate, unless another is given."""
    circuit = QuantumCircuit(2, name=name)
    circuit.ry(2 * angle + 0.1, 0)
    circuit.cx(0, 1)
    circuit.global_phase = 0.3
    return circuit.to_gate()


def measured() -> QuantumCircuit:
    """Three registers, vectors used in part, gates of many kinds; bit 0 reads the second qubit."""
    image, clock = QuantumRegister(2, "image"), QuantumRegister(1, "clock")
    first, second = ClassicalRegister(1, "first"), ClassicalRegister(2, "second")
    circuit = QuantumCircuit(image, clock, second, first, name="mine")
    pixel, turn = ParameterVector("pixel", 4), ParameterVector("turn", 14)
    for k in range(4):
        circuit.ry(pixel[3 - k], image[k % 2])
    circuit.rz(Parameter("when") / 2, clock[0])
    circuit.h(clock)
    circuit.append(inner(turn[2]), [image[0], clock[0]])
    circuit.append(inner(turn[10], "part").control(1, ctrl_state=0), [clock[0], image[0], image[1]])
    circuit.append(UnitaryGate(random_unitary(4, seed=3)), [image[1], clock[0]])
    circuit.append(PermutationGate([2, 0, 1]), [0, 1, 2])
    circuit.append(Crooked(), [clock[0]])
    circuit.append(QFTGate(2), [0, 2])
    circuit.cx(0, 1, ctrl_state=0, label="mine")
    circuit.rx(Parameter("x_0000"), image[1])  # a name that means something else in this package
    circuit.append(AnnotatedOperation(XGate(), InverseModifier()), [0])
    circuit.barrier(label="denoiser")
    circuit.ry(turn[9], 0)
    circuit.global_phase = turn[3]
    circuit.measure(image[0], second[1])
    circuit.measure(image[1], second[0])
    return circuit


def spec_of(circuit: QuantumCircuit) -> CircuitSpec:
    return CircuitSpec.from_circuit(
        circuit, inputs=["pixel"], weights=["turn", "x_0000"], time="when"
    )


def test_names_registers_and_roles_come_along():
    spec = spec_of(measured())
    assert spec.input_names == ("pixel[0]", "pixel[1]", "pixel[2]", "pixel[3]", "when")
    assert spec.weight_names == ("turn[2]", "turn[3]", "turn[9]", "turn[10]", "x_0000")
    assert [each.name for each in spec.inputs] == [f"x_{k:04d}" for k in range(5)]
    assert [each.name for each in spec.weights] == [f"w_{k:04d}" for k in range(5)]
    assert (spec.time_input, spec.label_input, spec.image_inputs) == (4, None, (0, 1, 2, 3))
    assert spec.readout == ProbabilityReadout(qubits=(1, 0))
    assert (spec.name, spec.num_qubits, spec.circuit.num_clbits) == ("mine", 3, 0)
    assert all(is_plain(item.operation) for item in spec.circuit.data)
    assert all(getattr(item.operation, "label", None) is None for item in spec.circuit.data)


def test_engine_statevector_and_aer_agree_on_the_circuit_as_it_was_given():
    circuit, spec = measured(), spec_of(measured())
    rng = np.random.default_rng(2)
    rows = rng.uniform(-np.pi, np.pi, (3, len(spec.inputs)))
    layer = QuantumLayer(spec, init_std=2.0, generator=torch.Generator().manual_seed(1)).double()
    found = layer(inputs=torch.from_numpy(rows)).detach().numpy()
    weights = layer.weights.detach().numpy()
    simulator = AerSimulator(method="statevector")
    for row, outputs in zip(rows, found, strict=True):
        given = dict(zip((*spec.input_names, *spec.weight_names), (*row, *weights), strict=True))
        bound = circuit.assign_parameters({p: given[p.name] for p in circuit.parameters})
        state = Statevector(bound.remove_final_measurements(inplace=False))
        np.testing.assert_allclose(outputs, state.probabilities([1, 0]), atol=1e-12)
        # By the plain circuit: Aer would take the definition of a gate whose matrix is another one.
        plain = canonical_circuit(bound.remove_final_measurements(inplace=False))
        plain.save_probabilities([1, 0])
        seen = simulator.run(transpile(plain, simulator, optimization_level=0)).result()
        np.testing.assert_allclose(outputs, seen.data()["probabilities"], atol=1e-10)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), reverse=st.booleans())
def test_any_circuit_keeps_its_state_and_its_saved_text(seed, reverse):
    angles = [Parameter(name) for name in ("b", "ä 1", "a[0]")]
    circuit = QuantumCircuit(QuantumRegister(1, "one"), QuantumRegister(2, "two"))
    circuit.compose(random_circuit(3, 3, max_operands=3, seed=seed), inplace=True)
    for k, angle in enumerate(angles):
        circuit.append(inner(angle * (k + 1)), [k, (k + 1) % 3])
    circuit.append(random_circuit(3, 2, seed=seed + 1).to_gate(), [2, 0, 1])
    order = angles[::-1] if reverse else angles
    spec = CircuitSpec.from_circuit(circuit, weights=order, readout=circuit.qubits)
    values = np.random.default_rng(seed).normal(size=3)
    expected = Statevector(circuit.assign_parameters(dict(zip(order, values, strict=True))))
    for each in (spec.circuit, circuit_from_text(circuit_text(spec.circuit))):
        named = {f"w_{k:04d}": value for k, value in enumerate(values)}
        np.testing.assert_allclose(Statevector(each.assign_parameters(named)), expected, atol=1e-10)
    assert circuit_text(spec.circuit) == circuit_text(spec.circuit.copy())


@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")  # Qiskit's
def test_evolutions_stay_evolutions():
    circuit = QuantumCircuit(2)
    evolution = PauliEvolutionGate(SparsePauliOp(["XX", "ZI"]), time=Parameter("t"))
    circuit.append(evolution, [0, 1])
    spec = CircuitSpec.from_circuit(circuit, weights="t", readout=[0, 1])
    again = circuit_from_text(circuit_text(spec.circuit))
    bound = again.assign_parameters([0.7])
    np.testing.assert_allclose(
        Operator(bound).data, Operator(circuit.assign_parameters([0.7])).data, atol=1e-12
    )


@pytest.mark.parametrize(
    "weights",
    [
        ParameterVector("theta", 20),
        [ParameterVector("theta", 20)],
        "theta",
        ["theta"],
        [f"theta[{k}]" for k in range(20)],
        list(ParameterVector("theta", 20)),
        (each for each in ParameterVector("theta", 20)),
    ],
)
def test_a_vector_is_given_whole_by_name_or_by_parts(weights):
    circuit = efficient_su2(5, reps=1, parameter_prefix="theta")
    spec = CircuitSpec.from_circuit(circuit, weights=weights, readout=[0])
    assert spec.weight_names == tuple(f"theta[{k}]" for k in range(20))
    expected = circuit.assign_parameters(np.arange(20.0))
    bound = spec.circuit.assign_parameters(np.arange(20.0))
    assert Statevector(bound).equiv(Statevector(expected))


def test_the_callers_circuit_is_left_as_it_is():
    circuit = measured()
    before = circuit.copy()
    spec_of(circuit)
    assert circuit == before
    assert [p.name for p in circuit.parameters] == [p.name for p in before.parameters]


def test_readouts():
    circuit = QuantumCircuit(QuantumRegister(2, "a"), QuantumRegister(1, "b"))
    circuit.rx(Parameter("w"), 0)
    z = SparsePauliOp("ZII")
    for readout, expected in (
        (circuit.qregs[1], ProbabilityReadout(qubits=(2,))),
        ([2, circuit.qubits[0]], ProbabilityReadout(qubits=(2, 0))),
        (z, ExpectationReadout(observables=(z,))),
        ([z, z], ExpectationReadout(observables=(z, z))),
        (ProbabilityReadout(qubits=(1,), postselect=((0, 0),)),) * 2,
    ):
        assert CircuitSpec.from_circuit(circuit, weights=["w"], readout=readout).readout == expected
    loaded = CircuitSpec.from_circuit(
        circuit, weights="w", readout=[0], loads="amplitudes", data_qubits=circuit.qregs[0]
    )
    assert (loaded.data_qubits, loaded.ancilla_qubits) == ((0, 1), (2,))


def test_a_circuit_without_a_name_has_the_same_one_each_time():
    def nameless() -> CircuitSpec:
        circuit = QuantumCircuit(1)
        circuit.rx(Parameter("w"), 0)
        return CircuitSpec.from_circuit(circuit, weights="w", readout=[0])

    assert {nameless().name, nameless().name} == {"circuit"}


def two() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2, name="two")
    circuit.rx(Parameter("a"), 0)
    circuit.ry(Parameter("b"), 1)
    return circuit


def both_names() -> QuantumCircuit:
    circuit = two()
    circuit.rx(Parameter("v"), 0)
    circuit.rx(ParameterVector("v", 1)[0], 0)
    return circuit


def middle() -> QuantumCircuit:
    circuit = two()
    circuit.measure(0, 0)
    circuit.h(0)
    return circuit


def with_operation(add) -> QuantumCircuit:
    circuit = two()
    add(circuit)
    return circuit


def branching(circuit) -> None:
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)


def without_effect(circuit) -> None:
    gate = Gate("idle", 1, [Parameter("c")])
    gate.definition = QuantumCircuit(1)
    circuit.append(gate, [0])


ROLES = {"inputs": ["a"], "weights": ["b"], "readout": [0]}
MISTAKES = {
    "no role": (two, {"weights": []}, "'b' is none"),
    "no roles at all": (two, {"inputs": [], "weights": []}, "'a', 'b' is none"),
    "two roles": (two, {"weights": ["a", "b"]}, "'a' stands in `inputs` and `weights`"),
    "twice in a list": (two, {"weights": ["b", "b"]}, "'b' stands twice in `weights`"),
    "by object and by name": (two, {"inputs": ["a", Parameter("a")]}, "twice in `inputs`"),
    "time is an input, too": (two, {"time": "a"}, "`inputs` and `time`"),
    "not there": (two, {"inputs": ["c"]}, "`inputs` names 'c', which is no parameter of 'two'"),
    "another object": (two, {"inputs": [Parameter("c")]}, "names 'c'"),
    "longer vector": (two, {"weights": [ParameterVector("b", 2)]}, "names 'b\\[0\\]'"),
    "ambiguous name": (both_names, {"weights": ["b", "v"]}, "of a parameter and of a vector"),
    "two times": (
        two,
        {"time": ["a", "b"], "inputs": [], "weights": []},
        "`time` is one parameter",
    ),
    "no readout": (two, {"readout": None}, "Nothing of 'two' is read"),
    "empty readout": (two, {"readout": []}, "at least one qubit"),
    "qubit outside": (two, {"readout": [2]}, "qubits 0 .. 1 at most once, got \\[2\\]"),
    "qubit twice": (two, {"readout": [0, 0]}, "at most once"),
    "foreign qubit": (two, {"readout": QuantumRegister(1, "z")}, "not in 'two'"),
    "observable too small": (two, {"readout": SparsePauliOp("Z")}, "act on all 2 qubits"),
    "measured and readout": (
        lambda: with_operation(lambda c: c.measure(0, 0)),
        {},
        "is measured, which says what is read",
    ),
    "middle": (middle, {"readout": None}, "qubit 0 of 'two' meets 'h' after its own"),
    "bit twice": (
        lambda: with_operation(lambda c: c.measure([0, 1], [0, 0])),
        {"readout": None},
        "written twice, by qubits 0 and 1",
    ),
    "reset": (lambda: with_operation(lambda c: c.reset(0)), {}, "got 'reset'"),
    "initialize": (lambda: with_operation(lambda c: c.initialize("1", 0)), {}, "'initialize'"),
    "control flow": (lambda: with_operation(branching), {}, "no control flow, got 'if_else'"),
    "opaque": (
        lambda: with_operation(lambda c: c.append(Gate("box", 1, []), [0])),
        {},
        "'box' has neither a matrix nor a definition",
    ),
    "no effect": (
        lambda: with_operation(without_effect),
        {"weights": ["b", "c"]},
        "no definition of a gate of 'two' uses 'c'",
    ),
    "loads": (two, {"loads": "amplitude"}, "`loads` is 'angles' or 'amplitudes'"),
    "data_qubits of angles": (two, {"data_qubits": [0]}, "leave it out for angles"),
    "name": (two, {"name": "a\nb"}, "printable"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_one_line(case):
    make, changes, message = MISTAKES[case]
    with pytest.raises(InvalidTemplate, match=message) as caught:
        CircuitSpec.from_circuit(make(), **{**ROLES, **changes})
    assert "\n" not in str(caught.value)
    assert "--" not in str(caught.value)  # Python's terms


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("circuit", "OPENQASM 3;"),
        ("circuit", QuantumCircuit),
        ("inputs", 3),
        ("inputs", [0]),
        ("weights", {1: 2}),
        ("readout", "ZZ"),
        ("readout", 0),
        ("readout", [True]),
        ("readout", [0.0]),
        ("time", 1.0),
        ("source", None),
        ("name", 7),
    ],
)
def test_arguments_of_another_kind_are_named(name, value):
    given = {"circuit": two(), **ROLES, name: value}
    with pytest.raises(InvalidArgument, match=f"`{name}` is ") as caught:
        CircuitSpec.from_circuit(given.pop("circuit"), **given)
    assert "\n" not in str(caught.value)


def test_texts_that_are_no_saved_circuit_are_refused():
    def text(*circuits: QuantumCircuit) -> str:
        buffer = io.BytesIO()
        qpy.dump(list(circuits), buffer, version=13)
        return base64.b64encode(buffer.getvalue()).decode()

    good = text(spec_of(measured()).circuit)
    content = base64.b64decode(good)
    old = base64.b64encode(content[:6] + bytes([12]) + content[7:]).decode()
    newer = base64.b64encode(content[:6] + bytes([18]) + content[7:]).decode()

    def patched(offset: int, kind: str, value: object) -> str:
        changed = bytearray(content)
        struct.pack_into(kind, changed, offset, value)
        return base64.b64encode(changed).decode()

    prepared = QuantumCircuit(1)
    prepared.append(StatePreparation([0, 1]), [0])
    with_reset = QuantumCircuit(1)
    with_reset.reset(0)
    for bad, message in (
        ("", "something else"),
        ("no base64!", "other text"),
        ("ä", "other text"),
        (base64.b64encode(b"OPENQASM 3.0;").decode(), "something else"),
        (old, "format 13, got format 12"),
        (newer, "format 13, got format 18"),
        (patched(18, ">c", b"e"), "format 13"),
        (patched(25, ">I", 1001), "of 1001 qubits"),
        (patched(29, ">I", 3), "3 classical bits"),
        (patched(10, ">Q", 2), "got 2 of"),
        (patched(41, ">I", len(content) + 1), "more parts than it holds"),
        (patched(45, ">Q", len(content) + 1), "more parts than it holds"),
        (base64.b64encode(content[: len(content) // 2]).decode(), "cannot be read"),
        (text(two(), two()), "one circuit .* got 2 of"),
        (text(with_operation(lambda c: c.measure(0, 0))), "one circuit"),
        (text(prepared), "one circuit"),
        (text(with_reset), "one circuit"),
    ):
        with pytest.raises(InvalidOption, match=message) as caught:
            circuit_from_text(bad)
        assert "\n" not in str(caught.value)
    assert math.isclose(
        abs(Statevector(circuit_from_text(good).assign_parameters(np.ones(10))).data[0]),
        abs(Statevector(spec_of(measured()).circuit.assign_parameters(np.ones(10))).data[0]),
    )
