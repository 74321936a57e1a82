"""Tables of runs: order, columns, means over seeds, files."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdm_qiskit.errors import UnknownName
from qdm_qiskit.overview import RunRow, RunTable


def row(name, state="done", kind="training", **values):
    options = {k: v for k, v in values.items() if k != "loss"}
    metrics = {k: v for k, v in values.items() if k == "loss"}
    return RunRow(name, kind, state, options, metrics)


TABLE = RunTable(
    (row("b", depth=10, seed=0, loss=0.3), row("a", depth=9, seed=0, loss=0.1), row("c", depth=2)),
    ("depth", "seed"),
    ("loss",),
)


def names(table):
    return [each.name for each in table.rows]


def test_rows_stand_by_number_and_those_without_one_last():
    assert names(TABLE.sorted_by("depth")) == ["c", "a", "b"]
    assert names(TABLE.sorted_by("loss")) == ["a", "b", "c"]
    assert names(TABLE.sorted_by("loss", reverse=True)) == ["b", "a", "c"]
    assert names(TABLE.sorted_by("name")) == ["a", "b", "c"]
    with pytest.raises(UnknownName, match="Did you mean 'depth'"):
        TABLE.sorted_by("dept")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(), st.text(), st.booleans())))
def test_anything_can_be_sorted_and_written(values):
    table = RunTable(tuple(row(str(k), x=value) for k, value in enumerate(values)), ("x",))
    if values:
        assert len(table.sorted_by("x").rows) == len(values)
    assert len(list(csv.reader(io.StringIO(table.to_csv())))) == len(values) + 1
    json.dumps(table.to_dict(), allow_nan=False)
    assert table._repr_html_().count("<tr>") == len(values) + 1


def test_numbers_are_whole_in_files_and_short_on_the_screen():
    table = RunTable((row("a", rate=1 / 3, classes=(0, 1), on=True),), ("rate", "classes", "on"))
    assert table.cells() == [["0.3333", "0,1", "yes", "done", "a"]]
    (line,) = csv.DictReader(io.StringIO(table.to_csv()))
    assert float(line["rate"]) == 1 / 3


def test_columns_are_those_that_differ_or_are_asked_for():
    assert TABLE.differing().options == ("depth", "seed")
    assert TABLE.with_columns(["loss", "name"]).columns == ("loss", "state", "name")
    with pytest.raises(UnknownName, match="called 'los'"):
        TABLE.with_columns(["los"])
    both = RunTable((row("a"), row("b", kind="samples")))
    assert both.columns == ("kind", "state", "name")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=6))
def test_means_and_deviations_over_seeds(losses):
    rows = [row(str(k), depth=1, seed=k, loss=loss) for k, loss in enumerate(losses)]
    rows.append(row("other", depth=2, seed=0, loss=1.0))
    first, second = RunTable(tuple(rows), ("depth", "seed"), ("loss",)).over_seeds().rows
    assert first.options == {"depth": 1}
    assert first.metrics["seeds"] == len(losses)
    assert first.metrics["loss"] == pytest.approx(statistics.fmean(losses))
    if len(losses) > 1:
        assert math.isclose(
            first.metrics["loss_std"], statistics.stdev(losses), rel_tol=1e-9, abs_tol=1e-9
        )
    assert "loss_std" not in second.metrics
