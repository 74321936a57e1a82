"""Kernels as circuits: exact values of the QNNs are the kernels."""

import numpy as np
import pytest
from qiskit.circuit.library import zz_feature_map

from qdm_qiskit.circuits import eeqdm
from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.kernels import QuantumKernel, bloch_qnn, pair_qnn
from qdm_qiskit.kernels.circuits import pairs_of
from qdm_qiskit.layers import QnnLayer


def rows(count, width, seed=0):
    return np.random.default_rng(seed).normal(size=(count, width))


def exact(qnn, inputs):
    import torch

    return QnnLayer(qnn).double()(torch.tensor(inputs)).detach().numpy()


def test_compute_and_uncompute_is_the_fidelity():
    kernel = QuantumKernel(zz_feature_map(3))
    x, y = rows(4, 3), rows(3, 3, seed=1)
    found = exact(pair_qnn(kernel), pairs_of(kernel, x, y))
    np.testing.assert_allclose(found[:, 0].reshape(4, 3), kernel.matrix(x, y), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    own = exact(pair_qnn(kernel), pairs_of(kernel, x, None))
    assert own[:, 0] == pytest.approx(kernel.matrix(x)[np.triu_indices(4, 1)], abs=1e-12)


def test_amplitudes_enter_by_their_loader():
    spec = eeqdm(num_data=2, depth=1)
    kernel = QuantumKernel(spec, weights=rows(1, 6)[0])
    x, y = rows(3, 4), rows(2, 4, seed=1)
    found = exact(pair_qnn(kernel), pairs_of(kernel, x, y))
    np.testing.assert_allclose(found[:, 0].reshape(3, 2), kernel.matrix(x, y), atol=1e-10)


def test_bloch_vectors_are_the_features_of_projected_kernels():
    import torch

    kernel = QuantumKernel(zz_feature_map(2), kind="projected")
    x = rows(3, 2)
    features = kernel.features(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(exact(bloch_qnn(kernel), x), features, atol=1e-12)


def test_each_kernel_has_its_own_circuits():
    circuit = zz_feature_map(2)
    with pytest.raises(InvalidOption, match="needs bloch_qnn"):
        pair_qnn(QuantumKernel(circuit, kind="projected"))
    with pytest.raises(InvalidOption, match="needs pair_qnn"):
        bloch_qnn(QuantumKernel(circuit))
    with pytest.raises(InvalidOption, match="without noise"):
        pair_qnn(QuantumKernel(circuit, noise="fake_torino"))
