import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdm_qiskit.errors import BudgetExceeded, InvalidOption
from qdm_qiskit.hardware.ledger.budget import DAY_SECONDS, OPEN_PLAN, BudgetLimits, BudgetState


def state(**values) -> BudgetState:
    fields = {
        "name": "b",
        "limit_seconds": 600.0,
        "limit_shots": None,
        "period_days": None,
        "window": "rolling",
        "period_start": None,
        "reserved_seconds": 0.0,
        "reserved_shots": 0,
        "spent_seconds": 0.0,
        "spent_shots": 0,
    }
    return BudgetState(**{**fields, **values})


def test_the_open_plan_is_ten_minutes_in_28_days():
    assert (OPEN_PLAN.seconds, OPEN_PLAN.period_days, OPEN_PLAN.window) == (600, 28, "rolling")


def test_a_refusal_names_every_number():
    with pytest.raises(BudgetExceeded) as caught:
        state(spent_seconds=300.0, reserved_seconds=250.0).check(51.0, 0)
    for number in ("51", "50", "600", "300", "250"):
        assert number in str(caught.value)
    state(spent_seconds=300.0, reserved_seconds=250.0).check(50.0, 10**9)


@pytest.mark.parametrize("limits", [{"limit_seconds": 0.0}, {"limit_shots": 0}])
def test_a_budget_of_zero_refuses_everything(limits):
    with pytest.raises(BudgetExceeded, match="0 of 0 are left"):
        state(**{"limit_seconds": None, **limits}).check(0.0, 0)


def test_shots_are_limited_too():
    with pytest.raises(BudgetExceeded, match="shots: 10 of 100"):
        state(limit_seconds=None, limit_shots=100, spent_shots=90).check(1e8, 11)


@pytest.mark.parametrize(("seconds", "shots"), [(math.nan, 0), (-1.0, 0), (0.0, -1), (math.inf, 0)])
def test_amounts_that_cannot_be_are_refused(seconds, shots):
    with pytest.raises(InvalidOption):
        state().check(seconds, shots)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"seconds": -1.0},
        {"seconds": math.nan},
        {"seconds": True},
        {"seconds": 1e10},
        {"shots": 1.5},
        {"shots": 10**16},
        {"seconds": 1.0, "period_days": 0},
        {"seconds": 1.0, "period_days": math.inf},
        {"seconds": 1.0, "window": "monthly"},
        {"seconds": 1.0, "window": "calendar"},
        {"seconds": "600"},
    ],
)
def test_limits_that_cannot_be_are_refused(values):
    with pytest.raises(InvalidOption):
        BudgetLimits(**values)


@given(
    now=st.floats(0, 4e9),
    days=st.floats(0.01, 1000),
    starts=st.floats(0, 4e9),
)
def test_a_calendar_period_holds_now_and_lasts_its_days(now, days, starts):
    limits = BudgetLimits(seconds=1, period_days=days, window="calendar", starts_at=starts)
    begin = limits.period_start(now)
    tolerance = 1e-3
    assert begin <= now + tolerance
    assert now < begin + days * DAY_SECONDS + tolerance
    blocks = (begin - starts) / (days * DAY_SECONDS)
    assert abs(blocks - round(blocks)) < 1e-6


@given(
    limit=st.floats(0.1, 1e6),
    spent=st.floats(0, 1e6),
    reserved=st.floats(0, 1e6),
    asked=st.floats(0, 1e6),
)
def test_what_is_allowed_never_overdraws(limit, spent, reserved, asked):
    budget = state(limit_seconds=limit, spent_seconds=spent, reserved_seconds=reserved)
    try:
        budget.check(asked, 0)
    except BudgetExceeded:
        assert spent + reserved + asked > limit
    else:
        assert asked <= max(0.0, limit - spent - reserved) + 1e-5
