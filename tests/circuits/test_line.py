"""The circuit on a line: counts, order of angles, values against Qiskit, a line needs no SWAP."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from qdm_qiskit.circuits.line import line, num_angles
from qdm_qiskit.engine import compile_circuit
from qdm_qiskit.errors import InvalidTemplate
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.passes import transpile_for


def test_six_qubits_with_four_uploads_are_15_cz_and_42_angles():
    spec = line()
    assert dict(spec.circuit.count_ops()) == {"ry": 24, "rz": 18, "cz": 15}
    assert len(spec.inputs) == len(spec.weights) == 42
    assert spec.readout.num_outputs == 6 + 15
    assert line(entangled=False).circuit.count_ops() == {"ry": 24, "rz": 18}


@settings(max_examples=10, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from(["z", "zz_line", "zz"]),
    st.booleans(),
    st.integers(0, 99),
)
def test_values_are_those_of_the_circuit_written_out(qubits, uploads, readouts, entangled, seed):
    """The circuit again with numbers in it, by Statevector; the spec on the engine."""
    entangled = entangled and uploads > 1
    bricks = max(1, uploads - 1)
    spec = line(qubits, uploads, bricks=bricks, entangled=entangled, readouts=readouts)
    x, w = np.random.default_rng(seed).uniform(-3, 3, (2, num_angles(qubits, uploads)))
    plain, angles = QuantumCircuit(qubits), iter(x + w)
    for upload in range(uploads):
        for turn in (plain.ry, plain.rz)[: 1 if upload == uploads - 1 else 2]:
            for qubit in range(qubits):
                turn(next(angles), qubit)
        if entangled and upload < bricks:
            for a, b in [(a, a + 1) for first in (0, 1) for a in range(first, qubits - 1, 2)]:
                plain.cz(a, b)
    probabilities = Statevector(plain).probabilities()
    signs = [1 - 2 * ((np.arange(2**qubits) >> qubit) & 1) for qubit in range(qubits)]
    pairs = [(a, b) for a in range(qubits) for b in range(a + 1, qubits)]
    kept = {"z": [], "zz_line": [p for p in pairs if p[1] - p[0] == 1], "zz": pairs}[readouts]
    wanted = [probabilities @ s for s in signs]
    wanted += [probabilities @ (signs[a] * signs[b]) for a, b in kept]
    program = compile_circuit(spec.circuit, spec.inputs, spec.weights)
    inputs, weights = torch.from_numpy(x[None]), torch.from_numpy(w)
    found = program.expectation(list(spec.readout.observables), inputs, weights)
    np.testing.assert_allclose(found[0].numpy(), wanted, atol=1e-9)


def test_a_device_with_a_line_runs_it_without_swaps():
    spec = line(4, 3, bricks=2)
    values = np.random.default_rng(0).uniform(-3, 3, spec.circuit.num_parameters)
    bound = spec.circuit.assign_parameters(values)
    assert transpile_for(bound, load_backend("fake_torino"), level=3, seed=0).count_ops()["cz"] == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_qubits": 0}, "line needs num_qubits >= 1"),
        (
            {"uploads": 2, "bricks": 2},
            "or entangled=False, got bricks=2, uploads=2",
        ),
        ({"readouts": "xx"}, "readouts of line is one of z, zz_line, zz, got 'xx'"),
    ],
)
def test_what_cannot_be_built_is_refused(options, message):
    with pytest.raises(InvalidTemplate, match=message):
        line(**options)
