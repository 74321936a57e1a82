"""Shadow models: who learns what, likelihood ratios by hand, and items that resume."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from qdm_qiskit.data import ImageSet
from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.privacy import lira_scores, membership
from qdm_qiskit.privacy.shadows import Pool, PoolPart, plan_shadows


@pytest.mark.parametrize(("members", "others", "shadows"), [(20, 20, 4), (32, 8, 10), (9, 21, 8)])
def test_each_row_is_learned_and_not_learned_once_a_round_and_classes_keep_their_counts(
    members, others, shadows
):
    labels = np.concatenate([np.arange(members) % 2, np.arange(others) % 2])
    member = np.arange(len(labels)) < members
    inside = plan_shadows(member, labels, shadows, seed=1)
    known = inside.sum(axis=0)
    assert known.min() >= 2
    assert known.max() <= shadows - 2
    for label in (0, 1):
        rows = labels == label
        assert (inside[:, rows].sum(axis=1) == member[rows].sum()).all()
    assert not np.array_equal(inside, plan_shadows(member, labels, shadows, seed=2))


def test_too_few_shadows_are_refused_with_the_number_that_is_enough():
    member = np.arange(50) < 40
    with pytest.raises(InvalidOption, match=r"at least 10 here.*got 4"):
        plan_shadows(member, np.zeros(50), 4, 0)


def test_scores_are_ratios_of_normal_densities():
    rng = np.random.default_rng(0)
    shadow_losses, losses = rng.random((6, 8)) + 0.5, rng.random(8) + 0.5
    inside = np.array([[(k + row) % 2 == 0 for row in range(8)] for k in range(6)])
    phi, target = -np.log(shadow_losses), -np.log(losses)
    spread = {}
    for side in (True, False):
        left = [
            phi[inside[:, r] == side, r] - phi[inside[:, r] == side, r].mean() for r in range(8)
        ]
        spread[side] = np.sqrt(sum((e**2).sum() for e in left) / sum(len(e) - 1 for e in left))
    wanted = [
        norm.logpdf(target[r], phi[inside[:, r], r].mean(), spread[True])
        - norm.logpdf(target[r], phi[~inside[:, r], r].mean(), spread[False])
        for r in range(8)
    ]
    assert np.allclose(lira_scores(losses, shadow_losses, inside), wanted)


def test_ratios_find_what_a_threshold_does_not():
    """Rows of very different difficulty, of which training takes off a little."""
    rng = np.random.default_rng(1)
    rows, shadows = 120, 8
    labels, member = np.zeros(rows), np.arange(rows) < 60
    hard = rng.normal(0, 2, rows)
    inside = plan_shadows(member, labels, shadows, seed=0)

    def losses(known):
        return np.exp(hard - 0.3 * known + rng.normal(0, 0.1, known.shape))

    target, of_shadows = losses(member), losses(inside)
    plain = membership(-target[member], -target[~member])
    scores = lira_scores(target, of_shadows, inside)
    ratios = membership(scores[member], scores[~member])
    assert not plain.found
    assert ratios.auc.low > 0.9
    # A model that has not learned these rows is not accused.
    fresh = losses(np.zeros(rows))
    scores = lira_scores(fresh, of_shadows, inside)
    assert not membership(scores[member], scores[~member]).found


def test_bad_shadows_are_refused():
    ones = np.ones((4, 3))
    inside = np.array([[1, 1, 0], [0, 1, 1], [1, 1, 0], [0, 1, 1]], dtype=bool)
    with pytest.raises(InvalidData, match="Each row is learned"):
        lira_scores(np.ones(3), ones, inside)
    with pytest.raises(InvalidData, match="belong together"):
        lira_scores(np.ones(2), ones, inside)
    with pytest.raises(InvalidData, match="diverged"):
        lira_scores(np.ones(3), ones * np.nan, inside)


def test_a_pool_has_members_and_others_of_each_class():
    def some(labels):
        images = np.ones((len(labels), 1, 2, 2), dtype=np.float32)
        return ImageSet(images, np.array(labels, dtype=np.int64), "x")

    pool = Pool(some([0, 1, 1]), some([1, 0]), guided=True)
    assert pool.positions.tolist() == [0, 1, 1, 1, 0]
    part = PoolPart(pool, np.array([True, False, True, False, False]))
    train, test = part.load()
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 1], [1, 1, 0])
    for train, test, words in (
        ([0, 1, 2], [0, 1], "Class 2 has 1 training and no test rows"),
        ([0, 1], [0, 1, 3], "Class 3 has 1 test and no training rows"),
    ):
        with pytest.raises(InvalidData, match=words):
            Pool(some(train), some(test), guided=False)
