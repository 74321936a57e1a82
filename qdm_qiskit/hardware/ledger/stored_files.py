"""Every stored byte of a run is checked: the ledger has a checksum of each file of its folder.

A checksum is recorded when the file is written, in the events ``collected`` (counts), ``stored``
and ``recorded`` (what a run ends with). A file whose bytes are others, by a flipped bit or a cut, is
set aside and comes back from what remains: counts from the job at the provider, all else from the
counts, a calibration of another run from that run, the nonce from the ledger itself.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import final

from ...archives import read_arrays
from ...errors import InvalidData, InvalidPlan
from ...files import read_json_object, write_bytes, write_text
from .file_lock import not_writable
from .ledger import FILE, Ledger
from .output_files import OUTPUTS
from .run_files import IMAGES, MANIFEST, NONCE, SAMPLES, STEPS, nonce, read_counts
from .trained_files import TRAINED, trained_files

__all__ = [
    "StoredFiles",
    "check_ledger_of",
    "file_sha256",
    "has_other_ledger",
    "kept_nonce",
]

PLAN = "plan.json"
RESULTS = (IMAGES, SAMPLES, OUTPUTS, MANIFEST)
"""Files that a run ends with; each is computed again where it is missing."""

WRITTEN_ONCE = (
    PLAN,
    NONCE,
    "calibration-[0-9][0-9][0-9][0-9].json",
    "calibration-[0-9][0-9][0-9][0-9].npz",
    "refit-[0-9][0-9][0-9][0-9].json",
    "refit-[0-9][0-9][0-9][0-9].npz",
)
COUNTS = f"{STEPS}/step-*.npz"
"""Patterns of the files that are written before the results."""

Tell = Callable[[str], None]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes.

    Raises:
        InvalidData: If it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidData(f"{path} cannot be read: {error.strerror or error}.") from error


def kept_nonce(folder: Path, ledger: Ledger, run_id: str, tell: Tell) -> str:
    """Return the nonce of a run's folder, which the ledger has too; write a damaged one again.

    It is in the ledger before it is in the folder: a folder with one that its ledger does not know
    was used with another ledger (:func:`check_ledger_of`).
    """
    path, known = folder / NONCE, _known_nonce(ledger, run_id)
    if known is None:
        known = nonce(folder) if path.exists() else secrets.token_hex(8)
        ledger.event(run_id, "nonce", nonce=known)
    try:
        if path.exists() and nonce(folder) == known:
            return known
    except InvalidData:
        pass
    if path.exists():
        tell(f"{NONCE} of run {run_id} was damaged, kept as {_set_aside(path)}, and written again")
    write_text(path, known + "\n")
    return known


def has_other_ledger(folder: Path, ledger: Ledger, run_id: str) -> bool:
    """Return True if a run's folder was used with another ledger than this one.

    It has a nonce then that this ledger does not know, and counts, or no run in this ledger.
    """
    if not (folder / NONCE).exists() or ledger.intentions(run_id):
        return False
    if _known_nonce(ledger, run_id) is not None:
        return False
    known = any(each.run_id == run_id for each in ledger.runs())
    # One of an earlier version, which wrote the nonce and sent nothing, is known.
    return not known or any((folder / STEPS).glob("*.npz"))


def check_ledger_of(folder: Path, ledger: Ledger, run_id: str) -> None:
    """Refuse a folder that was copied without the ledger that it was used with.

    What it has sent and paid for is in that other ledger, and would be sent and paid for again.

    Raises:
        InvalidPlan: If it was.
    """
    if has_other_ledger(folder, ledger, run_id):
        raise InvalidPlan(
            f"Run {run_id} was used with another ledger than that of {ledger.root}, so jobs of it "
            f"may have been paid for that this one does not know; copy {FILE} and {FILE}.log of its "
            f"old root too, take its jobs in with `qdm run verify {run_id} --repair`, or plan again."
        )


@final
class StoredFiles:
    """Files of a run's folder beside their checksums in the ledger.

    Args:
        folder: The run's folder.
        ledger: The ledger of its root.
        run_id: The run.
    """

    def __init__(self, folder: Path, ledger: Ledger, run_id: str) -> None:
        self._folder = folder
        self._ledger = ledger
        self._run_id = run_id
        self._noted: set[str] = set()

    def known(self) -> dict[str, str]:
        """Return the checksum of each file that the ledger has, by its path in the folder."""
        return {name: found for name, found in self._recorded().items() if found is not None}

    def _recorded(self) -> dict[str, str | None]:
        """Return the same, with None for files that were set aside."""
        found: dict[str, str | None] = {}
        for event in self._ledger.events(self._run_id):
            if event["kind"] not in ("collected", "stored", "recorded", "routed", "damaged"):
                continue
            detail = json.loads(str(event["detail"]))
            if event["kind"] == "damaged":
                found |= dict.fromkeys(detail["files"])
                continue
            found |= detail.get("files", {})
            if detail.get("sha256") is not None:
                found[detail["path"]] = detail["sha256"]
        return found

    def damaged(self) -> list[str]:
        """Return the files whose bytes are not those that were written, by their paths.

        Of those without a checksum, which an earlier version wrote, the ones that cannot be read.
        """
        known = self.known()
        changed = [
            name
            for name, sha256 in sorted(known.items())
            if (self._folder / name).is_file() and file_sha256(self._folder / name) != sha256
        ]
        others = [*RESULTS, *(name for name in self._present() if name.endswith(".npz"))]
        return changed + [
            name
            for name in others
            if name not in known and (self._folder / name).is_file() and not self._readable(name)
        ]

    def note(self) -> None:
        """Record the checksums of files that have none yet, but for the results.

        Counts have theirs from the event that they were collected by; so a chain of a thousand steps
        reads its events once.
        """
        if all(name in self._noted for name in self._present(WRITTEN_ONCE)):
            return
        known = self.known()
        new = [name for name in self._present() if name not in known]
        if new:
            self._ledger.event(self._run_id, "stored", files=self._sums(new))
        self._noted = {*known, *new}

    def recorded(self, names: Sequence[str] | None = None) -> None:
        """Record the checksums of results that were written just now; of all results if None."""
        if names is None:
            names = (*RESULTS, *trained_files(self._folder))
        there = [name for name in names if (self._folder / name).is_file()]
        self._ledger.event(self._run_id, "recorded", files=self._sums(there))

    @property
    def complete(self) -> bool:
        """True once the results were recorded, and no file is missing.

        The counts of a calibration may be: it is there itself.
        """
        for name in self._recorded():
            spare = _is_measured(name) and name.endswith(".npz")
            if not spare and not (self._folder / name).exists():
                return False
        return any(event["kind"] == "recorded" for event in self._ledger.events(self._run_id))

    def mend(self, tell: Tell, again: Mapping[str, Callable[[], None]]) -> list[str]:
        """Set damaged files aside, so that they are fetched or computed again; return their paths.

        Args:
            tell: Receives each in words.
            again: Functions that write a file anew, by its path.

        Raises:
            InvalidData: If one cannot come back, with the way out.
        """
        found = self.damaged()
        for name in found:
            path, copy = self._folder / name, self._copy_of(name)
            if not path.exists():
                continue  # set aside with the counts that it is made of
            counts = path.with_suffix(".npz")
            made = path.suffix != ".json" or name == MANIFEST or name in again or counts.exists()
            made |= name.startswith(f"{TRAINED}/")
            if not made and copy is None:
                raise InvalidData(
                    f"{path} was damaged after it was written, and nothing here makes it again; "
                    "restore it from a backup, or plan again."
                )
            aside = [path]
            if _is_measured(name) and path == counts and path.with_suffix(".json").exists():
                aside.append(path.with_suffix(".json"))  # made of these counts, as it will be again
            kept, *_ = [_set_aside(each) for each in aside]
            names = [str(each.relative_to(self._folder)) for each in aside]
            self._ledger.event(self._run_id, "damaged", files=names)
            if name in again:
                again[name]()
            elif copy is not None:
                write_bytes(path, copy)
            tell(f"{name} of run {self._run_id} was damaged, and is made again (kept as {kept})")
        return found

    def _sums(self, names: Sequence[str]) -> dict[str, str]:
        return {name: file_sha256(self._folder / name) for name in names}

    def _present(self, patterns: Sequence[str] = (*WRITTEN_ONCE, COUNTS)) -> Iterator[str]:
        """Yield the files that are written before the results."""
        for pattern in patterns:
            for path in sorted(self._folder.glob(pattern)):
                yield str(path.relative_to(self._folder))

    def _readable(self, name: str) -> bool:
        path = self._folder / name
        try:
            if name.endswith(".npz"):
                read_arrays(path) if name in RESULTS else read_counts(path)
            elif name == MANIFEST:
                read_json_object(path)
            else:
                return path.stat().st_size > 0
        except InvalidData:
            return False
        return True

    def _copy_of(self, name: str) -> bytes | None:
        """Return the bytes of a calibration or refit from the run that it was taken over from."""
        if not _is_measured(name) or not name.endswith(".json"):
            return None
        wanted = self.known().get(name)
        for path in sorted(self._ledger.root.glob(f"*/{name.partition('-')[0]}-[0-9]*.json")):
            if path != self._folder / name and file_sha256(path) == wanted:
                return path.read_bytes()
        return None


def _is_measured(name: str) -> bool:
    """Return True of what a run measures of its device beside its steps."""
    return name.startswith(("calibration-", "refit-"))


def _known_nonce(ledger: Ledger, run_id: str) -> str | None:
    found = [
        json.loads(str(event["detail"]))
        for event in ledger.events(run_id)
        if event["kind"] == "nonce"
    ]
    return str(found[-1]["nonce"]) if found else None


def _set_aside(path: Path) -> str:
    """Rename a damaged file; return its new name."""
    kept = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    try:
        path.rename(kept)
    except OSError as error:
        raise not_writable(path, error) from error
    return kept.name
