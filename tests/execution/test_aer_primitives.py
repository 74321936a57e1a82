"""Aer's own primitives behind ours: what Aer would read wrong is refused."""

from __future__ import annotations

import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Clbit
from qiskit.primitives import StatevectorSampler
from qiskit_aer.primitives import SamplerV2

from qdm_qiskit.errors import UnsupportedCircuit
from qdm_qiskit.execution.aer_primitives import AerReadySampler


def measured(places: list[list[int]]) -> QuantumCircuit:
    """Circuit of four qubits, of which 1 and 3 are |1>, with registers of these bits."""
    bits = [Clbit() for _ in range(4)]
    registers = [
        ClassicalRegister(name=name, bits=[bits[k] for k in of])
        for name, of in zip("ab", places, strict=True)
    ]
    circuit = QuantumCircuit(QuantumRegister(4), bits, *registers)
    circuit.x([1, 3])
    circuit.measure(range(4), bits)
    return circuit


def test_registers_side_by_side_are_read_as_a_statevector_has_them():
    circuit = measured([[2, 3], [0, 1]])
    for sampler in (StatevectorSampler(), AerReadySampler(SamplerV2())):
        data = sampler.run([circuit], shots=5).result()[0].data
        assert (data.a.get_counts(), data.b.get_counts()) == ({"10": 5}, {"10": 5})


def test_scattered_registers_are_refused():
    with pytest.raises(UnsupportedCircuit, match=r"'b' are bits \[3, 1\]"):
        AerReadySampler(SamplerV2()).run([measured([[0, 1], [3, 1]])], shots=5)
