"""Every error that the toolkit raises on purpose.

::

    QdmError
      + InvalidTemplate     (also ValueError)         a circuit that cannot be built as asked
      + InvalidOption       (also ValueError)         an option that is unknown or out of range
      + InvalidArgument     (also TypeError)          an argument of another kind than the one wanted
      + UnknownName         (also LookupError)        no model, dataset, backend ... of this name
      + InvalidData         (also ValueError)         arrays of a wrong shape, NaN, zero norm
      + MissingData         (also FileNotFoundError)  a data set or run that is not where it should be
      + InvalidCheckpoint   (also ValueError)         truncated, foreign or unsafe checkpoint folders
      + UnsupportedCircuit  (also ValueError)         what the engine or a target cannot run
      + TargetUnavailable   (also RuntimeError)       a target that exists but cannot be used here
      + InvalidPlan         (also ValueError)         a run plan that is truncated, changed or foreign
      + CalibrationMismatch (also ValueError)         a readout calibration of another device or layout
      + OutputNotWritable   (also OSError)            full disk, read-only folder, existing output
      + InvalidExtension    (also ImportError)        a part of another package that cannot be used
      + MissingDependency   (also ImportError)        an optional package that is not installed
      + BudgetExceeded      (also ValueError)         a reservation that a budget does not allow
      + LedgerDamaged       (also ValueError)         a ledger that cannot be read or rebuilt
      + LedgerBusy          (also TimeoutError)       another process holds the ledger or the run
      + ServiceUnavailable  (also ConnectionError)    the quantum service refuses or does not answer
      + SubmissionUncertain (also RuntimeError)       a job may exist on the service, its id unknown
      + JobFailed           (also RuntimeError)       a job ended without counts
      + WorkersUnavailable  (also ConnectionError)    workers that are not there, or of other versions

Each message gives the rule, what was received, and the way out, on one line: the command line
prints it as it is and exits with code 2.

>>> import qdm_qiskit as qdm
>>> try:
...     qdm.load_backend("fake_torinio")
... except qdm.errors.UnknownName as error:
...     str(error).startswith("There is no device snapshot 'fake_torinio'. Did you mean 'fake_torino'?")
True
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

__all__ = [
    "BudgetExceeded",
    "CalibrationMismatch",
    "InvalidArgument",
    "InvalidCheckpoint",
    "InvalidData",
    "InvalidExtension",
    "InvalidOption",
    "InvalidPlan",
    "InvalidTemplate",
    "JobFailed",
    "LedgerBusy",
    "LedgerDamaged",
    "MissingData",
    "MissingDependency",
    "OutputNotWritable",
    "QdmError",
    "ServiceUnavailable",
    "SubmissionUncertain",
    "TargetUnavailable",
    "UnknownName",
    "UnsupportedCircuit",
    "WorkersUnavailable",
    "unknown_name",
]


class QdmError(Exception):
    """Root of all errors raised on purpose by this package.

    >>> issubclass(InvalidOption, QdmError), issubclass(InvalidOption, ValueError)
    (True, True)
    """


class InvalidTemplate(QdmError, ValueError):
    """A circuit template was asked for something that it cannot build."""


class InvalidOption(QdmError, ValueError):
    """An option is unknown, or its value is out of range."""


class InvalidArgument(QdmError, TypeError):
    """An argument is of another kind: text for a circuit, a circuit for a spec."""


class UnknownName(QdmError, LookupError):
    """There is no model, preset, dataset, backend or target of this name."""


class InvalidData(QdmError, ValueError):
    """An array has the wrong shape or holds values that cannot be used."""


class MissingData(QdmError, FileNotFoundError):
    """A dataset, run folder or file is not where it was expected."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class InvalidCheckpoint(QdmError, ValueError):
    """A checkpoint folder is truncated, belongs to another model, or is unsafe to read."""


class UnsupportedCircuit(QdmError, ValueError):
    """A circuit holds something that the engine or a target cannot run."""


class TargetUnavailable(QdmError, RuntimeError):
    """A target is known, but cannot be used on this machine or by this command."""


class InvalidPlan(QdmError, ValueError):
    """A run plan, or a file beside it, is truncated, was changed, or cannot be run."""


class CalibrationMismatch(QdmError, ValueError):
    """A readout calibration was taken on another backend or on other physical qubits."""


class OutputNotWritable(QdmError, OSError):
    """Results cannot be written: full disk, read-only folder, or existing output."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class MissingDependency(QdmError, ImportError):
    """An optional package is needed for this and is not installed."""


class InvalidExtension(QdmError, ImportError):
    """A part that another package brings cannot be loaded, or is no part of its kind."""


class BudgetExceeded(QdmError, ValueError):
    """A reservation would overdraw a budget of shots or QPU seconds."""


class LedgerDamaged(QdmError, ValueError):
    """The ledger of hardware runs cannot be read, nor rebuilt from its log."""


class LedgerBusy(QdmError, TimeoutError):
    """Another process writes the ledger, or drives the same run, and did not finish in time."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ServiceUnavailable(QdmError, ConnectionError):
    """The quantum service cannot be reached, refuses the account, or does not answer in time."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class SubmissionUncertain(QdmError, RuntimeError):
    """A job was sent and may exist on the service, but its id could not be found yet."""


class JobFailed(QdmError, RuntimeError):
    """A job on the service ended without counts: failed, cancelled, or a result that cannot be.

    Args:
        message: In words.
        cancelled: Whether the job was cancelled, by whomever.
    """

    def __init__(self, message: str, *, cancelled: bool = False) -> None:
        super().__init__(message)
        self.cancelled = cancelled


class WorkersUnavailable(QdmError, ConnectionError):
    """Workers for items of work cannot be reached, do not come back, or have other versions."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


def unknown_name(
    kind: str, name: str, known: Iterable[str], guess: str | None = None
) -> UnknownName:
    """The error for a name that is not in a catalogue: the nearest one, and what exists.

    The guess comes first: a list of a hundred names would hide it.

    Args:
        kind: What the name stands for, in the singular: ``"model"``, ``"dataset"``.
        name: The name that was received.
        known: All names that exist.
        guess: The one that was meant; None compares the letters of all.

    Returns:
        The exception, for the caller to raise.
    """
    names = sorted(known)
    if not names:
        return UnknownName(f"There is no {kind} '{name}', nor any other.")
    plain = {re.sub(r"[\W_]", "", each).lower(): each for each in names}
    near = difflib.get_close_matches(re.sub(r"[\W_]", "", name).lower(), plain, n=1, cutoff=0.75)
    guess = guess or (plain[near[0]] if near else None)
    told = f". Did you mean '{guess}'? There are: " if guess else "; there are: "
    return UnknownName(f"There is no {kind} '{name}'{told}{', '.join(names)}.")
