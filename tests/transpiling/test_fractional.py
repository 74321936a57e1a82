"""Folded rzz: in range and of equal action for every angle, known before or only when it runs."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter
from qiskit.quantum_info import Operator
from qiskit_ibm_runtime.fake_provider.backends.fractional.fake_fractional import (
    FakeFractionalBackend,
)

import qdm_qiskit as qdm
from qdm_qiskit.engine import compile_circuit
from qdm_qiskit.engine.noise.engine_runner import NoisyEngineRunner
from qdm_qiskit.errors import InvalidOption, UnsupportedCircuit
from qdm_qiskit.execution.noisy import NoisyRunner
from qdm_qiskit.execution.region import check_isa
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.sampling import SamplingConfig, load_run
from qdm_qiskit.transpiling.compact import compact
from qdm_qiskit.transpiling.fractional import folded, with_joined_rotations
from qdm_qiskit.transpiling.passes import transpile_for
from tests.helpers import tensor, write_run

SPECIAL = [k * math.pi / 4 + off for k in range(-9, 10) for off in (0, 1e-15, -1e-12, 1e-9, -3e-16)]
"""Ends of the range, where a sign changes."""
ANGLES = st.one_of(st.floats(-20, 20), st.sampled_from(SPECIAL))
TWO_QUBIT = ["rzz", "rxx", "ryy", "rzx", "crx", "cry", "crz", "cp"]


@pytest.fixture(scope="module")
def device() -> FakeFractionalBackend:
    return FakeFractionalBackend()


def overlap(one: QuantumCircuit, other: QuantumCircuit) -> float:
    """|tr(A^dagger B)| / d: 1 for equal action up to a global phase."""
    a, b = (Operator(each).data for each in (one, other))
    return abs(np.trace(a.conj().T @ b)) / len(a)


def on_two(isa: QuantumCircuit) -> QuantumCircuit:
    return compact(isa, also=(0, 1)).circuit


@settings(max_examples=60, deadline=None)
@given(angle=ANGLES)
@pytest.mark.parametrize("free", [True, False])
def test_every_angle_is_folded_into_the_range(device, free, angle):
    a = Parameter("a")
    circuit = QuantumCircuit(5)
    circuit.rzz(a, 0, 1)
    bound = circuit.assign_parameters({a: angle})
    found = folded(circuit if free else bound, device.target)
    if free:
        assert found.parameters == circuit.parameters
        check_isa(found, device, np.array([[angle]]))
        found = found.assign_parameters({a: angle})
    check_isa(found, device)
    assert found.count_ops()["rzz"] == 1
    assert overlap(on_two(found), on_two(bound)) == pytest.approx(1, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(names=st.lists(st.sampled_from(TWO_QUBIT), min_size=1, max_size=3), data=st.data())
def test_transpiled_circuits_keep_their_action_for_every_value(device, names, data):
    circuit = QuantumCircuit(2)
    for k, name in enumerate(names):
        circuit.ry(Parameter(f"y_{k}"), k % 2)
        getattr(circuit, name)(Parameter(f"a_{k}"), k % 2, 1 - k % 2)
    level = data.draw(st.integers(0, 3))
    isa = transpile_for(
        circuit, device, level=level, seed=1, initial_layout=[0, 1], fractional=True
    )
    assert isa.count_ops()["rzz"] == len(names)
    assert "cx" not in isa.count_ops()
    for _ in range(2):
        values = {p.name: data.draw(ANGLES) for p in circuit.parameters}
        row = [values[p.name] for p in isa.parameters]
        check_isa(isa, device, np.array([row]))
        ours = on_two(isa.assign_parameters(row))
        assert overlap(ours, circuit.assign_parameters(values)) == pytest.approx(1, abs=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.floats(-3, 3)), max_size=14))
def test_joined_rotations_keep_the_action(gates):
    circuit = QuantumCircuit(3)
    free = {}
    for k, (kind, qubit, angle) in enumerate(gates):
        other = (qubit + 1) % 3
        if kind < 3:
            circuit.cx(*((qubit, other) if kind < 2 else (other, qubit)))
        elif kind == 3:
            free[f"w_{k:02d}"] = angle
            circuit.ry(Parameter(f"w_{k:02d}"), qubit)
        elif kind == 4:
            circuit.rz(angle, qubit)
        else:
            circuit.h(qubit)
    found = with_joined_rotations(circuit)
    assert [p.name for p in found.parameters] == [p.name for p in circuit.parameters]
    ours, theirs = (each.assign_parameters(free) for each in (found, circuit))
    assert overlap(ours, theirs) == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("gate", ["ry", "rz"])
def test_a_rotation_between_two_cx_is_one_rzz(device, gate):
    a = Parameter("a")
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    circuit.cx(0, 1)
    getattr(circuit, gate)(a, 1)
    circuit.cx(0, 1)
    joined = with_joined_rotations(circuit)
    assert joined.count_ops().get("cx", 0) == 0
    assert joined.count_ops()["rzz"] == 1
    crossed = circuit.copy()
    crossed.data.insert(3, circuit.data[0])  # h on the control between the two: they stay
    assert with_joined_rotations(crossed).count_ops()["cx"] == 2
    isa = transpile_for(circuit, device, seed=1, fractional=True)
    plain = transpile_for(circuit, device, seed=1)
    assert (isa.count_ops()["rzz"], plain.count_ops()["cx"]) == (1, 2)
    assert "cx" not in isa.count_ops()


def test_expressions_survive_the_engine_and_qpy(device):
    a = Parameter("a")
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    circuit.rzz(a, 0, 1)
    circuit.rx(0.7, 0)
    isa = transpile_for(circuit, device, seed=1, initial_layout=[0, 1], fractional=True)
    buffer = io.BytesIO()
    qpy.dump(isa, buffer)
    buffer.seek(0)
    [back] = qpy.load(buffer)
    values = np.array([[each] for each in (*SPECIAL, 0.3, -2.2, 5.0)])
    program = compile_circuit(on_two(isa), inputs=list(isa.parameters))
    ours = program.probabilities(tensor(values)).numpy()
    for row, value in enumerate(values[:, 0]):
        wanted = Operator(circuit.assign_parameters([value])).data[:, 0]
        np.testing.assert_allclose(ours[row], np.abs(wanted) ** 2, atol=1e-9)
        again = on_two(back.assign_parameters([value]))
        assert overlap(again, circuit.assign_parameters([value])) == pytest.approx(1, abs=1e-12)


def test_a_device_without_rzz_is_refused_in_one_line():
    circuit = QuantumCircuit(2)
    circuit.rzz(Parameter("a"), 0, 1)
    with pytest.raises(UnsupportedCircuit, match=r"fake_torino has no rzz and no rx") as caught:
        transpile_for(circuit, load_backend("fake_torino"), seed=1, fractional=True)
    assert "\n" not in str(caught.value)
    with pytest.raises(InvalidOption, match="'aer' is no device with gates of its own"):
        SamplingConfig(target="aer", shots=8, fractional_gates=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    return load_run(write_run(tmp_path_factory.mktemp("runs") / "r"))


@pytest.mark.slow
def test_sampling_planning_and_costs_take_fewer_entangling_gates(run, device, tmp_path):
    def counted(report) -> int:
        return report.backends[0].cost.total.two_qubit_count

    plain, fewer = (
        counted(qdm.cost(run, device, trials=1, fractional_gates=each)) for each in (False, True)
    )
    assert fewer == plain - 1  # EEQDM's loader of 3 qubits has one rotation between two cx
    options = {"num_images": 2, "shots": 64, "layout_trials": 1, "fractional_gates": True}
    made = qdm.sample(run, device, **options)
    assert made.manifest["device"]["circuit"]["two_qubit_gates"] == fewer
    assert made.circuit.count_ops()["rzz"] == 1
    folder = run.checkpoint.parent.parent
    planned = qdm.plan(folder, device, root=tmp_path / "hw", **options)
    assert planned.circuit.two_qubit_gates == fewer
    done = qdm.submit(planned, root=tmp_path / "hw", yes=True)
    assert done.images.shape == (2, 1, 2, 2)
    with pytest.raises(InvalidOption, match="Target 'aer' is no device with gates of its own"):
        qdm.plan(folder, "aer", root=tmp_path / "hw", **options)


def test_the_noise_of_rzz_is_the_same_on_both_simulators(device):
    circuit = QuantumCircuit(2)
    circuit.ry(0.5, [0, 1])
    circuit.rzz(Parameter("a"), 0, 1)
    circuit.rx(0.7, [0, 1])
    circuit.measure_all()
    isa = transpile_for(circuit, device, seed=1, fractional=True)
    values = np.array([[0.4], [-1.2], [2.9], [-2.0]])
    engine = NoisyEngineRunner(device, seed=1).exact_probabilities(isa, values)
    aer = NoisyRunner(device, seed=1).exact_probabilities(isa, values)
    none = NoisyRunner(device, seed=1, noise="none").exact_probabilities(isa, values)
    np.testing.assert_allclose(engine, aer, atol=1e-8)
    assert np.abs(engine - none).max() > 0.005
    bare = QuantumCircuit(5, 1)
    bare.rzz(-1.2, 0, 1)
    bare.measure(0, 0)
    with pytest.raises(UnsupportedCircuit, match=r"has the angle -1\.2"):
        NoisyRunner(device, seed=1).exact_probabilities(bare, np.zeros((1, 0)))
