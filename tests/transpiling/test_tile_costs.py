"""Costs of many places at once, against the cost of the circuit on each of them."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit

from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.cost import circuit_cost
from qdm_qiskit.transpiling.passes import transpile_for
from qdm_qiskit.transpiling.tile_circuits import on_tile, template_of
from qdm_qiskit.transpiling.tile_costs import costs_of_places
from qdm_qiskit.transpiling.tiles import places_of

from .line_circuits import line_circuit


def _compared(circuit, backend, count=25):
    template = template_of([circuit])
    places = places_of(template, backend.target)
    chosen = np.random.default_rng(3).choice(
        len(places), size=min(count, len(places)), replace=False
    )
    found = costs_of_places(template.circuits[0], places[chosen], backend.target)
    for k, place in enumerate(places[chosen]):
        cost = circuit_cost(on_tile(template, 0, place.tolist(), backend), backend.target)
        assert found.gates[k] == pytest.approx(cost.gate_success, rel=1e-12)
        assert found.readout[k] == pytest.approx(cost.readout_success, rel=1e-12)
        assert found.idle[k] == pytest.approx(cost.idle_success, rel=1e-12)
    return found


@pytest.mark.parametrize("device", ["fake_torino", "fake_marrakesh"])
def test_costs_are_those_of_the_circuit_on_each_place(device):
    backend = load_backend(device)
    isa = transpile_for(line_circuit(5), backend, level=1, seed=0)
    found = _compared(isa, backend)
    assert np.ptp(found.gates) > 0.01  # places differ, so equal numbers are no accident
    assert np.ptp(found.idle) > 1e-4


def test_barriers_delays_and_early_measurements_wait_alike():
    backend = load_backend("fake_torino")
    circuit = QuantumCircuit(4, 4)
    # Before its first gate a qubit cannot decay: 1 and 3 wait for nothing here.
    circuit.barrier([0, 1])
    circuit.delay(100, 3, unit="ns")
    for _ in range(20):
        circuit.h([0, 2])
        circuit.barrier([0, 2])
    circuit.cz(0, 1)
    circuit.cz(2, 3)
    circuit.h([0, 1, 2, 3])
    circuit.cz(0, 1)
    circuit.barrier([1, 2])
    circuit.delay(400, 2, unit="ns")
    circuit.delay(1000, 3, unit="dt")
    circuit.cz(2, 3)
    circuit.measure(0, 0)
    circuit.cz(1, 2)
    circuit.measure([1, 2, 3], [1, 2, 3])
    isa = transpile_for(circuit, backend, level=0, seed=0, initial_layout=[0, 1, 2, 3])
    _compared(isa, backend)


def _two_qubit_gates_alone(circuit):
    bare = circuit.copy_empty_like()
    for item in circuit.data:
        if len(item.qubits) == 2:
            bare.append(item)
    return bare


def test_a_gate_that_only_goes_the_other_way_counts_as_that_one():
    backend = load_backend("fake_brisbane")
    isa = transpile_for(line_circuit(3), backend, level=1, seed=0)
    template = template_of([isa])
    places = places_of(template, backend.target)[::61]
    bare = _two_qubit_gates_alone(template.circuits[0])
    pairs = costs_of_places(bare, places, backend.target)
    whole = costs_of_places(template.circuits[0], places, backend.target)
    turned = 0
    for k, place in enumerate(places):
        circuit = on_tile(template, 0, place.tolist(), backend)
        turned += circuit.size() != template.circuits[0].size()
        cost = circuit_cost(_two_qubit_gates_alone(circuit), backend.target)
        assert pairs.gates[k] == pytest.approx(cost.gate_success, rel=1e-12)
        assert whole.readout[k] == pytest.approx(
            circuit_cost(circuit, backend.target).readout_success, rel=1e-12
        )
    assert turned
