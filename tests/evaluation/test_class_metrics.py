"""Metrics of samples by class, against plain loops; each sees what the others do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qdm_qiskit.evaluation.class_metrics import ClassKID, ClassSpread, LabelAccuracy, spread_within
from qdm_qiskit.evaluation.distances import kernel_distance
from qdm_qiskit.evaluation.metric import Features, ImageSets


def sets(count: int = 60, seed: int = 0) -> ImageSets:
    """Three classes whose images, features and logits follow their label."""
    rng = np.random.default_rng(seed)
    labels, others = rng.integers(3, size=count), rng.integers(3, size=2 * count)

    def images(of: np.ndarray) -> np.ndarray:
        noise = rng.normal(scale=0.1, size=(len(of), 1, 3, 3))
        return (0.3 * of[:, None, None, None] + noise + 0.2).clip(0, 1)

    x, y = images(labels), images(others)
    logits = -np.abs(np.arange(3)[None] - labels[:, None]).astype(float)
    features = Features(x.reshape(count, -1), y.reshape(2 * count, -1), logits)
    return ImageSets(
        images=x,
        reference=y,
        rng=rng,
        features={"domain": features},
        labels=labels + 5,
        reference_labels=others + 5,
        classes=(5, 6, 7),
        resamples=40,
    )


def test_accuracy_is_the_share_that_is_named_rightly():
    given = sets()
    assert LabelAccuracy().measure(given).estimate == 1
    swapped = replace(given, labels=np.where(np.arange(60) < 15, 12 - given.labels, given.labels))
    wrong = float(np.mean(swapped.labels != given.labels))
    found = LabelAccuracy().measure(swapped)
    assert found.estimate == pytest.approx(1 - wrong)
    assert found.low < 1 - wrong < found.high


def test_distance_is_the_mean_over_the_classes():
    given = sets()
    x, y = given.features["domain"].images, given.features["domain"].reference
    wanted = np.mean(
        [kernel_distance(x[given.labels == c], y[given.reference_labels == c]) for c in (5, 6, 7)]
    )
    found = ClassKID().measure(given)
    assert found.estimate == pytest.approx(wanted)
    assert found.low < 0 < found.high  # the same distribution
    swapped = replace(given, labels=12 - given.labels)  # 5 and 7 change places
    assert ClassKID().measure(swapped).low > 0


def test_spread_is_of_what_is_within_the_classes():
    given = sets(200)
    found = ClassSpread().measure(given)
    assert found.low < 1 < found.high
    means = np.stack([given.images[given.labels == c].mean(0) for c in (5, 6, 7)])
    centre = means[given.labels - 5]
    half = replace(given, images=centre + 0.5 * (given.images - centre))
    assert ClassSpread().measure(half).estimate == pytest.approx(found.estimate / 2)
    collapsed = replace(given, images=centre)
    assert ClassSpread().measure(collapsed).estimate == pytest.approx(0, abs=1e-9)
    assert LabelAccuracy().measure(collapsed).estimate == 1  # which is why it is not enough
    values = np.array([[0.0], [4.0], [1.0]])
    assert spread_within(values, np.array([0, 0, 1])) == pytest.approx(np.sqrt(8))


def test_nothing_is_measured_where_classes_are_not_known():
    unknown = replace(sets(), labels=None, reference_labels=None, classes=None)
    assert all(
        each.measure(unknown) is None for each in (LabelAccuracy(), ClassKID(), ClassSpread())
    )


def test_nothing_is_measured_of_classes_with_next_to_no_images():
    """Some resample of four images has no class of two: there is no spread to divide by."""
    rng = np.random.default_rng(0)
    few = replace(
        sets(4),
        images=rng.random((4, 1, 3, 3)),
        reference=rng.random((4, 1, 3, 3)),
        features={"domain": Features(rng.random((4, 9)), rng.random((4, 9)), None)},
        labels=np.array([5, 5, 6, 7]),
        reference_labels=np.array([5, 5, 6, 7]),
    )
    assert ClassSpread().measure(few) is None
    assert ClassKID().measure(few) is None
