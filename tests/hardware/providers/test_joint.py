"""Requests whose circuits lie on tiles: what a service gets, and whose counts are whose."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Parameter, QuantumRegister
from qiskit.primitives import StatevectorSampler

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.hardware.ibm.collect import checked_counts
from qdm_qiskit.hardware.plan.types import ExecutionOptions
from qdm_qiskit.hardware.providers.joint import counts_of_tiles, joint_pubs
from qdm_qiskit.hardware.providers.requests import JobRequest

SHOTS = 200


def _turned(first: int, bits: int = 2) -> QuantumCircuit:
    """Qubits that are turned by an angle each, which is 0 or pi in these tests: outcomes are sure."""
    circuit = QuantumCircuit(QuantumRegister(6, "q"), ClassicalRegister(bits, "meas"))
    for bit in range(bits):
        circuit.rx(Parameter(f"x_{bit:04d}"), first + bit)
        circuit.measure(first + bit, bit)
    return circuit


def _request(pubs, together, shots=SHOTS):
    return JobRequest(
        run_id="r", part="step-0001", options=ExecutionOptions(), backend="b", nonce="n",
        pubs=pubs, shots=shots, together=together,
    )  # fmt: skip


def _sure(outcomes, bits=2):
    """Values that give these outcomes."""
    return np.array([[np.pi * (o >> bit & 1) for bit in range(bits)] for o in outcomes])


def _counted(request):
    pubs = joint_pubs(request)
    result = (
        StatevectorSampler(seed=1)
        .run([(c, v) if c.num_parameters else (c,) for c, v in pubs], shots=request.shots)
        .result()
    )
    return counts_of_tiles(request, checked_counts(result, pubs, request.shots, twirled=False))


def test_every_tile_gets_its_own_counts_whatever_the_order_and_the_rows():
    wanted = [[3, 1, 2], [0, 2], [1], [2, 3, 0]]
    widths, first = [2, 2, 1, 2], [0, 2, 4, 2]
    pubs = [
        (_turned(q, bits), _sure(outcomes, bits))
        for q, bits, outcomes in zip(first, widths, wanted, strict=True)
    ]
    request = _request(pubs, ((2, 0, 1), (3,)))
    assert request.rows == 3 + 3
    joint = joint_pubs(request)
    assert [c.num_clbits for c, _ in joint] == [5, 2]
    assert [len(v) for _, v in joint] == [3, 3]
    counts = _counted(request)
    for outcomes, bits, found in zip(wanted, widths, counts, strict=True):
        assert found.shape == (len(outcomes), 1 << bits)
        assert found.argmax(axis=1).tolist() == outcomes
        assert (found.max(axis=1) == SHOTS).all()


def test_circuits_without_parameters_run_together_too():
    ones = QuantumCircuit(QuantumRegister(6, "q"), ClassicalRegister(1, "meas"))
    ones.x(1)
    ones.measure(1, 0)
    zeros = QuantumCircuit(QuantumRegister(6, "q"), ClassicalRegister(1, "meas"))
    zeros.measure(3, 0)
    nothing = np.zeros((1, 0))
    request = _request([(ones, nothing), (zeros, nothing)], ((0, 1),))
    assert [each.tolist() for each in _counted(request)] == [[[0, SHOTS]], [[SHOTS, 0]]]


def test_without_tiles_nothing_changes_not_even_the_tag():
    pubs = [(_turned(0), _sure([1, 2])), (_turned(2), _sure([3]))]
    plain = _request(pubs, ())
    assert joint_pubs(plain) == list(plain.pubs)
    assert plain.rows == 3
    assert plain.payload_sha256 != _request(pubs, ((0, 1),)).payload_sha256


def test_a_group_names_every_circuit_once():
    pubs = [(_turned(0), _sure([1])), (_turned(2), _sure([3]))]
    for together in (((0,),), ((0, 1), (1,)), ((0, 2),)):
        with pytest.raises(InvalidOption, match="names each of 2 circuits once"):
            _request(pubs, together)


def test_a_register_that_is_missing_or_of_another_width_is_refused():
    request = _request([(_turned(0), _sure([1])), (_turned(2), _sure([3]))], ((0, 1),))
    pubs = joint_pubs(request)
    result = StatevectorSampler(seed=1).run(pubs, shots=SHOTS).result()
    data = dict(result[0].data.items())
    lacking = [SimpleNamespace(data={"tile_00": data["tile_00"]})]
    with pytest.raises(InvalidData, match="no register 'tile_01'"):
        checked_counts(lacking, pubs, SHOTS, twirled=False)
    narrow = [SimpleNamespace(data={**data, "tile_01": data["tile_01"].slice_bits([0])})]
    with pytest.raises(InvalidData, match="rows of 1 bits"):
        checked_counts(narrow, pubs, SHOTS, twirled=False)
