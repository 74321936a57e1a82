"""Kernels by shots on targets."""

import numpy as np
import pytest
from qiskit.circuit.library import zz_feature_map

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.kernels import QuantumKernel
from qdm_qiskit.tasks import run_kernel


def rows(count, width, seed=0):
    return np.random.default_rng(seed).normal(size=(count, width))


@pytest.mark.parametrize("target", ["engine", "aer"])
@pytest.mark.parametrize("kind", ["fidelity", "projected"])
def test_shots_scatter_around_the_kernel(target, kind):
    kernel = QuantumKernel(zz_feature_map(2, reps=1), kind=kind)
    x, y = rows(4, 2), rows(3, 2, seed=1)
    for other in (y, None):
        found = run_kernel(kernel, x, other, target=target, shots=20_000, seed=3)
        exact = kernel.matrix(x, other)
        # 5 errors, and for Gaussians of few shots what the second order adds
        assert (np.abs(found.matrix - exact) <= 5 * found.standard_errors + 1e-3).all()
    assert (np.diag(found.matrix) == 1).all()
    assert (found.matrix == found.matrix.T).all()


@pytest.mark.parametrize("kind", ["fidelity", "projected"])
def test_without_shots_it_is_exact(kind):
    kernel = QuantumKernel(zz_feature_map(2), kind=kind)
    x = rows(3, 2)
    found = run_kernel(kernel, x)
    np.testing.assert_allclose(found.matrix, kernel.matrix(x), atol=1e-6)
    assert "KernelRun" in repr(found)


def test_fidelities_of_one_set_take_a_circuit_a_pair():
    kernel = QuantumKernel(zz_feature_map(2, reps=1))
    found = run_kernel(kernel, rows(4, 2), target="aer", shots=100)
    assert found.run.circuits == 6
    projected = QuantumKernel(zz_feature_map(2, reps=1), kind="projected")
    assert run_kernel(projected, rows(4, 2), target="aer", shots=100).run.circuits == 12


def test_a_devices_noise_lowers_fidelities_of_equal_rows():
    kernel = QuantumKernel(zz_feature_map(2, reps=1))
    x = rows(2, 2)
    found = run_kernel(kernel, x, x, target="noisy:fake_torino", shots=4000, seed=1)
    diagonal = np.diag(found.matrix)
    assert (diagonal < 0.99).all()
    assert (diagonal > 0.6).all()


def test_what_does_not_fit_is_refused_in_one_line():
    kernel = QuantumKernel(zz_feature_map(2))
    with pytest.raises(InvalidData, match=r"\(rows, 2\)"):
        run_kernel(kernel, rows(3, 3))
    with pytest.raises(InvalidData, match="1 to 1000000 pairs, got 0"):
        run_kernel(kernel, rows(1, 2))
    with pytest.raises(InvalidOption, match="its own weights"):
        run_kernel(kernel, rows(3, 2), weights=[1.0])
    noisy = QuantumKernel(zz_feature_map(2), noise="fake_torino")
    with pytest.raises(InvalidOption, match="without noise"):
        run_kernel(noisy, rows(3, 2), target="aer", shots=10)
