"""Routing of steps: a policy says of each step whether the device or this machine answers it.

It is asked again before each step, and when the device fails; the plan holds its name and options, and
the run's folder what it decided.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast, final, get_args, runtime_checkable

from ...canonical_json import check, check_fields
from ...doors import Door
from ...errors import InvalidOption

__all__ = [
    "GIVEN",
    "MOST_CLASSICAL_QUBITS",
    "POLICIES",
    "LimitPolicy",
    "PolicyRecord",
    "Route",
    "RoutingPolicy",
    "StepQuestion",
    "Verdict",
    "check_routed",
    "policy_of",
    "policy_record",
]

Route = Literal["device", "exact", "hold", "stop"]
"""``device``: a job; ``exact``: the engine's exact values of the same circuits; ``hold``: the
prediction of the step before; ``stop``: nobody, and the run waits for a resume."""

MOST_CLASSICAL_QUBITS = 20
"""Most qubits of a circuit whose exact values this machine is asked for: 16 MiB for each image."""
GIVEN = "given"
"""Name that a plan has for a policy object that is given when it is sent."""

_TEXT = re.compile(r"[a-z][a-z0-9_-]*(?::[a-z_]+=[A-Za-z0-9.+-]+(?:,[a-z_]+=[A-Za-z0-9.+-]+)*)?")


@dataclass(frozen=True, kw_only=True)
class StepQuestion:
    """What a policy is told of a step."""

    step: int
    """t."""
    steps_left: int
    """Steps that are not answered, this one among them."""
    images: int
    qubits: int
    """Qubits of the widest circuit."""
    seconds: float
    """Estimated QPU seconds of the step."""
    seconds_after: float
    """Those of the steps after it, if the device answers all of them."""
    seconds_spent: float
    """QPU seconds that the run was charged so far, as far as they are known; where the target charges
    nothing, the estimates of the steps that it answered."""
    budget_left: float | None
    """QPU seconds that the budget has left for the run; None without a budget."""
    queue: int | None
    """Jobs that wait for the device; None where it does not say."""
    waited: float | None
    """Seconds that the job of the step has waited in the queue; None before it is sent."""
    expected_success: float | None
    """Chance that no gate and no readout of the widest circuit fails; None without a device."""
    exact_allowed: bool
    """True if this machine can compute the exact values."""
    hold_error: float | None
    """Root mean square change of the prediction in the last two steps, which is what is known of the
    error of holding it once more; None before two predictions."""
    held: int
    """Steps just before for which the prediction was held."""
    failure: str | None
    """Why the device did not answer; None if it was not asked, or waits."""
    failures: int
    """Times that the device failed in this step."""


@dataclass(frozen=True)
class Verdict:
    """Answer of a policy."""

    route: Route
    reason: str
    """In words, one line."""

    def __post_init__(self) -> None:
        check(self.route in get_args(Route), f"route is one of {get_args(Route)}", self.route)
        good = isinstance(self.reason, str) and self.reason.isprintable() and len(self.reason) < 500
        check(good, "reason is one line of less than 500 characters", self.reason)


@runtime_checkable
class RoutingPolicy(Protocol):
    """Rule that sends each step to the device or keeps it here."""

    def decide(self, question: StepQuestion, /) -> Verdict:
        """Return who answers a step, from the question alone: no clock, no random number."""


@final
@dataclass(frozen=True, kw_only=True)
class LimitPolicy:
    """The package's own policy, ``limits``: the device within limits, else this machine.

    The device answers a step unless a limit below forbids it; then, and if the device fails, this
    machine does.

    >>> LimitPolicy(queue=10).classical
    'exact'
    """

    seconds: float | None = None
    """Most QPU seconds of the whole run; 0 keeps the device out, None is no limit."""
    queue: int | None = None
    """Most jobs that may wait for the device."""
    wait: float | None = None
    """Most seconds that a job may wait in the queue; None for no limit."""
    success: float = 0.0
    """Least expected success of the circuit."""
    uncertainty: float = 0.0
    """Largest ``hold_error`` at which the prediction is held in place of a job; 0 never holds it."""
    tries: int = 2
    """Jobs of a step that may fail at the device before this machine answers."""
    classical: Literal["exact", "hold", "none"] = "exact"
    """Answer of this machine: exact values, the prediction before (exact values where there is none),
    or none: then the run stops."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("seconds", "wait"):
            value = getattr(self, name)
            check(value is None or 0 <= value < math.inf, f"{name} is finite and >= 0", value)
        check(self.queue is None or self.queue >= 0, "queue is a number >= 0", self.queue)
        check(0 <= self.success <= 1, "success is 0 to 1", self.success)
        check(
            0 <= self.uncertainty < math.inf,
            "uncertainty is finite and >= 0",
            self.uncertainty,
        )
        check(1 <= self.tries <= 100, "tries is 1 to 100", self.tries)
        if self.classical == "none" and self.seconds == 0:
            raise InvalidOption(
                "The policy allows nothing: seconds=0 keeps the device out and classical=none this "
                "machine; raise seconds, or take classical=exact."
            )

    def decide(self, question: StepQuestion) -> Verdict:
        """See :meth:`RoutingPolicy.decide`."""
        against = next(self._against(question), None)
        if against is None:
            error = question.hold_error
            # One step is held at a time: the next answer says how far the prediction had gone.
            good = question.held == 0 and error is not None and error <= self.uncertainty
            if good and self.uncertainty > 0 and question.waited is None:
                return Verdict(
                    "hold", f"the prediction changed by {error:.3g} in the last two steps"
                )
            return Verdict("device", "within all limits")
        if self.classical == "hold" and question.hold_error is not None:
            return Verdict("hold", against)
        if self.classical != "none" and question.exact_allowed:
            return Verdict("exact", against)
        return Verdict("stop", against)

    def _against(self, question: StepQuestion) -> Iterator[str]:
        """Yield what forbids the device."""
        if question.failure is not None and question.failures >= self.tries:
            yield f"the device failed {question.failures} time(s): {question.failure:.200}"
        spent = question.seconds_spent + question.seconds
        if self.seconds == 0:
            yield "seconds=0 keeps the device out"
        if self.seconds is not None and spent > self.seconds:
            yield f"{spent:.3g} QPU seconds would be spent, more than {self.seconds:g}"
        left = question.budget_left
        if left is not None and question.waited is None and question.seconds > left:
            takes = question.seconds
            yield f"the budget has {left:.3g} QPU seconds left, and the step takes {takes:.3g}"
        if self.queue is not None and question.queue is not None and question.queue > self.queue:
            yield f"{question.queue} jobs wait for the device, more than {self.queue}"
        waited, most = question.waited, self.wait
        if waited is not None and most is not None and waited > most:
            yield f"the job waited for longer than {self.wait:g} s"
        success = question.expected_success
        if success is not None and success < self.success:
            yield f"expected success {success:.3g} is less than {self.success:g}"


@dataclass(frozen=True, kw_only=True)
class PolicyRecord:
    """A policy by name and options, as a plan holds it."""

    text: str
    """``NAME`` or ``NAME:option=value,...``; ``given`` of an object."""
    package: str
    """Name of the distribution that brings it; empty of an object."""
    version: str
    """Version of that distribution."""

    def __post_init__(self) -> None:
        check(bool(_TEXT.fullmatch(self.text)), "a policy is NAME:option=value,...", self.text)
        for name in ("package", "version"):
            text = getattr(self, name)
            good = text.isprintable() and len(text) <= 128
            check(good, f"a policy's {name} is printable and has at most 128 characters", text)


def _checked(part: Any, name: str) -> Callable[..., RoutingPolicy]:
    if not callable(part):
        raise TypeError(f"'{name}' is not callable; it is a function of options, or a class.")
    return cast("Callable[..., RoutingPolicy]", part)


POLICIES: Door[Callable[..., RoutingPolicy]] = Door(
    "routing",
    "routing policy",
    {"limits": "qdm_qiskit.hardware.plan.routing:LimitPolicy"},
    _checked,
)
"""Functions that make a policy from its options, by name."""


def policy_of(text: str) -> RoutingPolicy:
    """Return the policy of a text.

    Args:
        text: ``limits``, or ``limits:seconds=30,queue=20``; ``NAME:option=value,...``.

    Raises:
        InvalidOption: If the text or an option is none, or the policy allows nothing.
        UnknownName: If no package brings a policy of that name.

    >>> policy_of("limits:queue=20").queue
    20
    """
    if not isinstance(text, str) or not _TEXT.fullmatch(text) or len(text) > 500:
        raise InvalidOption(
            f"A routing policy is a name with options, as in 'limits:seconds=30,queue=20', got "
            f"{text!r:.80}."
        )
    name, _, rest = text.partition(":")
    make = POLICIES.get(name)
    pairs = [each.partition("=") for each in rest.split(",") if each]
    options = {key: _value(value) for key, _, value in pairs}
    if len(options) != len(pairs):
        raise InvalidOption(f"Routing policy '{text}' has an option twice; give each once.")
    known = _options_of(make)
    if known is not None and (unknown := [each for each in options if each not in known]):
        raise InvalidOption(
            f"Routing policy '{name}' has no option '{unknown[0]}'; it has "
            f"{', '.join(known) or 'none'}."
        )
    try:
        policy = make(**options)
    except (TypeError, ValueError) as error:
        raise InvalidOption(f"Routing policy '{text:.80}': {_one_line(error)}") from error
    return checked_policy(policy, text)


def checked_policy(policy: Any, name: str) -> RoutingPolicy:
    """Return an object that can decide.

    Raises:
        InvalidOption: If it has no ``decide``.
    """
    if isinstance(policy, type) or not isinstance(policy, RoutingPolicy):
        raise InvalidOption(
            f"Routing policy {name:.80} has no method decide(question), got "
            f"{type(policy).__name__}; docs/extending/routing.md shows one."
        )
    return policy


def policy_record(text: str) -> PolicyRecord:
    """Return what a plan keeps of a policy.

    Raises:
        InvalidOption, UnknownName: As :func:`policy_of`.
    """
    if text == GIVEN:
        return PolicyRecord(text=text, package="", version="")
    policy_of(text)
    origin = POLICIES.origin(text.partition(":")[0])
    return PolicyRecord(text=text, package=origin.package, version=origin.version)


def check_routed(text: str, qubits: int) -> None:
    """Refuse exact answers of circuits that this machine cannot hold.

    Args:
        text: The policy.
        qubits: Of the widest circuit.

    Raises:
        InvalidOption: If the package's own policy would ask for them.
    """
    if text == GIVEN or qubits <= MOST_CLASSICAL_QUBITS:
        return
    policy = policy_of(text)
    if isinstance(policy, LimitPolicy) and policy.classical == "exact":
        raise InvalidOption(
            f"Circuits of {qubits} qubits have no exact answer here, {MOST_CLASSICAL_QUBITS} at most; "
            "take classical=hold or classical=none."
        )


def _options_of(make: Callable[..., RoutingPolicy]) -> list[str] | None:
    """Return the names that a maker takes; None where it takes any, or does not say."""
    try:
        found = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in found):
        return None
    return [each.name for each in found if each.kind is not inspect.Parameter.POSITIONAL_ONLY]


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
