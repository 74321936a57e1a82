"""An Aer simulator whose runs with one seed differ in their shots.

IBM's local mode runs the PUBs of a job one after the other, each with the job's seed: equal circuits
get equal counts, and circuits that are nearly equal, such as those of a readout calibration, share
most of their shots. Averages over them then scatter more than their number of shots says.
"""

from __future__ import annotations

from typing import Any

from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
from qiskit_aer.jobs.aerjob import AerJob

from ..rng import derived_seed

__all__ = [
    "IndependentShots",
]


class IndependentShots(AerSimulator):
    """Aer's simulator; its k-th run with a seed draws from the k-th stream of that seed.

    The first run keeps the seed as it is, so a job of one PUB gives what Aer gives. Local mode
    copies the simulator for every job, so each job counts from the start and repeats by its seed.
    """

    _runs = 0

    def run(
        self,
        circuits: QuantumCircuit | list[QuantumCircuit],
        parameter_binds: list[dict[Any, list[float]]] | None = None,
        **run_options: Any,
    ) -> AerJob:
        """See :meth:`qiskit_aer.AerSimulator.run`."""
        seed, number = run_options.get("seed_simulator"), self._runs
        self._runs = number + 1
        if seed is not None and number:
            run_options["seed_simulator"] = derived_seed(seed, "shots", number)
        return super().run(circuits, parameter_binds, **run_options)
