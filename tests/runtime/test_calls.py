"""Runs of several calls a step on the local service: estimated, paid once, killed, taken up again."""

# ruff: noqa: F811 (a fixture of another file is an argument here)

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qdm_qiskit.errors import BudgetExceeded
from qdm_qiskit.evaluation.hardware_run import hardware_report
from qdm_qiskit.hardware.ibm.account import connect
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.run.commands import resume_run, submit_run
from qdm_qiskit.hardware.run.replay import replay
from tests.helpers import write_run
from tests.runtime.conftest import BACKEND, check_budget, clean
from tests.runtime.server import LocalServer
from tests.runtime.test_kills import (
    Forge,
    Undisturbed,
    check_account,
    check_same,
    forge,  # noqa: F401 (a fixture)
    fresh,
    go_on,
    killed_at,
    left_alone,
    moments,
    next_call,
)


@pytest.fixture(scope="session")
def filters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """QU-Net on 2 x 2 pixels: four calls a step."""
    folder = tmp_path_factory.mktemp("trained") / "qu-net"
    return write_run(folder, "qu_net", levels=2, num_steps=1)


@pytest.fixture
def make(server: LocalServer, root: Path, filters: Path) -> Callable[..., RunPlan]:
    """`make(shots=..., ...)`: a plan for the server's device, in `root`."""

    def plan(run: Path = filters, **changes: object) -> RunPlan:
        config: dict[str, object] = {
            "targets": (f"ibm:{BACKEND}",),
            "budget": "qpu",
            "num_images": 1,
            "shots": 64,
            "calibration_shots": 128,
            "layout_trials": 1,
            **changes,
        }
        backend = connect().backend(BACKEND)
        return make_plan(run, PlanConfig(**config), root=root, backend=backend)  # type: ignore

    return plan


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"shots": 2048, "num_images": 2, "mitigation": "m3"}, marks=pytest.mark.slow),
    ],
)
def test_the_estimate_is_within_a_fifth_of_the_charge(server, root, make, changes):
    plan = make(**changes)
    assert submit_run(plan.folder).state == "done"
    check_account(server, root, plan.num_jobs)
    paid = server.ledger()["charged_seconds"]
    assert abs(plan.total_seconds - paid) < 0.2 * paid
    for job in hardware_report(plan.folder)[0].jobs:
        assert abs(job.estimated - job.charged) < 0.2 * job.charged
    assert replay(plan.folder).difference == 0.0


def test_a_budget_that_does_not_allow_all_jobs_sends_none(server, root, make):
    plan = make()
    ledger = Ledger.open(root)
    ledger.set_budget("qpu", seconds=plan.total_seconds - 0.5)
    ledger.close()
    with pytest.raises(BudgetExceeded):
        submit_run(plan.folder)
    assert server.ledger()["jobs"] == []
    ledger = Ledger.open(root)
    assert ledger.budget("qpu").reserved_seconds == 0
    ledger.set_budget("qpu", seconds=plan.total_seconds + 1.0)
    ledger.close()
    assert submit_run(plan.folder).state == "done"
    check_budget(server, root)


@pytest.mark.slow
def test_parts_of_a_call_are_sent_before_the_first_is_waited_for(server, root, make, monkeypatch):
    from qdm_qiskit.hardware.plan import work

    monkeypatch.setattr(work, "MAX_EXECUTIONS", 2 * 64)
    plan = make()
    parts = [each.name for each in plan.calls.jobs if each.number == 1]
    assert len(parts) == 2
    assert submit_run(plan.folder).state == "done"
    ledger = Ledger.open(root)
    events = [(row["part"], row["kind"]) for row in ledger.events(plan.run_id)]
    ledger.close()
    second, first = events.index((parts[1], "submitted")), events.index((parts[0], "collected"))
    assert second < first
    # Rows of equal pixels make parts of equal circuits, each a job of its own.
    tags = server.ledger()["by_tag"].values()
    assert [(each["submitted"], each["paid"]) for each in tags] == [(1, 1)] * plan.num_jobs
    check_budget(server, root)
    assert replay(plan.folder).difference == 0.0


# -- kills ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def undisturbed_calls(
    running_server: LocalServer,
    filters: Path,
    forge: Forge,
    tmp_path_factory: pytest.TempPathFactory,
) -> Undisturbed:
    return undisturbed(running_server, filters, forge, tmp_path_factory, BACKEND)


def undisturbed(
    server: LocalServer,
    run: Path,
    forge: Forge,
    tmp_path_factory: pytest.TempPathFactory,
    device: str,
    **options: object,
) -> Undisturbed:
    """A run of a model that nobody kills."""
    clean(server)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.env.items():
            patch.setenv(name, value)
        config: dict[str, object] = {
            "targets": (f"ibm:{device}",),
            "budget": "qpu",
            "num_images": 1,
            "shots": 64,
            "layout_trials": 1,
            **options,
        }
        template = make_plan(
            run,
            PlanConfig(**config),  # type: ignore[arg-type]
            root=tmp_path_factory.mktemp("plans"),
            backend=connect().backend(device),
        ).folder
    return left_alone(server, forge, template, tmp_path_factory)


@pytest.mark.parametrize(
    ("kind", "which", "side"),
    [
        ("submitted", 1, "before"),
        pytest.param("collected", 2, "before", marks=pytest.mark.slow),
    ],
    ids=["second call answered and not written down", "third call's counts saved"],
)
def test_killed_within_a_step_it_pays_no_call_twice(
    server,
    forge,
    undisturbed_calls,
    tmp_path,
    kind,
    which,
    side,
):
    root = fresh(server, tmp_path, undisturbed_calls, "again")
    killed_at(forge, root, undisturbed_calls, moments(undisturbed_calls, kind)[which], side)
    go_on(forge, root, undisturbed_calls)
    check_same(server, root, undisturbed_calls)
    assert replay(root / undisturbed_calls.run).difference == 0.0


def random_kills(
    server: LocalServer,
    forge: Forge,
    expected: Undisturbed,
    folder: Path,
    kills: int,
    seed: int = 20,
) -> None:
    """Kill runs at random moments until so many kills met a living process."""
    rng = random.Random(seed)
    done, runs = 0, 0
    while done < kills:
        root = fresh(server, folder, expected, f"random-{runs}")
        server.fault(method="POST", path="^/jobs$", delay_answer=0.1, times=1000)
        runs += 1
        status, longest = -signal.SIGKILL, 0.8 * expected.seconds
        while status == -signal.SIGKILL:
            pid, out = forge.start(next_call(root, expected), root, expected.run)
            time.sleep(rng.uniform(0.02, longest))
            longest *= 1.05
            forge.kill(pid)
            status = forge.wait(pid)
            done += status == -signal.SIGKILL
        assert status == 0, out.with_suffix(".err").read_text()[-3000:]
        check_same(server, root, expected)
    print(f"{done} kills in {runs} runs")


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_qu_net_killed_at_random_moments(server, forge, undisturbed_calls, tmp_path):
    random_kills(server, forge, undisturbed_calls, tmp_path, 40)


def check_estimate(expected: Undisturbed) -> None:
    """The plan's QPU seconds are within a fifth of what the service charged."""
    estimated = read_plan(expected.folder).total_seconds
    assert abs(estimated - expected.charged) < 0.2 * expected.charged


STATES = {
    "cacioppo": {"depths": (2, 2, 2), "num_steps": 2},
    "qamp_december": {"depths": (2, 2, 2), "num_steps": 2, "width": 8, "num_qubits": 2},
}
"""Models whose states are told by tomography between the calls of a step."""
SMALL_QAMP = {"num_steps": 1, "image_size": 4, "width": 8, "num_qubits": 2}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("qamp_december", {**SMALL_QAMP, "depths": (2, 2, 2)}),
        ("qamp_january", {**SMALL_QAMP, "reps": 1, "num_observables": 3}),
    ],
)
def test_the_estimate_of_qamps_models_is_within_a_fifth_of_the_charge(
    server, forge, tmp_path_factory, model, options
):
    run = write_run(tmp_path_factory.mktemp("trained") / model, model, **options)
    check_estimate(undisturbed(server, run, forge, tmp_path_factory, BACKEND, shots=400))


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("model", STATES)
def test_models_of_states_killed_at_random_moments(
    server, forge, tmp_path_factory, tmp_path, model
):
    run = write_run(tmp_path_factory.mktemp("trained") / model, model, **STATES[model])
    expected = undisturbed(server, run, forge, tmp_path_factory, BACKEND, shots=400)
    check_estimate(expected)
    random_kills(server, forge, expected, tmp_path, 30)


@pytest.fixture(scope="module")
def large_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A device of 16 qubits, for circuits of twelve."""
    with LocalServer(tmp_path_factory.mktemp("large"), devices=["guadalupe"]) as server:
        yield server


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_de_falcos_net_killed_at_random_moments(large_server, tmp_path_factory, tmp_path):
    folder = tmp_path_factory.mktemp("trained") / "de-falco"
    run = write_run(folder, "hybrid_unet", image_size=28, circuits=1, layers=1, num_steps=10)
    forge = Forge(tmp_path_factory.mktemp("forge"), large_server.env)
    try:
        expected = undisturbed(
            large_server,
            run,
            forge,
            tmp_path_factory,
            "ibm_guadalupe",
            scheduler="ddim",
            num_inference_steps=2,
        )
        check_estimate(expected)
        random_kills(large_server, forge, expected, tmp_path, 40)
    finally:
        forge.close()


def test_a_run_goes_on_in_another_process(server, root, make):
    plan = make()
    assert submit_run(plan.folder, detach=True).state == "running"
    state = resume_run(root, plan.run_id)
    assert state.state == "done"
    check_account(server, root, plan.num_jobs)
    assert (plan.folder / "manifest.json").exists()
