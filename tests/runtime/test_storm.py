"""The short form of `make storm`."""

import pytest

from tests.runtime.storm import blow


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_storm_breaks_no_promise():
    tally = blow(minutes=0.2, seed=1, rounds=3)
    print(tally)
    assert tally.counts["runs"] >= 1
    assert not tally.wrong
