"""Runs whose steps are several circuit calls: sent, stopped at every write, resumed, replayed."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from qdm_qiskit.errors import (
    BudgetExceeded,
    InvalidData,
    InvalidOption,
    InvalidPlan,
    MissingData,
    QdmError,
)
from qdm_qiskit.evaluation.hardware_run import hardware_report
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.ledger.run_files import read_counts
from qdm_qiskit.hardware.ledger.store import Store, Transaction
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.planned_files import read_all_circuits
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.providers.base import Provider, Status
from qdm_qiskit.hardware.providers.requests import JobRequest
from qdm_qiskit.hardware.run.call_chain import CallChain
from qdm_qiskit.hardware.run.commands import collect_run, resume_run, run_state, submit_run
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.reports.hardware_plan import plan_lines, plan_summary
from qdm_qiskit.reports.hardware_render import render_markdown
from qdm_qiskit.sampling import Ask, Sampler, SamplingConfig, load_run, sample
from tests.hardware.folder_provider import draw
from tests.hardware.reading_model import TwoReadings, write_reading_run
from tests.helpers import images_of, write_run

DEVICE = "local:fake_nairobi"


class Killed(BaseException):
    """Stands for the end of a process: nothing of the package catches it."""


@pytest.fixture(scope="module")
def filters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """QU-Net on 2 x 2 pixels: four calls a step, each of another circuit."""
    folder = tmp_path_factory.mktemp("runs") / "qu-net"
    return write_run(folder, "qu_net", levels=2, num_steps=2)


@pytest.fixture
def readings(tmp_path: Path) -> Path:
    return write_reading_run(tmp_path / "readings")


def planned(run: Path, root: Path, target: str = "engine", **changes: object) -> RunPlan:
    options: dict[str, object] = {
        "targets": (target,),
        "num_images": 2,
        "shots": 50,
        "calibration_shots": 500,
        "layout_trials": 1,
        "optimization_level": 1,
        **changes,
    }
    sampler = options.pop("sampler", None)
    return make_plan(run, PlanConfig(**options), root=root, sampler=sampler)  # type: ignore[arg-type]


def copied(plan: RunPlan, root: Path) -> RunPlan:
    folder = shutil.copytree(plan.folder, root / plan.run_id)
    return dataclasses.replace(plan, folder=folder)


@contextmanager
def killed_at(number: int, side: str) -> Iterator[tuple[list[int], list[str]]]:
    """Die before, within or after the nth transaction of the ledger, or before the nth file has its
    name; 0 never.
    """
    count, files = [0], []
    write, commit, rename = Store.write, Store._commit, os.replace

    @contextmanager
    def counted(self: Store) -> Iterator[Transaction]:
        if count[0] + 1 == number and side == "before":
            raise Killed
        with write(self) as tx:
            yield tx
        if tx.changes:
            count[0] += 1
            if count[0] == number and side == "after":
                raise Killed

    def committed(self: Store, *arguments: object) -> None:
        if count[0] + 1 == number and side == "within":
            raise Killed
        commit(self, *arguments)  # type: ignore[arg-type]

    def named(source: str, target: str, **more: object) -> None:
        files.append(Path(target).name)
        if len(files) == number and side == "unnamed":
            raise Killed
        rename(source, target, **more)  # type: ignore[arg-type]

    Store.write, Store._commit, os.replace = counted, committed, named  # type: ignore
    try:
        yield count, files
    finally:
        Store.write, Store._commit, os.replace = write, commit, rename  # type: ignore


# --- what is planned and sent -------------------------------------------------------------------


def test_a_step_is_a_job_for_each_question_and_a_call_has_rows_of_all_patches(filters, tmp_path):
    plan = planned(filters, tmp_path)
    jobs = plan.calls.jobs
    assert [each.name for each in jobs[:4]] == [f"step-0002-{k:02d}" for k in (1, 2, 3, 4)]
    assert plan.num_jobs == len(jobs) == 8
    assert len(plan.calls.circuits) == 4
    # 2 images of 2 x 2 patches, and of one where the picture is pooled.
    rows = {call.name: call.rows for job in jobs for call in job.calls}
    assert sorted(rows.values()) == [2, 8, 8, 8]
    assert plan.num_circuits == 2 * 26
    assert plan.total_shots == 50 * 52
    assert json.loads((plan.folder / "plan.json").read_text())["schema"] == "qdm-run-plan/2"
    assert read_plan(plan.folder) == plan
    text = "\n".join(plan_lines(plan))
    assert "4 distinct circuits" in text
    assert "in all     8 jobs, 52 circuits, 2600 shots" in text
    assert len(plan_summary(plan)["calls"]["jobs"]) == 8


def test_a_model_of_one_circuit_is_planned_as_it_was(tmp_path):
    plan = planned(write_run(tmp_path / "r"), tmp_path / "root")
    whole = json.loads((plan.folder / "plan.json").read_text())
    assert whole["schema"] == "qdm-run-plan/1"
    assert "calls" not in whole["content"]


@pytest.mark.parametrize("target", ["engine", "aer", DEVICE])
def test_a_run_ends_with_images_that_a_replay_finds_again(filters, tmp_path, target):
    plan = planned(filters, tmp_path, target)
    state = submit_run(plan.folder)
    assert (state.state, state.step, state.jobs) == ("done", 0, plan.num_jobs)
    found = replay(plan.folder)
    assert found.done
    assert found.difference == 0.0
    for step in found.steps:
        assert len(step.job_id.split()) == 4
        noise = 1.25 * step.shot_distance
        assert step.raw_distance < noise if target != DEVICE else step.raw_distance > noise
    page, pictures = hardware_report(plan.folder)
    assert page.equal
    assert len(page.jobs) == 8
    assert pictures.exact.shape == pictures.trajectory.shape == (3, 2, 1, 2, 2)


@pytest.mark.parametrize("target", ["engine", "aer"])
def test_expectation_values_come_to_the_exact_ones_as_shots_grow(readings, tmp_path, target):
    """And the exact chain is that of `qdm sample`: two ways to every number."""
    exact = sample(load_run(readings), SamplingConfig(target="engine", num_images=2, seed=1))
    errors = []
    for shots in (100, 10_000):
        plan = planned(readings, tmp_path / str(shots), target, seed=1, shots=shots)
        submit_run(plan.folder)
        errors.append(np.sqrt(np.mean((images_of(plan.folder) - exact.images) ** 2)))
    assert errors[1] < 0.3 * errors[0]  # a tenth in the mean
    chain = CallChain(plan)
    while chain.left:
        chain.advance_exactly()
    np.testing.assert_allclose(chain.images(), exact.images, atol=1e-6)


def test_the_page_has_the_standard_errors_of_the_calls(readings, tmp_path):
    """They fall as 1/sqrt(shots)."""
    errors = []
    for shots in (100, 10_000):
        plan = planned(
            readings, tmp_path / str(shots), shots=shots, scheduler="ddim", num_inference_steps=2
        )
        submit_run(plan.folder)
        page, _ = hardware_report(plan.folder)
        errors.append(np.array([each["standard_error"] for each in page.steps]))
        assert all(each["kept"] is None for each in page.steps)
        text = render_markdown(page.to_dict())
        assert "| standard error of outputs |" in text
        assert "## Standard errors" in text
        for each in page.steps:  # of each call, beside that of all
            own = each["call_errors"]
            assert set(own) == {call.name for job in plan.calls.jobs for call in job.calls}
            assert min(own.values()) <= each["standard_error"] <= max(own.values())
            assert all(f"| {name} | 0." in text for name in own)
    np.testing.assert_allclose(errors[0] / errors[1], 10, rtol=0.15)
    # An output is at most 1.5 and at least some hundredths away from certainty.
    assert (errors[1] < 1.5 / 100).all()
    assert (errors[1] > 0.2 / 100).all()


@pytest.mark.slow
def test_the_page_has_the_errors_of_trained_observables(tmp_path):
    options = {"num_qubits": 2, "width": 8, "reps": 1, "num_observables": 2}
    run = write_run(tmp_path / "r", "qamp_january", image_size=4, num_steps=1, **options)
    plan = planned(run, tmp_path, shots=400)
    submit_run(plan.folder)
    page, _ = hardware_report(plan.folder)
    [step] = page.steps
    assert set(step["call_errors"]) == {
        "blocks",
        "blocks.observable0",
        "blocks.observable1",
        "blocks.observables",  # values of the two circuits before it
    }
    assert 0 < step["call_errors"]["blocks.observables"] < 1
    assert "| blocks.observables | 0." in render_markdown(page.to_dict())


def test_circuits_of_bases_have_the_exact_distributions_on_the_device(readings, tmp_path):
    """Layout, turns and order of bits: the device's circuits, computed without noise."""
    from qiskit_aer import AerSimulator

    from qdm_qiskit.hardware.run.call_chain import PlannedTarget

    plan = planned(readings, tmp_path, DEVICE)
    circuits, _ = read_all_circuits(plan)
    assert len(circuits) == len(plan.calls.circuits) == 2 * 3  # ZZ with ZI, IX with XI, YY
    assert {each.letters for each in plan.calls.circuits} == {"ZZ", "XX", "YY"}
    seen = []

    class Stop(Exception):
        pass

    def look(jobs):
        seen.extend(jobs)
        raise Stop

    with pytest.raises(Stop):
        CallChain(plan).walk(PlannedTarget(plan, look))
    [job] = seen
    simulator = AerSimulator()
    for (circuit, values), exact in zip(
        job.pubs(circuits.__getitem__), job.distributions(), strict=True
    ):
        for row, expected in zip(values, exact, strict=True):
            bound = circuit.assign_parameters(row)
            bits = bound.remove_final_measurements(inplace=False)
            assert bits.num_clbits == 0
            shots = 40_000
            counts = simulator.run(bound, shots=shots, seed_simulator=5).result().get_counts()
            found = np.zeros(4)
            for key, count in counts.items():
                found[int(key, 2)] = count / shots
            sigma = np.sqrt(expected * (1 - expected) / shots)
            assert (np.abs(found - expected) < 5 * sigma + 1e-9).all()


def test_readout_mitigation_takes_one_calibration_for_all_calls(readings, tmp_path):
    plan = planned(
        readings, tmp_path, DEVICE, mitigation="m3", num_inference_steps=2, scheduler="ddim"
    )
    assert plan.calibration.circuits == 4
    assert len(plan.measured_qubits) == 2
    submit_run(plan.folder)
    assert [p.name for p in plan.folder.glob("calibration-*.json")] == ["calibration-0001.json"]
    found = replay(plan.folder)
    assert found.difference == 0.0
    assert all(each.calibration == "calibration-0001" for each in found.steps)
    raw = np.mean([each.raw_distance for each in found.steps])
    assert all(each.mitigated_distance is not None for each in found.steps)
    assert raw > 0


# --- samplers -----------------------------------------------------------------------------------


class Heun(Sampler):
    """A step of DDIM's direction, whose middle is asked for too."""

    name = "test-heun"

    def timesteps(self, process, steps):
        return [4, 2]

    def step(self, x, prediction, here):
        if not here.tried and here.following:
            return Ask(x - 0.1 * prediction, here.following)
        return x - 0.1 * (here.tried[0].prediction if here.tried else prediction)


def test_a_sampler_makes_a_run_of_as_many_steps(readings, tmp_path):
    plan = planned(readings, tmp_path, num_inference_steps=2, scheduler="ddim", eta=0.5, seed=4)
    times = [each.step for each in plan.steps]
    assert len(times) == 2
    assert times[0] == 4
    assert [each.name for each in plan.calls.jobs][:2] == ["step-0004-01", "step-0004-02"]
    state = submit_run(plan.folder)
    assert (state.state, state.total_steps, state.step) == ("done", 2, 0)
    assert replay(plan.folder).difference == 0.0
    # The same chain, exactly, by `qdm sample`.
    config = SamplingConfig(
        target="engine", num_images=2, seed=4, scheduler="ddim", num_inference_steps=2, eta=0.5
    )
    expected = sample(load_run(readings), config)
    chain = CallChain(plan)
    while chain.left:
        chain.advance_exactly()
    np.testing.assert_allclose(chain.images(), expected.images, atol=1e-6)


def test_a_sampler_object_that_asks_twice_a_step_is_given_again(readings, tmp_path):
    plan = planned(readings, tmp_path, sampler=Heun())
    names = {call.name for job in plan.calls.jobs for call in job.calls}
    assert names == {"first", "second", "first@2", "second@2"}
    assert [each.name for each in plan.calls.jobs] == [
        *(f"step-0004-{k:02d}" for k in (1, 2, 3, 4)),
        *(f"step-0002-{k:02d}" for k in (1, 2)),
    ]
    with pytest.raises(MissingData, match="give it again"):
        submit_run(plan.folder)
    assert not list(plan.folder.glob("steps/*"))
    submit_run(plan.folder, sampler=Heun())
    assert replay(plan.folder, sampler=Heun()).difference == 0.0

    class Other(Heun):
        def timesteps(self, process, steps):
            return [4, 1]

    with pytest.raises(InvalidPlan, match="not the one of the plan"):
        replay(plan.folder, sampler=Other())


def test_a_model_of_one_circuit_takes_a_sampler_too(tmp_path):
    run = write_run(tmp_path / "r", process="gaussian", goal="noise")
    plan = planned(run, tmp_path / "root", num_inference_steps=2, scheduler="ddim", shots=400)
    assert [each.name for each in plan.calls.jobs] == [
        "step-0003",
        f"step-{plan.steps[1].step:04d}",
    ]
    submit_run(plan.folder)
    assert replay(plan.folder).difference == 0.0


# --- stopped and taken up again -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "every"),
    [(1, 7), pytest.param(1, 1, marks=pytest.mark.slow)],
    ids=["some writes", "every write"],
)
def test_killed_at_any_write_it_ends_with_the_same_images(readings, tmp_path, first, every):
    """At transactions of the ledger, before, within and after each in turn, and at files."""
    plan = planned(readings, tmp_path / "fresh", num_inference_steps=2, scheduler="ddim")
    whole = copied(plan, tmp_path / "whole")
    with killed_at(0, "") as (writes, files):
        submit_run(whole.folder)
    sides = ("before", "within", "after")
    points = [(n, sides[n % 3]) for n in range(first, writes[0] + 1, every)]
    points += [(n, "unnamed") for n in range(first, len(files) + 1, every)]
    assert len(points) > (4 if every > 1 else 30)
    for number, side in points:
        again = copied(plan, tmp_path / f"killed-{number}-{side}")
        with pytest.raises(Killed), killed_at(number, side):
            submit_run(again.folder)
        state = submit_run(again.folder)
        assert (state.state, state.jobs) == ("done", 4), (number, side)
        np.testing.assert_array_equal(images_of(again.folder), images_of(whole.folder))
        assert replay(again.folder).difference == 0.0
        ledger = Ledger.open(again.folder.parent)
        assert not [row for row in ledger.reservations(again.run_id) if row["state"] == "held"]
        ledger.close()


def test_detached_it_stops_at_the_first_call_without_counts(readings, tmp_path, monkeypatch):
    from qdm_qiskit.hardware.providers.local import LocalProvider

    monkeypatch.setattr(LocalProvider, "in_process", False)
    monkeypatch.setattr(
        LocalProvider, "status", lambda self, job_id: self.__dict__.get("now", "queued")
    )
    plan = planned(readings, tmp_path, num_inference_steps=2, scheduler="ddim")
    state = submit_run(plan.folder, detach=True)
    assert (state.state, state.step, state.jobs) == ("running", 2, 1)
    said: list[str] = []
    state = collect_run(tmp_path, plan.run_id, progress=lambda m: said.append(str(m)))
    assert (state.jobs, list(plan.folder.glob("steps/*"))) == (1, [])
    assert any("step-0004-01: not finished yet" in each for each in said)
    monkeypatch.setattr(LocalProvider, "status", lambda self, job_id: "done")
    # The first is fetched, and the second call of the step is the next that is sent.
    state = resume_run(tmp_path, plan.run_id, detach=True)
    ledger = Ledger.open(tmp_path)
    parts = [each.part for each in ledger.intentions(plan.run_id)]
    ledger.close()
    assert parts[:2] == ["step-0004-01", "step-0004-02"]
    assert resume_run(tmp_path, plan.run_id).state == "done"
    assert replay(plan.folder).difference == 0.0


def test_rows_beyond_a_jobs_limits_go_into_parts_and_come_together_again(
    filters, tmp_path, monkeypatch
):
    from qdm_qiskit.hardware.plan import work

    whole = planned(filters, tmp_path / "whole", DEVICE)
    monkeypatch.setattr(work, "MAX_EXECUTIONS", 150)  # three rows of 50 shots
    plan = planned(filters, tmp_path / "parts", DEVICE)
    first = [each.name for each in plan.calls.jobs if (each.step, each.number) == (2, 1)]
    assert first == [f"step-0002-01-part-{k:02d}" for k in (1, 2, 3)]
    assert max(each.circuits * each.shots for each in plan.calls.jobs) <= 150
    assert plan.num_circuits == whole.num_circuits
    overhead = plan.timing.overhead_seconds
    extra = (plan.num_jobs - whole.num_jobs) * overhead
    assert plan.total_seconds == pytest.approx(whole.total_seconds + extra)
    plan = planned(filters, tmp_path / "sent", "aer")
    assert plan.num_jobs > 8
    submit_run(plan.folder)
    found = replay(plan.folder)
    assert found.difference == 0.0
    # Each part ran its own rows: they are as far from the exact ones as shots leave them.
    assert all(each.raw_distance < 1.25 * each.shot_distance for each in found.steps)
    stored = read_counts(plan.folder / "steps" / "step-0002-01-part-03.npz")
    assert stored.counts[0].shape == (2, 16)


@pytest.mark.parametrize("target", ["engine", pytest.param(DEVICE, marks=pytest.mark.slow)])
def test_a_model_of_one_circuit_goes_into_parts_where_a_job_is_full(tmp_path, monkeypatch, target):
    from qdm_qiskit.hardware.plan import shots, work

    run = write_run(tmp_path / "r", num_steps=2)
    options = {"num_images": 5, "shots": 400, "calibration_shots": 100}
    if target == DEVICE:
        options["mitigation"] = "m3"
    whole = planned(run, tmp_path / "whole", target, **options)
    assert whole.calls is None
    for module in (shots, work):
        monkeypatch.setattr(module, "MAX_EXECUTIONS", 1_000)  # two images of 400 shots
    plan = planned(run, tmp_path / "parts", target, **options)
    names = [f"step-{step:04d}-part-{k:02d}" for step in (2, 1) for k in (1, 2, 3)]
    assert [each.name for each in plan.calls.jobs] == names
    assert (plan.num_circuits, plan.total_shots) == (whole.num_circuits, whole.total_shots)
    assert plan.calls.circuits[0].plan.two_qubit_gates == whole.circuit.two_qubit_gates
    assert submit_run(plan.folder).state == "done"
    found = replay(plan.folder)
    assert found.difference == 0.0
    if target == "engine":
        assert all(each.raw_distance < 1.25 * each.shot_distance for each in found.steps)
    exact = sample(load_run(run), SamplingConfig(num_images=5)).images
    np.testing.assert_allclose(hardware_report(plan.folder)[1].exact[-1], exact, atol=1e-6)


def test_a_step_that_a_job_holds_just_is_one_job_still(tmp_path, monkeypatch):
    from qdm_qiskit.hardware.plan import shots

    monkeypatch.setattr(shots, "MAX_EXECUTIONS", 100)
    assert planned(write_run(tmp_path / "r"), tmp_path / "root").calls is None


# --- what is refused ----------------------------------------------------------------------------


def test_counts_of_another_call_are_refused(readings, tmp_path):
    plan = planned(readings, tmp_path, num_inference_steps=2, scheduler="ddim")
    submit_run(plan.folder)
    steps = plan.folder / "steps"
    shutil.copy(steps / "step-0004-02.npz", tmp_path / "kept.npz")
    content = read_counts(steps / "step-0004-02.npz")
    from qdm_qiskit.hardware.ledger.run_files import write_counts

    (steps / "step-0004-02.npz").unlink()
    fewer = dataclasses.replace(content, counts=tuple(each[:1] for each in content.counts))
    write_counts(steps / "step-0004-02.npz", fewer)
    with pytest.raises(InvalidData, match=r"step-0004-02.*shape"):
        replay(plan.folder)


def test_a_model_that_calls_other_circuits_than_planned_is_refused(readings, tmp_path, monkeypatch):
    plan = planned(readings, tmp_path)
    forward = TwoReadings.forward

    def once(self, x, t, labels=None):
        return forward(self, x[:1], t[:1], labels).expand(x.shape)

    monkeypatch.setattr(TwoReadings, "forward", once)
    with pytest.raises(InvalidPlan, match="calls other circuits at step t=4"):
        submit_run(plan.folder)
    assert run_state(tmp_path, plan.run_id).jobs == 0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"schedule": "variance", "primitive": "estimator"}, "use 'uniform'"),
        ({"target": "local:fake_manila"}, "qubits"),
        ({"shots": 1}, None),
        ({"scheduler": "ddim", "num_inference_steps": 9}, "1 to 2|needs a model"),
        ({"seconds": 3.0, "target": DEVICE}, "QPU seconds already"),
        ({"seconds": 30.0}, "takes no QPU seconds"),
    ],
)
def test_what_cannot_be_planned_is_one_line(filters, tmp_path, changes, text):
    target = changes.pop("target", "engine")
    if text is None:
        assert planned(filters, tmp_path, target, **changes).num_jobs == 8
        return
    with pytest.raises(QdmError, match=text) as caught:
        planned(filters, tmp_path, target, **changes)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*-*-*-qu_net-*"))


def test_seconds_decide_the_shots(filters, tmp_path):
    plan = planned(filters, tmp_path, DEVICE, seconds=40.0)
    shots = plan.calls.jobs[0].shots
    assert plan.total_seconds <= 40.0
    more = planned(filters, tmp_path / "more", DEVICE, shots=shots + 1)
    assert more.total_seconds > 40.0


def test_a_single_shot_has_no_expectation_value(readings, tmp_path):
    with pytest.raises(InvalidOption, match="2 shots at least"):
        planned(readings, tmp_path, shots=1)


def test_the_engine_draws_other_shots_for_every_call(readings, tmp_path):
    plan = planned(readings, tmp_path)
    submit_run(plan.folder)
    counts = [
        read_counts(path).counts[0].tolist() for path in sorted((plan.folder / "steps").iterdir())
    ]
    assert len({json.dumps(each) for each in counts}) == len(counts)


# --- a user's provider --------------------------------------------------------------------------


class Shelf(Provider):
    """A user's service: jobs lie on a shelf, and some are lost."""

    name, device = "shelf", "one"
    lag_seconds = 0.0
    job_seconds, shot_seconds = 2.0, 0.001

    def __init__(self) -> None:
        self.jobs: dict[str, JobRequest] = {}
        self.tags: dict[str, str] = {}
        self.lost: set[str] = set()

    def submit(self, request: JobRequest, *, tag: str, max_seconds: int | None) -> str:
        job_id = f"job-{len(self.jobs) + 1}"
        self.jobs[job_id], self.tags[job_id] = request, tag
        return job_id

    def status(self, job_id: str) -> Status:
        return "lost" if job_id in self.lost else "done"

    def result(self, job_id: str, request: JobRequest) -> list[list[dict[str, int]]]:
        rng = np.random.default_rng(int(job_id.partition("-")[2]))
        return [
            [draw(circuit, row, request.shots, rng) for row in rows]
            for circuit, rows in request.pubs
        ]

    def usage(self, job_id: str) -> float:
        request = self.jobs[job_id]
        return 0.0 if job_id in self.lost else 2.0 + 0.001 * request.rows * request.shots

    def cancel(self, job_id: str) -> None:
        return None

    def find(self, tag: str) -> list[str]:
        return [job_id for job_id, own in self.tags.items() if own == tag]


def test_a_users_provider_loses_a_call_and_only_that_one_is_sent_again(readings, tmp_path):
    provider = Shelf()
    config = PlanConfig(num_images=2, shots=50, scheduler="ddim", num_inference_steps=2, budget="b")
    plan = make_plan(readings, config, root=tmp_path / "root", provider=provider)
    # Four jobs of 2 images in 3 bases.
    assert plan.total_seconds == pytest.approx(4 * (2.0 + 0.001 * 2 * 3 * 50))
    ledger = Ledger.open(tmp_path / "root")
    ledger.set_budget("b", seconds=plan.total_seconds - 0.01)
    with pytest.raises(BudgetExceeded):
        submit_run(plan.folder, provider=provider)
    assert provider.jobs == {}
    ledger.set_budget("b", seconds=2 * plan.total_seconds)
    provider.lost = {"job-2"}
    # It cost nothing, so the same command sends it again; the other calls are not.
    assert submit_run(plan.folder, provider=provider).state == "done"
    parts = [each.part for each in provider.jobs.values()]
    assert parts == [f"step-{t:04d}-{k:02d}" for t, k in ((4, 1), (4, 2), (4, 2))] + [
        f"step-{plan.steps[1].step:04d}-{k:02d}" for k in (1, 2)
    ]
    assert ledger.budget("b").spent_seconds == pytest.approx(plan.total_seconds)
    assert ledger.budget("b").reserved_seconds == 0
    ledger.close()
    assert replay(plan.folder).difference == 0.0
