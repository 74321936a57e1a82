"""A search asks in rounds, goes on after a stop as if there had been none, and says what is wrong."""

from __future__ import annotations

import json
import math
import sys

import pytest

from qdm_qiskit.cli.main import main
from qdm_qiskit.errors import InvalidData, InvalidOption, MissingDependency
from qdm_qiskit.sweeps import (
    Draw,
    Search,
    plan_search,
    plan_sweep,
    read_search,
    run_search,
    run_sweep,
)
from qdm_qiskit.sweeps.search import _ask
from qdm_qiskit.tasks import continue_sweep
from qdm_qiskit.training import find_checkpoint, train

SMALL = {
    "image_size": 2,
    "num_steps": 2,
    "train_count": 8,
    "epochs": 1,
    "baseline": False,
    "sample_every": 0,
}
DRAW = {"learning_rate": Draw(0.001, 0.1, log=True), "depth": [1, 2]}


def small_search(**changes):
    return plan_search("eeqdm", SMALL, **{"draw": DRAW, "trials": 3, "at_once": 2, **changes})


class Stopped(Exception):
    pass


@pytest.mark.slow
def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    pytest.importorskip("optuna")
    whole = run_search(small_search(seeds=2), tmp_path / "whole")
    assert len(whole.table.rows) == 6
    assert {row.state for row in whole.table.rows} == {"done"}
    calls = []

    def stop(message):
        calls.append(message)
        if len(calls) == 3:
            raise Stopped

    with pytest.raises(Stopped):
        run_search(small_search(seeds=2), tmp_path / "parts", progress=stop)
    found = continue_sweep(tmp_path / "parts")
    assert [row.options for row in found.table.rows] == [row.options for row in whole.table.rows]
    assert read_search(tmp_path / "parts").asked == read_search(tmp_path / "whole").asked
    for run in found.plan.runs:
        folders = [tmp_path / name / "runs" / run.name for name in ("parts", "whole")]
        weights = [(find_checkpoint(each) / "model.safetensors").read_bytes() for each in folders]
        assert weights[0] == weights[1]
    again = found.plan.runs[0]
    alone = train(again.config, tmp_path / "alone").checkpoint / "model.safetensors"
    searched = find_checkpoint(tmp_path / "parts" / "runs" / again.name) / "model.safetensors"
    assert alone.read_bytes() == searched.read_bytes()


def test_what_is_told_draws_the_search_to_it():
    pytest.importorskip("optuna")
    space = {"learning_rate": {"low": 1e-4, "high": 1.0, "log": True}}
    search = Search("eeqdm", {}, space, 100, 4, 1, 0)
    rates = [10 ** (-4 + 4 * k / 19) for k in range(20)]

    def distance(best: float) -> float:
        told = [({"learning_rate": r}, math.log(r / best) ** 2) for r in rates]
        asked = [p["learning_rate"] for k in range(4) for p in _ask(search, told, k, 4)]
        return sum(abs(math.log(r / 1e-3)) for r in asked) / len(asked)

    assert distance(1e-3) < 0.7 * distance(0.3)
    told = [({"learning_rate": r}, None if r > 0.01 else 1.0) for r in rates]  # they diverged
    asked = [p["learning_rate"] for k in range(4) for p in _ask(search, told, k, 4)]
    assert sum(r <= 0.01 for r in asked) > len(asked) / 2


def test_points_whose_options_do_not_go_together_are_told_and_the_others_go_on(tmp_path):
    pytest.importorskip("optuna")
    draw = {"optimizer": ["natural", "adam"], "train_shots": [64]}
    search = plan_search(
        "eeqdm", {**SMALL, "train_on": "engine"}, draw={"optimizer": ["adam"]}, trials=2, at_once=1
    )
    asked = [
        [{"optimizer": "natural", "train_shots": "64"}],
        [{"optimizer": "adam", "train_shots": "64"}],
    ]
    space = {option: {"choices": [str(v) for v in values]} for option, values in draw.items()}
    search = Search("eeqdm", search.settings, space, 2, 1, 1, 0, asked)
    content = {"schema": "qdm-search/1", **search.__dict__}
    (tmp_path / "search.json").write_text(json.dumps(content))
    found = run_search(search, tmp_path)
    assert list(found.failures) == ["optimizer=natural,train_shots=64"]
    assert [row.state for row in found.table.rows] == ["done"]


def test_a_folder_is_one_searchs(tmp_path):
    pytest.importorskip("optuna")
    run_search(small_search(trials=1), tmp_path / "search")
    with pytest.raises(InvalidOption, match="holds a search with other options"):
        run_search(small_search(trials=2), tmp_path / "search")
    plan = plan_sweep("eeqdm", SMALL)
    with pytest.raises(InvalidOption, match="holds a search"):
        run_sweep(plan, tmp_path / "search")
    run_sweep(plan, tmp_path / "sweep")
    with pytest.raises(InvalidOption, match="holds a sweep"):
        run_search(small_search(), tmp_path / "sweep")


GOOD = {
    "schema": "qdm-search/1",
    "name": "eeqdm",
    "settings": {},
    "trials": 2,
    "at_once": 2,
    "seeds": 1,
    "seed": 0,
    "space": {"depth": {"low": 1, "high": 4, "log": False}, "optimizer": {"choices": ["adam"]}},
    "asked": [[{"depth": 1, "optimizer": "adam"}, {"depth": 4, "optimizer": "adam"}]],
}


@pytest.mark.parametrize(
    "change",
    [
        {"trials": 0},
        {"seeds": True},
        {"at_once": 0},
        {"seed": -1},
        {"trials": 10**6},
        {"name": 3},
        {"space": {}},
        {"space": {"depth": {"low": 4, "high": 1, "log": False}}},
        {"space": {"depth": {"choices": []}}},
        {"asked": [[{"depth": 1, "optimizer": "adam"}]]},
        {"asked": [[{"depth": 9, "optimizer": "adam"}, {"depth": 1, "optimizer": "adam"}]]},
        {"asked": [[{"depth": 1, "optimizer": "x"}, {"depth": 1, "optimizer": "adam"}]]},
        {"asked": [*GOOD["asked"], *GOOD["asked"]]},
        {"more": 1},
        {"schema": "qdm-search/3"},
    ],
)
def test_a_damaged_file_is_refused(tmp_path, change):
    (tmp_path / "search.json").write_text(json.dumps(GOOD))
    assert read_search(tmp_path).asked == GOOD["asked"]
    (tmp_path / "search.json").write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(InvalidData, match=r"search\.json"):
        read_search(tmp_path)


def test_without_optuna_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDependency, match=r"pip install 'qdm_qiskit\[optuna\]'"):
        small_search()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--search", "grid", "--trials", "2"], "search is one of optuna, random"),
        (["--search", "optuna"], "give trials. (--trials)"),
        (["--trials", "2"], "name --search optuna too"),
        (["--search", "optuna", "--trials", "2", "--grid", "depth=1,2"], "leave grid out"),
        (
            ["--search", "optuna", "--trials", "2", "--first-epochs", "1"],
            "leave first_epochs out",
        ),
        (["--search", "optuna", "--trials", "2"], "name them in draw"),
        (["--search", "optuna", "--trials", "2", "--draw", "dept=1:2"], "dept"),
        (["--search", "optuna", "--trials", "0", "--draw", "depth=1:2"], "at least 1, got 0"),
        (["--search", "optuna", "--trials", "2", "--draw", "optimizer=adam,x"], "got 'x'"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, words, said):
    if "--draw" in words or said == "name them in draw":
        pytest.importorskip("optuna")
    with pytest.raises(SystemExit) as ended:
        main(["sweep", "--model", "eeqdm", *words, "--out", str(tmp_path / "out"), "--quiet"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
