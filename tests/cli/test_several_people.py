"""One root and one account for several people: the default root, who planned what, rehearsals."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import qdm_qiskit as qdm
from qdm_qiskit.errors import BudgetExceeded, InvalidOption, MissingData
from qdm_qiskit.hardware.ledger.budget import is_rehearsal
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.ledger.runs import current_user
from qdm_qiskit.reports.hardware_plan import plan_lines
from qdm_qiskit.tasks.recorded_runs import ROOT, root_folder

LOCAL = {"target": "local:fake_manila", "num_images": 2, "shots": 20, "layout_trials": 1}


def budget_line(plan: object, name: str) -> str:
    """What `qdm run plan` says of a budget."""
    lines = plan_lines(plan, qdm.budget(name))
    [found] = [each for each in lines if each.startswith("budget ")]
    return found


def spent(root: Path, name: str) -> float:
    return qdm.budget(name, root=root).spent_seconds


# -- the root -------------------------------------------------------------------------------------


def test_the_default_root_is_that_of_the_environment(qdm_and_root):
    qdm_command, root, trained = qdm_and_root
    assert qdm_command("budget", "set", "lab", "--seconds", "60").code == 0
    assert (root / "ledger.sqlite").is_file()
    assert qdm.budget("lab").limit_seconds == 60
    made = qdm.plan(trained, **LOCAL, budget="lab")
    assert made.folder.parent == root
    [row] = json.loads(qdm_command("run", "list", "--json").out)
    assert row["run"] == made.run_id
    # What goes on by the environment's root needs no --root; another root is named.
    told = qdm_command("run", "submit", "latest")
    assert told.code == 2
    assert "--root" not in told.err
    assert not Path("hardware_runs").exists()


def test_a_root_that_is_given_wins(qdm_and_root, tmp_path):
    qdm_command, root, _ = qdm_and_root
    other = tmp_path / "other"
    assert qdm_command("budget", "set", "b", "--seconds", "1", "--root", other).code == 0
    assert not root.exists()
    assert root_folder(other) == other
    assert root_folder("hardware_runs") == Path("hardware_runs"), "given by name, it is meant"
    assert root_folder(ROOT) == root
    with pytest.raises(MissingData, match="There is no ledger"):
        qdm.budget("b")


# -- who ------------------------------------------------------------------------------------------


def test_the_list_says_who_when_what_for_which_target_and_budget(qdm_and_root, monkeypatch):
    qdm_command, root, trained = qdm_and_root
    qdm_command("budget", "set", "lab", "--seconds", "60")
    runs = {}
    for number, name in enumerate(("anna", "bert")):
        monkeypatch.setenv("QDM_USER", name)
        runs[name] = qdm.plan(trained, **LOCAL, budget="lab", seed=number)
    rows = json.loads(qdm_command("run", "list", "--json").out)
    assert {row["user"]: row["run"] for row in rows} == {n: r.run_id for n, r in runs.items()}
    [row] = json.loads(qdm_command("run", "list", "--user", "bert", "--json").out)
    assert row["run"] == runs["bert"].run_id
    assert (row["target"], row["budget"]) == ("local:fake_manila", "lab")
    assert row["subject"] == runs["bert"].model
    planned = [e for e in _events(root, row["run"]) if e["kind"] == "planned"]
    assert row["created_at"] == pytest.approx(float(planned[0]["at"]), abs=1)
    text = qdm_command("run", "list").out
    for word in ("anna", "bert", "lab", "local:fake_manila"):
        assert word in text
    wrong = qdm_command("run", "list", "--user", "bret").err
    assert wrong.endswith("Did you mean 'bert'? There are: anna, bert.\n")
    # Who sends it is recorded too, and the planner stays the planner.
    monkeypatch.setenv("QDM_USER", "carl")
    qdm.submit(root / runs["anna"].run_id, yes=True)
    begun = [e for e in _events(root, runs["anna"].run_id) if e["kind"] == "run-running"]
    assert json.loads(str(begun[0]["detail"]))["user"] == "carl"
    [row] = json.loads(qdm_command("run", "list", "--user", "anna", "--json").out)
    assert row["state"] == "done"


def test_a_run_of_an_earlier_version_has_no_user(qdm_and_root, monkeypatch):
    qdm_command, root, trained = qdm_and_root
    made = qdm.plan(trained, **LOCAL)
    ledger = Ledger.open(root)
    with ledger._store.write() as tx:
        [event] = tx.read("SELECT id FROM events WHERE kind = 'planned'")
        tx.update("events", event["id"], detail='{"plan_sha256": "x"}')
    ledger.close()
    [row] = json.loads(qdm_command("run", "list", "--json").out)
    assert (row["run"], row["user"]) == (made.run_id, None)
    assert qdm_command("run", "list").code == 0


def test_a_name_stays_in_its_cell(monkeypatch):
    monkeypatch.setenv("QDM_USER", "a\nb" + "c" * 100)
    assert current_user() == "a b" + "c" * 61
    monkeypatch.delenv("QDM_USER")
    monkeypatch.setattr("getpass.getuser", lambda: (_ for _ in ()).throw(OSError("nobody")))
    assert current_user() == f"uid {os.getuid()}"


def _events(root: Path, run: str) -> list[dict]:
    ledger = Ledger.open_to_read(root)
    try:
        return ledger._store.read("SELECT * FROM events WHERE run_id = ? ORDER BY id", run)
    finally:
        ledger.close()


# -- rehearsals -----------------------------------------------------------------------------------


def test_a_rehearsal_takes_what_the_run_would_cost(qdm_and_root):
    _, root, trained = qdm_and_root
    qdm.set_budget("rehearsal", seconds=100)
    made = qdm.plan(trained, **LOCAL, budget="rehearsal")
    assert made.total_seconds > 0
    assert qdm.submit(root / made.run_id, yes=True).state.state == "done"
    assert spent(root, "rehearsal") == pytest.approx(made.total_seconds)
    assert qdm.budget("rehearsal").reserved_seconds == 0
    ledger = Ledger.open_to_read(root)
    assert ledger.settled_seconds() == 0, "no QPU second was used"
    ledger.close()


def test_an_ordinary_budget_still_pays_nothing_for_a_free_target(qdm_and_root):
    _, root, trained = qdm_and_root
    qdm.set_budget("lab", seconds=100)
    made = qdm.plan(trained, **LOCAL, budget="lab")
    assert budget_line(made, "lab").endswith("; this target takes nothing from it")
    assert qdm.submit(root / made.run_id, yes=True).state.state == "done"
    assert spent(root, "lab") == 0


def test_refusal_is_seen_before_money_is_involved(qdm_and_root):
    qdm_command, root, trained = qdm_and_root
    made = qdm.plan(trained, **LOCAL, seed=5)
    qdm.set_budget("rehearsal-lab", seconds=made.total_seconds * 1.5)
    first, second = (
        qdm.plan(trained, **LOCAL, budget="rehearsal-lab", seed=seed) for seed in (1, 2)
    )
    assert budget_line(first, "rehearsal-lab").endswith(" left")
    assert qdm.submit(root / first.run_id, yes=True).state.state == "done"
    told = budget_line(second, "rehearsal-lab")
    assert told.endswith("; THIS RUN DOES NOT FIT and will be refused")
    with pytest.raises(BudgetExceeded, match="Budget 'rehearsal-lab' does not allow"):
        qdm.submit(root / second.run_id, yes=True)
    told = qdm_command("run", "submit", second.run_id, "--yes")
    assert told.code == 2
    assert "of " in told.err
    assert qdm.budget("rehearsal-lab").reserved_seconds == 0
    qdm.set_budget("rehearsal-lab", seconds=made.total_seconds * 3)
    assert qdm.submit(root / second.run_id, yes=True).state.state == "done"


def test_a_rehearsals_budget_pays_for_nothing_on_a_qpu(qdm_and_root):
    _, root, trained = qdm_and_root
    qdm.set_budget("rehearsal", seconds=100)
    for targets in ("ibm:ibm_fez", ["local:fake_manila", "ibm:ibm_fez"]):
        with pytest.raises(InvalidOption, match="is one of rehearsals, and 'ibm:ibm_fez' charges"):
            qdm.plan(trained, targets, num_images=2, shots=20, budget="rehearsal")
    assert list(root.glob("20*")) == []
    assert [is_rehearsal(name) for name in (None, "rehearsals", "Rehearsal", "open")] == [False] * 4


@pytest.fixture
def qdm_and_root(qdm, trained, tmp_path, monkeypatch):
    """The command, a root that the environment names, and a trained run."""
    root = tmp_path / "shared"
    monkeypatch.setenv("QDM_ROOT", str(root))
    monkeypatch.chdir(tmp_path)
    return qdm, root, trained
