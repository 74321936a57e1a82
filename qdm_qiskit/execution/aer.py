"""Noise-free shots from Qiskit Aer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Instruction

from ..errors import TargetUnavailable, UnsupportedCircuit
from .aer_circuits import for_aer
from .counts import Pub, counts_from_hex, parameter_binds
from .runner import CircuitRunner
from .shot_by_shot import measures_at_its_end, pieces

if TYPE_CHECKING:
    from qiskit_aer import AerSimulator

__all__ = [
    "AerRunner",
    "parallel_experiments",
    "run_on_aer",
]


def run_on_aer(
    simulator: AerSimulator, pubs: list[Pub], *, shots: int, seed: int, labels: bool = True
) -> list[np.ndarray]:
    """Run all pubs as one Aer job.

    Args:
        simulator: The simulator that runs them.
        pubs: Checked pairs of circuit and ``(batch, num_parameters)`` values.
        shots: Shots for each row.
        seed: Aer derives a different seed from it for each row; see :mod:`.shot_by_shot` for rows
            that it runs shot by shot.
        labels: True if gates keep their labels, see :func:`.aer_circuits.for_aer`.

    Returns:
        Int64 counts of shape ``(batch, 2**num_clbits)`` for each pub.

    Raises:
        UnsupportedCircuit: If a circuit holds an instruction that Aer does not know.
        TargetUnavailable: If Aer fails.
    """
    for circuit, _ in pubs:
        _refuse_abstract(circuit)
    plain = [(for_aer(circuit, labels=labels), values) for circuit, values in pubs]
    several = sum(len(values) for _, values in pubs) > 1
    parts = pieces(shots, seed, shared=several and _runs_shot_by_shot(simulator, plain))
    found = [_run(simulator, plain, count, own) for count, own in parts]
    return [np.sum(each, axis=0) for each in zip(*found, strict=True)]


def _runs_shot_by_shot(simulator: AerSimulator, pubs: list[Pub]) -> bool:
    """Return True if Aer may run a row's shots one by one."""
    options = simulator.options
    trajectories = options.noise_model is not None and options.method != "density_matrix"
    return trajectories or not all(measures_at_its_end(circuit) for circuit, _ in pubs)


def _run(simulator: AerSimulator, pubs: list[Pub], shots: int, seed: int) -> list[np.ndarray]:
    """Run circuits as Aer takes them; see :func:`run_on_aer`."""
    from qiskit_aer import AerError

    binds = [parameter_binds(circuit, values) for circuit, values in pubs]
    job = simulator.run(
        [circuit for circuit, _ in pubs],
        # Aer refuses a list of empty binds for circuits that have no parameters.
        parameter_binds=binds if any(binds) else None,
        shots=shots,
        seed_simulator=seed,
    )
    try:
        result = job.result()
    except AerError as error:
        raise UnsupportedCircuit(
            f"Aer cannot run a circuit ({error.message}); call transpile_for(circuit, backend)."
        ) from error
    if not result.success:
        raise TargetUnavailable(f"Aer could not run the job: {result.status}.")
    counts, start = [], 0
    for circuit, values in pubs:
        rows = range(start, start + len(values))
        counts.append(
            np.stack([counts_from_hex(result.data(k)["counts"], circuit.num_clbits) for k in rows])
        )
        start += len(values)
    return counts


def _refuse_abstract(circuit: QuantumCircuit) -> None:
    for operation in (item.operation for item in circuit.data):
        if not isinstance(operation, Instruction):
            base = getattr(operation, "base_op", None)
            name = f"'{operation.name}'" if base is None else f"annotated '{base.name}'"
            raise UnsupportedCircuit(
                f"Aer runs gates, and circuit '{circuit.name}' holds {name}; call "
                "transpile_for(circuit, backend)."
            )


def parallel_experiments() -> int:
    """Return the number of rows that Aer runs side by side: the cores of this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@final
class AerRunner(CircuitRunner):
    """Qiskit Aer without noise.

    Args:
        seed: The run's seed, an integer >= 0.
        device: ``"cpu"`` or ``"gpu"``.

    Raises:
        TargetUnavailable: For ``"gpu"`` if this build of Aer, or this machine, has none.
    """

    def __init__(self, *, seed: int, device: str = "cpu") -> None:
        from qiskit_aer import AerSimulator

        if device == "gpu" and "GPU" not in AerSimulator().available_devices():
            raise TargetUnavailable(
                "Target 'aer:gpu' needs a GPU and a GPU build of Qiskit Aer, and this machine has "
                "not both; install qiskit-aer-gpu, or use 'aer' or 'engine:cuda'."
            )
        self._simulator = AerSimulator(
            device=device.upper(), max_parallel_experiments=parallel_experiments()
        )
        super().__init__("aer" if device == "cpu" else "aer:gpu", self._simulator, seed=seed)

    def _execute(self, pubs: list[Pub], shots: int, seed: int) -> list[np.ndarray]:
        return run_on_aer(self._simulator, pubs, shots=shots, seed=seed)

    def _options(self) -> Mapping[str, Any]:
        return {"method": "automatic", "device": self._simulator.options.device}
