"""What is drawn of a device is what the device and the circuit say."""

from __future__ import annotations

import pytest
from qiskit import QuantumCircuit
from qiskit_aer.noise import NoiseModel, depolarizing_error

from qdm_qiskit.circuits.coupling import BROKEN, working_couplings
from qdm_qiskit.evaluation.chip import chip_errors
from qdm_qiskit.execution.devices import as_backend
from qdm_qiskit.reports.chips import chip_part


@pytest.fixture(scope="module")
def torino():
    return as_backend("fake_torino")


def test_broken_couplers_are_those_that_do_not_work(torino):
    found = chip_errors(torino, [0, 1], [])
    errors = dict(zip(found.couplers, found.coupler_errors, strict=True))
    works = {(min(pair), max(pair)) for pair in working_couplings(torino.target)}
    assert {pair for pair, error in errors.items() if error < BROKEN} == works
    assert len(found.couplers) > len(works)
    assert sum(found.uses) == 0


def test_numbers_are_the_targets(torino):
    found = chip_errors(torino, [5, 4], [])
    assert found.layout == (5, 4)
    for qubit in (0, 77, 132):
        assert found.readout_errors[qubit] == torino.target["measure"][(qubit,)].error
        assert found.relaxation[qubit][0] == torino.target.qubit_properties[qubit].t1
    pair = found.couplers[10]
    gates = [torino.target["cz"].get(each) for each in (pair, pair[::-1])]
    assert found.coupler_errors[10] == min(each.error for each in gates if each is not None)


def test_gates_are_counted_where_they_are(torino):
    one, other = chip_errors(torino, [], []).couplers[3]
    circuit = QuantumCircuit(133)
    for _ in range(3):
        circuit.cz(other, one)
    circuit.barrier(one, other)
    found = chip_errors(torino, [one, other], [circuit, circuit])
    assert dict(zip(found.couplers, found.uses, strict=True))[one, other] == 6
    assert sum(found.uses) == 6
    part = chip_part(found, "fake_torino")
    assert [qubit.number for qubit in part.qubits if qubit.role] == sorted([one, other])
    assert [coupler.uses for coupler in part.couplers if coupler.uses] == [6]


def test_a_device_without_couplers_is_not_drawn():
    noise = NoiseModel(basis_gates=["cx", "rz", "sx", "x"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.01, 2), ["cx"])
    assert chip_errors(as_backend(noise), [0], []) is None
    assert "not drawn" in chip_part(None, "mine").sentences[0]
    assert chip_errors(as_backend("fake_armonk"), [0], []) is None  # one qubit
