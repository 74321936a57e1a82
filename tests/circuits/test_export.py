"""OpenQASM 3 of every template comes back as the same circuit; drawings are reproducible."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm3
from qiskit.quantum_info import Statevector

from qdm_qiskit.circuits import TEMPLATES, strongly_entangling_layers
from qdm_qiskit.circuits.export import circuit_facts, drawing_svg, drawing_text, qasm_text


def assert_same_circuit(found: QuantumCircuit, expected: QuantumCircuit, seed: int) -> None:
    """Same parameters in the same order, and the same action on a random state.

    A circuit that acts alike, up to one phase, on a state without any zero or symmetry is the same
    unitary with probability 1; three states leave no doubt.
    """
    assert [each.name for each in found.parameters] == [each.name for each in expected.parameters]
    rng = np.random.default_rng(seed)
    values = rng.uniform(-np.pi, np.pi, expected.num_parameters)
    first, second = found.assign_parameters(values), expected.assign_parameters(values)
    phases = []
    for _ in range(3):
        vector = rng.normal(size=2**expected.num_qubits) + 1j * rng.normal(
            size=2**expected.num_qubits
        )
        state = Statevector(vector / np.linalg.norm(vector))
        overlap = state.evolve(first).inner(state.evolve(second))
        assert abs(overlap) == pytest.approx(1, abs=1e-9)
        phases.append(overlap)
    assert np.allclose(phases, phases[0], atol=1e-8)


@pytest.mark.parametrize("name", TEMPLATES)
def test_qasm_comes_back_with_its_parameters_and_its_unitary(name):
    template = TEMPLATES[name]
    spec = template.example()
    text = qasm_text(template, spec)
    assert_same_circuit(qasm3.loads(text), spec.circuit, seed=7)
    assert text.startswith(f"// {name}: {template.summary}\n// Source: {template.source}\n")
    assert text.endswith(";\n")


@settings(max_examples=10, deadline=None)
@given(wires=st.integers(1, 4), depth=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_qasm_keeps_many_parameters_apart(wires, depth, seed):
    """From eleven parameters on, names without padding would come back in another order."""
    from dataclasses import replace

    template = TEMPLATES["strongly_entangling_layers"]
    template = replace(template, options={"num_wires": wires, "depth": depth})
    back = qasm3.loads(qasm_text(template, template.example()))
    assert_same_circuit(back, strongly_entangling_layers(wires, depth), seed)


@pytest.mark.parametrize("name", TEMPLATES)
def test_facts_say_what_the_circuit_is(name):
    template = TEMPLATES[name]
    spec = template.example()
    facts = json.loads(json.dumps(circuit_facts(template, spec)))
    assert facts["name"] == name
    assert facts["qubits"]["total"] == spec.circuit.num_qubits
    roles = facts["qubits"]["data"] + facts["qubits"]["ancilla"]
    assert sorted(roles) == list(range(spec.circuit.num_qubits))
    order = facts["parameters"]["inputs"] + facts["parameters"]["weights"]
    assert sorted(order) == [each.name for each in spec.circuit.parameters]
    assert order == sorted(facts["parameters"]["inputs"]) + sorted(facts["parameters"]["weights"])
    assert sum(facts["gates"].values()) == spec.circuit.size()
    assert facts["depth"] == spec.circuit.depth()
    assert facts["readout"]["outputs"] == spec.readout.num_outputs


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_program_declares_its_parameters_in_the_order_that_it_names(name):
    template = TEMPLATES[name]
    spec = template.example()
    text = qasm_text(template, spec)
    declared = re.findall(r"^input float\[64\] (\w+);$", text, flags=re.MULTILINE)
    facts = circuit_facts(template, spec)["parameters"]
    assert declared == facts["weights"] + facts["inputs"]
    said = re.search(r"as declared: (\d+) weights w_\.\.\., (\d+) inputs x_", text)
    assert said is not None
    assert [int(each) for each in said.groups()] == [len(facts["weights"]), len(facts["inputs"])]


def test_a_drawing_has_the_same_bytes_each_time():
    circuit = strongly_entangling_layers(3, 2)
    first = drawing_svg(circuit)
    assert first == drawing_svg(circuit.copy())
    assert first != drawing_svg(strongly_entangling_layers(3, 1))
    assert first.startswith(b"<?xml")
    assert b"<dc:date>" not in first
    assert not any(line.endswith(b" ") for line in first.splitlines())


def test_drawing_leaves_no_figure_behind():
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    drawing_svg(strongly_entangling_layers(1, 1))
    assert pyplot.get_fignums() == before


def test_a_text_drawing_fits_its_width():
    text = drawing_text(strongly_entangling_layers(3, 6), width=60)
    assert max(map(len, text.splitlines())) <= 60
    assert text.count("q_0:") > 1


def test_a_papers_first_wire_is_on_top():
    """Wire 0 is the most significant qubit, which the Bell stage starts from."""
    circuit = TEMPLATES["pairwise_bell_stage"].example().circuit
    lines = [line for line in drawing_text(circuit).splitlines() if line.startswith("q_")]
    assert [line[:3] for line in lines] == ["q_3", "q_2", "q_1", "q_0"]
    assert ["H" in line for line in lines] == [True, True, False, False]
    assert drawing_svg(circuit) != drawing_svg(circuit.reverse_bits())


def test_export_needs_no_torch():
    code = (
        "import sys; from qdm_qiskit.circuits import TEMPLATES, export;"
        "t = TEMPLATES['eeqdm']; s = t.example();"
        "export.qasm_text(t, s); export.circuit_facts(t, s); export.drawing_svg(s.circuit);"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
