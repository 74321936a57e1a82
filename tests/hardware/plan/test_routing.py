"""Limits of the package's own routing policy: what a text says, and what is refused in one line."""

from __future__ import annotations

import dataclasses

import pytest

from qdm_qiskit.errors import InvalidOption, QdmError
from qdm_qiskit.hardware.plan.config import PlanConfig
from qdm_qiskit.hardware.plan.routing import (
    LimitPolicy,
    StepQuestion,
    check_routed,
    policy_of,
    policy_record,
)
from qdm_qiskit.tasks import plan

QUESTION = StepQuestion(
    step=2, steps_left=2, images=4, qubits=3, seconds=2.0, seconds_after=2.0, seconds_spent=5.0,
    budget_left=None, queue=6, waited=None, expected_success=0.5, exact_allowed=True,
    hold_error=0.1, held=0, failure=None, failures=0,
)  # fmt: skip


def test_a_text_gives_the_policy_with_its_options():
    text = "limits:seconds=1.5e1,queue=3,wait=60,success=0.4,uncertainty=0.2,tries=3,classical=hold"
    assert policy_of(text) == LimitPolicy(
        seconds=15.0, queue=3, wait=60, success=0.4, uncertainty=0.2, tries=3, classical="hold"
    )
    assert policy_of("limits") == LimitPolicy()
    record = policy_record("limits:queue=3")
    assert (record.text, record.package) == ("limits:queue=3", "qdm_qiskit")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("limits:seconds=0,classical=none", "allows nothing"),
        ("limits:", "is a name with options"),
        ("limits:queue", "is a name with options"),
        ("limits:queue=1,queue=2", "an option twice"),
        ("limits:speed=1", "'limits' has no option 'speed'; it has seconds, queue,"),
        ("limits:queue=1.5", "queue"),
        ("limits:queue=-1", "queue is a number >= 0"),
        ("limits:seconds=nan", "seconds must be float, got nan"),
        ("limits:wait=inf", "wait must be float, got inf"),
        ("limits:success=1.1", "success is 0 to 1"),
        ("limits:uncertainty=-0.1", "uncertainty is finite"),
        ("limits:tries=0", "tries is 1 to 100"),
        ("limits:classical=maybe", "classical is one of exact, hold, none"),
        ("no-such-policy", "no-such-policy"),
        ("limits:queue=" + "1" * 600, "is a name with options"),
    ],
)
def test_what_a_policy_cannot_be_is_refused_in_one_line(text, says):
    with pytest.raises(QdmError) as caught:
        PlanConfig(targets=("engine",), num_images=2, routing=text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "changed", "route"),
    [
        ("limits", {}, "device"),
        ("limits:seconds=7", {}, "device"),
        ("limits:seconds=6.9", {}, "exact"),
        ("limits:queue=6", {}, "device"),
        ("limits:queue=5", {}, "exact"),
        ("limits:queue=5", {"queue": None}, "device"),
        ("limits:queue=5,classical=hold", {}, "hold"),
        ("limits:queue=5,classical=hold", {"hold_error": None}, "exact"),
        ("limits:queue=5,classical=none", {}, "stop"),
        ("limits:queue=5", {"exact_allowed": False}, "stop"),
        ("limits:wait=60", {"waited": 60.0}, "device"),
        ("limits:wait=60", {"waited": 60.1}, "exact"),
        ("limits:success=0.6", {}, "exact"),
        ("limits", {"budget_left": 1.9}, "exact"),
        ("limits", {"budget_left": 1.9, "waited": 1.0}, "device"),
        ("limits", {"failure": "it failed", "failures": 1}, "device"),
        ("limits", {"failure": "it failed", "failures": 2}, "exact"),
        ("limits:uncertainty=0.1", {}, "hold"),
        ("limits:uncertainty=0.1", {"held": 1}, "device"),
        ("limits:uncertainty=0.09", {}, "device"),
    ],
)
def test_a_limit_decides_at_its_value(text, changed, route):
    assert policy_of(text).decide(dataclasses.replace(QUESTION, **changed)).route == route


def test_an_object_is_planned_by_name_and_given_when_it_is_sent(tmp_path):
    policy = policy_of("limits")
    with pytest.raises(InvalidOption, match="plan routing='given', and give the object") as caught:
        plan(tmp_path, "engine", num_images=2, routing=policy)
    assert "\n" not in str(caught.value)


def test_exact_answers_of_wide_circuits_are_refused_when_planned():
    check_routed("limits", 20)
    check_routed("limits:classical=hold", 21)
    with pytest.raises(InvalidOption, match="21 qubits have no exact answer here, 20 at most"):
        check_routed("limits", 21)


@pytest.mark.parametrize("other", [{"train": 1}, {"seconds": 5.0}, {"chain": "coherent"}], ids=str)
def test_options_that_decide_all_jobs_are_refused_beside_routing(other):
    with pytest.raises(InvalidOption, match="routing"):
        PlanConfig(targets=("engine",), num_images=2, routing="limits", **other)


@pytest.mark.parametrize("groups", [0, 3])
def test_groups_are_no_more_than_images(groups):
    with pytest.raises(InvalidOption, match="groups of images are 1 to 1000"):
        PlanConfig(targets=("engine",), num_images=2, groups=groups)
