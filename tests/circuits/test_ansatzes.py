"""Ansatzes against matrices written here and against Qiskit's library."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, transpile
from qiskit.circuit.library import efficient_su2, evolved_operator_ansatz, real_amplitudes
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit.transpiler import CouplingMap

from qdm_qiskit.circuits import (
    basic_entangling_layers,
    device_region,
    hamiltonian_variational,
    hardware_efficient,
    working_couplings,
)
from qdm_qiskit.errors import InvalidTemplate
from tests.helpers import X, on_wires, unitary


def cnot(m: int, control: int, target: int) -> np.ndarray:
    return on_wires(m, {control: np.diag([1, 0])}) + on_wires(
        m, {control: np.diag([0, 1]), target: X}
    )


def reversed_qubits(circuit: QuantumCircuit) -> QuantumCircuit:
    """The library's circuit with its qubit 0 as our wire 0, the most significant bit."""
    return circuit.reverse_bits()


def wire_pairs(circuit: QuantumCircuit, *names: str) -> list[tuple[int, int]]:
    return [
        tuple(circuit.num_qubits - 1 - circuit.find_bit(qubit).index for qubit in item.qubits)
        for item in circuit.data
        if item.operation.name in names
    ]


@pytest.mark.parametrize(("m", "depth"), [(1, 2), (2, 3), (3, 2), (4, 4), (5, 1)])
def test_basic_entangling_layers_are_their_definition(m, depth):
    weights = np.random.default_rng(m).uniform(-4, 4, (depth, m))
    expected = np.eye(2**m, dtype=complex)
    for row in weights:
        rx = {w: np.cos(a / 2) * np.eye(2) - 1j * np.sin(a / 2) * X for w, a in enumerate(row)}
        expected = on_wires(m, rx) @ expected
        ring = {1: [], 2: [(0, 1)]}.get(m, [(wire, (wire + 1) % m) for wire in range(m)])
        for control, target in ring:
            expected = cnot(m, control, target) @ expected
    circuit = basic_entangling_layers(m, depth)
    np.testing.assert_allclose(unitary(circuit, weights.ravel()), expected, atol=1e-13)


def test_fortieth_channel_has_16_angles():
    assert basic_entangling_layers(4, 4).num_parameters == 16


@pytest.mark.parametrize("m", [1, 2, 4])
@pytest.mark.parametrize("pattern", ["linear", "circular", "full"])
def test_hardware_efficient_is_qiskits_library_circuit(m, pattern):
    values = np.random.default_rng(m).uniform(-4, 4, 6 * m)
    mine = unitary(hardware_efficient(m, 2, entanglement=pattern), values)
    library = reversed_qubits(efficient_su2(m, entanglement=pattern, reps=2))
    np.testing.assert_allclose(mine, unitary(library, values), atol=1e-13)
    real = hardware_efficient(m, 2, entanglement=pattern, rotations=["ry"])
    library = reversed_qubits(real_amplitudes(m, entanglement=pattern, reps=2))
    np.testing.assert_allclose(
        unitary(real, values[: 3 * m]), unitary(library, values[: 3 * m]), atol=1e-13
    )


def test_patterns_join_the_wires_that_their_names_say():
    linear = [(0, 1), (1, 2), (2, 3)]
    assert wire_pairs(hardware_efficient(4, 1), "cx") == linear
    circular = hardware_efficient(4, 1, entanglement="circular", entangler="cz")
    assert wire_pairs(circular, "cz") == [(3, 0), *linear]
    full = hardware_efficient(4, 1, entanglement="full")
    assert wire_pairs(full, "cx") == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


@pytest.mark.parametrize(("final", "layers"), [(True, 4), (False, 3)])
def test_hardware_efficient_counts_and_order(final, layers):
    circuit = hardware_efficient(
        3, 3, rotations=["rx", "ry", "rz"], final_rotations=final, entanglement=[(2, 0)]
    )
    assert circuit.num_parameters == 3 * 3 * layers
    used = [item.operation.params[0].name for item in circuit.data if item.operation.params]
    assert sorted(used) == [f"w_{i:04d}" for i in range(len(used))]
    # By layer, gate, and wire: the first nine weights are RX on wires 0, 1, 2, then RY, then RZ.
    first = {
        item.operation.params[0].name: (item.operation.name, 2 - circuit.find_bit(q).index)
        for item in circuit.data
        if item.operation.params
        for q in item.qubits
    }
    assert [first[f"w_{i:04d}"] for i in range(9)] == [
        (gate, wire) for gate in ("rx", "ry", "rz") for wire in range(3)
    ]
    assert wire_pairs(circuit, "cx") == [(2, 0)] * 3


def test_no_pairs_leave_rotations_only():
    circuit = hardware_efficient(3, 2, entanglement=[])
    assert dict(circuit.count_ops()) == {"ry": 9, "rz": 9}


HEAVY_HEX = [(0, 1), (1, 2), (2, 3), (3, 4), (2, 5), (5, 6), (6, 7), (1, 8)]


@pytest.mark.parametrize("num_wires", [2, 4, 6, 9])
def test_an_ansatz_on_a_devices_couplings_needs_no_routing(num_wires):
    both_ways = [*HEAVY_HEX, *((b, a) for a, b in HEAVY_HEX)]
    qubits, pairs = device_region(both_ways, num_wires)
    assert len(pairs) >= num_wires - 1  # connected
    circuit = hardware_efficient(num_wires, 2, entanglement=pairs, entangler="cz")
    # Wire w is the circuit's qubit num_wires - 1 - w.
    on_device = transpile(
        circuit,
        coupling_map=CouplingMap(both_ways),
        basis_gates=["cz", "rz", "sx", "x"],
        initial_layout=qubits[::-1],
        optimization_level=1,
        seed_transpiler=1,
    )
    assert on_device.count_ops()["cz"] == 2 * len(pairs)
    # A line of the same length does need it, once the region has a fork.
    if num_wires == 6:
        line = hardware_efficient(num_wires, 2, entangler="cz")
        routed = transpile(
            line,
            coupling_map=CouplingMap(both_ways),
            basis_gates=["cz", "rz", "sx", "x"],
            initial_layout=qubits[::-1],
            optimization_level=1,
            seed_transpiler=1,
        )
        assert routed.count_ops()["cz"] > 2 * (num_wires - 1)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize(("model", "m"), [("tfim", 4), ("tfim", 3), ("heisenberg", 4)])
def test_hamiltonian_variational_is_qiskits_evolution_of_the_parts(model, m, periodic):
    """Qiskit evolves by exp(-i t H); our gates have half of their angle in the exponent."""
    bonds = [(i, i + 1) for i in range(m - 1)] + ([(m - 1, 0)] if periodic else [])

    def part(paulis: str, pairs: list[tuple[int, int]]) -> SparsePauliOp:
        return SparsePauliOp.from_sparse_list(
            [(p + p, [m - 1 - a, m - 1 - b], 0.5) for a, b in pairs for p in paulis], m
        )

    circuit = hamiltonian_variational(m, 2, model=model, periodic=periodic)
    start = QuantumCircuit(m)
    if model == "tfim":
        start.h(range(m))
        field = SparsePauliOp.from_sparse_list([("X", [i], 0.5) for i in range(m)], m)
        parts = [part("Z", bonds), field]
    else:
        singlet = np.array([0, 1, -1, 0]) / np.sqrt(2)
        start.prepare_state(np.kron(singlet, singlet))
        parts = [part("XYZ", bonds[1::2]), part("XYZ", bonds[0::2])]
    weights = np.random.default_rng(m).uniform(-2, 2, 4)
    assert circuit.num_parameters == 4
    library = evolved_operator_ansatz(parts, reps=2).decompose(reps=3)
    library = start.compose(library.assign_parameters(weights))
    np.testing.assert_allclose(
        Statevector(circuit.assign_parameters(weights)).data,
        Statevector(library).data,
        atol=1e-12,
    )


def test_heisenberg_starts_in_the_ground_state_of_its_even_bonds():
    circuit = hamiltonian_variational(4, 1, model="heisenberg").assign_parameters([0.0, 1.3])
    bonds = [("XX", [3, 2]), ("YY", [3, 2]), ("ZZ", [3, 2])]
    energy = SparsePauliOp.from_sparse_list([(p, q, 1.0) for p, q in bonds], 4)
    assert np.isclose(Statevector(circuit).expectation_value(energy), -3)
    assert hamiltonian_variational(2, 3, model="heisenberg").num_parameters == 3


def test_a_region_grows_around_its_start_and_keeps_directions():
    qubits, pairs = device_region([(5, 4), (5, 6), (7, 6)], 3, start=6)
    assert qubits == [6, 5, 7]
    assert sorted(pairs) == [(1, 0), (2, 0)]
    qubits, pairs = device_region([(0, 1), (3, 2), (2, 4), (4, 2)], 3)
    assert qubits == [2, 3, 4]  # 0 and 1 are too few
    assert sorted(pairs) == [(0, 2), (1, 0)]


def test_a_regions_couplings_come_in_groups_of_disjoint_pairs():
    line = [(i, i + 1) for i in range(5)]
    qubits, pairs = device_region(line, 6)
    assert qubits == list(range(6))
    assert pairs == [(0, 1), (2, 3), (4, 5), (1, 2), (3, 4)]


def components(qubits: set[int], edges: list[tuple[int, int]]) -> list[set[int]]:
    parts = [{qubit} for qubit in qubits]
    for a, b in edges:
        joined = set().union(*(part for part in parts if part & {a, b}))
        parts = [*(part for part in parts if not part & {a, b}), joined]
    return parts


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda p: p[0] != p[1])),
    st.integers(2, 8),
)
def test_a_region_is_connected_and_has_the_devices_couplings(edges, num_wires):
    parts = components({qubit for edge in edges for qubit in edge}, edges)
    largest = max((len(part) for part in parts), default=0)
    if largest < num_wires:
        with pytest.raises(InvalidTemplate, match=f"the largest has {largest}"):
            device_region(edges, num_wires)
        return
    qubits, pairs = device_region(edges, num_wires)
    assert len(set(qubits)) == num_wires
    inside = [edge for edge in edges if set(edge) <= set(qubits)]
    assert len(components(set(qubits), inside)) == 1
    assert all((qubits[a], qubits[b]) in edges for a, b in pairs)
    found = [frozenset((qubits[a], qubits[b])) for a, b in pairs]
    assert len(found) == len(set(found))
    assert set(found) == {frozenset(edge) for edge in inside}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: basic_entangling_layers(0, 1), "num_wires >= 1 and depth >= 1"),
        (lambda: hardware_efficient(3, 0), "depth=0"),
        (
            lambda: hardware_efficient(3, 1, entanglement="ring"),
            "linear, circular, full, got 'ring'",
        ),
        (lambda: hardware_efficient(3, 1, entanglement=[(0, 3)]), r"below 3, .* got \(0, 3\)"),
        (lambda: hardware_efficient(3, 1, entanglement=[(1, 1)]), "two different wires"),
        (lambda: hardware_efficient(3, 1, entanglement=[(0, 1), (1, 0)]), "each pair once"),
        (lambda: hardware_efficient(3, 1, entanglement=[3]), "two different wires"),
        (lambda: hardware_efficient(3, 1, entanglement=[(0, 1, 2)]), "two different wires"),
        (lambda: hardware_efficient(3, 1, rotations=["u"]), "one of rx, ry, rz, got 'u'"),
        (lambda: hardware_efficient(3, 1, rotations=[]), "list of rx, ry, rz"),
        (lambda: hardware_efficient(3, 1, rotations="ry"), "list of rx, ry, rz"),
        (lambda: hardware_efficient(3, 1, entangler="iswap"), "one of cx, cz"),
        (lambda: hardware_efficient(3, 5000), "at most 10000 parameters"),
        (lambda: hamiltonian_variational(1, 1), "num_wires >= 2"),
        (lambda: hamiltonian_variational(2, 1, periodic=True), "num_wires >= 3"),
        (lambda: hamiltonian_variational(3, 1, model="heisenberg"), "even num_wires, got 3"),
        (lambda: hamiltonian_variational(3, 1, model="xy"), "one of tfim, heisenberg"),
        (lambda: device_region([(0, 1), (2, 3)], 3), "no connected region of 3 .* largest has 2"),
        (lambda: device_region([(0, 1)], 1, start=5), "start is a coupled qubit .* got 5"),
        (lambda: device_region([], 1), "largest has 0"),
        (lambda: device_region(None, 2), "without a coupling map joins all"),
        (lambda: device_region([(0, 1), (2,)], 2), r"list of pairs of qubits, got \(2,\)"),
        (lambda: device_region([3], 2), "got 3 in it"),
        (lambda: device_region([(0, "1")], 2), "pairs of qubits"),
    ],
)
def test_impossible_ansatzes_are_refused(build, message):
    with pytest.raises(InvalidTemplate, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_broken_couplings_are_left_out():
    from qiskit.circuit.library import CXGate, CZGate, RZGate
    from qiskit.transpiler import InstructionProperties, Target

    target = Target(num_qubits=4)
    target.add_instruction(RZGate(0.1), {(q,): InstructionProperties(error=1) for q in range(4)})
    errors = {(0, 1): 1.0, (1, 2): 0.01, (2, 3): None}
    cz = {pair: InstructionProperties(error=error) for pair, error in errors.items()}
    target.add_instruction(CZGate(), {**cz, (3, 0): None})
    assert working_couplings(target) == [(1, 2), (2, 3), (3, 0)]
    target.add_instruction(CXGate(), {(0, 1): InstructionProperties(error=0.02)})
    assert set(working_couplings(target)) == {(1, 2), (2, 3), (3, 0), (0, 1)}
    assert working_couplings(Target(num_qubits=2)) == []
