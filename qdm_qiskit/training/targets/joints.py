"""Distributions of a measured circuit as functions of its values and weights: exact, or by shots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import numpy as np
import torch
from qiskit import QuantumCircuit
from torch import Tensor

from ...engine import CircuitProgram, compile_circuit
from ...engine.noise import NoisyProgram, TrajectoryProgram, apply_readout
from ...engine.noise.column_team import working_together
from .draws import Draws
from .sharing import Rows, Sharing

__all__ = ["Columns", "EngineJoint", "NoisyJoint", "drawn"]


@final
class Columns:
    """Columns of the values and weights that are left in a circuit.

    The transpiler drops what no measurement can see, and with it a parameter.

    Args:
        circuit: The circuit, transpiled or not.
        logical: The circuit of all values, ``x_...`` and ``w_...``.
    """

    def __init__(self, circuit: QuantumCircuit, logical: QuantumCircuit) -> None:
        left = {parameter.name: parameter for parameter in circuit.parameters}
        values = [p.name for p in logical.parameters if p.name.startswith("x_")]
        weights = [p.name for p in logical.parameters if p.name.startswith("w_")]
        self.inputs = [left[name] for name in values if name in left]
        self.weights = [left[name] for name in weights if name in left]
        self._values = [k for k, name in enumerate(values) if name in left]
        self._weights = [k for k, name in enumerate(weights) if name in left]

    def pick(self, values: Tensor, angles: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return what the circuit takes, None for what it has none of."""
        return (
            values[:, self._values] if self._values else None,
            angles[self._weights] if self._weights else None,
        )


def drawn(probabilities: Tensor, shots: int, rng: np.random.Generator) -> Tensor:
    """Return frequencies of shots, without a graph.

    Args:
        probabilities: ``(rows, outcomes)`` float64.
        shots: Of each row.
        rng: Source of the draws.
    """
    weights = probabilities.detach().clamp_min(0).cpu().numpy()
    counts = rng.multinomial(shots, weights / weights.sum(axis=1, keepdims=True))
    return torch.from_numpy(counts / shots).to(probabilities)


def with_value(exactly: Tensor, value: Tensor) -> Tensor:
    """Return a value with the derivatives of what it estimates.

    A draw's mean is the exact distribution, so that derivatives of the mean are those of what is
    drawn, in the mean over shots.
    """
    return exactly + (value - exactly).detach()


def rows_of(found: Tensor, values: Tensor) -> Tensor:
    """Return a distribution for each row of values, where none depends on them."""
    return found.expand(len(values), -1) if len(found) < len(values) else found


def in_rows(
    sharing: Sharing | None,
    function: Rows,
    values: Tensor,
    angles: Tensor,
    bits: int,
) -> Tensor:
    """Return the distributions of all rows, of which each process that shares them runs its own."""
    if sharing is None or not sharing.works:
        return function(values, angles, 0)
    return sharing.rows(function, values, angles, 2**bits)


@final
class EngineJoint:
    """The engine without noise.

    Args:
        circuit: Measured; qubit k into bit k, or as a basis says.
        logical: The circuit of all values.
        bits: Bits that are wanted.
        qubits: Qubit behind each bit.
        name: Name of the layer, for its draws.
        draws: Streams of the shots.
        shots: Of each row; None for exact values.
        sharing: The processes that run its rows; None for this one.
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
        sharing: Sharing | None = None,
    ) -> None:
        self._columns = Columns(circuit, logical)
        plain = circuit.remove_final_measurements(inplace=False)
        assert plain is not None
        self._program: CircuitProgram = compile_circuit(
            plain, self._columns.inputs, self._columns.weights
        )
        self._wanted = [qubits[bit] for bit in bits]
        self._name, self._draws, self._shots, self._sharing = name, draws, shots, sharing

    def __call__(self, values: Tensor, angles: Tensor) -> Tensor:
        """Return frequencies; see :data:`.Joint`."""
        found = in_rows(self._sharing, self._exactly, values, angles, len(self._wanted))
        if self._shots is None:
            return found
        return with_value(found, drawn(found, self._shots, self._draws.next(self._name)))

    def _exactly(self, values: Tensor, angles: Tensor, first: int) -> Tensor:
        given = self._columns.pick(values, angles)
        return rows_of(self._program.probabilities(*given, qubits=self._wanted), values)


@final
class NoisyJoint:
    """The engine through a device's noise.

    Args:
        program: Gives the program of the moment; noise may grow during a run.
        confusion: Gives the assignment matrix ``[true, read]`` of each bit of the moment.
        columns: Of the circuit.
        bits: Bits that are wanted.
        name, draws, shots: As for :class:`EngineJoint`.
        mitigated: True for outcomes whose readout errors are taken out: their matrices are known, so
            that without shots nothing is left of them, and with shots their inverse enlarges the
            noise.
        sharing: The processes that run its rows, or one row's density matrix together where there
            are fewer rows than processes; None for this one.
    """

    def __init__(
        self,
        program: Callable[[], tuple[NoisyProgram, Sequence[np.ndarray]]],
        columns: Columns,
        bits: Sequence[int],
        name: str,
        draws: Draws,
        shots: int | None,
        *,
        mitigated: bool,
        sharing: Sharing | None = None,
    ) -> None:
        self._program, self._columns, self._bits = program, columns, list(bits)
        self._name, self._draws, self._shots = name, draws, shots
        self._mitigated, self._sharing = mitigated, sharing

    def __call__(self, values: Tensor, angles: Tensor) -> Tensor:
        """Return frequencies; see :data:`.Joint`."""
        _, confusion = self._program()
        true = self._true(values, angles)
        errors = [((k,), confusion[bit]) for k, bit in enumerate(self._bits)]
        if self._shots is None:
            return true if self._mitigated else apply_readout(true, errors)
        read = apply_readout(true, errors)
        found = drawn(read, self._shots, self._draws.next(self._name))
        if not self._mitigated:
            return with_value(read, found)
        back = [(bits, np.linalg.inv(matrix)) for bits, matrix in errors]
        return with_value(true, apply_readout(found, back))

    def _true(self, values: Tensor, angles: Tensor) -> Tensor:
        """Return the distributions before readout."""
        program, _ = self._program()
        sharing, wanted = self._sharing, [program.measured[bit] for bit in self._bits]
        if isinstance(program, TrajectoryProgram):
            trajectories, rows = program, len(values)
            seed = self._draws.next_seed(self._name)

            def drawn_branches(values: Tensor, angles: Tensor, first: int) -> Tensor:
                given = self._columns.pick(values, angles)
                found = trajectories.probabilities(
                    *given,
                    qubits=wanted,
                    readout=False,
                    trajectories=1,
                    generator=torch.Generator().manual_seed(seed),
                    part_of=None if given[0] is None else (first, rows),
                )
                return rows_of(found, values)

            return in_rows(sharing, drawn_branches, values, angles, len(wanted))

        def exactly(values: Tensor, angles: Tensor, first: int) -> Tensor:
            given = self._columns.pick(values, angles)
            found = program.probabilities(*given, qubits=wanted, readout=False)
            return rows_of(found, values)

        if sharing is not None and len(values) < sharing.count:
            with working_together(sharing.team):
                return exactly(values, angles, 0)
        return in_rows(sharing, exactly, values, angles, len(wanted))
