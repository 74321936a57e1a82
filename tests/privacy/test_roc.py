"""Areas and rates of membership inference against pairs counted one by one, and their coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.privacy import auc_interval, membership


def test_the_area_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    members, others = rng.integers(0, 6, 30).astype(float), rng.integers(0, 5, 25).astype(float)
    pairs = np.sign(members[:, None] - others)
    assert auc_interval(members, others).estimate == pytest.approx(((pairs + 1) / 2).mean())


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_intervals_hold_the_true_area_as_often_as_they_say(shift):
    rng, tries, held = np.random.default_rng(1), 400, 0
    true = norm.cdf(shift / np.sqrt(2))  # of two unit Gaussians
    for _ in range(tries):
        found = auc_interval(rng.normal(shift, 1, 40), rng.normal(0, 1, 30))
        held += found.low <= true <= found.high
    slack = 4 * np.sqrt(0.95 * 0.05 / tries)
    assert 0.95 - slack < held / tries


def test_intervals_do_not_shrink_to_a_point_at_the_ends_and_mirror_each_other():
    high = auc_interval(np.arange(20.0, 40), np.arange(20.0))
    low = auc_interval(np.arange(20.0), np.arange(20.0, 40))
    assert high.estimate == high.high == 1
    assert 0.8 < high.low < 0.95
    assert (low.estimate, low.low) == (0, 0)
    assert low.high == pytest.approx(1 - high.low)


def test_half_widths_fall_as_one_over_the_root_of_the_rows():
    rng = np.random.default_rng(2)
    counts = [50, 200, 800]
    widths = []
    for count in counts:
        found = auc_interval(rng.normal(1, 1, count), rng.normal(0, 1, count))
        widths.append(found.high - found.low)
    slope = np.polyfit(np.log(counts), np.log(widths), 1)[0]
    assert -0.6 < slope < -0.4


def test_rates_keep_to_the_wanted_ones_and_leave_out_what_rows_cannot_resolve():
    rng = np.random.default_rng(3)
    members, others = rng.normal(2, 1, 60), rng.normal(0, 1, 40)
    found = membership(members, others, rates=(0.001, 0.05, 0.2))
    assert [each.wanted for each in found.rates] == [0.05, 0.2]
    for each in found.rates:
        assert each.false.estimate <= each.wanted
        # A threshold a hair below lets one more in.
        threshold = np.sort(others)[::-1][int(each.wanted * 40)]
        assert (others >= threshold).mean() > each.wanted
        assert each.true.estimate == (members > threshold).mean()
        assert each.true.low < each.true.estimate < each.true.high
    assert found.found
    assert not membership(others, others).found


def test_bad_scores_are_refused_in_one_line():
    many = np.arange(20.0)
    for members, others, words in (
        (many[:9], many, "at least 10 members, got 9"),
        (many, many[:3], "at least 10 non-members, got 3"),
        (np.full(20, np.nan), many, "finite"),
    ):
        with pytest.raises(InvalidData, match=words) as error:
            membership(members, others)
        assert "\n" not in str(error.value)
    with pytest.raises(InvalidOption, match="between 0 and 1"):
        membership(many, many, rates=(2.0,))
