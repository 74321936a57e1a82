"""Metrics of one class: the metric itself on the images of that class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qdm_qiskit.errors import InvalidOption, UnknownName
from qdm_qiskit.evaluation import find_metrics, measure_images
from qdm_qiskit.evaluation.distances import frechet_distance
from qdm_qiskit.evaluation.metric import Features, ImageSets
from qdm_qiskit.evaluation.metrics import Frechet
from qdm_qiskit.evaluation.one_class import OneClass, base_name, class_of


def images_of(labels: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(0).random((3, 1, 8, 8))
    return (base[labels] + 0.1 * rng.normal(size=(len(labels), 1, 8, 8))).clip(0, 1)


@pytest.fixture(scope="module")
def data():
    ours, theirs = np.arange(60) % 3, np.arange(90) % 3
    return images_of(ours, 1), ours, images_of(theirs, 2), theirs


def test_it_is_the_metric_of_the_images_of_the_class(data):
    x, ours, y, theirs = data
    found = measure_images(x, y, ["ssim@2", "psnr@2"], labels=(ours, theirs), resamples=20)
    alone = measure_images(x[ours == 2], y[theirs == 2], ["ssim", "psnr"], resamples=20)
    assert list(found.metrics) == ["ssim@2", "psnr@2"]
    for name in ("ssim", "psnr"):
        assert found.metrics[f"{name}@2"].estimate == alone.metrics[name].estimate


def test_distances_take_the_features_of_the_class():
    rng = np.random.default_rng(4)
    labels, others = np.arange(150) % 3, np.arange(180) % 3
    features = Features(
        rng.normal(size=(150, 4)) + labels[:, None],
        rng.normal(size=(180, 4)) - others[:, None],
        np.zeros((150, 3)),
    )
    sets = ImageSets(
        images_of(labels, 5),
        images_of(others, 6),
        rng,
        features={"domain": features},
        resamples=20,
        labels=labels,
        reference_labels=others,
    )
    metric = OneClass(Frechet("domain", "domain_frechet", "Fréchet"), 1)
    expected = frechet_distance(features.images[labels == 1], features.reference[others == 1])
    assert metric.measure(sets).estimate == pytest.approx(expected)
    assert metric.title == "Fréchet, class 1"
    assert metric.measure(replace(sets, labels=None)) is None
    few = Features(features.images, features.reference[:60], features.logits)
    small = replace(
        sets, features={"domain": few}, reference=sets.reference[:60], reference_labels=others[:60]
    )
    assert metric.measure(small) is None  # 20 images for 32 features


def test_a_class_that_is_not_there_has_nothing_to_measure(data):
    x, ours, y, theirs = data
    found = measure_images(x, y, ["ssim@7"], labels=(ours, theirs), resamples=20)
    assert found.metrics == {}
    assert found.failures == ("Metric 'ssim@7' has nothing to measure here.",)


def test_names_are_read():
    assert (base_name("ssim@12"), class_of("ssim@12"), class_of("ssim")) == ("ssim", 12, None)
    names = [each.name for each in find_metrics(["frechet@1", "ssim@0", "ssim"])]
    assert set(names) == {"domain_frechet@1", "inception_frechet@1", "ssim@0", "ssim"}
    for name in ("ssim@", "ssim@one", "ssim@-1", "ssim@1@2", "ssim@٣"):
        with pytest.raises(InvalidOption, match="as in ssim@3, where LABEL is a whole number"):
            find_metrics([name])
    with pytest.raises(UnknownName):
        find_metrics(["sim@3"])
