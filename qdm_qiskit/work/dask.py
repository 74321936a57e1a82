"""Workers of Dask.distributed: of this machine, or of a scheduler that knows many machines."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import suppress
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ..arguments import checked_text
from ..errors import InvalidOption, MissingDependency, WorkersUnavailable
from ..progress import Message, Progress, silent
from .items import versions_here

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

__all__ = ["DaskWorkers"]

CONNECT_SECONDS = 10
_LOGS = (
    "distributed",
    "distributed.client",
    "distributed.nanny",
    "distributed.scheduler",
    "distributed.worker",
)


_QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 2**27,
}
"""What a cluster of ours leaves out: it takes a fifth of the processor time of small runs.

Looking a hundred times a second at what a worker does, for a picture that nobody asks for here; telling
fifty times a second that a loop is alive; and giving freed memory back to the system at once, from
which the next step takes it again.
"""


class DaskWorkers:
    """Workers of Dask.distributed, which starts an item again when its worker dies.

    Run workers with one thread each (``dask worker ADDRESS --nthreads 1``): a process does one item
    at a time.

    Args:
        scheduler: Address of a scheduler, such as ``"tcp://10.0.0.1:8786"``; or a cluster object of
            Dask's, such as dask-jobqueue's ``SLURMCluster``; or None for a cluster of this machine.
        count: Worker processes of a cluster of this machine; None for one a core.
        patience: Seconds to wait for a scheduler that went away to come back.
        progress: Receives what a user should know.

    Raises:
        MissingDependency: If Dask.distributed is not installed.
        InvalidOption: If there is a count with a scheduler.
    """

    at_once: int | None = None

    def __init__(
        self,
        scheduler: str | Any | None = None,
        count: int | None = None,
        *,
        patience: float = 60.0,
        progress: Progress = silent,
    ) -> None:
        try:
            import distributed  # noqa: F401 (an extra)
        except ImportError as error:
            raise MissingDependency(
                "Workers of Dask need the package distributed: pip install 'qdm_qiskit[dask]'."
            ) from error
        if scheduler is not None and count is not None:
            raise InvalidOption(
                "A scheduler has workers of its own, whose number is not ours to choose; leave "
                "workers or scheduler out."
            )
        if count is not None and (isinstance(count, bool) or count < 1):
            raise InvalidOption(f"workers is a whole number of at least 1, got {count!r}.")
        if isinstance(scheduler, str):
            checked_text(scheduler, "scheduler")
        self.scheduler, self.count = scheduler, count
        self.patience, self.progress = patience, progress
        self._client: Client | None = None
        self._cluster: LocalCluster | None = None
        self._executor: Executor | None = None

    def open(self) -> Executor:
        """Return an executor of a connection that stands.

        Raises:
            WorkersUnavailable: If no scheduler answers, or workers have other versions.
        """
        if self._executor is not None and self.alive():
            return self._executor
        again = self._client is not None
        self._part()
        for name in _LOGS:  # what is lost, and that it is back, is said here, in a line each
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._client = self._connect(self.patience if again else 0.0)
        self._check_versions(self._client)
        if not self._client.scheduler_info().get("workers"):
            self.progress(Message("the scheduler has no workers yet; waiting for them"))
        executor: Executor = self._client.get_executor(pure=False)
        self._executor = executor
        return executor

    def _connect(self, patience: float) -> Client:
        """Return a client; ask again for as long as the patience lasts."""
        from distributed import Client

        if self.scheduler is None and self._cluster is None:
            self._cluster = _local_cluster(self.count)
        where = self.scheduler if self._cluster is None else self._cluster
        deadline = time.monotonic() + patience
        while True:
            client = Client.__new__(Client)  # at hand also if its constructor fails
            try:
                client.__init__(  # type: ignore[misc]
                    where, timeout=CONNECT_SECONDS, set_as_default=False
                )
                return client
            except (OSError, ValueError, ImportError) as error:
                # ValueError: no address at all; ImportError: of a protocol that is not installed
                _end_half_made(client)
                if isinstance(error, OSError) and time.monotonic() < deadline:
                    time.sleep(0.5)
                    continue
                if patience:
                    raise WorkersUnavailable(
                        f"The scheduler {self.scheduler} went away and did not come back within "
                        f"{patience:.0f} s; items that are done are kept, and the same call goes on."
                    ) from error
                reason = " ".join(str(error).split()).rstrip(".")
                raise WorkersUnavailable(
                    f"No scheduler of Dask answers at {self.scheduler}: {reason}. Start one with "
                    "`dask scheduler` and workers with `dask worker ADDRESS --nthreads 1`."
                ) from error

    def _check_versions(self, client: Client) -> None:
        """Compare versions on all workers, by functions that every Python has."""
        for name, ours in versions_here().items():
            found: Mapping[str, Any] = client.run(metadata.version, name, on_error="return")
            for worker, theirs in found.items():
                if isinstance(theirs, str) and theirs == ours:
                    continue
                has = f"has {name} {theirs}" if isinstance(theirs, str) else f"has no {name}"
                raise WorkersUnavailable(
                    f"Worker {worker} {has}, and this is {ours}: install "
                    f"{', '.join(f'{k} {v}' for k, v in versions_here().items())} there, as here."
                )

    def lost(self, error: BaseException) -> bool:
        """Return False: the scheduler starts items of dead workers again, and gives up by itself."""
        return False

    def alive(self) -> bool:
        """Return False if the connection to the scheduler broke."""
        return self._client is not None and self._client.status == "running"

    def close(self) -> None:
        """End the connection, and a cluster of this machine."""
        self._part()
        if self._cluster is not None:
            self._cluster.close(timeout=10)
            self._cluster = None

    def _part(self) -> None:
        self._executor = None
        if self._client is not None:
            with suppress(OSError, TimeoutError):  # who is gone need not be told
                self._client.close(timeout=5)
            self._client = None


def _end_half_made(client: Client) -> None:
    """Close a client that did not come up.

    Left to itself it closes when it is collected. If that happens while Dask starts another loop,
    which holds the lock that closing takes, the process waits for itself.
    """
    with suppress(Exception):  # it has got no further than its constructor did
        client.close(timeout=1)
    client.status = "closed"


def _local_cluster(count: int | None) -> LocalCluster:
    import dask
    from distributed import LocalCluster

    with dask.config.set(_QUIET):
        return LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",  # any free port: a second cluster warns of a taken one
            silence_logs=logging.CRITICAL,
        )
