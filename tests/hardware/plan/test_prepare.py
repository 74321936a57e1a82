"""A plan is made for the device that it names, with options that the device will take."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from qiskit_ibm_runtime.fake_provider import FakeNairobiV2

from qdm_qiskit.errors import InvalidOption, InvalidPlan, QdmError, TargetUnavailable
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.hardware.plan.plan_file import read_plan, write_plan
from qdm_qiskit.hardware.plan.prepare import PlanConfig, draft_plan, make_plan
from qdm_qiskit.hardware.plan.run_plan import ExecutionOptions
from qdm_qiskit.hardware.plan.target_choice import FallbackPolicy, plan_on_first
from qdm_qiskit.hardware.run.commands import submit_run
from tests.helpers import write_run

QUICK = {"num_images": 1, "shots": 20, "layout_trials": 1, "optimization_level": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "r")


def device(name: str, called: str | None = None):
    found = load_backend(name)
    found.name = called or name
    return found


def recalibrated(name: str):
    """The snapshot of that name on another day."""
    found = load_backend(name)
    properties = found.properties()
    properties.last_update_date = properties.last_update_date.replace(year=1999)
    found.properties = lambda *_, **__: properties
    return found


WRONG = [
    ("local:fake_torino", lambda: device("fake_nairobi"), "'fake_nairobi' \\(7 qubits"),
    ("noisy:fake_torino", lambda: device("fake_fez"), "'fake_fez' \\(156 qubits"),
    ("local:fake_nairobi", lambda: device("fake_lagos"), "'fake_lagos' \\(7 qubits"),
    ("local:fake_torino", lambda: device("fake_torino", "ibm_torino"), "'ibm_torino'"),
    ("local:fake_lagos", lambda: device("fake_nairobi", "fake_lagos"), "calibrated"),
    ("local:fake_nairobi", lambda: recalibrated("fake_nairobi"), "calibrated 1999"),
    ("engine", lambda: device("fake_nairobi"), "'engine' has no device"),
    ("aer", lambda: device("fake_nairobi"), "'aer' has no device"),
    ("ibm:ibm_fez", lambda: device("fake_torino", "ibm_torino"), "got 'ibm_torino'"),
    ("ibm:ibm_torino", lambda: device("fake_torino"), "got 'fake_torino'"),
    ("ibm:least_busy", lambda: device("fake_torino"), "got 'fake_torino'"),
]


@pytest.mark.parametrize(("target", "backend", "says"), WRONG)
def test_a_backend_that_is_not_the_targets_is_refused(run, tmp_path, target, backend, says):
    config = PlanConfig(targets=(target,), **QUICK)
    with pytest.raises(InvalidOption, match=says) as told:
        make_plan(run, config, root=tmp_path, backend=backend())
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "backend"),
    [
        ("local:fake_nairobi", lambda: device("fake_nairobi")),
        ("ibm:ibm_nairobi", lambda: device("fake_nairobi", "ibm_nairobi")),
    ],
)
def test_the_targets_own_backend_is_taken(run, tmp_path, target, backend):
    config = PlanConfig(targets=(target,), **QUICK)
    plan = make_plan(run, config, root=tmp_path, backend=backend())
    assert (plan.target, plan.backend) == (target, target.partition(":")[2])


@pytest.mark.parametrize(
    ("attribute", "value"), [("error", 0.49), ("duration", 1e-6), ("error", None)]
)
def test_a_snapshot_with_other_numbers_is_not_taken_for_the_snapshot(
    run, tmp_path, attribute, value
):
    """The plan would be made of the library's own, and the numbers left out in silence."""
    backend = FakeNairobiV2()
    config = PlanConfig(targets=("local:fake_nairobi",), **QUICK)
    assert make_plan(run, config, root=tmp_path / "own", backend=backend).backend == backend.name
    setattr(backend.target["measure"][(3,)], attribute, value)
    with pytest.raises(InvalidOption, match="other errors or durations") as told:
        make_plan(run, config, root=tmp_path / "changed", backend=backend)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", [None, "least_busy"])
def test_a_qpu_without_a_name_of_its_own_is_refused(run, tmp_path, name):
    config = PlanConfig(targets=("ibm:least_busy",), **QUICK)
    backend = device("fake_nairobi")
    backend.name = name
    with pytest.raises(QdmError, match=r"backend.name|'least_busy'"):
        make_plan(run, config, root=tmp_path, backend=backend)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "best"},
        {"mode": "sessions"},
        {"mitigation": "M3"},
        {"calibration_method": "marginal"},
        {"calibration_shots": 2.5},
        {"num_images": 1.0},
        {"shots": "20"},
        {"shots": True},
        {"layout_trials": 2.0},
        {"seed": None},
        {"label": 1.5},
        {"budget": 5},
        {"seconds": "7"},
        {"precision": "0.1"},
        {"options": None},
        {"options": {"twirl_gates": True}},
        {"targets": "engine"},
        {"targets": None},
        {"targets": (3,)},
    ],
)
def test_what_a_plan_could_not_hold_is_refused_by_its_option(changes):
    [name] = changes
    with pytest.raises(QdmError, match=name) as told:
        PlanConfig(**{"targets": ("engine",), **changes})
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"dynamical_decoupling": "XY8"},
        {"dynamical_decoupling": True},
        {"twirl_gates": "no"},
        {"twirl_measure": 1},
        {"rep_delay_seconds": "1"},
        {"max_execution_seconds": 10.5},
    ],
)
def test_what_are_no_options_of_the_sampler_is_refused(changes):
    with pytest.raises(InvalidOption, match=next(iter(changes))) as told:
        ExecutionOptions(**changes)
    assert "\n" not in str(told.value)


def test_targets_may_be_a_list(run, tmp_path):
    plan = make_plan(run, PlanConfig(targets=["engine", "aer"], **QUICK), root=tmp_path)
    assert read_plan(plan.folder) == plan


def test_a_target_that_was_not_asked_for_is_refused(run):
    with pytest.raises(InvalidOption, match="got 'engine'"):
        draft_plan(run, PlanConfig(targets=("aer",), **QUICK), target="engine")


@pytest.mark.parametrize(
    "changes",
    [
        {"backend": "fake_fez"},
        {"target": "noisy:fake_nairobi"},
        {"targets": ("engine",)},
        {"target": "ibm:ibm_nairobi", "targets": ("ibm:least_busy",)},
    ],
)
def test_no_plan_says_one_device_and_means_another(run, tmp_path, changes):
    plan = draft_plan(run, PlanConfig(targets=("local:fake_nairobi",), **QUICK)).plan
    write_plan(plan, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan
    write_plan(dataclasses.replace(plan, **changes), tmp_path / "plan.json")
    with pytest.raises(InvalidPlan, match=r"target is one of|which the target names"):
        read_plan(tmp_path / "plan.json")


def test_an_engine_without_its_gpu_is_not_planned(run, tmp_path):
    import torch

    config = PlanConfig(targets=("engine:cuda",), **QUICK)
    if torch.cuda.is_available():
        assert make_plan(run, config, root=tmp_path).backend == "engine"
    else:
        with pytest.raises(TargetUnavailable, match="CUDA"):
            make_plan(run, config, root=tmp_path)


OPTIONS = [
    {"dynamical_decoupling": "XX"},
    {"dynamical_decoupling": "XY4"},
    {"twirl_gates": True},
    {"twirl_measure": True},
    {"rep_delay_seconds": 0.0},
    {"max_execution_seconds": 100},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("target", ["engine", "aer", "noisy:fake_nairobi", "local:fake_nairobi"])
def test_options_that_a_simulation_leaves_out_are_refused_when_planned(
    run, tmp_path, target, options
):
    config = PlanConfig(targets=(target,), options=ExecutionOptions(**options), **QUICK)
    [name] = options
    with pytest.raises(InvalidOption, match=f"'{target}' simulates without .* got {name}=") as told:
        make_plan(run, config, root=tmp_path)
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_falling_back_on_a_simulation_says_what_is_left_out(run, tmp_path):
    def none(_: object) -> None:
        raise TargetUnavailable("paused.")

    config = PlanConfig(
        targets=("ibm:ibm_fez", "aer"),
        options=ExecutionOptions(dynamical_decoupling="XpXm", twirl_gates=True),
        mitigation="m3",
        **QUICK,
    )
    plan = plan_on_first(run, config, FallbackPolicy(), root=tmp_path, look=none)
    assert plan.options == ExecutionOptions()
    assert "so no options of IBM's Sampler" in plan.decisions[-1].reason
    assert "so no mitigation" in plan.decisions[-1].reason
    assert submit_run(plan.folder).state == "done"


@pytest.mark.parametrize(("most", "good"), [(2, False), (4, True)])
def test_a_time_limit_that_would_cancel_a_job_is_refused(run, tmp_path, most, good):
    options = ExecutionOptions(max_execution_seconds=most)
    config = PlanConfig(targets=("ibm:ibm_nairobi",), options=options, **{**QUICK, "shots": 4000})
    backend = device("fake_nairobi", "ibm_nairobi")
    if good:
        assert make_plan(run, config, root=tmp_path, backend=backend).options == options
    else:
        with pytest.raises(InvalidOption, match="max_execution_seconds=2 cancels step-0003"):
            make_plan(run, config, root=tmp_path, backend=backend)


SETTINGS = [
    {},
    {"mode": "session"},
    {"mitigation": "m3", "calibration_method": "independent", "calibration_shots": 300},
    {"schedule": "variance"},
    {"seconds": 7.0},
    {"budget": "nobody"},
    {"label": 0},
    {"seed": 2**64 + 5},
    {"options": ExecutionOptions(twirl_gates=True)},
]


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("target", ["engine", "aer", "noisy:fake_nairobi", "local:fake_nairobi"])
def test_what_can_be_planned_can_be_submitted(run, tmp_path, target, settings):
    try:
        plan = make_plan(run, PlanConfig(targets=(target,), **QUICK, **settings), root=tmp_path)
    except QdmError:
        return  # refused before anything was written
    assert submit_run(plan.folder).state == "done"
