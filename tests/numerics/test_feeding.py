"""The simulation of devices that are fed agrees with what each bottleneck alone allows."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import ROOT


@pytest.fixture(scope="module")
def simulate():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from feeding import simulate
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    yield simulate
    del sys.modules["feeding"]


@settings(max_examples=40, deadline=None)
@given(
    st.floats(1.0, 200.0),
    st.integers(1, 8),
    st.integers(1, 30),
    st.sampled_from([0.0, 0.1]),
)
def test_the_narrowest_way_decides(simulate, job_s, devices, groups, ledger_s):
    jobs, gap = 400, 12.0
    found = simulate(job_s, devices, groups, hours=jobs * job_s / 3600, ledger_s=ledger_s)
    at_once = min(devices, groups)
    bounds = [(jobs - 1) * gap + job_s, jobs * job_s / at_once]
    assert found["hours"] * 3600 >= max(bounds) * (1 - 1e-9)
    slack = (
        gap * (at_once + 1)
        + job_s
        + jobs * ledger_s
        + gap * jobs / max(1, groups) * (groups <= devices)
    )
    assert found["hours"] * 3600 <= max(bounds) + slack
    assert found["busy"] == pytest.approx(jobs * job_s / (found["hours"] * 3600 * devices))


def test_a_second_group_hides_what_a_device_waits_for(simulate):
    one, two = (simulate(48.0, 1, groups, hours=10, ledger_s=6.0) for groups in (1, 2))
    assert one["busy"] == pytest.approx(48 / 54, rel=1e-3)
    assert two["busy"] == pytest.approx(1.0, rel=1e-3)
