"""Images over devices: the last device is done as early as any split allows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.hardware.plan.image_split import DeviceCost, checked_split, split_images


def device(name: str, fixed: float, image: float, queue: int | None = None) -> DeviceCost:
    return DeviceCost(target=name, jobs=2, fixed_seconds=fixed, image_seconds=image, queue=queue)


def done_at(costs: list[DeviceCost], counts: tuple[int, ...]) -> float:
    """When the last device with images is done, written out."""
    share = sum(counts) / len(costs)
    times = [
        (each.queue or 0) * (each.fixed_seconds + share * each.image_seconds)
        + each.fixed_seconds
        + count * each.image_seconds
        for each, count in zip(costs, counts, strict=True)
        if count
    ]
    return max(times)


def test_it_is_the_best_of_all_splits():
    rng = np.random.default_rng(7)
    for _ in range(40):
        costs = [
            device(f"local:d{k}", rng.uniform(0, 9), rng.uniform(0.1, 3), int(rng.integers(0, 4)))
            for k in range(3)
        ]
        images = int(rng.integers(1, 9))
        every = [
            counts
            for counts in itertools.product(range(images + 1), repeat=3)
            if sum(counts) == images
        ]
        found = split_images(costs, images)
        assert sum(found) == images
        best = min(done_at(costs, each) for each in every)
        assert done_at(costs, found) == pytest.approx(best)


def test_cost_and_queue_decide():
    even = [device("local:a", 4.0, 1.0), device("local:b", 4.0, 1.0)]
    assert split_images(even, 16) == (8, 8)
    assert split_images([even[0], device("local:b", 4.0, 3.0)], 16) == (12, 4)
    waiting = device("local:b", 4.0, 1.0, queue=50)
    assert split_images([even[0], waiting], 16) == (16, 0)


def test_what_costs_nothing_is_split_evenly():
    assert split_images([device(f"engine{k}", 0.0, 0.0) for k in range(3)], 7) == (3, 2, 2)


@pytest.mark.parametrize("text", ["", "3", "4,4", "1,-1,5", "x,y", "2.5,2.5", "5,0,0", "auto,even"])
def test_a_split_that_is_none(text):
    with pytest.raises(InvalidOption, match="split"):
        checked_split(text, 2, 5)
