"""KID with a quantum kernel: the statistic, its sight, and what is refused."""

import numpy as np
import pytest
from qiskit.circuit.library import z_feature_map

from qdm_qiskit.circuits import eeqdm
from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.evaluation import METRIC_DOOR, find_metrics, measure_images
from qdm_qiskit.evaluation.quantum_kid import QuantumKID, leading_components, quantum_kid
from qdm_qiskit.kernels import QuantumKernel


def images(count, seed, contrast=1.0):
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(0.5, 0.1 * contrast, size=(count, 1, 4, 4)), 0, 1)


def pixels(images):
    return images.reshape(len(images), -1), np.zeros((len(images), 2))


def measured(metrics, x, y, seed=0):
    return measure_images(x, y, metrics, network=pixels, resamples=50, seed=seed)


def test_is_the_double_sum_over_pairs():
    x, y = images(20, 0), images(30, 1)
    kernel = QuantumKernel(z_feature_map(3, reps=1), kind="projected")
    metric = QuantumKID(kernel, name="mine", spread=0.7)
    found = measured([metric], x, y).metrics["mine"].estimate
    centred = pixels(y)[0] - pixels(y)[0].mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / (len(y) - 1))
    turned = vectors[:, ::-1][:, :3] / np.sqrt(values[::-1][:3])
    a, b = (0.7 * (pixels(each)[0] - pixels(y)[0].mean(axis=0)) @ turned for each in (x, y))

    def pair(r, s):
        # Each qubit's Bloch vector runs along the equator, at twice the angle.
        return np.exp(-0.5 * ((2 * np.sin(r - s)) ** 2).sum())

    def within(z):
        return np.mean([pair(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j])

    expected = within(a) + within(b) - 2 * np.mean([pair(r, s) for r in a for s in b])
    assert found == pytest.approx(expected, abs=1e-12)


def test_sees_a_planted_loss_of_contrast_and_nothing_else():
    alike = measured(["quantum_kid"], images(150, 0), images(150, 1)).metrics["quantum_kid"]
    apart = measured(["quantum_kid"], images(150, 2, 0.5), images(150, 1)).metrics["quantum_kid"]
    assert alike.low < 0 < alike.high
    assert apart.low > 0


def test_has_a_name_and_is_measured_where_it_is_named():
    assert METRIC_DOOR.get("quantum_kid") is quantum_kid
    assert [each.name for each in find_metrics(["quantum_kid"])] == ["quantum_kid"]
    assert quantum_kid not in find_metrics(None)


def test_without_features_there_is_nothing_to_measure():
    found = measure_images(images(40, 0), images(40, 1), ["quantum_kid"], resamples=20)
    assert not found.metrics
    assert "nothing to measure" in found.failures[0]


def test_components_have_deviation_one_on_the_reference():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(50, 5)) * [5, 4, 3, 2, 1]
    _, b = leading_components(rng.normal(size=(7, 5)), reference, 3)
    np.testing.assert_allclose(np.cov(b.T), np.eye(3), atol=1e-12)


def test_what_does_not_fit_is_refused_in_one_line():
    with pytest.raises(InvalidOption, match="above 0"):
        QuantumKID(spread=0.0)
    spec = eeqdm(num_data=2, depth=1)
    with pytest.raises(InvalidOption, match="takes amplitudes"):
        QuantumKID(QuantumKernel(spec, weights=np.zeros(6)))
    # a constant column and one component: the reference varies in one direction
    flat = np.outer(np.arange(10.0), [1.0, 0.0])
    with pytest.raises(InvalidOption, match="varies in 1"):
        leading_components(flat, flat, 2)
    with pytest.raises(InvalidOption, match="varies in 0"):
        leading_components(np.zeros((4, 2)), np.zeros((4, 2)), 1)
