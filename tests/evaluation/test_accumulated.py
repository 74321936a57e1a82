"""Metrics batch by batch are those of all images at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection

from qdm_qiskit.errors import InvalidArgument, InvalidData
from qdm_qiskit.evaluation import AccumulatedMetric, measure_images

RNG = np.random.default_rng(3)
OURS, THEIRS = RNG.random((24, 1, 12, 12)), RNG.random((30, 1, 12, 12))


def filled(metric, ours=OURS, theirs=THEIRS):
    for part in np.array_split(ours, 3):
        metric.update(torch.from_numpy(part))
    for part in np.array_split(theirs, 4):
        metric.update(part, real=True)
    return metric


@pytest.mark.parametrize("name", ["psnr", "ssim"])
def test_batches_give_what_all_images_give(name):
    whole = measure_images(OURS, THEIRS, [name], resamples=50).metrics[name]
    found = filled(AccumulatedMetric(name, resamples=50))
    assert float(found.compute()) == pytest.approx(whole.estimate, rel=1e-12)
    assert found.interval() == whole
    found.reset()
    with (
        pytest.warns(UserWarning, match="before the ``update`` method"),
        pytest.raises(InvalidData, match="at least 2 samples images, got 0"),
    ):
        found.compute()


def test_it_is_one_of_torchmetrics():
    both = MetricCollection([AccumulatedMetric("psnr")])
    for each in both.values():
        filled(each)
        assert each.higher_is_better is True
    assert set(both.compute()) == {"AccumulatedMetric"}


@pytest.mark.parametrize(
    ("mistake", "kind", "words"),
    [
        (lambda: AccumulatedMetric(["psnr"]), InvalidArgument, "`metric` is a name or a Metric"),
        (lambda: AccumulatedMetric("kid"), InvalidArgument, "domain_kid, inception_kid"),
        (
            lambda: AccumulatedMetric("psnr").update([[0.1]]),
            InvalidArgument,
            "`images` is a Tensor",
        ),
        (lambda: filled(AccumulatedMetric("psnr"), OURS[:, :, :4]), InvalidData, "one shape"),
        (
            lambda: filled(AccumulatedMetric("domain_kid")).compute(),
            InvalidData,
            "nothing to measure",
        ),
    ],
)
def test_mistakes(mistake, kind, words):
    with pytest.raises(kind, match=words):
        mistake()
