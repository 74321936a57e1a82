"""All items come to their end, each once, whatever dies on the way."""

from __future__ import annotations

from concurrent.futures import Executor, Future, ThreadPoolExecutor

import pytest

from qdm_qiskit.errors import InvalidOption, WorkersUnavailable
from qdm_qiskit.work import AnyExecutor, Processes, WorkItem, run, run_items
from tests.work import to_do


def items(call, *names, **arguments):
    return [WorkItem(name, call, {"name": name, **arguments}) for name in names]


def begun(folder):
    """How many times each item was begun."""
    return {path.stem: len(path.read_text()) for path in sorted(folder.glob("*.begun"))}


@pytest.fixture(scope="module")
def two_processes():
    workers = Processes(2)
    yield workers
    workers.close()


def test_results_do_not_depend_on_where_or_in_which_order(tmp_path, two_processes):
    work = items(to_do.draw, *"abcd")
    here = run_items(work, tmp_path / "here")
    there = run_items(work[::-1], tmp_path / "there", two_processes)
    with ThreadPoolExecutor(2) as pool:
        threads = run_items(work, tmp_path / "threads", AnyExecutor(pool))
    assert here.results == there.results == threads.results
    assert len({each["drawn"] for each in here.results.values()}) == 4


def test_what_is_done_is_not_done_again(tmp_path):
    told = []
    run_items(items(to_do.draw, "a"), tmp_path)
    found = run_items(items(to_do.draw, *"ab"), tmp_path, progress=told.append)
    assert set(found.results) == {"a", "b"}
    assert begun(tmp_path) == {"a": 1, "b": 1}
    assert [(each.done, each.total) for each in told] == [(1, 2), (2, 2)]


def test_a_failure_is_one_line_and_stops_nobody(tmp_path):
    work = items(to_do.fail, "a") + items(to_do.crash, "b") + items(to_do.draw, "c")
    found = run_items(work, tmp_path)
    assert found.failures == {"a": "a is bad.", "b": "ZeroDivisionError: b"}
    assert set(found.results) == {"c"}
    assert set(run_items(work, tmp_path).results) == {"a", "c"}, "what failed is done again"


def test_a_stop_leaves_the_rest_for_later(tmp_path):
    work = items(to_do.draw, "a") + items(to_do.stop, "b") + items(to_do.draw, "c")
    found = run_items(work, tmp_path)
    assert (set(found.results), found.interrupted) == ({"a"}, True)
    assert found.failures == {}
    found = run_items(work, tmp_path)
    assert (set(found.results), found.interrupted) == ({"a", "b", "c"}, False)


def test_a_worker_that_is_killed_loses_its_item_only(tmp_path, two_processes):
    work = items(to_do.die, "a", times=1) + items(to_do.draw, *"bcde")
    told = []
    found = run_items(work, tmp_path, two_processes, told.append)
    assert (set(found.results), found.failures) == (set("abcde"), {})
    assert begun(tmp_path)["a"] == 2
    assert "workers were lost; their items start again" in told


@pytest.mark.slow
def test_an_item_that_kills_every_worker_is_given_up(tmp_path, two_processes):
    work = items(to_do.die, "a", times=9) + items(to_do.draw, *"bcd", seconds=0.05)
    found = run_items(work, tmp_path, two_processes)
    assert found.failures == {"a": "its worker died 3 times"}
    assert set(found.results) == set("bcd")
    assert begun(tmp_path)["a"] == 3


def test_an_executor_of_the_callers_own_that_breaks_is_named(tmp_path):
    pool = Processes(1)
    try:
        with pytest.raises(WorkersUnavailable, match="Call again with a new one"):
            run_items(items(to_do.die, "a", times=1), tmp_path, AnyExecutor(pool.open()))
    finally:
        pool.close()


def test_workers_of_other_versions_end_the_call(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "versions_here", lambda: {"qdm_qiskit": "0.0.9"})
    with pytest.raises(WorkersUnavailable, match=r"has qdm_qiskit .* install qdm_qiskit 0\.0\.9"):
        run_items(items(to_do.draw, *"ab"), tmp_path)
    assert begun(tmp_path) == {}


class Elsewhere(Executor):
    """A worker whose disk is not ours."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_result({"drawn": 0.5})
        return future


def test_a_result_on_another_disk_is_refused(tmp_path):
    with pytest.raises(WorkersUnavailable, match="all workers and this machine share"):
        run_items(items(to_do.draw, "a"), tmp_path, AnyExecutor(Elsewhere()))


def test_two_items_of_one_address_are_refused(tmp_path):
    with pytest.raises(InvalidOption, match="got 'a' twice"):
        run_items(items(to_do.draw, *"aba"), tmp_path)


@pytest.mark.parametrize("count", [0, -1, True, "two", 1.0])
def test_a_number_of_workers_is_whole(count):
    with pytest.raises(InvalidOption, match="workers is a whole number"):
        Processes(count)
