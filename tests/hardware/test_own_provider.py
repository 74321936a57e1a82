"""A provider that is not this package's: all the way, killed at each point, and with each fault."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from qdm_qiskit import doors
from qdm_qiskit.errors import (
    BudgetExceeded,
    InvalidArgument,
    InvalidExtension,
    InvalidOption,
    JobFailed,
    QdmError,
    ServiceUnavailable,
    SubmissionUncertain,
    TargetUnavailable,
    UnknownName,
)
from qdm_qiskit.execution import provider_names
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.ledger.store import Store
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.providers.base import NotSubmitted, Provider, checked_provider
from qdm_qiskit.hardware.providers.requests import JobRequest
from qdm_qiskit.hardware.providers.settings import ServiceSettings
from qdm_qiskit.hardware.run.commands import (
    cancel_run,
    collect_run,
    resume_run,
    run_state,
    submit_run,
)
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.hardware.run.verify import verify_run
from qdm_qiskit.tasks import HardwareRun
from tests.cli.conftest import Qdm, qdm  # noqa: F401 (a fixture)
from tests.hardware import folder_provider
from tests.hardware.folder_provider import JOB_SECONDS, FolderProvider
from tests.helpers import write_run

STEPS = 2
QUICK = {
    "poll_seconds": 0.004,
    "first_pause_seconds": 0.002,
    "longest_pause_seconds": 0.01,
    "lookup_pauses_seconds": [0.0, 0.01],
    "grace_seconds": 0.05,
    "retry_seconds": 0.3,
    "call_seconds": 0.5,
    "submit_seconds": 0.5,
    "usage_wait_seconds": 0.05,
    "result_attempts": 2,
    "jobs_per_minute": 0,
}


class Killed(BaseException):
    """Stands for the end of a process: nothing of the package catches it."""


@contextmanager
def killed_at(number: int, side: str) -> Iterator[list[int]]:
    """Die at the nth write of the ledger, before, within or after it; 0 only counts them."""
    write, commit, done = Store.write, Store._commit, [0]

    @contextmanager
    def counted(self: Store) -> Iterator:
        if done[0] + 1 == number and side == "before":
            raise Killed
        with write(self) as tx:
            yield tx
        if tx.changes:
            done[0] += 1
            if done[0] == number and side == "after":
                raise Killed

    def committed(self: Store, *rest: object) -> None:
        if done[0] + 1 == number and side == "within":
            raise Killed
        commit(self, *rest)  # type: ignore[arg-type]

    Store.write, Store._commit = counted, committed  # type: ignore[method-assign,assignment]
    try:
        yield done
    finally:
        Store.write, Store._commit = write, commit  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the service, which runs in a process of its own."""
    found = tmp_path_factory.mktemp("service")
    service = subprocess.Popen([sys.executable, folder_provider.__file__, str(found)])
    yield found
    service.kill()
    service.wait()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "r", num_steps=STEPS)


@pytest.fixture
def provider(folder: Path) -> FolderProvider:
    for each in folder.iterdir():
        shutil.rmtree(each, ignore_errors=True)
    return FolderProvider(folder=folder)


@pytest.fixture
def planned(trained: Path, tmp_path: Path) -> Callable[..., RunPlan]:
    """Plan a run that budget `lab` pays, in a root of its own."""

    def make(provider: Provider, name: str = "root", seconds: float = 100.0) -> RunPlan:
        root = tmp_path / name
        root.mkdir()
        (root / "service.json").write_text(json.dumps(QUICK))
        ledger = Ledger.open(root)
        ledger.set_budget("lab", seconds=seconds)
        ledger.close()
        config = PlanConfig(num_images=2, shots=50, budget="lab")
        return make_plan(trained, config, root=root, provider=provider)

    return make


def charged(folder: Path) -> float:
    return sum(json.loads(each.read_text())["seconds"] for each in folder.glob("*/done.json"))


def jobs(folder: Path) -> int:
    return len(list(folder.glob("*/job.json")))


def check_paid_once(plan: RunPlan, folder: Path, number: int = STEPS) -> None:
    """One job a step, and the budget holds what the service has charged, no more and no less."""
    assert jobs(folder) == number
    ledger = Ledger.open(plan.folder.parent)
    state = ledger.budget("lab")
    ledger.close()
    assert state.spent_seconds == charged(folder) == JOB_SECONDS * number
    assert state.reserved_seconds == 0


def test_a_run_goes_all_the_way(provider, planned, folder):
    plan = planned(provider)
    assert (plan.target, plan.backend, plan.is_qpu) == ("folder:chip-1", "chip-1", True)
    assert plan.provider is not None
    assert plan.provider.module == "tests.hardware.folder_provider:FolderProvider"
    assert plan.total_seconds == pytest.approx(STEPS * (JOB_SECONDS + 100e-6))
    said: list[str] = []
    state = submit_run(plan.folder, provider=provider, progress=said.append)
    assert (state.state, state.jobs) == ("done", STEPS)
    check_paid_once(plan, folder)
    assert replay(plan.folder).equal
    assert read_plan(plan.folder) == plan
    # What the budget allows reaches the provider as a limit of the job.
    [about, *_] = [json.loads(each.read_text()) for each in folder.glob("*/job.json")]
    assert JOB_SECONDS <= about["most"] <= 4 * JOB_SECONDS + 31


def test_verify_asks_a_provider_without_a_list_for_the_tags(provider, planned, folder):
    """A second job with a tag of ours is seen, taken in and charged; jobs of others are not seen."""
    plan = planned(provider)
    submit_run(plan.folder, provider=provider)
    root = plan.folder.parent
    found = verify_run(root, plan.run_id, provider=provider)
    assert (found.clean, found.listed, len(found.jobs)) == (True, False, STEPS)
    twin = folder / "twin"
    shutil.copytree(folder / found.jobs[0].job_id, twin)
    found = verify_run(root, plan.run_id, provider=provider)
    assert sorted(each.kind for each in found.findings) == ["double", "unknown"]
    found = verify_run(root, plan.run_id, provider=provider, repair=True)
    assert [each.kind for each in found.findings if not each.repaired] == ["double"]
    assert found.settled_seconds == charged(folder) == JOB_SECONDS * (STEPS + 1)
    shutil.rmtree(twin)
    found = verify_run(root, plan.run_id, provider=provider)
    assert [each.kind for each in found.findings] == ["lost"]


def test_its_counts_are_those_of_the_circuit(provider, planned):
    """Bits the right way round: the images are near those of the exact distribution."""
    plan = planned(provider)
    submit_run(plan.folder, provider=provider)
    for step in replay(plan.folder).steps:
        assert step.raw_distance < 3 * step.shot_distance + 0.02


def check_killed_at(numbers: Sequence[int], provider, planned, folder, side: str) -> None:
    for number in numbers:
        for each in folder.iterdir():
            shutil.rmtree(each, ignore_errors=True)
        plan = planned(provider, f"{side}-{number}")
        with pytest.raises(Killed), killed_at(number, side):
            submit_run(plan.folder, provider=provider)
        assert submit_run(plan.folder, provider=provider).state == "done"
        check_paid_once(plan, folder)


@pytest.mark.parametrize(
    ("number", "side"), [(4, "after"), (5, "before"), (5, "after"), (6, "within")]
)
def test_killed_around_a_submission_and_resumed_nothing_is_paid_twice(
    provider, planned, folder, number, side
):
    check_killed_at([number], provider, planned, folder, side)


@pytest.mark.slow
@pytest.mark.parametrize("side", ["before", "within", "after"])
def test_killed_at_each_point_and_resumed_nothing_is_paid_twice(provider, planned, folder, side):
    plan = planned(provider, "whole")
    with killed_at(0, side) as writes:
        submit_run(plan.folder, provider=provider)
    assert writes[0] > 12
    check_killed_at(range(2, writes[0] + 1), provider, planned, folder, side)


def test_detached_collected_and_resumed(provider, planned, folder):
    plan = planned(provider)
    root = plan.folder.parent
    assert submit_run(plan.folder, detach=True, provider=provider).state == "running"
    until = time.monotonic() + 20
    while run_state(root, plan.run_id).step == STEPS and time.monotonic() < until:
        collect_run(root, plan.run_id, provider=provider)
    assert run_state(root, plan.run_id).step == STEPS - 1
    assert resume_run(root, plan.run_id, provider=provider).state == "done"
    check_paid_once(plan, folder)


def test_a_run_object_collects_and_cancels_with_the_provider_that_it_is_given(
    provider, planned, folder
):
    plan = planned(provider)
    run = HardwareRun(plan.folder).submit(yes=True, detach=True, provider=provider)
    with pytest.raises(TargetUnavailable, match=r"provider=\.\.\. of that class"):
        run.collect()  # an object has no name by which it could be found
    with pytest.raises(TargetUnavailable, match=r"provider=\.\.\. of that class"):
        run.cancel()
    until = time.monotonic() + 20
    while run.state.step == STEPS and time.monotonic() < until:
        assert run.collect(provider=provider) is run
    assert run.state.step == STEPS - 1
    assert run.cancel(provider=provider).state.state == "cancelled"
    assert run.resume(provider=provider).state.state == "done"
    check_paid_once(plan, folder)


def test_cancelled_and_resumed(provider, planned, folder):
    class Slow(FolderProvider):
        """Whose jobs wait for ever."""

        def status(self, job_id: str) -> str:
            found = super().status(job_id)
            return "queued" if found == "done" else found

        def cancel(self, job_id: str) -> None:
            (self.folder / job_id / "cancelled").write_text("")

    slow = Slow(folder=folder)
    plan = planned(slow)
    submit_run(plan.folder, detach=True, provider=slow)
    state = cancel_run(plan.folder.parent, plan.run_id, provider=slow)
    assert state.state == "cancelled"
    ledger = Ledger.open(plan.folder.parent)
    assert ledger.budget("lab").reserved_seconds == ledger.budget("lab").spent_seconds == 0
    ledger.close()
    assert resume_run(plan.folder.parent, plan.run_id, provider=provider).state == "done"


def test_a_budget_that_is_too_small_sends_nothing(provider, planned, folder):
    plan = planned(provider, seconds=3.0)
    with pytest.raises(BudgetExceeded):
        submit_run(plan.folder, provider=provider)
    assert jobs(folder) == 0


def test_an_account_that_has_too_little_left_sends_nothing(provider, planned, folder):
    provider.seconds_left = lambda: 1.0
    plan = planned(provider)
    with pytest.raises(BudgetExceeded, match="Provider 'folder' says that the account has 1 QPU"):
        submit_run(plan.folder, provider=provider)
    assert jobs(folder) == 0


# -- faults -----------------------------------------------------------------------------------


def told(plan: RunPlan, provider: Provider, kind: type[QdmError]) -> str:
    with pytest.raises(kind) as error:
        submit_run(plan.folder, provider=provider)
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 600
    return text


def test_a_job_that_is_lost_is_said_and_stays_reserved(provider, planned, folder):
    plan = planned(provider)
    provider.status = lambda job_id: "lost"
    text = told(plan, provider, JobFailed)
    assert "failed: Provider 'folder' knows no such job (its cost is not known yet)" in text
    ledger = Ledger.open(plan.folder.parent)
    assert ledger.budget("lab").reserved_seconds == pytest.approx(plan.total_seconds)
    ledger.close()


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ([[{"000": 49}, {"000": 50}]], "49 shots a row, 50 were sent"),
        ([[{"000": 50}]], r"shape \(1, 8\), \(2, 8\) fits"),
        ([[{"00": 50}, {"000": 50}]], "an outcome is 3 bits, got '00'"),
        ([[{8: 50}, {0: 50}]], "below 8, got 8"),
        ([[{"000": -50}, {"000": 50}]], "at least 0, got -50"),
        ([[{"000": 2.5}, {"000": 50}]], "is an integer"),
        ([], "hold 0 circuits, 1 were sent"),
        ("Traceback", "are str, not a list of counts"),
        (None, "are NoneType"),
        ([np.full((2, 8), 6.25)], "of type float64"),
        ([np.full((2, 4), 5)], r"shape \(2, 4\)"),
    ],
)
def test_counts_that_cannot_be_are_said_and_sent_for_again_later(
    provider, planned, folder, result, words
):
    plan = planned(provider)
    provider.result = lambda job_id, request: result
    text = told(plan, provider, JobFailed)
    assert re.search(words, text), text
    assert text.endswith("`qdm run resume` fetches them again and sends nothing.")
    del provider.result
    assert submit_run(plan.folder, provider=provider).state == "done"
    check_paid_once(plan, folder)


def test_two_jobs_of_one_tag_are_both_in_the_budget(provider, planned, folder):
    class Double(FolderProvider):
        """Sends each job twice, and charges for both."""

        def submit(self, request: JobRequest, *, tag: str, max_seconds: int | None) -> str:
            first = super().submit(request, tag=tag, max_seconds=max_seconds)
            second = super().submit(request, tag=tag, max_seconds=max_seconds)
            for job_id in (first, second):
                while self.status(job_id) != "done":
                    time.sleep(0.002)
            return first

    double = Double(folder=folder)
    plan = planned(double)
    assert submit_run(plan.folder, provider=double).state == "done"
    check_paid_once(plan, folder, 2 * STEPS)


def test_a_cost_that_is_told_twice_is_charged_once(provider, planned, folder):
    plan = planned(provider)
    submit_run(plan.folder, provider=provider)
    provider.usage = lambda job_id: 50.0
    submit_run(plan.folder, provider=provider)
    check_paid_once(plan, folder)


@pytest.mark.parametrize("call", ["status", "result", "find"])
def test_a_call_that_raises_is_one_line_and_the_run_goes_on_later(provider, planned, folder, call):
    plan = planned(provider)

    def broken(*_: object) -> object:
        raise RuntimeError("no\nsuch table")

    setattr(provider, call, broken)
    text = told(plan, provider, QdmError)
    assert f"Provider 'folder': {call} failed, RuntimeError: no such table" in text
    delattr(provider, call)
    assert submit_run(plan.folder, provider=provider).state == "done"
    check_paid_once(plan, folder)


def test_a_cost_that_cannot_be_told_stays_reserved(provider, planned):
    plan = planned(provider)
    provider.usage = lambda job_id: float("nan")
    said: list[str] = []
    state = submit_run(plan.folder, provider=provider, progress=said.append)
    assert state.state == "done"
    assert sum("its cost is not known yet and stays reserved" in text for text in said) == STEPS
    del provider.usage
    submit_run(plan.folder, provider=provider)
    ledger = Ledger.open(plan.folder.parent)
    assert ledger.budget("lab").spent_seconds == STEPS * JOB_SECONDS
    ledger.close()


@pytest.mark.parametrize("error", [RuntimeError("broken"), ConnectionError("away")])
@pytest.mark.parametrize("created", [True, False])
def test_a_submission_that_raises_is_looked_for_and_not_paid_twice(
    provider, planned, folder, error, created
):
    plan, submit, left = planned(provider), provider.submit, [1]

    def broken(request: JobRequest, *, tag: str, max_seconds: int | None) -> str:
        if not left[0]:
            return submit(request, tag=tag, max_seconds=max_seconds)
        left[0] -= 1
        if created:
            submit(request, tag=tag, max_seconds=max_seconds)
        raise error

    provider.submit = broken
    if created or isinstance(error, ConnectionError):
        assert submit_run(plan.folder, provider=provider).state == "done"
    else:
        text = told(plan, provider, SubmissionUncertain)
        assert "Provider 'folder': submit failed, RuntimeError: broken" in text
        assert submit_run(plan.folder, provider=provider).state == "done"
    check_paid_once(plan, folder)


def test_a_submission_that_is_refused_is_one_line(provider, planned, folder):
    plan = planned(provider)

    def refuse(request: JobRequest, *, tag: str, max_seconds: int | None) -> str:
        raise NotSubmitted("the chip is warm")

    provider.submit = refuse
    text = told(plan, provider, ServiceUnavailable)
    assert "Provider 'folder' refuses step-0002" in text
    assert "the chip is warm" in text
    assert "nothing is charged" in text
    assert jobs(folder) == 0


def test_an_answer_that_comes_late_is_given_up_and_its_job_found(provider, planned, folder):
    plan, submit, late = planned(provider), provider.submit, [1]

    def slow(request: JobRequest, *, tag: str, max_seconds: int | None) -> str:
        found = submit(request, tag=tag, max_seconds=max_seconds)
        if late[0]:
            late[0] = 0
            time.sleep(0.8)
        return found

    provider.submit = slow
    assert submit_run(plan.folder, provider=provider).state == "done"
    check_paid_once(plan, folder)


def test_a_question_that_is_never_answered_is_one_line(provider, planned):
    plan = planned(provider)
    provider.status = lambda job_id: time.sleep(3)
    settings = ServiceSettings(**{**QUICK, "call_seconds": 0.05, "lookup_pauses_seconds": (0.0,)})  # type: ignore[arg-type]
    with pytest.raises(ServiceUnavailable, match=r"status gave no answer within 0\.05 s"):
        submit_run(plan.folder, provider=provider, settings=settings)


@pytest.mark.parametrize(
    ("call", "answer", "words"),
    [
        ("submit", 7, "returned 7, and a job's id is a text"),
        ("status", "DONE", "returned 'DONE', and a status is one of queued, running"),
        ("find", "job", "returned 'job', and not a list of ids"),
    ],
)
def test_an_answer_of_another_kind_is_one_line(provider, planned, call, answer, words):
    plan = planned(provider)
    setattr(provider, call, lambda *_, **__: answer)
    assert words in told(plan, provider, QdmError)


# -- by name ----------------------------------------------------------------------------------


@pytest.fixture
def package(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install a package that brings the provider, as pip leaves one on disk; a way to remove it."""
    place = tmp_path / "site"
    info = place / "acme_qdm-1.5.dist-info"
    info.mkdir(parents=True)
    (place / "acme_qdm.py").write_text(
        "from tests.hardware.folder_provider import FolderProvider\n"
        "class Acme(FolderProvider):\n    name = 'acme'\n"
    )
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-qdm\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[qdm_qiskit.provider]\nacme = acme_qdm:Acme\n")
    for each in folder.iterdir():
        shutil.rmtree(each, ignore_errors=True)
    monkeypatch.setenv("FOLDER_PROVIDER", str(folder))
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.delitem(sys.modules, "acme_qdm", raising=False)
    doors._outside.cache_clear()

    def remove() -> None:
        shutil.rmtree(place)
        sys.modules.pop("acme_qdm", None)
        provider_names._in_hand.discard("acme")
        doors._outside.cache_clear()

    yield remove
    shutil.rmtree(place, ignore_errors=True)
    sys.modules.pop("acme_qdm", None)
    provider_names._in_hand.discard("acme")
    doors._outside.cache_clear()


def test_by_name_from_the_command_line(package, trained, tmp_path, folder, qdm: Qdm):  # noqa: F811
    root = tmp_path / "hardware_runs"
    root.mkdir()
    (root / "service.json").write_text(json.dumps(QUICK))
    assert qdm("budget", "set", "lab", "--seconds", "60", "--root", root).code == 0
    where = ("--root", root)
    made = qdm(
        *("run", "plan", trained, "--target", "acme:chip-1", "--num-images", "2"),
        *("--shots", "50", "--budget", "lab", "--json", *where),
    )
    assert made.code == 0, made.err
    plan = json.loads(made.out)
    assert (plan["target"], plan["spends"]) == ("acme:chip-1", True)
    run = plan["run"]
    record = read_plan(root / run).provider
    assert record is not None
    assert (record.package, record.version, record.module) == ("acme-qdm", "1.5", "acme_qdm:Acme")
    asked = qdm("run", "submit", run, *where)
    assert asked.code == 2
    assert "on acme:chip-1; nothing was sent" in asked.err
    assert qdm("run", "submit", run, "--yes", "--detach", *where).code == 0
    assert run in qdm("run", "list", *where).out
    package()  # uninstalled while the run waits
    gone = qdm("run", "resume", run, *where)
    assert gone.code == 2
    assert gone.err.count("\n") == 1
    assert "provider 'acme' of package acme-qdm 1.5, which is not installed here" in gone.err
    assert run in qdm("run", "list", *where).out
    assert qdm("run", "replay", run, "--json", *where).code in (0, 1)
    again = FolderProvider(folder=folder)
    again.name = "acme"
    assert resume_run(root, run, provider=again).state == "done"
    check_paid_once(read_plan(root / run), folder)
    assert qdm("run", "replay", run, *where).code == 0


def test_cancel_by_name(package, trained, tmp_path, qdm: Qdm):  # noqa: F811
    where = ("--root", tmp_path / "hardware_runs")
    qdm(
        "run",
        "plan",
        trained,
        "--target",
        "acme:chip-1",
        "--shots",
        "50",
        "--num-images",
        "2",
        *where,
    )
    qdm("run", "submit", "latest", "--yes", "--detach", *where)
    cancelled = qdm("run", "cancel", "latest", "--json", *where)
    assert cancelled.code == 0, cancelled.err
    assert json.loads(cancelled.out)["state"] == "cancelled"


@pytest.mark.parametrize("target", ["nobody:chip-1", "provider:chip-1", "folder:", "folder:a b"])
def test_a_target_of_no_provider_is_unknown(provider, target):
    checked_provider(provider)
    with pytest.raises(UnknownName, match=f"no target '{target}'; there are: .*folder:DEVICE"):
        PlanConfig(targets=(target,))
    assert PlanConfig(targets=("folder:chip-1",)).targets == ("folder:chip-1",)


def test_an_object_is_wanted_again_where_the_plan_was_made_with_one(provider, planned):
    plan = planned(provider)
    with pytest.raises(
        TargetUnavailable, match=r"provider object of tests\.hardware.*provider=\.\.\."
    ):
        submit_run(plan.folder)
    provider.device = "chip-2"
    with pytest.raises(
        InvalidOption, match="that of the plan, 'folder:chip-1', got 'folder:chip-2'"
    ):
        submit_run(plan.folder, provider=provider)


def test_what_is_no_provider_is_refused(provider, trained, tmp_path):
    config = PlanConfig(num_images=2, shots=50)
    for wrong in (FolderProvider, "folder", 7):
        with pytest.raises(InvalidArgument, match="provider"):
            make_plan(trained, config, root=tmp_path, provider=wrong)
    provider.name = "ibm"
    with pytest.raises(InvalidOption, match=r"provider\.name is a name of its own, got 'ibm'"):
        make_plan(trained, config, root=tmp_path, provider=provider)
    provider.name = "Folder 1"
    with pytest.raises(InvalidOption, match=r"provider\.name is a name such as 'acme'"):
        make_plan(trained, config, root=tmp_path, provider=provider)


def test_an_object_in_the_place_of_this_machine_is_refused(provider, trained, tmp_path):
    config = PlanConfig(targets=("engine",), num_images=2, shots=50)
    plan = make_plan(trained, config, root=tmp_path)
    with pytest.raises(InvalidOption, match="provider is of no use"):
        submit_run(plan.folder, provider=provider)


def test_a_package_whose_part_makes_no_provider_is_one_line(package, monkeypatch):
    import acme_qdm

    from qdm_qiskit.hardware.providers.door import make_provider

    for made, words in (
        (lambda device: 7, "makes no provider"),
        (lambda device: 1 / 0, "cannot be made for 'chip-1': ZeroDivisionError"),
        (lambda device: FolderProvider(device), "makes the provider 'folder:chip-1', not 'acme:"),
        (3, "is no provider"),
    ):
        monkeypatch.setattr(acme_qdm, "Acme", made)
        with pytest.raises(InvalidExtension, match=words):
            make_provider("acme", "chip-1")


def test_a_provider_with_a_device_is_transpiled_for_and_mitigated(trained, tmp_path):
    """Counts in a physical device's bits, and the readout calibration's jobs besides."""
    from qdm_qiskit.execution.factory import make_runner
    from qdm_qiskit.execution.snapshots import load_backend

    class Device(Provider):
        """Simulates the device when it is asked for counts; free of charge."""

        name, device, charges, lag_seconds = "lab", "nairobi", False, 0.0
        sent: dict[str, str] = {}  # noqa: RUF012

        def backend(self):
            return load_backend("fake_nairobi")

        def submit(self, request: JobRequest, *, tag: str, max_seconds: int | None) -> str:
            assert max_seconds is None
            self.sent[tag] = f"job-{len(self.sent)}"
            return self.sent[tag]

        def status(self, job_id: str) -> str:  # type: ignore[override]
            return "done"

        def result(self, job_id: str, request: JobRequest) -> list[np.ndarray]:
            runner = make_runner("noisy:fake_nairobi", seed=3)
            return runner.run(list(request.pubs), shots=request.shots, seed=3)

        def usage(self, job_id: str) -> float:
            return 0.0

        def cancel(self, job_id: str) -> None: ...

        def find(self, tag: str) -> list[str]:
            return [self.sent[tag]] if tag in self.sent else []

    provider = Device()
    config = PlanConfig(
        num_images=2, shots=400, mitigation="m3", calibration_shots=500, layout_trials=1
    )
    plan = make_plan(trained, config, root=tmp_path, provider=provider)
    assert plan.circuit.physical_qubits is not None
    assert (plan.is_qpu, plan.total_seconds, plan.backend) == (False, 0.0, "nairobi")
    assert submit_run(plan.folder, provider=provider).jobs == STEPS + 1
    for step in replay(plan.folder).steps:
        assert step.mitigated_distance is not None
        assert step.mitigated_distance < 0.2
