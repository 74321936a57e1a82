"""A circuit moved to other qubits, and many of them as one."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Statevector

from qdm_qiskit.errors import UnsupportedCircuit
from qdm_qiskit.execution.noisy import NoisyRunner
from qdm_qiskit.execution.region import active_qubits
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.passes import select_values, transpile_for
from qdm_qiskit.transpiling.tile_circuits import joint_circuit, on_tile, template_of

from .line_circuits import line_circuit


def _probabilities(circuit, values):
    """Exact distribution of the classical bits by Qiskit, bit 0 the least significant."""
    used = sorted(active_qubits([circuit]))
    small = QuantumCircuit(len(used))
    read = {}
    for item in circuit.data:
        where = [
            used.index(circuit.find_bit(q).index) for q in item.qubits if item.name != "barrier"
        ]
        if item.operation.name == "measure":
            read[circuit.find_bit(item.clbits[0]).index] = where[0]
        elif item.operation.name != "barrier":
            small.append(item.operation, where)
    bound = small.assign_parameters(dict(zip(circuit.parameters, values, strict=True)))
    return Statevector(bound).probabilities([read[k] for k in range(circuit.num_clbits)])


def _one_register(circuit):
    """The same circuit with all its bits in one register, as our runners want it."""
    plain = QuantumCircuit(circuit.num_qubits, circuit.num_clbits)
    return plain.compose(circuit, range(circuit.num_qubits), range(circuit.num_clbits))


@pytest.mark.parametrize(
    ("device", "place"), [("fake_torino", (7, 6, 5)), ("fake_brisbane", (3, 2, 1))]
)
def test_a_moved_circuit_does_the_same_on_its_own_qubits(device, place):
    backend = load_backend(device)
    circuit = line_circuit(3, uploads=3)
    isa = transpile_for(circuit, backend, seed=1)
    template = template_of([isa])
    moved = on_tile(template, 0, place, backend)
    assert active_qubits([moved]) == set(place)
    values = np.random.default_rng(0).uniform(-3, 3, (1, circuit.num_parameters))
    wanted = _probabilities(isa, select_values(values, circuit, isa)[0])
    found = _probabilities(moved, select_values(values, circuit, moved)[0])
    np.testing.assert_allclose(found, wanted, atol=1e-10)
    # In whatever direction the couplers go, the device takes it as it is.
    for item in moved.data:
        where = tuple(moved.find_bit(q).index for q in item.qubits)
        assert item.operation.name == "barrier" or backend.target.instruction_supported(
            item.operation.name, where
        )


def test_the_template_tells_where_each_logical_qubit_starts():
    backend = load_backend("fake_torino")
    isa = transpile_for(line_circuit(4), backend, seed=2)
    template = template_of([isa])
    assert [template.home[wire] for wire in template.start] == list(
        isa.layout.initial_index_layout(filter_ancillas=True)
    )


def test_wires_without_gates_between_them_still_make_a_connected_patch():
    backend = load_backend("fake_torino")
    circuit = line_circuit(4, uploads=1)
    template = template_of([transpile_for(circuit, backend, seed=0)])
    assert template.couplings == ()
    graph = template.pattern()
    assert (graph.num_nodes(), graph.num_edges()) == (4, 3)


def test_a_joint_circuit_has_a_register_and_parameters_of_its_own_for_each_tile():
    backend = load_backend("fake_torino")
    isa = transpile_for(line_circuit(2, uploads=2), backend, seed=0)
    template = template_of([isa])
    parts = [on_tile(template, 0, place, backend) for place in ((0, 1), (5, 4))]
    joint = joint_circuit(parts)
    assert [register.name for register in joint.cregs] == ["tile_00", "tile_01"]
    names = [p.name for p in joint.parameters]
    assert names == [
        f"tile_{k:02d}_{p:04d}" for k in range(2) for p in range(parts[k].num_parameters)
    ]
    values = np.random.default_rng(1).uniform(-3, 3, (2, parts[0].num_parameters))
    product = np.kron(_probabilities(parts[1], values[1]), _probabilities(parts[0], values[0]))
    np.testing.assert_allclose(_probabilities(joint, values.ravel()), product, atol=1e-12)


@pytest.mark.parametrize(
    "device", ["fake_torino", pytest.param("fake_brisbane", marks=pytest.mark.slow)]
)
def test_aers_noise_of_a_joint_circuit_is_the_product_of_the_tiles(device):
    """The reason why each tile is simulated alone: a snapshot's noise has no crosstalk."""
    backend = load_backend(device)
    runner = NoisyRunner(device, seed=0)
    circuit = line_circuit(3, uploads=3)
    template = template_of([transpile_for(circuit, backend, seed=1)])
    places = [(0, 1, 2), (4, 5, 6)]
    parts = [on_tile(template, 0, place, backend) for place in places]
    values = np.random.default_rng(2).uniform(-3, 3, (2, 2, parts[0].num_parameters))
    alone = [runner.exact_probabilities(part, values[:, k]) for k, part in enumerate(parts)]
    joint = _one_register(joint_circuit(parts))
    together = runner.exact_probabilities(joint, values.reshape(2, -1))
    for row in range(2):
        np.testing.assert_allclose(together[row], np.kron(alone[1][row], alone[0][row]), atol=1e-9)
        assert np.abs(alone[0][row] - alone[1][row]).max() > 1e-3  # the places do differ


def test_tiles_that_share_a_qubit_or_go_on_after_a_measurement_are_refused():
    one = QuantumCircuit(3, 1)
    one.x(0)
    one.measure(0, 0)
    with pytest.raises(UnsupportedCircuit, match=r"share no qubit.*\[0\]"):
        joint_circuit([one, one])
    late = QuantumCircuit(3, 1)
    late.measure(1, 0)
    late.x(1)
    with pytest.raises(UnsupportedCircuit, match="goes on after it measures qubit 1"):
        joint_circuit([one, late])


def test_control_flow_has_no_template():
    circuit = QuantumCircuit(2, 1)
    circuit.measure(0, 0)
    with circuit.if_test((0, 1)):
        circuit.x(1)
    with pytest.raises(UnsupportedCircuit, match="plain gates on one or two"):
        template_of([circuit])
    free = QuantumCircuit(1, 1)
    free.rz(Parameter("x_0000"), 0)
    free.measure(0, 0)
    assert template_of([free]).circuits[0].num_parameters == 1
