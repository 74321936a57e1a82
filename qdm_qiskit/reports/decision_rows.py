"""Decisions of a routing policy as lines, as rows of a table, and as a section of a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..evaluation.step_decisions import RoutedStep

__all__ = ["decision_lines", "decision_section", "group_lines", "group_rows"]

_COLUMNS = (
    ("t", "step"),
    ("who answers", "route"),
    ("reason", "reason"),
    ("policy", "policy"),
    ("QPU s, estimated", "seconds_estimated"),
    ("QPU s, charged", "seconds_charged"),
    ("decided", "at"),
)
_WORDS = {
    "device": "the device",
    "exact": "exact values of this machine",
    "hold": "the prediction before",
    "stop": "nobody",
}


def decision_section(
    report: Mapping[str, Any],
) -> list[tuple[str, list[str], tuple[tuple[str, str], ...], list[dict[str, Any]]]]:
    """Return title, sentences, columns and rows of the decisions of a run; nothing without a policy.

    Args:
        report: Result of ``HardwareReport.to_dict``.
    """
    routing = report.get("routing")
    if routing is None:
        return []
    decisions = routing["decisions"]
    last = {each["step"]: each["route"] for each in decisions}
    counts = Counter(last.values())
    who = ", ".join(f"{_WORDS[route]} {count}" for route, count in counts.items())
    brought = f" of {routing['package']} {routing['version']}" if routing["package"] else ""
    said = [
        f"The policy '{routing['policy']}'{brought} was asked before each step, and where the device "
        f"failed or let a job wait: {len(decisions)} decisions. The last one of a step holds; of "
        f"{len(last)} steps: {who}.",
        "A step of this machine has no shots and none of the device's noise. A charge is of the jobs "
        "that the decision sent.",
    ]
    return [("Routing", said, _COLUMNS, list(decisions))]


def decision_lines(decisions: Sequence[RoutedStep]) -> list[str]:
    """Return a heading and a line for each decision.

    Args:
        decisions: Of one run, in their order.
    """
    return [_line("t", "answer", "est.", "charged", "reason"), *map(_lined, decisions)]


def group_lines(decisions: Mapping[str, Sequence[RoutedStep]]) -> list[str]:
    """Return the lines of several runs, each under its group and id.

    Args:
        decisions: By the id of the run, in the order of the runs.
    """
    lines = []
    for number, (run, own) in enumerate(decisions.items(), start=1):
        lines += [f"group {number}, run {run}", *decision_lines(own)]
    return lines


def group_rows(decisions: Mapping[str, Sequence[RoutedStep]]) -> list[dict[str, Any]]:
    """Return the decisions of several runs for JSON, each with its group and run.

    Args:
        decisions: As for :func:`group_lines`.
    """
    return [
        {"group": number, "run": run, **each.to_dict()}
        for number, (run, own) in enumerate(decisions.items(), start=1)
        for each in own
    ]


def _lined(each: RoutedStep) -> str:
    charged = "-" if each.seconds_charged is None else f"{each.seconds_charged:.2f}"
    reason = f"{each.reason} ({each.policy})"
    return _line(str(each.step), each.route, f"{each.seconds_estimated:.2f}", charged, reason)


def _line(step: str, route: str, estimated: str, charged: str, reason: str) -> str:
    return f"{step:>6}  {route:<8}{estimated:>9}{charged:>9}  {reason}"
