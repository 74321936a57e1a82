"""Standard errors of probabilities that were read with errors, corrected and post-selected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qdm_qiskit.circuits import ProbabilityReadout, eeqdm
from qdm_qiskit.execution.calls import CallResult
from qdm_qiskit.layers import qnn_outputs
from qdm_qiskit.layers.qnn_outputs import OutputTable
from qdm_qiskit.mitigation.bit_readout import BitReadout
from qdm_qiskit.mitigation.expectation import errors_of_sums
from qdm_qiskit.sampling.probability_errors import ProbabilityErrors

MATRICES = tuple(
    np.array([[1 - a, b], [a, 1 - b]]) for a, b in ((0.03, 0.08), (0.05, 0.1), (0.02, 0.04))
)
TRUE = np.array([0.2, 0.1, 0.05, 0.05, 0.25, 0.15, 0.1, 0.1])
READ = np.kron(MATRICES[2], np.kron(MATRICES[1], MATRICES[0]))
WEIGHTS = np.array([[1.0, 0.5], [-2.0, 0.5]])


def drawn(readout: ProbabilityReadout, rng, shots: int, prepared: int | None):
    """Corrected frequencies of a run with its own calibration, and their errors."""
    bits = None
    if prepared is not None:
        ones = [rng.binomial(prepared, m[1]) / prepared for m in MATRICES]
        bits = BitReadout(tuple(np.array([1 - o, o]) for o in ones), shots=(prepared,) * 3)
    counts = rng.multinomial(shots, TRUE if bits is None else READ @ TRUE)[None]
    quasi = counts / shots if bits is None else bits.corrected(counts / shots)
    return quasi, ProbabilityErrors(readout, 3, counts, None if bits is None else quasi, bits)


@pytest.mark.parametrize(
    ("prepared", "shots"),
    [
        (60, 2_000),
        pytest.param(None, 500, marks=pytest.mark.slow),
        pytest.param(200, 100_000, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("selected", [False, True])
def test_errors_have_the_size_of_the_spread(prepared, shots, selected):
    # Qubit 2 is read, qubit 0 is selected or not read, nor is qubit 1.
    readout = ProbabilityReadout(
        qubits=(2,), postselect=((0, 1),) if selected else (), renormalise=selected
    )
    places, rng = readout.selection(3), np.random.default_rng(7)
    outputs, errors, sums, of_sums = [], [], [], []
    for _ in range(500):
        quasi, found = drawn(readout, rng, shots, prepared)
        [p] = quasi[:, places].sum(axis=2)
        p = p / p.sum() if selected else p
        outputs.append(p)
        errors.append(found.of_outputs(ratio=selected)[0])
        sums.append(p @ WEIGHTS / p.sum())
        of_sums.append(found.of_sums(WEIGHTS)[0])
    # 500 values know their spread to 3.2 %. The second sum is half the share, which is 1.
    ratio = np.sqrt(np.mean(np.square(errors), axis=0)) / np.std(outputs, axis=0, ddof=1)
    np.testing.assert_allclose(ratio, 1, atol=0.1)
    ratio = np.sqrt(np.mean(np.square(of_sums), axis=0))[0] / np.std(sums, axis=0, ddof=1)[0]
    np.testing.assert_allclose(ratio, 1, atol=0.1)
    np.testing.assert_allclose(np.array(of_sums)[:, 1], 0, atol=1e-9)


@pytest.mark.parametrize("prepared", [None, 300])
def test_outputs_are_sums_of_one(prepared):
    rng = np.random.default_rng(2)
    kept = ProbabilityReadout(qubits=(1, 0), postselect=((2, 0),), renormalise=True)
    _, found = drawn(kept, rng, 3_000, prepared)
    np.testing.assert_allclose(found.of_outputs(ratio=True), found.of_sums(np.eye(4)), rtol=1e-10)
    plain = ProbabilityReadout(qubits=(2, 0))
    quasi, found = drawn(plain, rng, 3_000, prepared)
    np.testing.assert_allclose(found.of_outputs(ratio=False), found.of_sums(np.eye(4)), rtol=1e-10)
    assert quasi.shape == (1, 8)


def test_a_correction_by_gains_scales_the_errors():
    _, found = drawn(ProbabilityReadout(qubits=(2, 0)), np.random.default_rng(4), 3_000, 300)
    errors, gain = found.of_outputs(ratio=False), np.array([2.0, -1.0, 0.5, 3.0])
    result = CallResult(
        outputs=np.ones((1, 4)), standard_errors=errors, errors_of=found.of_sums
    ).scaled(np.full((1, 4), 2.0), gain)
    np.testing.assert_allclose(result.standard_errors, errors * np.abs(gain))
    np.testing.assert_allclose(result.errors_of(np.eye(4)), result.standard_errors)


def test_outputs_of_many_outcomes_have_errors_where_each_is_one_of_them(monkeypatch):
    spec = eeqdm(num_data=2, depth=1)
    counts = np.random.default_rng(1).multinomial(4_000, READ @ TRUE)[None]
    bits = BitReadout(MATRICES, shots=(300.0,) * 3)
    readout = ProbabilityReadout(qubits=(0, 1, 2))
    table = OutputTable(
        spec=replace(spec, readout=readout), places=np.array([3, -1, 0, 1, 2, 7, 6, 5]), shape=(8,)
    )
    mended = bits.corrected(counts / 4_000)
    errors = ProbabilityErrors(readout, 3, counts, mended, bits).of_outputs(ratio=False)
    result = CallResult(outputs=mended, standard_errors=errors)
    _, few = table.of(result, 4_000, counts, bits)
    monkeypatch.setattr(qnn_outputs, "MOST_ERRORS", 10)
    _, many = table.of(result, 4_000, counts, bits)
    np.testing.assert_allclose(many, few, rtol=1e-9)
    added = replace(table, places=np.zeros(8, dtype=np.int64))
    assert added.of(result, 4_000, counts, bits)[1] is None


@pytest.mark.slow
def test_bits_of_one_qubit_share_the_error_of_its_calibration():
    # Of two reads of one qubit the chance of 00 moves twice as far with the qubit's matrix.
    rng, matrix, prepared = np.random.default_rng(3), MATRICES[0], 300
    readout = ProbabilityReadout(qubits=(0, 1))
    values, errors = [], []
    for _ in range(500):
        ones = rng.binomial(prepared, matrix[1]) / prepared
        seen = np.array([1 - ones, ones])
        bits = BitReadout((seen, seen), qubits=(5, 5), shots=(prepared, prepared))
        counts = rng.multinomial(10**6, np.kron(matrix, matrix)[:, 0])[None]
        quasi = bits.corrected(counts / 10**6)
        found = ProbabilityErrors(readout, 2, counts, quasi, bits)
        values.append(quasi[0])
        errors.append(found.of_outputs(ratio=False)[0])
        np.testing.assert_allclose(
            errors[-1], errors_of_sums(np.eye(4), counts, bits)[0], rtol=1e-9
        )
    ratio = np.sqrt(np.mean(np.square(errors), axis=0)) / np.std(values, axis=0, ddof=1)
    np.testing.assert_allclose(ratio[:3], 1, atol=0.1)  # that of 11 is of second order
