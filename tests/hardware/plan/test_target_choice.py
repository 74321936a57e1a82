"""The policy over a list of targets: what is passed over, why, and that it is written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdm_qiskit.errors import (
    InvalidOption,
    QdmError,
    ServiceUnavailable,
    TargetUnavailable,
    UnknownName,
    UnsupportedCircuit,
)
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.execution.targets import Target
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.prepare import PlanConfig
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.plan.target_choice import FallbackPolicy, plan_on_first
from qdm_qiskit.hardware.plan.types import Availability
from tests.helpers import budget, write_run

QPU, LOCAL, ENGINE = "ibm:least_busy", "local:fake_torino", "engine"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "r")


def backend():
    found = load_backend("fake_torino")
    found.name = "ibm_torino"
    return found


class Eyes:
    """Looks at QPUs as told, and keeps what was looked at."""

    def __init__(self, answer: Availability | Exception) -> None:
        self.answer, self.seen = answer, []

    def __call__(self, target: Target) -> Availability:
        self.seen.append(str(target))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def planned(
    run: Path, root: Path, answer: Availability | Exception, *targets: str, **rest
) -> RunPlan:
    policy = FallbackPolicy(
        max_queue=rest.pop("max_queue", None), min_success=rest.pop("min_success", None)
    )
    state = rest.pop("budget", None)
    config = PlanConfig(targets=targets, num_images=2, shots=100, layout_trials=1, **rest)
    plan = plan_on_first(run, config, policy, root=root, look=Eyes(answer), budget=state)
    assert read_plan(plan.folder) == plan
    return plan


def test_the_first_that_fits_is_taken_and_no_other_is_looked_at(run, tmp_path):
    plan = planned(run, tmp_path, Availability(backend=backend(), queue=3), QPU, LOCAL, ENGINE)
    assert (plan.target, plan.backend) == ("ibm:ibm_torino", "ibm_torino")
    [decision] = plan.decisions
    assert (decision.target, decision.taken) == (QPU, True)
    assert "3 jobs wait" in decision.reason
    assert f"{plan.total_seconds:.1f} QPU seconds" in decision.reason
    eyes = Eyes(AssertionError("looked"))
    config = PlanConfig(targets=(LOCAL, QPU), num_images=1, layout_trials=1)
    plan = plan_on_first(run, config, FallbackPolicy(), root=tmp_path, look=eyes)
    assert plan.target == LOCAL
    assert eyes.seen == []


@pytest.mark.parametrize(
    ("answer", "rest", "reason"),
    [
        (TargetUnavailable("Backend ibm_torino takes no jobs now: paused."), {}, "paused"),
        (ServiceUnavailable("no account"), {}, "no account"),
        (UnknownName("no backend of this name"), {}, "no backend"),
        (
            Availability(backend=backend(), queue=11),
            {"max_queue": 10},
            "11 jobs wait, more than 10",
        ),
        (Availability(backend=backend()), {"min_success": 0.9999}, "expected success"),
        (Availability(backend=backend(), seconds_left=5.0), {}, "account has 5.0 QPU seconds"),
        (
            Availability(backend=backend()),
            {"budget": budget(1.0)},
            "budget 'b' has 1.0 QPU seconds",
        ),
        (Availability(backend=backend()), {"budget": budget(1e6, 10)}, "budget 'b' has 10 shots"),
    ],
)
def test_what_does_not_fit_is_passed_over_with_its_reason(run, tmp_path, answer, rest, reason):
    plan = planned(run, tmp_path, answer, QPU, ENGINE, **rest)
    assert plan.target == ENGINE
    assert [(each.target, each.taken) for each in plan.decisions] == [(QPU, False), (ENGINE, True)]
    assert reason in plan.decisions[0].reason
    assert [each.name for each in tmp_path.iterdir()] == [plan.run_id]


def test_limits_are_inclusive(run, tmp_path):
    plan = planned(
        run, tmp_path, Availability(backend=backend(), queue=10), QPU, ENGINE, max_queue=10
    )
    assert plan.is_qpu
    plan = planned(
        run, tmp_path, Availability(backend=backend(), seconds_left=plan.total_seconds), QPU, ENGINE
    )
    assert plan.is_qpu


def test_the_last_target_is_planned_beyond_the_budget(run, tmp_path):
    """Planning is free; submitting it is what the ledger refuses."""
    sight = Availability(backend=backend(), seconds_left=1.0)
    assert planned(run, tmp_path, sight, QPU, budget=budget(1.0, 10)).is_qpu
    sight = Availability(backend=backend())
    assert planned(run, tmp_path, sight, QPU, budget=budget(1.0, 10), seed=1).is_qpu


def test_without_any_target_left_all_reasons_are_given(run, tmp_path):
    with pytest.raises(TargetUnavailable, match=r"11 jobs wait.*success.*'engine'") as caught:
        planned(
            run,
            tmp_path,
            Availability(backend=backend(), queue=11),
            *(QPU, LOCAL),
            max_queue=10,
            min_success=0.9999,
        )
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [ServiceUnavailable("away"), TargetUnavailable("paused")])
def test_one_target_alone_fails_as_itself(run, tmp_path, error):
    with pytest.raises(type(error), match=str(error)):
        planned(run, tmp_path, error, QPU)


def test_mitigation_is_left_out_where_there_is_nothing_to_mitigate(run, tmp_path):
    plan = planned(run, tmp_path, TargetUnavailable("paused"), QPU, ENGINE, mitigation="m3")
    assert (plan.mitigation, plan.calibration) == ("none", None)
    assert "no mitigation" in plan.decisions[-1].reason
    plan = planned(run, tmp_path, TargetUnavailable("paused"), QPU, LOCAL, mitigation="m3")
    assert plan.mitigation == "m3"


def test_a_gpu_that_is_not_there_is_passed_over(run, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    plan = planned(run, tmp_path, Availability(), "engine:cuda", ENGINE)
    assert plan.target == ENGINE
    assert "CUDA" in plan.decisions[0].reason


SMALL = "local:fake_manila"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose circuit has 7 qubits."""
    return write_run(tmp_path_factory.mktemp("runs") / "large", image_size=8)


def test_a_device_of_too_few_qubits_is_passed_over(large, tmp_path):
    plan = planned(large, tmp_path, Availability(), SMALL, ENGINE)
    assert plan.target == ENGINE
    assert [(each.target, each.taken) for each in plan.decisions] == [
        (SMALL, False),
        (ENGINE, True),
    ]
    assert "7 qubits and the device has 5" in plan.decisions[0].reason
    assert [each.name for each in tmp_path.iterdir()] == [plan.run_id]


def test_too_few_qubits_of_one_target_or_of_all_are_one_line(large, tmp_path):
    with pytest.raises(UnsupportedCircuit, match="7 qubits and the device has 5"):
        planned(large, tmp_path, Availability(), SMALL)
    with pytest.raises(TargetUnavailable, match=r"No target .*fake_quito: .*has 5") as caught:
        planned(large, tmp_path, Availability(), SMALL, "local:fake_quito")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_the_model_is_no_reason_to_fall_back(tmp_path):
    folder = write_run(tmp_path / "r", "classical_unet", image_size=8)
    with pytest.raises(TargetUnavailable, match="no single circuit"):
        planned(folder, tmp_path / "root", Availability(backend=backend()), QPU, LOCAL, ENGINE)


@pytest.mark.parametrize("bad", [{"max_queue": -1}, {"min_success": 1.5}])
def test_a_policy_out_of_range_is_refused(bad):
    with pytest.raises(InvalidOption):
        FallbackPolicy(**bad)


def test_errors_of_the_package_only(run, tmp_path):
    """What nobody foresaw is no reason to fall back either."""
    with pytest.raises(ZeroDivisionError):
        planned(run, tmp_path, ZeroDivisionError(), QPU, ENGINE)
    assert issubclass(ServiceUnavailable, QdmError)
