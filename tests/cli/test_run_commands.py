"""`qdm run` and `qdm budget` on targets that cost nothing: the whole life, and every refusal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import images_of, read_only_copy

AER = ("--target", "aer", "--shots", "50", "--num-images", "2", "--quiet")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "hardware_runs"


@pytest.fixture
def planned(qdm, trained, root):
    """A plan's JSON."""
    result = qdm("run", "plan", trained, *AER, "--root", root, "--json")
    assert (result.code, result.err) == (0, "")
    return json.loads(result.out)


def one_line(result, *parts: str) -> None:
    assert result.code == 2, result
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    for part in parts:
        assert part in result.err


def state_of(qdm, root, run="latest") -> dict:
    result = qdm("run", "status", run, "--root", root, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


# --- planning -----------------------------------------------------------------------------------


def test_a_plan_in_json_says_what_a_program_needs(planned, root, qdm):
    assert planned["plan"] == str(root / planned["run"] / "plan.json")
    assert Path(planned["plan"]).is_file()
    assert planned["jobs"] == 2
    assert planned["circuits"] == 2 * 2
    assert planned["shots"] == 2 * 2 * 50
    assert planned["seconds"] == 0
    assert planned["spends"] is False
    assert state_of(qdm, root)["state"] == "planned"


def test_a_plan_in_words_has_jobs_cost_circuit_and_budget(qdm, trained, root):
    assert qdm("budget", "set", "b", "--seconds", "100", "--root", root).code == 0
    result = qdm(
        *("run", "plan", trained, "--target", "local:fake_nairobi", "--shots", "50"),
        *("--num-images", "2", "--mitigation", "m3", "--budget", "b", "--layout-trials", "1"),
        *("--root", root),
    )
    assert result.code == 0
    text = result.out
    # T = 2 steps of 2 images, 4 balanced calibration circuits for 3 qubits.
    assert "3 jobs, 8 circuits, 32968 shots" in text
    assert "t = 2 .. 1" in text
    assert "two-qubit gates, expected success 0." in text
    assert "'b' has 100 QPU seconds left" in text
    assert "repetition delay" in text
    assert "no QPU: nothing is charged" in text
    assert (
        f"qdm run submit {next(root.glob('*/plan.json')).parent.name} --root {root} --yes" in text
    )


def test_the_shots_of_a_schedule_are_shown(qdm, trained, root):
    result = qdm(
        *("run", "plan", trained, *AER, "--schedule", "variance", "--root", root), "--json"
    )
    plan = json.loads(result.out)
    assert plan["schedule"] == "variance"
    assert sum(each["shots"] for each in plan["steps"]) <= 2 * 50
    assert plan["pilot_error"] <= plan["pilot_error_uniform"]


def test_fallback_takes_what_there_is_and_says_so(qdm, trained, root, monkeypatch, tmp_path):
    no_account(monkeypatch, tmp_path)
    result = qdm(
        *("run", "plan", trained, "--target", "ibm:least_busy, engine", "--shots", "50"),
        *("--num-images", "1", "--root", root),
    )
    assert result.code == 0, result.err
    assert "passed  ibm:least_busy: There is no IBM Quantum account here" in result.out
    assert "taken   engine: available." in result.out


def no_account(monkeypatch, home: Path) -> None:
    from qiskit_ibm_runtime.accounts import management

    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE", "QISKIT_IBM_CHANNEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(management, "_DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(home / "none.json"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--target", "ibm:ibm_fez"), "QISKIT_IBM_TOKEN"),
        (("--target", "nowhere"), "nowhere"),
        (("--target", "aer,nowhere"), "nowhere"),
        (("--target", ""), "no target"),
        (("--target", "aer", "--shots", "0"), "shots must be at least 1"),
        (
            ("--target", "aer", "--shots", "10", "--seconds", "5"),
            "--shots, --kept-shots, --seconds",
        ),
        (("--target", "aer", "--seconds", "5"), "takes no QPU seconds"),
        (("--target", "aer", "--seconds", "nan"), "seconds"),
        (("--target", "aer", "--schedule", "best"), "schedule is one of"),
        (("--target", "aer", "--schedule", "precision"), "--precision"),
        (("--target", "aer", "--mitigation", "m3"), "no readout errors"),
        (("--target", "aer", "--mitigation", "trex"), "mitigation is one of"),
        (("--target", "aer", "--mode", "fast"), "mode is one of"),
        (("--target", "aer", "--dynamical-decoupling", "YY"), "dynamical_decoupling"),
        (("--target", "aer", "--rep-delay", "-1"), "rep_delay_seconds"),
        (("--target", "aer", "--calibration-hours", "0"), "calibration_hours"),
        (("--target", "aer", "--max-queue", "-1"), "max_queue"),
        (("--target", "aer", "--min-success", "2"), "min_success"),
        (("--target", "aer", "--budget", "nobody"), "no budget 'nobody'"),
        (("--target", "aer", "--label", "1"), "not guided"),
    ],
)
def test_a_bad_plan_is_refused_in_one_line(
    qdm, trained, root, arguments, says, monkeypatch, tmp_path
):
    no_account(monkeypatch, tmp_path)
    one_line(qdm("run", "plan", trained, *arguments, "--root", root, "--quiet"), says)
    assert not list(root.glob("*/plan.json"))


def test_a_run_that_is_none_cannot_be_planned(qdm, tmp_path, root):
    one_line(qdm("run", "plan", tmp_path / "none", *AER, "--root", root), "none")


def test_a_root_that_cannot_be_written_is_refused(qdm, trained, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    one_line(qdm("run", "plan", trained, *AER, "--root", file), str(file))


def test_a_dry_run_that_cannot_be_is_a_note(qdm, trained, root):
    result = qdm("run", "plan", trained, *AER, "--dry-run", "--root", root, "--json")
    assert (result.code, json.loads(result.out)["dry_run"]) == (0, None)
    assert result.err == "note: no dry run: 'aer' is no QPU.\n"


def test_the_same_plan_twice_is_one_run(qdm, trained, root, planned):
    one_line(
        qdm("run", "plan", trained, *AER, "--root", root),
        "planned already",
        "--seed",
        planned["run"],
    )


@pytest.mark.parametrize("command", ["run plan", "budget set", "budget show", "run list"])
def test_what_was_repaired_is_said(qdm, trained, root, planned, command):
    for suffix in ("", "-wal", "-shm"):
        (root / f"ledger.sqlite{suffix}").unlink(missing_ok=True)
    arguments = {
        "run plan": (trained, *AER, "--seed", "1", "--json"),
        "budget set": ("b", "--seconds", "1"),
        "budget show": (),
        "run list": ("--json",),
    }[command]
    result = qdm(*command.split(), *arguments, "--root", root)
    assert result.code == 0, result.err
    assert "was rebuilt from ledger.sqlite.log" in result.err
    assert state_of(qdm, root, planned["run"])["state"] == "planned"


# --- submitting ---------------------------------------------------------------------------------


def test_without_yes_nothing_is_sent_and_the_price_is_said(qdm, planned, root, snapshot):
    def record() -> dict:
        # SQLite may fold its write-ahead file into the other whenever a connection ends; what was
        # written stands in the ledger's log as well.
        database = {f"ledger.sqlite{suffix}" for suffix in ("", "-wal", "-shm")}
        return {k: v for k, v in snapshot(root).items() if k not in database}

    before = record()
    assert "ledger.sqlite.log" in before
    result = qdm("run", "submit", planned["plan"], "--root", root)
    one_line(result, "nothing was sent", "2 jobs", "200 shots", "0.0 QPU seconds", "--yes")
    assert record() == before
    assert state_of(qdm, root)["state"] == "planned"


def test_without_yes_the_price_is_that_of_now(qdm, trained, root):
    """A calibration that another run has taken since is not to be paid again."""

    def plan(seed: int) -> dict:
        result = qdm(
            *("run", "plan", trained, "--target", "local:fake_nairobi", "--shots", "50"),
            *("--num-images", "1", "--mitigation", "m3", "--calibration-shots", "500"),
            *("--layout-trials", "1", "--seed", seed, "--root", root, "--json"),
        )
        assert result.code == 0, result.err
        return json.loads(result.out)

    first, second = plan(0), plan(1)
    assert (second["jobs"], second["seconds"]) == (3, second["seconds_if_calibrated"])
    price = f"3 jobs, 2100 shots and about {second['seconds']:.1f} QPU seconds on"
    one_line(qdm("run", "submit", second["run"], "--root", root), price)
    assert qdm("run", "submit", first["run"], "--yes", "--root", root, "--quiet").code == 0
    less = second["seconds"] - second["calibration"]["seconds"]
    one_line(
        qdm("run", "submit", second["run"], "--root", root),
        f"2 jobs, 100 shots and about {less:.1f} QPU seconds "
        f"({second['seconds']:.1f} if the readout has to be calibrated anew)",
    )
    third = plan(2)
    assert third["calibration"]["found"]["path"] == f"{first['run']}/calibration-0001.json"
    assert third["seconds"] == pytest.approx(less)


@pytest.mark.parametrize("form", ["plan", "folder", "run", "latest"])
def test_a_run_is_named_in_four_ways(qdm, planned, root, form):
    name = {
        "plan": planned["plan"],
        "folder": Path(planned["plan"]).parent,
        "run": planned["run"],
        "latest": "latest",
    }[form]
    result = qdm("run", "status", name, "--root", root, "--json")
    assert json.loads(result.out)["run"] == planned["run"]


def test_the_whole_life(qdm, planned, root):
    run = planned["run"]
    result = qdm("run", "submit", run, "--yes", "--root", root, "--json")
    assert (result.code, result.err) == (0, "")
    done = json.loads(result.out)
    assert (done["state"], done["step"], done["jobs"]) == ("done", 0, 2)
    assert state_of(qdm, root) == done
    folder = root / run
    assert {each.name for each in folder.iterdir()} >= {
        *("plan.json", "circuits.qpy", "inputs.npz", "model", "steps"),
        *("images.npz", "samples.png", "manifest.json"),
    }
    images = images_of(root / run)
    assert images.shape == (2, 1, 2, 2)
    # What is done stays as it is, whatever is asked of it.
    for command in ("resume", "collect", "cancel"):
        result = qdm("run", command, run, "--root", root, "--json")
        assert (result.code, json.loads(result.out)["state"]) == (0, "done")
    assert json.loads(qdm("run", "submit", run, "--yes", "--root", root, "--json").out)["jobs"] == 2
    np.testing.assert_array_equal(images_of(root / run), images)
    result = qdm("run", "replay", run, "--root", root)
    assert (result.code, result.err) == (0, "")
    assert "the stored ones to the bit" in result.out
    result = qdm("run", "report", run, "--root", root)
    assert result.code == 0
    assert (folder / "report" / "report.html").is_file()
    listed = json.loads(qdm("run", "list", "--root", root, "--json").out)
    assert [(each["run"], each["state"]) for each in listed] == [(run, "done")]
    assert run in qdm("run", "status", "--root", root).out


@pytest.mark.slow
def test_where_nothing_can_be_written_runs_and_budgets_are_shown(qdm, planned, root):
    """What can be read is read: no lock, no folder, no file is made on the way."""
    assert qdm("budget", "set", "b", "--seconds", "100", "--root", root).code == 0
    assert qdm("run", "submit", planned["run"], "--yes", "--root", root, "--quiet").code == 0
    shown = (
        ("run", "status", planned["run"]),
        ("run", "status", "latest", "--json"),
        ("run", "list"),
        ("run", "list", "--json"),
        ("run", "replay", "latest"),
        ("budget", "show"),
        ("budget", "history", "b"),
    )
    here = {arguments: qdm(*arguments, "--root", root) for arguments in shown}
    with read_only_copy(root) as folder:
        there = {arguments: qdm(*arguments, "--root", folder) for arguments in shown}
        refused = qdm("run", "resume", "latest", "--root", folder)
    for arguments in shown:
        assert (there[arguments].code, there[arguments].err) == (0, ""), arguments
        assert there[arguments].out.replace(str(folder), str(root)) == here[arguments].out
    assert "done, 2 of 2 steps done" in there[shown[0]].out
    one_line(refused, "Cannot write")


def test_the_list_opens_the_ledger_once(qdm, planned, root, trained, monkeypatch):
    from qdm_qiskit.hardware.ledger.ledger import Ledger

    qdm("run", "plan", trained, *AER, "--seed", "1", "--root", root)
    opened: list[Path] = []
    real = Ledger.open_to_read.__func__

    def counted(cls, root: Path) -> Ledger:
        opened.append(root)
        return real(cls, root)

    monkeypatch.setattr(Ledger, "open_to_read", classmethod(counted))
    rows = json.loads(qdm("run", "list", "--root", root, "--json").out)
    assert [each["state"] for each in rows] == ["planned", "planned"]
    assert opened == [root]


def test_a_plan_that_no_ledger_knows_is_planned(qdm, planned, root, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(root / planned["run"], other / planned["run"])
    state = state_of(qdm, other)
    assert (state["state"], state["step"], state["jobs"]) == ("planned", 2, 0)
    assert [path.name for path in other.iterdir()] == [planned["run"]]


@pytest.fixture
def undisturbed(qdm, planned, root, tmp_path):
    """The images of the same plan in another root."""
    other = tmp_path / "other"
    shutil.copytree(root, other)
    assert qdm("run", "submit", planned["run"], "--yes", "--root", other, "--quiet").code == 0
    return images_of(other / planned["run"])


def test_ctrl_c_says_how_to_go_on_and_resume_does(qdm, planned, root, monkeypatch, undisturbed):
    from qdm_qiskit.hardware.run.reverse_chain import PlannedChain

    advance, steps = PlannedChain.advance, []

    def interrupted(self, probabilities):
        steps.append(self.step)
        if len(steps) == 2:
            raise KeyboardInterrupt
        advance(self, probabilities)

    with monkeypatch.context() as patched:
        patched.setattr(PlannedChain, "advance", interrupted)
        result = qdm("run", "submit", "latest", "--yes", "--root", root, "--quiet")
    assert result.code == 130
    assert f"qdm run resume {planned['run']} --root {root}" in result.err
    assert "Traceback" not in result.err
    state = state_of(qdm, root)
    assert (state["state"], state["step"]) == ("running", 1)
    result = qdm("run", "resume", "latest", "--root", root, "--quiet")
    assert (result.code, result.err) == (0, "")
    np.testing.assert_array_equal(images_of(root / planned["run"]), undisturbed)
    assert state_of(qdm, root)["jobs"] == 2


def test_detach_sends_one_job_and_resume_the_rest(qdm, planned, root, undisturbed):
    result = qdm("run", "submit", "latest", "--yes", "--detach", "--root", root, "--json")
    assert json.loads(result.out)["state"] == "running"
    assert not (root / planned["run"] / "images.npz").exists()
    assert "qdm run resume" in qdm("run", "status", "latest", "--root", root).out
    assert qdm("run", "resume", "latest", "--root", root, "--quiet").code == 0
    np.testing.assert_array_equal(images_of(root / planned["run"]), undisturbed)


def test_a_changed_plan_is_not_sent(qdm, planned, root):
    path = Path(planned["plan"])
    path.write_text(path.read_text().replace('"num_images": 2', '"num_images": 1'))
    one_line(qdm("run", "submit", path, "--yes", "--root", root), "was changed", "plan again")
    assert not (path.parent / "steps").exists()


def test_a_run_that_was_not_submitted_cannot_be_resumed(qdm, planned, root):
    one_line(qdm("run", "resume", planned["run"], "--root", root), "qdm run submit")


@pytest.mark.parametrize(
    "command", ["submit", "resume", "collect", "status", "cancel", "replay", "report"]
)
def test_an_unknown_run_is_one_line_and_makes_no_folder(qdm, root, command):
    for name in ("2026-01-01-eeqdm-00000000", "latest", "/nowhere/plan.json", "..", ""):
        one_line(qdm("run", command, name, "--root", root), "run")
    assert not root.exists()


def test_a_replay_that_differs_exits_with_1(qdm, planned, root):
    assert qdm("run", "submit", "latest", "--yes", "--root", root, "--quiet").code == 0
    path = root / planned["run"] / "images.npz"
    with np.load(path) as arrays:
        images, trajectory = arrays["images"], arrays["trajectory"]
    trajectory[-1, 0, 0, 0, 0] = images[0, 0, 0, 0] = 0.123
    np.savez(path, images=images, trajectory=trajectory)
    result = qdm("run", "replay", "latest", "--root", root)
    assert result.code == 1
    assert "DIFFER" in result.out


def test_a_report_before_the_first_step_is_refused(qdm, planned, root):
    one_line(qdm("run", "report", "latest", "--root", root), "no finished step")


# --- budgets ------------------------------------------------------------------------------------


def test_a_budget_is_set_shown_and_changed(qdm, root):
    result = qdm("budget", "set", "open", "--preset", "open-plan", "--root", root, "--json")
    made = json.loads(result.out)
    assert (made["limit_seconds"], made["period_days"]) == (600, 28)
    assert made["remaining_seconds"] == 600
    assert qdm("budget", "set", "small", "--shots", "1000", "--root", root).code == 0
    shown = json.loads(qdm("budget", "show", "--root", root, "--json").out)
    assert [each["name"] for each in shown] == ["open", "small"]
    one = json.loads(qdm("budget", "show", "open", "--root", root, "--json").out)
    # The period rolls on between two looks.
    assert {**one, "period_start": None} == {**shown[0], "period_start": None}
    text = qdm("budget", "show", "--root", root).out
    assert "QPU seconds  600 of 600 left" in text
    assert "shots        1000 of 1000 left" in text
    assert qdm("budget", "set", "open", "--seconds", "60", "--root", root).code == 0
    again = json.loads(qdm("budget", "show", "open", "--root", root, "--json").out)
    assert (again["limit_seconds"], again["period_days"]) == (60, None)
    assert json.loads(qdm("budget", "history", "open", "--root", root, "--json").out) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("set", "b"), "seconds, shots or both"),
        (("set", "b", "--seconds", "-1"), "-1"),
        (("set", "b", "--seconds", "inf"), "inf"),
        (("set", "", "--seconds", "1"), "name"),
        (("set", "b", "--preset", "free"), "open-plan"),
        (("set", "b", "--preset", "open-plan", "--seconds", "1"), "leave them out"),
        (("set", "b", "--seconds", "1", "--calendar"), "calendar"),
        (("show",), "no ledger"),
        (("show", "b"), "no ledger"),
        (("history", "b"), "no ledger"),
    ],
)
def test_a_bad_budget_is_refused_in_one_line(qdm, root, arguments, says):
    one_line(qdm("budget", *arguments, "--root", root), says)


def test_an_unknown_budget_names_those_that_exist(qdm, root):
    qdm("budget", "set", "open", "--seconds", "1", "--root", root)
    one_line(qdm("budget", "show", "opne", "--root", root), "Did you mean 'open'")


def test_a_cancelled_run_is_listed_as_cancelled(qdm, planned, root):
    result = qdm("run", "cancel", "latest", "--root", root)
    assert (result.code, result.err) == (0, "")
    assert "state      cancelled, 0 of 2 steps done" in result.out
    assert state_of(qdm, root)["state"] == "cancelled"
    header, line = qdm("run", "list", "--root", root).out.splitlines()
    assert line.split()[1:3] == ["cancelled", "0/2"]
    assert line.index("cancelled") == header.index("state")
    assert qdm("run", "resume", "latest", "--root", root, "--quiet").code == 0
    assert state_of(qdm, root)["state"] == "done"


# --- several devices ----------------------------------------------------------------------------

SHARED = ("--target", "aer", "--target", "engine", "--shots", "50", "--num-images", "3")


@pytest.mark.slow
def test_the_whole_life_of_a_run_that_devices_share(qdm, trained, root):
    result = qdm("run", "plan", trained, *SHARED, "--quiet", "--root", root)
    assert (result.code, result.err) == (0, "")
    table = [line.split() for line in result.out.splitlines()]
    assert ["aer", "2", "-", "2", "4", "200", "0.00", "0.0000", "-"] in table
    assert ["all", "3", "4", "6", "300", "0.00"] in table
    one_line(qdm("run", "submit", "latest", "--root", root), "takes 4 jobs, 300 shots")
    assert state_of(qdm, root)["state"] == "planned"
    result = qdm("run", "submit", "latest", "--yes", "--quiet", "--root", root, "--json")
    assert (result.code, result.err) == (0, "")
    done = json.loads(result.out)
    assert (done["state"], done["images_done"], len(done["runs"])) == ("done", 3, 2)
    assert images_of(root / done["run"]).shape == (3, 1, 2, 2)
    for command in ("resume", "collect", "cancel"):
        result = qdm("run", command, done["run"], "--root", root, "--json")
        assert (result.code, json.loads(result.out)["state"]) == (0, "done")
    assert "the stored ones to the bit" in qdm("run", "replay", "latest", "--root", root).out
    assert qdm("run", "verify", "latest", "--root", root).code == 0
    assert qdm("run", "report", "latest", "--root", root).code == 0
    assert "samples.png" in (root / done["run"] / "report" / "report.md").read_text()
    listed = json.loads(qdm("run", "list", "--root", root, "--json").out)
    assert len(listed) == 3
    one_line(qdm("run", "submit", listed[0]["run"], "--yes", "--root", root), done["run"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--target", "aer", "--target", "aer"), "'aer' twice"),
        (("--target", "aer", "--target", "nowhere"), "nowhere"),
        (("--target", "aer,engine", "--target", "engine"), "given one by one"),
        (("--target", "aer", "--split", "even"), "'aer' alone"),
        (("--target", "aer", "--target", "engine", "--split", "1,1"), "16 in all"),
        (("--target", "aer", "--target", "engine", "--max-queue", "3"), "--max-wait"),
        (("--target", "aer", "--target", "engine", "--max-wait", "-1"), "longest_wait_seconds"),
    ],
)
def test_a_bad_plan_for_several_devices_is_refused(qdm, trained, root, arguments, says):
    one_line(qdm("run", "plan", trained, *arguments, "--quiet", "--root", root), says)
    assert not list(root.glob("2*"))
