"""Features through a device's noise: density matrices, and Bloch vectors, before the readout."""

from __future__ import annotations

from typing import final

import torch
from qiskit.providers import BackendV2
from torch import Tensor

from ..circuits.spec import CircuitSpec
from ..engine.noise import compile_noisy
from ..engine.noise.memory import check_memory
from ..execution.aer_circuits import for_aer
from ..execution.region import active_qubits, check_isa, noise_of
from ..rng import derived_seed
from ..transpiling.passes import best_trial, layout_trials
from .features import Kind, bloch_observables, flat

__all__ = ["LAYOUT_TRIALS", "NoisyFeatures"]

LAYOUT_TRIALS = 5
"""Transpiler seeds that are tried; the highest expected success wins."""


@final
class NoisyFeatures:
    """What a device makes of each row; transpiled once with free inputs.

    Args:
        spec: The circuit.
        kind: The kernel.
        backend: The device.
        seed: Its transpiler seeds follow from it.

    Raises:
        UnsupportedCircuit: If the device cannot run the circuit.
        InvalidData: If a density matrix of so many qubits has no room.
    """

    def __init__(self, spec: CircuitSpec, kind: Kind, backend: BackendV2, seed: int) -> None:
        logical = spec.full_circuit(measure=False)
        seeds = [derived_seed(seed, "transpiler", trial) for trial in range(LAYOUT_TRIALS)]
        isa = best_trial(layout_trials(logical, backend, seeds=seeds)).circuit
        check_isa(isa, backend)
        plain = for_aer(isa, labels=False)
        active = active_qubits([isa])
        self.work = 4 * 4 ** len(active)
        check_memory(
            8 * self.work,
            torch.device("cpu"),
            f"A density matrix of {len(active)} qubits of {backend.name}",
            "take fewer qubits",
        )
        left = {each.name: each for each in plain.parameters}
        given = [each.name for each in logical.parameters if each.name.startswith("x_")]
        weights = [each.name for each in spec.weights]
        self._values = [k for k, name in enumerate(given) if name in left]
        self._weights = [k for k, name in enumerate(weights) if name in left]
        self._program = compile_noisy(
            plain,
            noise_of(backend, active),
            [left[given[k]] for k in self._values],
            [left[weights[k]] for k in self._weights],
            method="density",
        )
        self._observables = None
        self.numbers = 2 * 4 ** len(active)
        if kind == "projected":
            own = bloch_observables(spec.num_qubits)
            layout = isa.layout
            self._observables = [
                each if layout is None else each.apply_layout(layout) for each in own
            ]
            self.numbers = len(own)

    def __call__(self, values: Tensor, weights: Tensor | None) -> Tensor:
        """See :class:`.Features`; ``values`` are the loader's angles, then the inputs."""
        inputs = values[:, self._values] if self._values else None
        angles = weights[self._weights] if weights is not None and self._weights else None
        if self._observables is not None:
            found = self._program.expectation(self._observables, inputs, angles, readout=False)
        else:
            found = flat(self._program.density_matrix(inputs, angles))
        return found.expand(len(values), -1)
