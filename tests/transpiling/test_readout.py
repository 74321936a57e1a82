"""Readout errors have their say where a circuit is measured later."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.transpiler import Target, generate_preset_pass_manager

from qdm_qiskit.circuits import TEMPLATES
from qdm_qiskit.errors import InvalidOption, UnsupportedCircuit
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.cost import circuit_cost, readout_success
from qdm_qiskit.transpiling.passes import best_trial, layout_trials, transpile_for


@pytest.fixture(scope="module")
def torino():
    return load_backend("fake_torino")


def both(isa, target, read=None):
    places = isa.layout.final_index_layout()
    reading = readout_success(target, places if read is None else [places[q] for q in read])
    return circuit_cost(isa, target).gate_success * reading


@pytest.mark.parametrize(("name", "before", "now"), [("pairwise_bell_stage", 0.904, 0.955),
                                                     ("conv_unit", 0.942, 0.970),
                                                     ("qcnn", 0.818, 0.837)])  # fmt: skip
def test_unmeasured_templates_are_laid_out_where_reading_is_good(torino, name, before, now):
    circuit = TEMPLATES[name].example().circuit
    assert not circuit.num_clbits
    plain = generate_preset_pass_manager(3, target=torino.target, seed_transpiler=0).run(circuit)
    assert both(plain, torino.target) == pytest.approx(before, abs=1e-3)
    isa = transpile_for(circuit, torino, seed=0)
    assert both(isa, torino.target) == pytest.approx(now, abs=1e-3)
    assert not isa.num_clbits
    assert "measure" not in isa.count_ops()


def test_measured_and_unmeasured_circuits_go_to_the_same_qubits(torino):
    circuit = QuantumCircuit(3)
    circuit.ry(Parameter("x"), 0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    measured = circuit.copy()
    measured.measure_all()
    a, b = (transpile_for(each, torino, seed=3) for each in (circuit, measured))
    assert a.layout.final_index_layout() == b.layout.final_index_layout()
    assert a.count_ops() == {
        k: v for k, v in b.count_ops().items() if k not in ("measure", "barrier")
    }


def test_diagonal_gates_at_the_end_stay(torino):
    """What a measurement cannot see, an expectation value of X can."""
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    circuit.cx(0, 1)
    circuit.rz(Parameter("x"), 0)
    isa = transpile_for(circuit, torino, seed=0)
    assert [p.name for p in isa.parameters] == ["x"]


def test_only_the_qubits_that_are_read_are_weighed(torino):
    circuit = TEMPLATES["pairwise_bell_stage"].example().circuit
    free = transpile_for(circuit, torino, seed=0, read=[])
    assert circuit_cost(free, torino.target).gate_success >= 0.995
    gains = []
    for qubit in range(4):
        one = transpile_for(circuit, torino, seed=0, read=[qubit])
        gains.append(both(one, torino.target, [qubit]) - both(free, torino.target, [qubit]))
    assert min(gains) >= -1e-12
    assert max(gains) > 0.02
    for bad in ([0, 0], [4], [-1]):
        with pytest.raises(InvalidOption, match="read names different qubits"):
            transpile_for(circuit, torino, seed=0, read=bad)


def test_trials_of_unmeasured_circuits_compare_reading_too(torino):
    circuit = TEMPLATES["hqconv"].example().circuit
    trials = layout_trials(circuit, torino, seeds=[0, 1, 2])
    best = best_trial(trials)
    for trial in trials:
        assert trial.cost.readout_success == 1
        expected = readout_success(torino.target, trial.circuit.layout.final_index_layout())
        assert trial.unmeasured_readout == pytest.approx(expected, abs=1e-12)
        assert both(trial.circuit, torino.target) <= both(best.circuit, torino.target) + 1e-12


def test_a_circuits_own_measurements_decide(torino):
    circuit = QuantumCircuit(2, 1)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure(1, 0)
    isa = transpile_for(circuit, torino, seed=0)
    assert isa.count_ops()["measure"] == 1
    [trial] = layout_trials(circuit, torino, seeds=[0])
    assert trial.unmeasured_readout == 1


def test_readouts_name_the_qubits_they_need():
    assert TEMPLATES["pairwise_bell_stage"].example().readout.measured == (0, 1, 2, 3)
    for template in TEMPLATES.values():
        spec = template.example()
        assert set(spec.readout.measured) <= set(range(spec.num_qubits))
        assert np.all(np.diff(spec.readout.measured) > 0)


def test_targets_of_gates_alone_are_laid_out_without_readout():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    isa = transpile_for(circuit, Target.from_configuration(["u", "cx"], 2), level=1, seed=1)
    assert isa.count_ops() == {"u": 1, "cx": 1}


def test_what_such_a_target_cannot_do_is_said_and_no_couplers_are_blamed():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    with pytest.raises(UnsupportedCircuit, match=r"cannot be transpiled for the device: .*measure"):
        transpile_for(circuit, Target.from_configuration(["u", "cx"], 2), level=1, seed=1)
