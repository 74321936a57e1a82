"""Tell what runs take of a quantum system: qubits, depth, time, cost, and how stable that is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..evaluation.system import SystemReport

__all__ = ["system_metrics"]


def system_metrics(
    runs: str | Path | Iterable[str | Path], *, watts: float | None = None
) -> SystemReport:
    """Return the system metrics of runs: one table, a run a column.

    Qubits used and idle, depth, latency, shots, cost, and over several runs the variance of all of
    these over seeds and calibrations, and whether the same seed gave the same bits. Everything is
    read from the runs' own records; what these do not say stands as such. :doc:`/system` has all rows.

    Args:
        runs: Folders of training runs, of samples and of hardware runs. A folder that is no run
            stands for all runs below it.
        watts: Power of the system that runs the circuits, in watts, if you know it; energy is this
            times seconds.

    Returns:
        The report; ``qdm_qiskit.reports.system_render.write_system`` writes it.

    Raises:
        MissingData: If a folder holds no run.
        InvalidData, InvalidPlan, InvalidCheckpoint: If a file of a run cannot be used.
        InvalidOption: If ``watts`` is not above 0.

    >>> import tempfile, qdm_qiskit as qdm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     run = qdm.train("eeqdm", f"{folder}/first", **small).run
    ...     found = qdm.system_metrics(run)
    >>> found.runs[0].values["qubits"], found.runs[0].why("energy_joules")
    (3, 'not known: no power was given')
    """
    from ..evaluation.system import system_report

    return system_report(runs, watts=watts)
