"""What does not work is not used, and a transpiled circuit is the circuit on any part of a device."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Statevector

from qdm_qiskit.errors import InvalidOption, UnsupportedCircuit
from qdm_qiskit.execution.region import check_isa
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.channels import gate_success, is_dead
from qdm_qiskit.transpiling.cost import circuit_cost
from qdm_qiskit.transpiling.passes import in_gates_of, transpile_for
from qdm_qiskit.transpiling.working import working_part

# Dead couplers, dead one-qubit gates, mixed gates, u1/u2/u3, many parts, a bounded rzz, nothing.
ROUNDED = 1e-4
"""Amplitudes that Qiskit's level 2 leaves: two-qubit blocks are taken for special ones that have a
fidelity of 1 - 1e-9 with them, which is some 1e-5 in an amplitude."""
DEVICES = (
    *("fake_torino", "fake_kingston", "fake_cairo", "fake_cambridge", "fake_manhattan"),
    *("fake_fractional", "fake_lima"),
)


def chain(num_qubits, *, measured=True):
    circuit = QuantumCircuit(num_qubits, name="chain")
    circuit.h(0)
    for qubit in range(num_qubits - 1):
        circuit.cx(qubit, qubit + 1)
    if measured:
        circuit.measure_all()
    return circuit


def amplitudes(isa, angles):
    """The logical state that a transpiled circuit makes of rotated qubits, by its layout alone."""
    start = isa.layout.initial_index_layout(filter_ancillas=True)
    end = isa.layout.final_index_layout()
    acted = {isa.find_bit(q).index for i in isa.data for q in i.qubits if i.name != "barrier"}
    place = {qubit: k for k, qubit in enumerate(sorted(acted.union(start, end)))}
    small = QuantumCircuit(len(place), global_phase=isa.global_phase)
    for qubit, three in zip(start, angles, strict=True):
        small.u(*three, place[qubit])
    for item in isa.data:
        if item.name != "barrier":
            small.append(item.operation, [place[isa.find_bit(q).index] for q in item.qubits])
    n = len(place)
    ends = [place[qubit] for qubit in end]
    order = [k for k in range(n) if k not in ends][::-1] + ends[::-1]
    tensor = Statevector(small).data.reshape([2] * n).transpose([n - 1 - k for k in order])
    rows = tensor.reshape(-1, 2 ** len(ends))
    assert np.abs(rows[1:]).max(initial=0) < 1e-7  # what carries no logical qubit is in |0>
    return rows[0]


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    name=st.sampled_from(DEVICES),
    level=st.integers(0, 3),
    num_qubits=st.integers(2, 4),
    seed=st.integers(0, 10**6),
)
def test_transpiled_circuits_are_the_circuit_and_use_nothing_dead(name, level, num_qubits, seed):
    backend = load_backend(name)
    circuit = random_circuit(num_qubits, 3, max_operands=2, seed=seed)
    isa = transpile_for(circuit, backend, level=level, seed=seed)
    check_isa(isa, backend)
    for item in isa.data:
        where = tuple(isa.find_bit(qubit).index for qubit in item.qubits)
        assert not is_dead(backend.target[item.name][where])
    assert isa.num_qubits == backend.num_qubits
    assert not isa.clbits
    assert sorted(isa.layout.initial_index_layout()) == list(range(backend.num_qubits))
    angles = np.random.default_rng(seed).uniform(0, 3, (num_qubits, 3))
    whole = QuantumCircuit(num_qubits)
    for qubit, three in enumerate(angles):
        whole.u(*three, qubit)
    whole.compose(circuit, inplace=True)
    # With its global phase: gates of mixed devices are rewritten, and controls would see it.
    np.testing.assert_allclose(amplitudes(isa, angles), Statevector(whole).data, atol=ROUNDED)


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("num_qubits", [2, 5, 7])
def test_couplers_of_different_gates(level, num_qubits):
    """fake_cairo has ecr on 14 couplers and cx on 12: Qiskit cannot turn them round."""
    backend = load_backend("fake_cairo")
    circuit = chain(num_qubits, measured=False)
    circuit.rz(Parameter("a"), 0)
    circuit.cx(num_qubits - 1, 0)
    isa = transpile_for(circuit, backend, level=level, seed=1)
    check_isa(isa, backend)
    assert set(isa.count_ops()) <= {"cx", "ecr", "rz", "sx", "x"}
    bound = circuit.assign_parameters([0.7])
    found = amplitudes(isa.assign_parameters([0.7]), np.zeros((num_qubits, 3)))
    np.testing.assert_allclose(found, Statevector(bound).data, atol=ROUNDED)


def test_a_device_without_couplers_that_work_says_so():
    kyoto = load_backend("fake_kyoto")
    for level in range(4):
        with pytest.raises(
            UnsupportedCircuit, match="None of the 144 couplers of fake_kyoto works"
        ):
            transpile_for(chain(2), kyoto, level=level, seed=0)
    product = QuantumCircuit(20)
    product.ry(0.3, range(20))
    product.measure_all()
    isa = transpile_for(product, kyoto, seed=0)  # needs no coupler
    assert circuit_cost(isa, kyoto.target).gate_success > 0.9


@pytest.mark.parametrize(
    ("name", "largest", "dead"),
    [("fake_manhattan", 17, "22 of its 72"), ("fake_cairo", 25, "1 of its 26"),
     ("fake_cambridge", 25, "5 of its 30")],
)  # fmt: skip
def test_the_largest_part_holds_a_circuit_or_is_named(name, largest, dead):
    backend = load_backend(name)
    whole = chain(largest)
    assert circuit_cost(transpile_for(whole, backend, seed=0), backend.target).gate_success > 0
    message = (
        f"{largest + 1} qubits and the largest connected part of {name} that works has {largest}"
    )
    with pytest.raises(UnsupportedCircuit, match=f"{message}: {dead} couplers"):
        transpile_for(chain(largest + 1), backend, seed=0)


def test_a_circuit_too_large_for_the_part_that_works_is_refused_at_once(monkeypatch):
    """Qiskit takes a minute to find that out."""
    monkeypatch.setattr("qdm_qiskit.transpiling.passes.generate_preset_pass_manager", None)
    with pytest.raises(UnsupportedCircuit, match=r"connects 126 qubits .* has 125: 5 of"):
        transpile_for(chain(126), load_backend("fake_kyiv"), seed=0)


def test_a_circuit_in_parts_is_spread_over_the_parts_of_a_device():
    circuit = QuantumCircuit(24)
    for start in (0, 12):
        for qubit in range(start, start + 11):
            circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    backend = load_backend("fake_manhattan")  # 17 and 13 connected qubits
    isa = transpile_for(circuit, backend, seed=0)
    assert circuit_cost(isa, backend.target).gate_success > 0


def test_layouts_use_the_errors_that_are_applied():
    """By calibrated errors alone Qiskit takes pairs whose relaxation is up to 7 times worse."""
    backend = load_backend("fake_osaka")
    target = backend.target
    part = working_part(target, chain(2))
    for where, properties in part.target["ecr"].items():
        pair = tuple(part.qubits[k] for k in where)
        expected = 1 - gate_success(target, target["ecr"][pair], pair)
        assert properties.error == pytest.approx(expected, abs=1e-15)
    assert len(part.qubits) == 124
    assert {40, 39} <= set(part.qubits)


def test_a_wanted_layout_is_kept_or_refused_in_one_line():
    backend = load_backend("fake_manhattan")
    isa = transpile_for(chain(2), backend, seed=0, initial_layout=[63, 64])
    assert isa.layout.initial_index_layout(filter_ancillas=True) == [63, 64]
    kingston = load_backend("fake_kingston")
    broken = [q for (q,), p in kingston.target["sx"].items() if is_dead(p)]
    with pytest.raises(UnsupportedCircuit, match="calibrated error of 1"):
        transpile_for(chain(2), kingston, seed=0, initial_layout=[broken[0], broken[0] + 1])
    with pytest.raises(InvalidOption, match="0 to 155, got"):
        transpile_for(chain(2), kingston, seed=0, initial_layout=[1, 300])
    with pytest.raises(InvalidOption, match="each of the 2 qubits"):
        transpile_for(chain(2), kingston, seed=0, initial_layout=[1])


def test_bits_and_names_survive_the_way_back_to_the_device():
    backend = load_backend("fake_torino")
    circuit = QuantumCircuit(3, 2, name="named", metadata={"kept": True})
    circuit.ry(Parameter("x"), 0)
    circuit.cx(0, 2)
    circuit.measure([0, 2], [1, 0])
    isa = transpile_for(circuit, backend, seed=0)
    assert (isa.name, isa.metadata, isa.num_clbits) == ("named", {"kept": True}, 2)
    assert isa.cregs == circuit.cregs
    assert [p.name for p in isa.parameters] == ["x"]


@pytest.mark.parametrize("angle", [0.3, -0.3, 2.0, 4.0, Parameter("a")])
def test_a_free_rzz_is_left_out_and_a_bound_one_folded(angle):
    backend = load_backend("fake_fractional")
    circuit = QuantumCircuit(2)
    circuit.rx(1.2, [0, 1])
    circuit.rzz(angle, 0, 1)
    circuit.rx(0.5, [0, 1])
    isa = transpile_for(circuit, backend, seed=0)
    check_isa(isa, backend)
    free = isinstance(angle, Parameter)
    assert ("rzz" in isa.count_ops()) != free
    for value in (-2.0, 0.4, 5.0) if free else (angle,):
        bound, found = (c.assign_parameters([value] if free else []) for c in (circuit, isa))
        expected = Statevector(bound).data
        overlap = np.vdot(expected, amplitudes(found, np.zeros((2, 3))))
        assert abs(overlap) == pytest.approx(1, abs=1e-9)


def test_what_qiskit_cannot_transpile_is_one_line():
    from qiskit.circuit import Gate

    circuit = QuantumCircuit(1)
    circuit.append(Gate("opaque", 1, []), [0])
    with pytest.raises(UnsupportedCircuit, match=r"cannot be transpiled for fake_lima: .*opaque"):
        transpile_for(circuit, load_backend("fake_lima"), seed=0)


@pytest.mark.parametrize("name", ["fake_johannesburg", "fake_london", "fake_torino"])
def test_x_in_the_gates_of_a_device(name):
    backend = load_backend(name)
    circuit = QuantumCircuit(backend.num_qubits, 1, name="prepare")
    circuit.x(3)
    circuit.measure(3, 0)
    found = in_gates_of(circuit, backend.target)
    check_isa(found, backend)
    assert found.name == "prepare"
    if name == "fake_torino":
        assert found is circuit
    small = QuantumCircuit(1)
    for item in found.data:
        if item.name != "measure":
            assert found.find_bit(item.qubits[0]).index == 3
            small.append(item.operation, [0])
    assert Statevector(small).probabilities()[1] == pytest.approx(1)


@pytest.mark.parametrize("level", [0, 1, 3])
@pytest.mark.parametrize("name", ["fake_torino", "fake_cairo"])
def test_swaps_that_permute_more_than_pairs_are_told_in_the_layout(name, level):
    """A permutation that is its own inverse would not tell where a qubit ends from whence it came."""
    backend, angles = load_backend(name), np.random.default_rng(0).uniform(0, 3, (5, 3))
    permutations = []
    for seed in range(6):
        circuit = random_circuit(5, 6, max_operands=2, seed=seed)
        isa = transpile_for(circuit, backend, level=level, seed=seed)
        whole = QuantumCircuit(5)
        for qubit, three in enumerate(angles):
            whole.u(*three, qubit)
        whole.compose(circuit, inplace=True)
        np.testing.assert_allclose(amplitudes(isa, angles), Statevector(whole).data, atol=ROUNDED)
        permutations.append(isa.layout.routing_permutation())
    assert any([p[k] for k in p] != list(range(len(p))) for p in permutations)
