"""Claims: of several runs that need the same calibration one takes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdm_qiskit.hardware.ledger.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(tmp_path)


def test_who_claims_first_has_it_until_it_lets_go(ledger, tmp_path):
    assert ledger.claim("a", "readout", ["1", "2"], 100) is None
    assert ledger.claim("b", "readout", ["2", "1"], 100) == "a"
    assert ledger.claim("a", "readout", ["1", "2"], 100) is None  # it stays the one
    assert Ledger.open(tmp_path).claim("b", "readout", ["1"], 100) == "a"  # from any process
    assert ledger.has_claims("a")
    assert not ledger.has_claims("b")
    ledger.end_claims("a")
    assert not ledger.has_claims("a")
    assert ledger.claim("b", "readout", ["1", "2"], 100) is None
    assert ledger.claim("a", "readout", ["1", "2"], 100) == "b"


@pytest.mark.parametrize(
    ("what", "covers", "amount", "serves"),
    [
        ("readout", ["1"], 100, True),
        ("readout", ["1", "2"], 40, True),
        ("readout", ["1", "3"], 100, False),
        ("readout", ["1", "2"], 101, False),
        ("refit", ["1", "2"], 100, False),
    ],
)
def test_a_claim_serves_what_it_covers(ledger, what, covers, amount, serves):
    ledger.claim("a", "readout", ["1", "2"], 100)
    assert ledger.claim("b", what, covers, amount) == ("a" if serves else None)


def test_claims_of_runs_that_nobody_drives_are_passed_over(ledger):
    ledger.claim("a", "readout", ["1"], 100)
    assert ledger.claim("b", "readout", ["1"], 100, dead={"a"}) is None
    # Whoever comes next waits for the one that lives.
    assert ledger.claim("c", "readout", ["1"], 100, dead={"a"}) == "b"
    assert ledger.claim("a", "readout", ["1"], 100) in (None, "b")


def test_one_kind_is_let_go_alone(ledger):
    ledger.claim("a", "readout", ["1"], 100)
    ledger.claim("a", "refit", ["x"], 10)
    ledger.end_claims("a", "readout")
    assert ledger.claim("b", "refit", ["x"], 10) == "a"
    assert ledger.claim("b", "readout", ["1"], 100) is None
    before = len(ledger.events("a"))
    ledger.end_claims("a", "readout")
    assert len(ledger.events("a")) == before


def test_of_two_that_died_with_a_claim_only_one_waits_for_the_other(tmp_path):
    """Both go on at once: were each to wait for the other, neither would take it."""
    ledger = Ledger.open(tmp_path)
    assert ledger.claim("a", "readout", ["1"], 100) is None
    assert ledger.claim("b", "readout", ["1"], 100, dead={"a"}) is None  # a was killed
    assert (
        ledger.claim("b", "readout", ["1"], 100) is None
    )  # a goes on, b was killed and goes on too
    assert ledger.claim("a", "readout", ["1"], 100) == "b"
    assert not ledger.has_claims("a")


@pytest.mark.parametrize("more", [100, 200])
def test_an_earlier_claim_waits_for_no_later_one(tmp_path, more):
    ledger = Ledger.open(tmp_path)
    assert ledger.claim("a", "readout", ["1"], 100) is None
    assert ledger.claim("b", "readout", ["1", "2"], more) is None  # of more than that of a
    assert ledger.claim("a", "readout", ["1"], 100) is None
    assert ledger.claim("c", "readout", ["1"], 100) == "a"
    ledger.end_claims("a")
    assert ledger.claim("c", "readout", ["1"], 100) == "b"
