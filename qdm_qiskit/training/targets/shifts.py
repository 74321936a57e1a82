"""Parameter shift of a measured circuit on Aer, for gradients that share no code with the engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import TranslateParameterizedGates
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from torch import Tensor

from ...engine.noise.angles import Angles
from ...errors import TargetUnavailable
from ...execution.aer import parallel_experiments, run_on_aer
from ...execution.aer_circuits import for_aer
from ...execution.counts import parameter_binds
from ...layers.arrays import to_array
from .draws import Draws
from .joints import Columns
from .sharing import Sharing

__all__ = ["ROWS_AT_ONCE", "AerJoint", "FreeAngles", "with_free_angles"]

ROWS_AT_ONCE = 4096
"""Rows of values that Aer gets as one job."""
AER_SEEDS_APART = 2113
"""What Aer adds to a job's seed from one row to the next: a part of a job draws as in the whole."""


def with_free_angles(
    circuit: QuantumCircuit,
) -> tuple[QuantumCircuit, list[ParameterExpression]]:
    """Return the circuit in gates of one angle each, every free angle a parameter of its own.

    Args:
        circuit: Any circuit.

    Returns:
        The circuit with parameters ``a_000000 ...`` in order of use, whose derivatives are half the
        difference of the values a quarter of a turn before and behind; and the expression that each
        of them stands for.
    """
    supported = list(ParamShiftEstimatorGradient.SUPPORTED_GATES)
    found = PassManager([TranslateParameterizedGates(supported)]).run(circuit)
    new = found.copy_empty_like()
    angles: list[ParameterExpression] = []
    for item in found.data:
        operation = item.operation
        free = [p for p in operation.params if isinstance(p, ParameterExpression) and p.parameters]
        if free:
            operation = operation.to_mutable()
            operation.params = [Parameter(f"a_{len(angles):06d}")]
            angles.append(free[0])
        new.append(operation, item.qubits, item.clbits)
    new.global_phase = 0  # no measurement sees it, and it may hold parameters
    return new, angles


@final
class FreeAngles:
    """A circuit whose every free angle is a parameter of its own, and what those angles are.

    Args:
        plain: The circuit, not measured.
        logical: The circuit of all values, ``x_...`` and ``w_...``.
    """

    def __init__(self, plain: QuantumCircuit, logical: QuantumCircuit) -> None:
        self.circuit, expressions = with_free_angles(plain)
        self.count = len(expressions)
        columns = Columns(plain, logical)
        self._columns = columns
        inputs, weights = set(columns.inputs), set(columns.weights)
        self._on_inputs = [k for k, e in enumerate(expressions) if e.parameters & inputs]
        self._on_weights = [k for k, e in enumerate(expressions) if not e.parameters & inputs]
        self._with_weights = [bool(e.parameters & weights) for e in expressions]
        self._angles = [
            Angles([expressions[k] for k in group], columns.inputs, columns.weights)
            for group in (self._on_weights, self._on_inputs)
        ]

    def __call__(self, values: Tensor, angles: Tensor) -> Tensor:
        """Return the angles of rows of values, ``(rows, count)`` float64, with their graph."""
        inputs, weights = self._columns.pick(values, angles)
        parts = [
            each.evaluate(inputs, weights, values).expand(-1, len(values)).t()
            for each in self._angles
        ]
        order = np.argsort([*self._on_weights, *self._on_inputs])
        return torch.cat(parts, dim=1)[:, torch.from_numpy(order)]

    def moving(self, values: Tensor, angles: Tensor) -> list[bool]:
        """Return of each angle whether what it is made of is trained."""
        return [
            (trained and angles.requires_grad) or (k in self._on_inputs and values.requires_grad)
            for k, trained in enumerate(self._with_weights)
        ]


@final
class AerJoint:
    """A measured circuit on Aer: exact probabilities or shots, derivatives by parameter shift.

    Args:
        circuit: Measured.
        logical: The circuit of all values.
        bits: Bits that are wanted.
        qubits: Qubit behind each bit.
        name: Name of the layer, for its draws.
        draws: Streams of the shots; each shifted circuit has shots of its own.
        shots: Of each row; None for exact values.
        device: ``"cpu"`` or ``"gpu"``.
        sharing: The processes that run its rows, shifted ones too, each its own; None for this one.
    """

    def __init__(
        self,
        circuit: QuantumCircuit,
        logical: QuantumCircuit,
        bits: Sequence[int],
        qubits: Sequence[int],
        name: str,
        draws: Draws,
        shots: int | None,
        *,
        device: str = "cpu",
        sharing: Sharing | None = None,
    ) -> None:
        from qiskit_aer import AerSimulator

        plain = circuit.remove_final_measurements(inplace=False)
        assert plain is not None
        self._free = FreeAngles(for_aer(plain), logical)
        free = self._free.circuit
        wanted = [qubits[bit] for bit in bits]
        if shots is None:
            free.save_probabilities(wanted)
        else:
            register = ClassicalRegister(len(wanted), "meas")
            free.add_register(register)
            free.measure(wanted, register)
        self._circuit = free
        self._simulator = AerSimulator(
            method="statevector",
            device=device.upper(),
            max_parallel_experiments=parallel_experiments(),
        )
        self._name, self._draws, self._shots = name, draws, shots
        self._sharing, self._outcomes = sharing, 2 ** len(wanted)

    def __call__(self, values: Tensor, angles: Tensor) -> Tensor:
        """Return frequencies; see :data:`.Joint`."""
        turns = self._free(values, angles)
        moves = self._free.moving(values, angles)
        found: Tensor = _Shifted.apply(turns, self, moves)
        return found

    def run(self, turns: np.ndarray) -> np.ndarray:
        """Return frequencies for rows of angles, ``(rows, 2**bits)`` float64."""
        if self._sharing is None or not self._sharing.works:
            return self._run(turns, slice(0, len(turns)))
        own = torch.from_numpy(self._run(turns, self._sharing.own(len(turns))))
        return to_array(self._sharing.gathered(own, len(turns)))

    def _run(self, turns: np.ndarray, rows: slice) -> np.ndarray:
        """Return the frequencies of some rows, the same whatever the others are."""
        found = [np.zeros((0, self._outcomes))]
        for start in range(0, len(turns), ROWS_AT_ONCE):
            shots = self._shots
            seed = 0 if shots is None else self._draws.next_seed(self._name)
            first = max(start, rows.start)
            part = turns[first : min(start + ROWS_AT_ONCE, rows.stop)]
            if not len(part):
                continue
            if shots is not None:
                pubs = [(self._circuit, part)]
                own = seed + AER_SEEDS_APART * (first - start)
                [counts] = run_on_aer(self._simulator, pubs, shots=shots, seed=own)
                found.append(counts / shots)
                continue
            binds = parameter_binds(self._circuit, part)
            job = self._simulator.run([self._circuit], parameter_binds=[binds] if binds else None)
            result = job.result()
            if not result.success:
                raise TargetUnavailable(f"Aer could not run the job: {result.status}.")
            places = range(len(part)) if binds else [0] * len(part)
            found.append(np.stack([result.data(k)["probabilities"] for k in places]))
        return np.concatenate(found)


class _Shifted(torch.autograd.Function):
    """Frequencies of rows of angles, differentiated by shifting each angle a quarter of a turn."""

    @staticmethod
    def forward(ctx: Any, turns: Tensor, joint: AerJoint, moves: list[bool]) -> Tensor:
        ctx.turns, ctx.joint, ctx.moves = turns.detach(), joint, moves
        return torch.from_numpy(joint.run(ctx.turns.cpu().numpy())).to(turns)

    @staticmethod
    def backward(ctx: Any, *received: Tensor) -> tuple[Tensor, None, None]:
        [upstream] = received
        rows = ctx.turns.cpu().numpy()
        chosen = [k for k, moves in enumerate(ctx.moves) if moves]
        shifted = np.repeat(rows[None, None], 2 * len(chosen), axis=0).reshape(
            2, len(chosen), *rows.shape
        )
        for place, k in enumerate(chosen):
            shifted[0, place, :, k] += math.pi / 2
            shifted[1, place, :, k] -= math.pi / 2
        slopes = torch.zeros_like(ctx.turns)
        if chosen:
            found = ctx.joint.run(shifted.reshape(-1, rows.shape[1]))
            ahead, behind = found.reshape(2, len(chosen), len(rows), -1)
            half = torch.from_numpy((ahead - behind) / 2).to(upstream)
            slopes[:, chosen] = (half * upstream).sum(dim=2).t()
        return slopes, None, None
