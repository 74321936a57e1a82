"""A run's routing: its policy is asked of each step, and what it says is recorded before it is done."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast, final

from ...errors import (
    BudgetExceeded,
    InvalidExtension,
    InvalidPlan,
    ServiceUnavailable,
    TargetUnavailable,
)
from ...execution.targets import parse_target
from ..ledger.decision_files import StepDecision, read_decisions, write_decision
from ..ledger.run_files import iso
from ..plan.routing import (
    GIVEN,
    MOST_CLASSICAL_QUBITS,
    RoutingPolicy,
    StepQuestion,
    Verdict,
    checked_policy,
    policy_of,
)
from ..plan.types import Look
from ..providers.context import RunContext
from .parts import Unanswered

__all__ = ["PolicyStops", "Routable", "Router"]


class PolicyStops(TargetUnavailable):
    """A policy lets nobody answer a step; the run can be resumed."""


class Routable(Protocol):
    """What a router asks of a chain."""

    @property
    def hold_error(self) -> float | None:
        """Root mean square change between the last two predictions; None before there are two."""


@dataclass(frozen=True)
class _Asked:
    step: int
    chain: Routable


@final
class Router:
    """The policy of a run and its decisions.

    Args:
        run: The run, whose plan has a policy.
        given: The policy object, where the plan's is ``given``.
        look: Function that looks at the target, for its queue; None where nobody can ask.

    Raises:
        InvalidData: If a recorded decision cannot be read.
    """

    def __init__(
        self, run: RunContext, given: RoutingPolicy | None = None, look: Look | None = None
    ) -> None:
        record = run.plan.routing
        assert record is not None
        self._run, self._plan, self._look = run, run.plan, look
        self._name = record.text
        self._given = given
        if given is not None and record.text == GIVEN:
            kind = type(given)
            self._name = f"{GIVEN}:{kind.__module__}.{kind.__qualname__}"[:200]
        self._made: RoutingPolicy | None = None
        self._decisions = list(read_decisions(run.plan.folder))
        self._at: _Asked | None = None

    def check(self) -> None:
        """Refuse a policy that cannot be asked; what is decided can be followed without one.

        Raises:
            InvalidPlan: If the plan's policy is an object, and none is given.
            InvalidOption: If the object has no ``decide``.
            UnknownName: If no installed package brings the policy any more.
        """
        _ = self._policy

    @property
    def _policy(self) -> RoutingPolicy:
        if self._made is None:
            record = self._plan.routing
            assert record is not None
            if record.text != GIVEN:
                self._made = policy_of(record.text)
            elif self._given is None:
                raise InvalidPlan(
                    f"Run {self._run.run_id} asks a routing policy that was given as an object; give "
                    "it again: submit(..., routing=policy)."
                )
            else:
                self._made = checked_policy(self._given, GIVEN)
        return self._made

    @property
    def step(self) -> int | None:
        """Step t that is at hand; None before the first."""
        return None if self._at is None else self._at.step

    @property
    def failures(self) -> int:
        """Times that the device failed in the step at hand."""
        return sum(each.failure is not None for each in self._of(self.step))

    def route(
        self, step: int, chain: Routable, reserve: Callable[[], None], *, may_ask: bool
    ) -> str:
        """Return who answers a step, as it is recorded; ask the policy where nothing is.

        Args:
            step: t.
            chain: The chain, before the step.
            reserve: Function that reserves for the step's jobs, if they have none.
            may_ask: False to leave what is not decided.

        Raises:
            Unanswered: If it is not decided and may not be asked.
            PolicyStops: If the policy lets nobody answer.
            BudgetExceeded: If the policy insists on a device that no budget pays.
        """
        self._at = _Asked(step, chain)
        last = self._last(step)
        if last is None or last.route == "stop":
            if not may_ask:
                raise Unanswered
            last = self.record(self.ask())
        if last.route == "device" and may_ask:
            try:
                reserve()
            except BudgetExceeded as error:
                verdict = self.ask(failure=str(error))
                if verdict.route == "device":
                    raise
                last = self.record(verdict, failure=str(error))
        if last.route == "stop":
            raise self.stopped(last.reason)
        return last.route

    def stopped(self, reason: str) -> PolicyStops:
        """Return the error of a step that nobody may answer."""
        return PolicyStops(
            f"Routing policy '{self._name}' of run {self._run.run_id} lets neither the device nor this "
            f"machine answer step t={self.step}: {reason}; `qdm run resume {self._run.run_id}` asks it "
            "again."
        )

    def ask(self, *, failure: str | None = None, waited: float | None = None) -> Verdict:
        """Return what the policy says of the step at hand; nothing is recorded.

        Args:
            failure: Why the device did not answer.
            waited: Seconds that its job waits in the queue.

        Raises:
            InvalidExtension: If another package's policy fails.
        """
        question, policy = self._question(failure, waited), self._policy
        self._told = question
        try:
            found = policy.decide(question)
            if isinstance(found, Verdict):
                found = Verdict(found.route, found.reason)  # checked, whatever class it had
        # A user's code may raise anything. An error of ours, too, is then one of the policy: a
        # JobFailed that it raises is no failure of the device.
        except Exception as error:
            raise InvalidExtension(
                f"Routing policy '{self._name}' fails at step t={question.step}: "
                f"{type(error).__name__}: {' '.join(_text_of(error).split())[:300].rstrip('.')}."
            ) from error
        if not isinstance(found, Verdict):
            raise InvalidExtension(
                f"Routing policy '{self._name}' answers with a Verdict, got "
                f"{type(found).__name__:.80}."
            )
        known = question.exact_allowed, question.hold_error is not None
        if (found.route == "exact" and not known[0]) or (found.route == "hold" and not known[1]):
            why = (
                f"circuits of more than {MOST_CLASSICAL_QUBITS} qubits"
                if found.route == "exact"
                else "less than two predictions so far"
            )
            raise InvalidExtension(
                f"Routing policy '{self._name}' says '{found.route}' at step t={question.step}, which "
                f"cannot be done with {why}."
            )
        return found

    def record(self, verdict: Verdict, *, failure: str | None = None) -> StepDecision:
        """Record a verdict of the step at hand, to which :meth:`ask` led."""
        decision = StepDecision(
            number=len(self._decisions) + 1,
            step=self._told.step,
            route=verdict.route,
            reason=verdict.reason,
            policy=self._name,
            at=iso(self._run.ledger.now()),
            failure=None if failure is None else " ".join(failure.split())[:1000],
            told=json.dumps(dataclasses.asdict(self._told), sort_keys=True),
        )
        write_decision(self._plan.folder, self._run.ledger, self._run.run_id, decision)
        self._decisions.append(decision)
        if verdict.route != "device" or failure is not None:
            self._run.tell(f"step t={decision.step}: {verdict.route}, {verdict.reason}")
        return decision

    def _of(self, step: int | None) -> list[StepDecision]:
        return [each for each in self._decisions if each.step == step]

    def _last(self, step: int) -> StepDecision | None:
        found = self._of(step)
        return found[-1] if found else None

    def _question(self, failure: str | None, waited: float | None) -> StepQuestion:
        plan = self._plan
        assert self._at is not None
        step, chain = self._at.step, self._at.chain
        left = [each for each in plan.steps if each.step <= step]
        queue, gone = self._looked_at() if failure is None else (None, None)
        failure = failure or gone
        qubits = [plan.circuit.qubits]
        if plan.calls is not None:
            qubits += [each.plan.qubits for each in plan.calls.circuits]
        return StepQuestion(
            step=step,
            steps_left=len(left),
            images=plan.num_images,
            qubits=max(qubits),
            seconds=sum(each[1] for each in plan.parts_of(step)),
            seconds_after=sum(each.seconds for each in left if each.step < step),
            seconds_spent=self._spent(step),
            budget_left=self._budget_left(step),
            queue=queue,
            waited=waited,
            expected_success=plan.circuit.expected_success,
            exact_allowed=max(qubits) <= MOST_CLASSICAL_QUBITS,
            hold_error=chain.hold_error,
            held=self._held(step),
            failure=failure,
            failures=self.failures + (failure is not None),
        )

    def _spent(self, step: int) -> float:
        """Return what the run was charged; of a target that charges nothing what is estimated."""
        plan = self._plan
        if plan.is_qpu:
            return self._run.ledger.run_state(plan.run_id).seconds_charged
        routes = {each.step: each.route for each in self._decisions}
        return sum(
            each.seconds
            for each in plan.steps
            if each.step > step and routes.get(each.step) == "device"
        )

    def _budget_left(self, step: int) -> float | None:
        """Return what the budget has left, with what it holds for this very step."""
        name = self._run.budget
        if name is None:
            return None
        ledger = self._run.ledger
        budget = ledger.budget(name)
        if budget.limit_seconds is None:
            return None
        parts = {each[0] for each in self._plan.parts_of(step)}
        own = sum(
            cast(float, row["seconds"])
            for row in ledger.reservations(self._plan.run_id)
            if row["state"] == "held" and row["part"] in parts
        )
        left = budget.limit_seconds - budget.spent_seconds - budget.reserved_seconds + own
        return max(0.0, left)

    def _looked_at(self) -> tuple[int | None, str | None]:
        """Return the queue of the target, and why it takes no jobs, if it does not."""
        target = parse_target(self._plan.target, known=False)
        if self._look is None or target.kind not in ("ibm", "provider"):
            return None, None
        try:
            return self._look(target).queue, None
        except ServiceUnavailable:  # it is asked when a job is sent, with more patience
            return None, None
        except TargetUnavailable as error:
            return None, str(error)

    def _held(self, step: int) -> int:
        """Return for how many steps just before this one the prediction was held."""
        count = 0
        for each in sorted(s.step for s in self._plan.steps if s.step > step):
            last = self._last(each)
            if last is None or last.route != "hold":
                break
            count += 1
        return count


def _text_of(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # also its __str__ is a user's code
        return "no message"
