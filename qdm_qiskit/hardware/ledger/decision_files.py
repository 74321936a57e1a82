"""Decisions of a run's routing policy, each in a file of its own, written once.

A decision is in the ledger, whole, before it is in the folder; so a process that dies between the two
leaves one that the next process writes. A replay needs the folder alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...canonical_json import check, from_plain
from ...errors import InvalidData, InvalidOption
from ...files import parse_json, write_bytes
from .ledger import Ledger

__all__ = [
    "DECISIONS",
    "StepDecision",
    "decision_path",
    "lost_decisions",
    "read_decisions",
    "routes_of",
    "write_decision",
]

SCHEMA = "qdm-step-decision/1"
DECISIONS = "decisions"
MOST_BYTES = 1 << 16
_ROUTES = ("device", "exact", "hold", "stop")


@dataclass(frozen=True, kw_only=True)
class StepDecision:
    """Answer of a policy, and what it was told."""

    number: int
    """1, 2, ... in the order of the run."""
    step: int
    """t."""
    route: str
    """``device``, ``exact``, ``hold`` or ``stop``; the last decision of a step holds."""
    reason: str
    policy: str
    """Name of the policy with its options, or of the object's class."""
    at: str
    """Time, ISO 8601."""
    failure: str | None
    """Why the device did not answer; None if it was not asked before, or waits."""
    told: str
    """All that the policy was told, as JSON text."""

    def __post_init__(self) -> None:
        check(1 <= self.number < 10**6, "number is 1 to 999999", self.number)
        check(self.step >= 1, "step is at least 1", self.step)
        check(self.route in _ROUTES, f"route is one of {_ROUTES}", self.route)

    @property
    def facts(self) -> dict[str, Any]:
        """What the policy was told, by name."""
        found = parse_json(self.told)
        return found if isinstance(found, dict) else {}


def decision_path(folder: Path, number: int) -> Path:
    """Return the path of a decision in a run's folder."""
    return folder / DECISIONS / f"decision-{number:06d}.json"


def write_decision(folder: Path, ledger: Ledger, run_id: str, decision: StepDecision) -> None:
    """Record a decision: in the ledger, then in the folder.

    Raises:
        OutputNotWritable: If the file cannot be written.
    """
    text = json.dumps({"schema": SCHEMA, **asdict(decision)}, indent=2, sort_keys=True) + "\n"
    path = decision_path(folder, decision.number)
    ledger.event(
        run_id,
        "routed",
        f"step-{decision.step:04d}",
        path=str(path.relative_to(folder)),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        text=text,
    )
    write_bytes(path, text.encode())


def lost_decisions(folder: Path, ledger: Ledger, run_id: str) -> dict[str, Callable[[], None]]:
    """Return functions that write each decision of the ledger again, by its path in the folder."""
    found: dict[str, Callable[[], None]] = {}
    for event in ledger.events(run_id):
        if event["kind"] == "routed":
            detail = json.loads(str(event["detail"]))
            path = str(detail["path"])
            found[path] = partial(write_bytes, folder / path, str(detail["text"]).encode())
    return found


def read_decisions(folder: Path) -> tuple[StepDecision, ...]:
    """Return the decisions of a run's folder, in their order; none where nothing was decided.

    Raises:
        InvalidData: If one cannot be read, or is missing between others.
    """
    found = []
    for number, path in enumerate(sorted((folder / DECISIONS).glob("decision-*.json")), start=1):
        try:
            if path.stat().st_size > MOST_BYTES:
                raise InvalidData("it is larger than any decision")
            content = parse_json(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict) or content.pop("schema", None) != SCHEMA:
                raise InvalidData(f"its schema is not '{SCHEMA}'")
            decision = from_plain(StepDecision, content)
            _ = decision.facts
        except (OSError, ValueError, InvalidData, InvalidOption, RecursionError) as error:
            text = " ".join(str(error).split()).rstrip(".")
            raise InvalidData(
                f"{path} is no decision of a run: {text}; move it away, and `qdm run resume` writes it "
                "again."
            ) from error
        if decision.number != number or path != decision_path(folder, number):
            raise InvalidData(
                f"{path} is decision {decision.number}, and {number} is missing; `qdm run resume` "
                "writes it again."
            )
        found.append(decision)
    return tuple(found)


def routes_of(folder: Path) -> dict[int, str]:
    """Return who answers each step that is decided: ``device``, ``exact`` or ``hold``, by t.

    Raises:
        InvalidData: As :func:`read_decisions`.
    """
    last = {each.step: each.route for each in read_decisions(folder)}
    return {step: route for step, route in last.items() if route != "stop"}
