"""IBM's count of its account beside ours, on the local server."""

from __future__ import annotations

import json

import pytest

from qdm_qiskit.cli.main import main
from qdm_qiskit.errors import MissingData, ServiceUnavailable
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.tasks.budgets import account_usage
from tests.runtime.server import API_KEY


def test_both_counts_agree_where_nobody_else_runs(server, root, planned, capsys):
    plan = planned(steps=2)
    assert account_usage(root=root).consumed_seconds == 0
    assert submit_run(plan.folder / "plan.json").state == "done"
    found = account_usage(root=root)
    charged = server.ledger()["charged_seconds"]
    assert found.consumed_seconds == pytest.approx(charged)
    assert found.settled_seconds == pytest.approx(charged)
    assert found.limit_seconds is not None
    assert found.remaining_seconds == pytest.approx(found.limit_seconds - charged)
    with pytest.raises(SystemExit) as left:
        main(["budget", "account", "--root", str(root), "--json"])
    assert left.value.code == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["settled_seconds"] == pytest.approx(charged)
    assert API_KEY not in printed.out + printed.err


def test_without_ledger_or_account_it_says_so(server, root, tmp_path, monkeypatch):
    with pytest.raises(MissingData, match="There is no ledger"):
        account_usage(root=tmp_path / "nothing")
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "wrong")
    with pytest.raises(ServiceUnavailable):
        account_usage(root=root)
