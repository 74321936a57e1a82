"""Run items to their ends, whatever dies on the way."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..arguments import checked_path
from ..errors import InvalidOption, QdmError, WorkersUnavailable
from ..files import check_writable
from ..progress import Message, Progress, silent
from .executors import InThisProcess, Workers
from .items import Stopped, WorkItem, do_item, read_result, versions_here

__all__ = [
    "MOST_DEATHS",
    "Outcome",
    "run_items",
    "said_of",
]

MOST_DEATHS = 3
"""Times that workers may die at an item, alone with it the last time, before it is given up."""
LOOK_EVERY = 0.5
"""Seconds between two looks at whether the workers are there."""


@dataclass
class Outcome:
    """What came of items, by address."""

    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Results of those that are done."""
    failures: dict[str, str] = field(default_factory=dict)
    """One line for each that failed; it is done again in the next call."""
    interrupted: bool = False
    """True after Ctrl-C: what is in neither is still to be done."""


def run_items(
    items: Sequence[WorkItem],
    folder: str | Path,
    workers: Workers | None = None,
    progress: Progress = silent,
) -> Outcome:
    """Do items that are not done yet.

    A result is in ``folder/items`` once its item is done, so a call that was killed goes on where it
    was. A worker that dies loses its item, which another does again. An item at which workers die
    :data:`MOST_DEATHS` times is given up, the others go on.

    Args:
        items: Items with different addresses.
        folder: Where results are kept, on a disk that all workers write.
        workers: Who works; this process if None. They are left open, but for Ctrl-C and errors.
        progress: Receives a message with the counts for each item that ends.

    Returns:
        The results, those of earlier calls too.

    Raises:
        InvalidOption: If two items have one address.
        InvalidData: If a result in the folder is damaged.
        OutputNotWritable: If the folder cannot be written.
        WorkersUnavailable: If there are no workers, they have other versions, or none comes back.
    """
    folder = checked_path(folder, "folder").absolute()
    twice = [address for address, n in Counter(each.address for each in items).items() if n > 1]
    if twice:
        raise InvalidOption(f"Every item has an address of its own, got '{twice[0]}' twice.")
    check_writable(folder)
    course = _Course(folder, items, progress)
    workers = InThisProcess() if workers is None else workers
    try:
        course.run(workers)
    except KeyboardInterrupt:
        course.outcome.interrupted = True
    except BaseException:
        workers.close()
        raise
    if course.outcome.interrupted:
        workers.close()  # which lets items that run come to a stop
        course.take_finished()
    return course.outcome


def said_of(words: str, progress: Progress) -> Progress:
    """Return a receiver of messages that says first what they are of, such as a round."""
    return lambda m: progress(Message(f"{words}: {m}", m.done, m.total))


class _Course:
    """The course of a call of :func:`run_items`."""

    def __init__(self, folder: Path, items: Sequence[WorkItem], progress: Progress) -> None:
        self.folder, self.progress, self.total = folder, progress, len(items)
        self.outcome = Outcome()
        self.versions = versions_here()
        self.deaths: Counter[str] = Counter()
        self.items = {item.address: item for item in items}
        self.take_finished()
        self.waiting = deque(item for item in items if item.address not in self.outcome.results)
        if self.outcome.results:
            self._tell(f"{len(self.outcome.results)} of {self.total} are done already")

    def take_finished(self) -> None:
        """Take results that stand on disk, also of workers whose answer did not arrive."""
        for address, item in self.items.items():
            if address not in self.outcome.results:
                found = read_result(item, self.folder)
                if found is not None:
                    self.outcome.results[address] = found
                    self.outcome.failures.pop(address, None)

    def run(self, workers: Workers) -> None:
        """Send items until none is left."""
        while self.waiting and not self.outcome.interrupted:
            alone = [i for i in self.waiting if self.deaths[i.address] == MOST_DEATHS - 1]
            if alone:  # whoever dies now dies of this one
                self._send(workers, deque(alone[:1]), at_once=1)
                continue
            self._send(workers, deque(self.waiting), at_once=workers.at_once)

    def _send(self, workers: Workers, batch: deque[WorkItem], at_once: int | None) -> None:
        """Send a batch through one opening of the workers; return when it is done, or they are gone."""
        executor = workers.open()
        sent: dict[Future[Any], WorkItem] = {}
        try:
            while (batch or sent) and not self.outcome.interrupted:
                while batch and (at_once is None or len(sent) < at_once):
                    item = batch.popleft()
                    sent[self._submit(executor, item)] = item
                done, _ = wait(sent, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED)
                if any(self._is_lost(each, workers) for each in done) or not workers.alive():
                    self._blame(sent, workers)
                    return
                for future in done:
                    self._take(sent.pop(future), future)
        except KeyboardInterrupt:
            self.outcome.interrupted = True
        finally:
            for future in sent:
                future.cancel()

    def _submit(self, executor: Executor, item: WorkItem) -> Future[Any]:
        try:
            return executor.submit(do_item, item, str(self.folder), self.versions)
        except RuntimeError as error:  # a pool that broke since the last look refuses to take more
            future: Future[Any] = Future()
            future.set_exception(error)
            return future

    @staticmethod
    def _is_lost(future: Future[Any], workers: Workers) -> bool:
        if future.cancelled():
            return True
        error = future.exception()
        return error is not None and (isinstance(error, CancelledError) or workers.lost(error))

    def _blame(self, sent: dict[Future[Any], WorkItem], workers: Workers) -> None:
        """Count a death for each item that may have caused it, and give up those with too many."""
        self.take_finished()
        died = any(
            not each.cancelled() and each.done() and workers.lost(each.exception() or Exception())
            for each in sent
        )
        for item in sent.values():
            if item.address in self.outcome.results:
                self._drop(item)
                self._tell(f"{item.address} done")
            elif died:
                self.deaths[item.address] += 1
                if self.deaths[item.address] >= MOST_DEATHS:
                    self._fail(item, f"its worker died {MOST_DEATHS} times")
        self._tell("workers were lost; their items start again")

    def _take(self, item: WorkItem, future: Future[Any]) -> None:
        error = future.exception()
        if error is None:
            self._drop(item)
            self.outcome.results[item.address] = future.result()
            if not item.result_file(self.folder).is_file():
                raise WorkersUnavailable(
                    f"A worker has done {item.address}, but its result is not in {self.folder}: choose "
                    "a folder on a disk that all workers and this machine share."
                )
            self._tell(f"{item.address} done")
        elif isinstance(error, Stopped):
            self.outcome.interrupted = True
        elif isinstance(error, WorkersUnavailable):
            raise error
        elif isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("qdm_qiskit"):
            raise WorkersUnavailable(
                f"A worker has no module '{error.name}': install qdm_qiskit "
                f"{self.versions['qdm_qiskit']} there, as here."
            ) from error
        else:
            words = " ".join(str(error).split()) or type(error).__name__
            told = words if isinstance(error, QdmError) else f"{type(error).__name__}: {words}"
            self._fail(item, told)

    def _fail(self, item: WorkItem, words: str) -> None:
        self._drop(item)
        self.outcome.failures[item.address] = words
        self._tell(f"{item.address} failed: {words}")

    def _drop(self, item: WorkItem) -> None:
        if item in self.waiting:
            self.waiting.remove(item)

    def _tell(self, words: str) -> None:
        ended = len(self.outcome.results) + len(self.outcome.failures)
        self.progress(Message(words, ended, self.total))
