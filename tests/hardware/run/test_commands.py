"""A run's life on targets of this machine: killed at every write, resumed, cancelled, read back."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from qdm_qiskit.errors import (
    BudgetExceeded,
    CalibrationMismatch,
    InvalidOption,
    InvalidPlan,
    LedgerBusy,
    MissingData,
)
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.ledger.run_files import (
    calibration_for,
    iso,
    read_calibrations,
    read_counts,
    taken_at,
)
from qdm_qiskit.hardware.ledger.store import Store, Transaction
from qdm_qiskit.hardware.plan.calibration_reuse import check_calibration, reusable
from qdm_qiskit.hardware.plan.planned_files import read_circuits
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.run_plan import ExecutionOptions, RunPlan
from qdm_qiskit.hardware.providers.context import RunContext
from qdm_qiskit.hardware.providers.local import LocalProvider
from qdm_qiskit.hardware.providers.requests import JobRequest
from qdm_qiskit.hardware.run.commands import (
    cancel_run,
    collect_run,
    resume_run,
    run_state,
    submit_run,
)
from qdm_qiskit.mitigation.readout import ReadoutCalibration
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from tests.helpers import images_of, write_run

DEVICE = "noisy:fake_nairobi"


class Killed(BaseException):
    """Stands for the end of a process: nothing of the package catches it."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "r")


def planned(trained: Path, root: Path, target: str = DEVICE, **changes: object) -> RunPlan:
    options: dict[str, object] = {
        "targets": (target,),
        "num_images": 3,
        "shots": 200,
        "mitigation": "m3" if target == DEVICE else "none",
        "calibration_shots": 500,
        "layout_trials": 1,
        "optimization_level": 1,
        **changes,
    }
    return make_plan(trained, PlanConfig(**options), root=root)  # type: ignore[arg-type]


def ledger_of(plan: RunPlan) -> Ledger:
    return Ledger.open(plan.folder.parent)


@contextmanager
def killed_at(number: int, side: str) -> Iterator[list[int]]:
    """Die before, within or after the nth transaction of the ledger; 0 never."""
    count = [0]
    write, commit = Store.write, Store._commit

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

    Store.write, Store._commit = counted, committed  # type: ignore[method-assign,assignment]
    try:
        yield count
    finally:
        Store.write, Store._commit = write, commit  # type: ignore[method-assign]


def test_a_chain_builds_its_simulator_once(trained, tmp_path, monkeypatch):
    """And a chain in several processes, each with its own, draws the same shots."""
    from qdm_qiskit.execution import factory
    from qdm_qiskit.execution.runner import CircuitRunner

    built: list[str] = []
    seeds: list[int | None] = []
    make, run = factory.make_runner, CircuitRunner.run

    def counted(target: str, *, seed: int) -> object:
        built.append(target)
        return make(target, seed=seed)

    def seeded(self: CircuitRunner, pubs: object, *, shots: int, seed: int | None = None) -> object:
        seeds.append(seed)
        return run(self, pubs, shots=shots, seed=seed)  # type: ignore[arg-type]

    monkeypatch.setattr(factory, "make_runner", counted)
    monkeypatch.setattr(CircuitRunner, "run", seeded)
    plan = planned(trained, tmp_path / "one")
    submit_run(plan.folder)
    assert built == [DEVICE]
    assert len(set(seeds)) == plan.num_jobs == 4
    other = planned(trained, tmp_path / "several")
    assert other.run_id == plan.run_id
    submit_run(other.folder, detach=True)
    resume_run(tmp_path / "several", other.run_id)
    assert len(built) == 3
    np.testing.assert_array_equal(images_of(other.folder), images_of(plan.folder))


@pytest.mark.parametrize(("process", "goal"), [("interpolated", "data"), ("gaussian", "noise")])
def test_the_images_are_those_of_qdm_sample(tmp_path, process, goal):
    """On the engine both draw the same shots: two ways to every number."""
    trained = write_run(tmp_path / "run", process=process, goal=goal)
    plan = planned(trained, tmp_path / "root", "engine", seed=5)
    state = submit_run(plan.folder)
    assert (state.state, state.step, state.jobs, state.seconds_charged) == ("done", 0, 3, 0.0)
    config = SamplingConfig(target="engine", num_images=3, shots=200, seed=5)
    expected = sample(load_run(trained), config)
    np.testing.assert_allclose(images_of(plan.folder), expected.images, atol=1e-6)
    with np.load(plan.folder / "images.npz") as arrays:
        np.testing.assert_allclose(arrays["trajectory"], expected.trajectory, atol=1e-6)


def test_shots_belong_to_the_part_and_not_to_the_process(trained, tmp_path):
    plan = planned(trained, tmp_path, mitigation="none")
    circuit, _ = read_circuits(plan)
    values = np.full((1, circuit.num_parameters), 0.3)

    def counts(part: str) -> list[int]:
        request = JobRequest(
            run_id=plan.run_id,
            part=part,
            pubs=[(circuit, values)],
            shots=500,
            options=plan.options,
            backend=plan.backend,
            nonce="0" * 16,
        )
        provider = LocalProvider("fake_nairobi")
        provider.begin(RunContext(plan=plan, ledger=ledger_of(plan)), detach=False)
        found: list[int] = provider.result("job", request)[0][0].tolist()
        return found

    assert counts("step-0002") == counts("step-0002")
    assert counts("step-0002") != counts("step-0001")
    assert counts("calibration-0001") != counts("step-0001")


def test_steps_take_one_job_each_and_the_calibration_one(trained, tmp_path):
    plan = planned(trained, tmp_path)
    said: list[str] = []
    state = submit_run(plan.folder, progress=said.append)
    assert state.jobs == plan.num_jobs == 4
    stored = read_counts(plan.folder / "steps" / "step-0002.npz")
    assert stored is not None
    assert stored.counts[0].shape == (3, 2**plan.circuit.qubits)
    assert (stored.counts[0].sum(axis=1) == 200).all()
    assert any("calibrating" in each for each in said)
    record = json.loads((plan.folder / "manifest.json").read_text())
    assert record["plan_sha256"] == plan.content_sha256
    assert len(record["jobs"]) == 4
    assert [row["kind"] for row in record["journal"]][-1] == "run-done"
    assert (plan.folder / "samples.png").stat().st_size > 0


@pytest.mark.slow
def test_killed_at_every_write_it_ends_with_the_same_images(trained, tmp_path):
    """Before, within and after each write in turn."""
    fresh = planned(trained, tmp_path / "fresh", "engine")

    def copied(name: str) -> RunPlan:
        folder = tmp_path / name / fresh.run_id
        shutil.copytree(fresh.folder, folder)
        return dataclasses.replace(fresh, folder=folder)

    whole = copied("whole")
    with killed_at(0, "") as writes:
        submit_run(whole.folder)
    assert writes[0] > 15
    for number in range(1, writes[0] + 1):
        plan = copied(f"killed-{number}")
        with pytest.raises(Killed), killed_at(number, ("before", "within", "after")[number % 3]):
            submit_run(plan.folder)
        state = submit_run(plan.folder)
        assert (state.state, state.jobs) == ("done", 3)
        np.testing.assert_array_equal(images_of(plan.folder), images_of(whole.folder))
        ledger = ledger_of(plan)
        assert ledger.notices == []
        assert len(ledger.intentions(plan.run_id)) == 3
        assert ledger.unsettled(plan.run_id) == ()
        assert {row["state"] for row in ledger.reservations(plan.run_id)} == {"settled"}


@pytest.mark.parametrize("number", [6, 9, 13])
def test_killed_with_mitigation_it_ends_with_the_same_images(trained, calibrated, tmp_path, number):
    whole = calibrated[0]
    plan = planned(trained, tmp_path / "killed")
    with pytest.raises(Killed), killed_at(number, "after"):
        submit_run(plan.folder)
    assert submit_run(plan.folder).jobs == 4
    np.testing.assert_array_equal(images_of(plan.folder), images_of(whole.folder))


def test_ctrl_c_leaves_the_run_resumable(trained, tmp_path, monkeypatch):
    plan = planned(trained, tmp_path, "engine")
    from qdm_qiskit.hardware.run.reverse_chain import PlannedChain

    original = PlannedChain.advance

    def interrupt(self: PlannedChain, probabilities: np.ndarray) -> None:
        if self.step == 2:
            raise KeyboardInterrupt
        original(self, probabilities)

    monkeypatch.setattr(PlannedChain, "advance", interrupt)
    with pytest.raises(KeyboardInterrupt):
        submit_run(plan.folder)
    state = run_state(tmp_path, plan.run_id)
    assert (state.state, state.step) == ("running", 2)
    assert ledger_of(plan).events(plan.run_id)[-1]["kind"] == "interrupted"
    monkeypatch.setattr(PlannedChain, "advance", original)
    assert resume_run(tmp_path, plan.run_id).state == "done"


def test_done_means_skip(trained, tmp_path):
    plan = planned(trained, tmp_path, "engine")
    submit_run(plan.folder)
    before = {p: p.stat().st_mtime_ns for p in plan.folder.rglob("*")}
    with killed_at(0, "") as writes:
        assert submit_run(plan.folder).state == "done"
        assert resume_run(tmp_path, plan.run_id).state == "done"
        assert collect_run(tmp_path, plan.run_id).state == "done"
    assert writes[0] == 0
    assert {p: p.stat().st_mtime_ns for p in plan.folder.rglob("*")} == before


def test_files_that_were_never_finished_are_swept_away(trained, tmp_path):
    plan = planned(trained, tmp_path, "engine")
    (plan.folder / "steps").mkdir()
    for left in (plan.folder / ".part-abc.npz", plan.folder / "steps" / ".part-def.npz"):
        left.write_bytes(b"half")
    assert submit_run(plan.folder).state == "done"
    assert list(plan.folder.rglob(".part-*")) == []


def test_a_run_that_was_not_submitted_is_not_resumed(trained, tmp_path):
    plan = planned(trained, tmp_path, "engine")
    with pytest.raises(MissingData, match="no ledger"):
        resume_run(tmp_path, plan.run_id)
    other = planned(trained, tmp_path, "engine", seed=1)
    submit_run(other.folder)
    with pytest.raises(MissingData, match="not in the ledger"):
        resume_run(tmp_path, plan.run_id)


def test_a_cancelled_run_gives_back_and_goes_on_if_asked(trained, tmp_path):
    plan = planned(trained, tmp_path, "engine")
    with pytest.raises(Killed), killed_at(8, "after"):
        submit_run(plan.folder)
    state = cancel_run(tmp_path, plan.run_id)
    assert state.state == "cancelled"
    assert state.reason is not None
    assert "cancelled" in state.reason
    held = [r for r in ledger_of(plan).reservations(plan.run_id) if r["state"] == "held"]
    assert held == []
    assert resume_run(tmp_path, plan.run_id).state == "done"


def test_one_process_at_a_time(trained, tmp_path):
    plan = planned(trained, tmp_path, "engine")
    with ledger_of(plan).run_lock(plan.run_id), pytest.raises(LedgerBusy, match=plan.run_id):
        submit_run(plan.folder)
    assert submit_run(plan.folder).state == "done"


def test_a_changed_or_moved_plan_is_refused(trained, tmp_path):
    plan = planned(trained, tmp_path, "engine")
    moved = tmp_path / "elsewhere"
    shutil.copytree(plan.folder, moved)
    with pytest.raises(InvalidPlan, match="another name"):
        submit_run(moved)
    (plan.folder / "inputs.npz").write_bytes(b"x")
    with pytest.raises(InvalidPlan, match="changed"):
        submit_run(plan.folder)


@pytest.mark.parametrize("moment", [0, 2], ids=["before the ledger has them", "after"])
def test_damaged_counts_are_fetched_again_at_once(trained, tmp_path, moment):
    plan = planned(trained, tmp_path, "engine")
    number, counts = 1, plan.folder / "steps" / "step-0003.npz"
    while not counts.exists():  # the first transaction after which they are there
        with pytest.raises(Killed), killed_at(number, "before"):
            submit_run(plan.folder)
        number += 1
    if moment:
        with pytest.raises(Killed), killed_at(moment, "after"):
            resume_run(tmp_path, plan.run_id)
    good, wanted = counts.read_bytes(), read_counts(counts)
    counts.write_bytes(good[: len(good) // 2])
    told: list[str] = []
    assert resume_run(tmp_path, plan.run_id, progress=told.append).state == "done"
    assert [each for each in told if "step-0003.npz" in each and "was damaged" in each]
    found = read_counts(counts)
    assert found is not None
    assert wanted is not None
    np.testing.assert_array_equal(found.counts[0], wanted.counts[0])
    [kept] = counts.parent.glob("step-0003.npz.damaged-*")
    assert kept.read_bytes() == good[: len(good) // 2]


def test_a_local_run_is_charged_to_no_budget(trained, tmp_path):
    plan = planned(trained, tmp_path, budget="lab")
    Ledger.open(tmp_path).set_budget("lab", seconds=0.0)
    assert submit_run(plan.folder).state == "done"
    assert ledger_of(plan).budget_history("lab") == []


def test_a_qpu_run_beyond_the_budget_is_refused_before_anything_is_sent(
    trained, tmp_path, monkeypatch
):
    from qdm_qiskit.execution.snapshots import load_backend
    from qdm_qiskit.hardware.run import driver as driven

    backend = load_backend("fake_nairobi")
    backend.name = "ibm_nairobi"
    plan = make_plan(
        trained,
        PlanConfig(targets=("ibm:ibm_nairobi",), num_images=3, shots=200, budget="lab"),
        root=tmp_path,
        backend=backend,
    )
    Ledger.open(tmp_path).set_budget("lab", seconds=1.0)

    class Nowhere(LocalProvider.__base__):  # type: ignore[misc]
        """A provider that says nothing of its limits and takes no job."""

        name, device = "ibm", "ibm_nairobi"

        def submit(self, *_: object, **__: object) -> str:
            raise AssertionError

        status = result = usage = cancel = find = submit

    monkeypatch.setattr(driven, "open_provider", lambda *_, **__: Nowhere())
    with pytest.raises(BudgetExceeded, match=r"1 of 1 are left"):
        submit_run(plan.folder)
    assert run_state(tmp_path, plan.run_id).state == "planned"
    assert ledger_of(plan).intentions(plan.run_id) == ()


def test_a_plan_of_an_earlier_version_with_options_for_a_simulator_is_refused(
    trained, tmp_path, monkeypatch
):
    options = ExecutionOptions(dynamical_decoupling="XX")
    with monkeypatch.context() as patch:
        patch.setattr(ExecutionOptions, "check_target", lambda *_, **__: None)
        plan = planned(trained, tmp_path, options=options, mitigation="none")
    with pytest.raises(InvalidOption, match="simulates without"):
        submit_run(plan.folder)


def test_the_room_works_without_torch_until_a_chain_runs():
    code = (
        "import sys\n"
        "import qdm_qiskit.hardware.run.commands, qdm_qiskit.hardware.ibm.account\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# -- calibrations -------------------------------------------------------------------------------


def calibration(at: float, backend: str = "fake_nairobi", qubits=(0, 1)) -> ReadoutCalibration:
    matrix = np.array([[0.97, 0.04], [0.03, 0.96]])
    return ReadoutCalibration(
        backend=backend,
        qubits=qubits,
        method="balanced",
        shots=1000,
        taken_at=iso(at),
        matrices=dict.fromkeys(qubits, matrix),
    )


def test_the_calibration_before_counts_is_theirs_and_later_ones_change_nothing():
    found = {"a": calibration(100.0), "b": calibration(200.0)}
    assert calibration_for(found, 150.0, 1000.0) == "a"
    assert calibration_for(found, 250.0, 1000.0) == "b"
    assert calibration_for(found, 90.0, 1000.0) == "a"  # none before it: the first after
    assert calibration_for(found, 1500.0, 1000.0) is None
    assert calibration_for({}, 1.0, 10.0) is None
    later = {**found, "c": calibration(260.0)}
    for at in (90.0, 150.0, 250.0):
        assert calibration_for(later, at, 1000.0) == calibration_for(found, at, 1000.0)
    assert taken_at(found["a"]) == 100.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backend": "ibm_other"}, "fits its own device only"),
        ({"qubits": (0, 5)}, r"lacks the qubits \[5\]"),
        ({"at": 100.0 + 3601.0}, "more than 1.0 h; take a new one"),
        ({"at": 100.0 - 3601.0}, "more than 1.0 h"),
    ],
)
def test_a_foreign_or_stale_calibration_is_refused(changes, words):
    values = {"backend": "fake_nairobi", "qubits": (0, 1), "ttl_seconds": 3600.0, "at": 100.0}
    check_calibration(calibration(100.0), **values)
    with pytest.raises(CalibrationMismatch, match=words):
        check_calibration(calibration(100.0), **{**values, **changes})


@pytest.fixture(scope="module")
def calibrated(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunPlan, RunPlan]:
    """A run that is done, with its calibration, and another one that is planned."""
    root = tmp_path_factory.mktemp("root")
    first, second = planned(trained, root), planned(trained, root, seed=1)
    submit_run(first.folder)
    return first, second


def copied(plan: RunPlan, root: Path) -> RunPlan:
    if not root.exists():
        shutil.copytree(plan.folder.parent, root)
    return dataclasses.replace(plan, folder=root / plan.run_id)


def test_a_calibration_serves_the_next_run_and_its_job_is_saved(calibrated, tmp_path):
    first, second = (copied(plan, tmp_path / "root") for plan in calibrated)
    assert second.circuit.measured_qubits == first.circuit.measured_qubits
    state = submit_run(second.folder)
    assert state.jobs == 3
    mine, theirs = read_calibrations(second.folder), read_calibrations(first.folder)
    assert list(mine) == ["calibration-0001"]
    assert mine["calibration-0001"].taken_at == theirs["calibration-0001"].taken_at
    kinds = [row["kind"] for row in ledger_of(second).events(second.run_id)]
    assert "calibration-reused" in kinds
    assert "calibrated" not in kinds


@pytest.mark.parametrize("reason", ["stale", "damaged", "missing", "target", "shots", "method"])
def test_a_calibration_that_does_not_serve_is_passed_over(calibrated, tmp_path, reason):
    first, second = (copied(plan, tmp_path / "root") for plan in calibrated)
    ledger = ledger_of(first)
    wanted = second.calibration
    assert wanted is not None
    now = ledger.now()
    assert reusable(ledger, second, wanted, now) is not None
    file = first.folder / "calibration-0001.json"
    if reason == "stale":
        now += wanted.ttl_seconds + 10
    elif reason == "damaged":
        file.write_text(file.read_text()[:50])
    elif reason == "missing":
        file.unlink()
    elif reason == "target":
        second = dataclasses.replace(second, target="local:fake_nairobi")
    elif reason == "shots":
        wanted = dataclasses.replace(wanted, shots=501)
    else:
        wanted = dataclasses.replace(wanted, method="independent")
    assert reusable(ledger, second, wanted, now) is None


def test_a_stale_calibration_is_taken_again_within_a_run(trained, tmp_path, monkeypatch):
    """The clock jumps beyond the time to live between two steps."""
    plan = planned(trained, tmp_path, calibration_ttl_seconds=3600)
    from qdm_qiskit.hardware.ledger.ledger import Ledger as Real
    from qdm_qiskit.hardware.providers.jobs import RunJobs

    jump = [0.0]
    monkeypatch.setattr(Real, "now", lambda self: self._clock() + jump[0])
    original = RunJobs.store

    def store(self, intention, *given, **named):
        found = original(self, intention, *given, **named)
        if intention.part == "step-0003":
            jump[0] = 4000.0
        return found

    monkeypatch.setattr(RunJobs, "store", store)
    said: list[str] = []
    state = submit_run(plan.folder, progress=said.append)
    assert state.jobs == 5, said
    assert list(read_calibrations(plan.folder)) == ["calibration-0001", "calibration-0002"]
