"""`qdm runs list|show|compare`."""

from __future__ import annotations

import csv
import io
import json

from tests.helpers import ROOT

TRAINING = ROOT / "tests" / "fixtures" / "v0_1" / "training"


def test_runs_are_listed_in_order_with_the_columns_asked_for(qdm, tmp_path):
    out = tmp_path / "table"
    listed = qdm(
        *("runs", "list", TRAINING, "--sort", "test_loss", "--columns", "depth,test_loss"),
        *("--out", out),
    )
    assert listed.code == 0, listed.err
    with open(out / "runs.csv", newline="") as file:
        losses = [float(row["test_loss"]) for row in csv.DictReader(file)]
    assert losses == sorted(losses)
    assert len(losses) == 6
    assert json.loads((out / "runs.json").read_text())["schema"].startswith("qdm-run-table/")
    assert "test_loss" in (out / "runs.html").read_text()
    content = json.loads(qdm("runs", "list", TRAINING, "--json").out)
    assert len(content["rows"]) == 6


def test_long_text_folds_and_names_stay_together():
    from rich.console import Console

    from qdm_qiskit.overview import RunRow, RunTable
    from qdm_qiskit.reports.run_table import run_table

    rows = tuple(
        RunRow(name, "training", "done", {"data": f"npz:/{name * 20}"}, {"loss": 0.123456})
        for name in ("first-of-many-runs", "second-of-many-runs")
    )
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(run_table(RunTable(rows, ("data",), ("loss",))))
    text = console.export_text()
    assert all(row.name in text for row in rows)
    assert "0.1235" in text


def test_one_run_and_two_beside_each_other(qdm):
    shown = qdm("runs", "show", TRAINING / "plain")
    assert "learning_rate               0.01" in shown.out
    compared = qdm("runs", "compare", TRAINING / "plain", TRAINING / "guided")
    assert compared.code == 0
    assert "guided" in compared.out


def test_what_is_not_there_is_one_line(qdm, tmp_path):
    for words, told in (
        (("list", tmp_path), "There are no training, sampling or hardware runs in"),
        (("list", tmp_path / "missing"), "There is no folder"),
        (("show", tmp_path), "There is no run in"),
        (("compare", TRAINING / "plain"), "two runs or more"),
        (("list", TRAINING, "--sort", "test_los"), "Did you mean 'test_loss'?"),
        (("list", TRAINING, "--columns", "dept"), "Did you mean 'depth'?"),
    ):
        done = qdm("runs", *words)
        assert (done.code, done.err.count("\n")) == (2, 1), words
        assert told in done.err
