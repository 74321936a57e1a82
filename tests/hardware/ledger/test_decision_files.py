"""Files of decisions that are damaged are refused in one line that names them."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from qdm_qiskit.errors import InvalidData
from qdm_qiskit.hardware.ledger.decision_files import (
    MOST_BYTES,
    SCHEMA,
    StepDecision,
    decision_path,
    read_decisions,
    routes_of,
)


def decision(number: int, step: int, route: str) -> StepDecision:
    return StepDecision(
        number=number, step=step, route=route, reason="a reason", policy="limits",
        at="2026-11-30T08:00:00+00:00", failure=None, told=json.dumps({"step": step}),
    )  # fmt: skip


MADE = [decision(1, 3, "device"), decision(2, 3, "exact"), decision(3, 2, "hold"),
        decision(4, 1, "stop")]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for each in MADE:
        path = decision_path(tmp_path, each.number)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"schema": SCHEMA, **asdict(each)}))
    return tmp_path


def test_the_last_decision_of_a_step_holds_and_a_stop_decides_nothing(folder, tmp_path_factory):
    assert list(read_decisions(folder)) == MADE
    assert routes_of(folder) == {3: "exact", 2: "hold"}
    assert read_decisions(tmp_path_factory.mktemp("none")) == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"schema": "qdm-step-decision/2"},
        {"route": "elsewhere"},
        {"step": 0},
        {"step": "2"},
        {"number": 10**6},
        {"told": "{"},
        {"more": 1},
        {"reason": None},
    ],
    ids=str,
)
def test_a_damaged_value_is_refused(folder, changed):
    path = decision_path(folder, 2)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    check_refused(folder, "decision-000002.json is no decision of a run")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 50_000, b" " * (MOST_BYTES + 1)],
    ids=["empty", "list", "cut", "bytes", "deep", "large"],
)  # fmt: skip
def test_a_file_that_is_no_decision_is_refused(folder, content):
    decision_path(folder, 2).write_bytes(content)
    check_refused(folder, "decision-000002.json is no decision of a run")


def test_a_decision_that_is_missing_between_others_is_named(folder):
    decision_path(folder, 2).unlink()
    check_refused(folder, "decision-000003.json is decision 3, and 2 is missing")


def test_a_decision_in_anothers_place_is_refused(folder):
    decision_path(folder, 2).write_bytes(decision_path(folder, 3).read_bytes())
    check_refused(folder, "is decision 3, and 2 is missing")


def check_refused(folder, says: str) -> None:
    with pytest.raises(InvalidData) as caught:
        read_decisions(folder)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
