"""Text and JSON values into frozen options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.options import build, convert, field_types, parse_assignments


@dataclass(frozen=True)
class Options:
    depth: int = 1
    rate: float = 0.1
    guided: bool = False
    name: str = "x"
    goal: Literal["data", "noise"] = "data"
    classes: tuple[int, ...] = ()
    count: int | None = None


def test_text_becomes_values():
    text = {
        "depth": "10",
        "rate": "1e-3",
        "guided": "yes",
        "name": "y",
        "goal": "noise",
        "classes": "0, 1",
        "count": "none",
    }
    assert build(Options, text) == Options(10, 1e-3, True, "y", "noise", (0, 1), None)


def test_values_that_fit_stay():
    values = {"depth": 3, "rate": 2, "guided": True, "classes": [4, 5], "count": 7}
    assert build(Options, values) == Options(3, 2.0, True, classes=(4, 5), count=7)


@given(st.integers(), st.floats(allow_nan=False), st.booleans(), st.lists(st.integers()))
def test_text_of_a_value_is_the_value(depth, rate, guided, classes):
    options = Options(depth, rate, guided, classes=tuple(classes))
    text = {
        "depth": str(depth),
        "rate": repr(rate),
        "guided": str(guided),
        "classes": ",".join(map(str, classes)),
    }
    assert build(Options, text) == options


def test_unknown_options_are_answered_with_the_nearest():
    with pytest.raises(
        InvalidOption, match=r"no option 'dept'. Did you mean 'depth'\? There are: .*rate"
    ):
        build(Options, {"dept": 1})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("depth", "ten", "depth is a whole number, got 'ten'"),
        ("depth", "1.5", "depth is a whole number"),
        ("depth", 1.5, "depth is a whole number"),
        ("depth", 2.0, "depth is a whole number"),
        ("depth", True, "depth is a whole number"),
        ("depth", None, "depth is a whole number"),
        ("depth", [1], "depth is a whole number"),
        ("depth", "9" * 5000, "depth is a whole number"),
        ("rate", "fast", "rate is a number"),
        ("rate", False, "rate is a number"),
        ("rate", 10**400, "rate is a number"),
        ("guided", "maybe", "guided is true or false, got 'maybe'"),
        ("guided", 1, "guided is true or false"),
        ("name", 3, "name is text, got 3"),
        ("goal", "date", "goal is one of data, noise; got 'date'"),
        ("goal", ["data"], "goal is one of data, noise"),
        ("classes", 3, "classes is a comma-separated list, got 3"),
        ("classes", "0;1", "classes is a whole number, got '0;1'"),
        ("classes", {"0": 1}, "classes is a comma-separated list"),
        ("count", "all", "count is a whole number"),
    ],
)
def test_values_that_do_not_fit_are_refused(name, value, message):
    with pytest.raises(InvalidOption, match=message) as caught:
        build(Options, {name: value})
    assert "\n" not in str(caught.value)


def test_the_word_false_is_false():
    # bool("False") is True: the classic trap.
    assert convert("guided", "False", bool) is False
    assert convert("guided", "off", bool) is False
    assert convert("classes", "", tuple[int, ...]) == ()


def test_field_types_keep_their_order():
    assert list(field_types(Options)) == [
        "depth",
        "rate",
        "guided",
        "name",
        "goal",
        "classes",
        "count",
    ]


def test_assignments():
    assert parse_assignments(["a=1", " b = x=y ", "c="]) == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["depth"], "name=value, got 'depth'"),
        (["=3"], "name=value"),
        (["a=1", "a=2"], "'a' is set twice"),
    ],
)
def test_bad_assignments_are_refused(assignments, message):
    with pytest.raises(InvalidOption, match=message):
        parse_assignments(assignments)
