"""Workers of Dask: results do not depend on them, and one line says what is missing."""

from __future__ import annotations

import gc

import pytest

from qdm_qiskit.errors import InvalidOption, WorkersUnavailable
from qdm_qiskit.work import WorkItem, run_items
from qdm_qiskit.work import dask as dask_workers
from qdm_qiskit.work.dask import DaskWorkers
from tests.work import to_do

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster():
    """A scheduler and a worker, in threads of this process."""
    made = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    )
    yield made
    made.close()


@pytest.fixture
def workers(cluster):
    made = DaskWorkers(cluster)
    yield made
    made.close()


def items(call, *names):
    return [WorkItem(name, call, {"name": name}) for name in names]


def test_results_are_those_of_this_process(tmp_path, workers):
    work = items(to_do.draw, *"abc")
    found = run_items(work, tmp_path / "there", workers)
    assert found.results == run_items(work, tmp_path / "here").results
    assert found.failures == {}


def test_a_failure_is_one_line_and_stops_nobody(tmp_path, workers):
    found = run_items(items(to_do.fail, "a") + items(to_do.draw, "b"), tmp_path, workers)
    assert found.failures == {"a": "a is bad."}
    assert set(found.results) == {"b"}


def test_a_cluster_outlives_a_call(tmp_path, cluster, workers):
    run_items(items(to_do.draw, "a"), tmp_path, workers)
    workers.close()
    assert cluster.status.name == "running"
    assert set(run_items(items(to_do.draw, *"ab"), tmp_path, workers).results) == {"a", "b"}


def test_workers_of_another_version_are_named(tmp_path, workers, monkeypatch):
    monkeypatch.setattr(dask_workers, "versions_here", lambda: {"qdm_qiskit": "0.0.9"})
    with pytest.raises(WorkersUnavailable, match=r"Worker .* has qdm_qiskit .* this is 0\.0\.9"):
        run_items(items(to_do.draw, "a"), tmp_path, workers)
    monkeypatch.setattr(dask_workers, "versions_here", lambda: {"no_such_package": "1"})
    with pytest.raises(WorkersUnavailable, match="has no no_such_package"):
        run_items(items(to_do.draw, "a"), tmp_path, workers)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "tcp://", "nine://a:1"])
def test_a_scheduler_that_is_not_there_is_one_line(tmp_path, monkeypatch, address):
    monkeypatch.setattr(dask_workers, "CONNECT_SECONDS", 0.2)
    with pytest.raises(WorkersUnavailable, match="No scheduler of Dask answers at") as told:
        run_items(items(to_do.draw, "a"), tmp_path, DaskWorkers(address))
    assert "\n" not in str(told.value)
    # One that is collected later would close itself, perhaps while Dask holds the lock for that.
    left = [each for each in gc.get_objects() if type(each) is distributed.Client]
    assert [each.status for each in left if each.status not in ("closed", "running")] == []


def test_workers_of_a_scheduler_are_not_ours_to_count():
    with pytest.raises(InvalidOption, match="leave workers or scheduler out"):
        DaskWorkers("tcp://127.0.0.1:1", 2)
    with pytest.raises(InvalidOption, match="at least 1, got 0"):
        DaskWorkers(count=0)
