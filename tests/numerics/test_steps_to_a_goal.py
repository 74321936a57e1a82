"""Steps to a goal, as the page on optimizers counts them."""

from __future__ import annotations

import json
import sys
from statistics import median

import pytest

from tests.helpers import ROOT


@pytest.fixture(scope="module")
def steps_to():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from goal_steps import steps_to
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    yield steps_to
    del sys.modules["goal_steps"]


def test_steps_are_counted_until_the_loss_is_there(steps_to):
    losses = [1.0, 0.5, 0.25, 0.3, 0.1]
    assert [steps_to(losses, goal, 4) for goal in (2.0, 1.0, 0.5, 0.26, 0.2, 0.1)] == [
        0, 0, 1, 2, 4, 4,
    ]  # fmt: skip
    assert steps_to(losses, 0.05, 4) == 5  # never: one more than were taken
    assert steps_to([float("nan")] * 5, 1.0, 4) == 5  # a loss that is none is at no goal


def test_the_page_has_the_ratios_of_the_steps_that_were_measured():
    record = json.loads((ROOT / "benchmarks" / "results" / "natural_gradient.json").read_text())
    page = (ROOT / "docs" / "optimizers.md").read_text()
    for task in ("energy", "q_dense"):
        adam = record[task]["adam"]["steps"]
        for name in ("gradient", "layer", "circuit"):
            row = record[task][name]
            ratio = median(ours / theirs for ours, theirs in zip(row["steps"], adam, strict=True))
            assert ratio == pytest.approx(row["ratio_to_adam"])
            low, high = row["ratio_interval"]
            assert f"| {ratio:.1f} ({low:.1f} .. {high:.1f}) |" in page
