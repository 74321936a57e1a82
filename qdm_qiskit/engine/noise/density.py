"""Exact evolution of density matrices, as real vectors over Pauli strings."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import final

import numpy as np
import torch
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from ...arguments import all_of_kind
from ...circuits.readouts import WAY_TO_SUMS
from ...errors import InvalidData
from ..evolution.autograd_ops import in_full_precision
from ..lowering.pauli_sums import pauli_sum_key
from .base import Arguments, NoisyProgram, confusion_terms, is_differentiated
from .channels import PAULIS
from .column_ways import ColumnWays
from .columns import String
from .constants import Constants
from .density_layouts import WIDTHS, Layouts, picture_seconds
from .lowering import NoisyCircuit
from .memory import check_memory
from .pauli_vectors import (
    contracted,
    contraction_numbers,
    initial_numbers,
    on_every_digit,
    pauli_vector,
)
from .pictures import run_observables

__all__ = ["MAX_MATRIX_QUBITS", "DensityProgram"]

MAX_MATRIX_QUBITS = 13
"""Most qubits of a density matrix: 4**13 complex numbers a sample."""


@final
class DensityProgram(NoisyProgram):
    """A noisy circuit, its density matrix evolved exactly.

    The state costs ``4**active`` real numbers a sample. A cost model chooses, for each batch size,
    whether states or observables are evolved, and how far gates and noise are fused.
    """

    def __init__(
        self, noisy: NoisyCircuit, inputs: Sequence[Parameter], weights: Sequence[Parameter]
    ) -> None:
        super().__init__(noisy, inputs, weights)
        self._constants = Constants()
        self._layouts = Layouts(noisy, self.inputs, self.weights, self._constants)
        self._ways = ColumnWays(
            self.active, self.inputs, self.weights, self._layouts, self._constants
        )
        self._observables: dict[tuple[Hashable, ...], tuple[list[String], np.ndarray]] = {}
        self._inside: dict[tuple[Hashable, ...], tuple[list[String], np.ndarray | None]] = {}
        """By observables and readout: strings on active qubits, and their coefficients.

        None where each observable is a string.
        """

    @in_full_precision
    def probabilities(
        self,
        inputs: Tensor | None = None,
        weights: Tensor | None = None,
        initial_state: Tensor | None = None,
        *,
        initial_qubits: Sequence[int] | None = None,
        qubits: Sequence[int] | None = None,
        readout: bool = True,
    ) -> Tensor:
        """See :meth:`NoisyProgram.probabilities`; exact."""
        arguments = self._arguments(inputs, weights, initial_state, initial_qubits)
        chosen = self._outcome_qubits(qubits)
        busy = [q for q in chosen if q in set(self.active)]
        # Strings of I and Z: bit k of the row is Z on the k-th qubit.
        strings: list[String] = [
            tuple((q, 3) for k, q in enumerate(busy) if row >> k & 1)
            for row in range(2 ** len(busy))
        ]
        values = self._strings(("outcomes", *busy), strings, arguments, readout)
        values = values.reshape(*[2] * len(busy), -1)
        for axis in range(len(busy)):
            plus, minus = values.unbind(axis)
            values = torch.stack([plus + minus, plus - minus], axis) / 2
        if len(busy) < len(chosen):
            for axis, qubit in enumerate(reversed(chosen)):
                if qubit not in busy:
                    row = self._idle(qubit, readout)
                    pair = [values * float(row[0]), values * float(row[1])]
                    values = torch.stack(pair, axis)
        return values.reshape(2 ** len(chosen), -1).t()

    @in_full_precision
    def expectation(
        self,
        observables: Sequence[SparsePauliOp],
        inputs: Tensor | None = None,
        weights: Tensor | None = None,
        initial_state: Tensor | None = None,
        *,
        initial_qubits: Sequence[int] | None = None,
        readout: bool = True,
    ) -> Tensor:
        """See :meth:`NoisyProgram.expectation`; exact."""
        arguments = self._arguments(inputs, weights, initial_state, initial_qubits)
        key = tuple(
            map(pauli_sum_key, all_of_kind(observables, SparsePauliOp, "observables", WAY_TO_SUMS))
        )
        if key not in self._observables:
            self._observables[key] = self._pauli_terms(observables)
        inside, coefficients = self._on_active(key, readout)
        if not inside:
            zeros = arguments.like.new_zeros(arguments.batch, len(observables))
            return self._connected(zeros, arguments)
        values = self._strings((key, readout), inside, arguments, readout)
        if coefficients is None:
            return values.t()
        matrix = self._constants.of((key, readout), coefficients, arguments.like)
        return (matrix @ values).t()

    def _on_active(
        self, key: tuple[Hashable, ...], readout: bool
    ) -> tuple[list[String], np.ndarray | None]:
        """Return known observables as strings on active qubits, and ``(observables, strings)``.

        Qubits on which nothing acts are numbers in the coefficients, which are None if they are one.
        """
        place = (key, readout)
        if place not in self._inside:
            strings, coefficients = self._without_idle(*self._observables[key], readout)
            alone = np.array_equal(coefficients, np.eye(*coefficients.shape))
            self._inside[place] = strings, None if alone else coefficients
        return self._inside[place]

    def _without_idle(
        self, strings: list[String], table: np.ndarray, readout: bool
    ) -> tuple[list[String], np.ndarray]:
        factors = np.ones(len(strings))
        kept: dict[String, int] = {}
        rows = []
        for row, string in enumerate(strings):
            for qubit, digit in string:
                if qubit not in self.active:
                    zero, one = self._idle(qubit, readout)
                    a = self._bias(qubit) if readout else 0.0
                    factors[row] *= zero - one if digit == 3 else a
            inside = tuple(pair for pair in string if pair[0] in self.active)
            rows.append(kept.setdefault(inside, len(kept)))
        coefficients = np.zeros((len(table), len(kept)))
        np.add.at(coefficients.T, rows, (table * factors).T)
        return list(kept), coefficients

    @in_full_precision
    def density_matrix(
        self,
        inputs: Tensor | None = None,
        weights: Tensor | None = None,
        initial_state: Tensor | None = None,
        *,
        initial_qubits: Sequence[int] | None = None,
        qubits: Sequence[int] | None = None,
    ) -> Tensor:
        """Return the density matrices before readout, all other qubits traced out.

        Args:
            inputs, weights, initial_state, initial_qubits: As for :meth:`probabilities`.
            qubits: Active qubits, the first least significant; all of them if None.

        Returns:
            ``(batch, 2**k, 2**k)`` complex.

        Raises:
            InvalidData: As for :meth:`probabilities`, or for an inactive qubit.
        """
        arguments = self._arguments(inputs, weights, initial_state, initial_qubits)
        chosen = self._qubits(qubits, self.active)
        if not set(chosen) <= set(self.active) or len(chosen) > MAX_MATRIX_QUBITS:
            raise InvalidData(
                f"qubits holds at most {MAX_MATRIX_QUBITS} of the active qubits "
                f"{list(self.active)}, got {list(chosen)}."
            )
        k = len(chosen)
        strings: list[String] = [
            tuple((q, row >> 2 * p & 3) for p, q in enumerate(chosen) if row >> 2 * p & 3)
            for row in range(4**k)
        ]
        values = self._strings(("matrix", *chosen), strings, arguments, False).t()
        complex_dtype = arguments.like.dtype.to_complex()
        halves = self._constants.of(
            "matrix", PAULIS.reshape(4, 4) / 2, arguments.like, complex_dtype
        )
        rho = on_every_digit(values.to(complex_dtype), halves.t())
        pairs = rho.reshape(-1, *[2] * (2 * k))
        axes = [1 + 2 * p for p in range(k)] + [2 + 2 * p for p in range(k)]
        return pairs.permute(0, *axes).reshape(-1, 2**k, 2**k)

    def explain(self, batch: int = 32, observables: int = 1) -> str:
        """Return the ways that are considered, with milliseconds of a training step."""
        lines = ["  milliseconds  blocks on  picture"]
        for width in WIDTHS:
            for backward in (False, True):
                pictures = self._layouts.pictures((), True, width, backward)
                seconds = picture_seconds(pictures, batch, observables)
                picture = "observables backwards" if backward else "states forwards"
                lines.append(f"  {seconds * 1e3:12.2f}  {width} qubits   {picture}")
        return "\n".join(lines)

    # ------------------------------------------------------------------ evolution

    def _strings(
        self, key: object, strings: list[String], arguments: Arguments, readout: bool
    ) -> Tensor:
        """Return the expectation values of Pauli strings on active qubits, ``(strings, batch)``.

        They have a graph to all inputs and weights. The key stands for the strings, so that their
        indices are worked out once.
        """
        batch, like = arguments.batch, arguments.like
        if not self.active:
            return self._connected(like.new_ones(len(strings), batch), arguments)
        way = self._ways.choose(key, strings, arguments, readout)
        if way is not None:
            found = self._ways.evaluate(way, arguments)
            return self._connected(found.expand(-1, batch), arguments, way.joined)
        layout = self._layouts.chosen(arguments.covered, readout, batch, len(strings))
        pictures = layout.pictures
        kept = is_differentiated(arguments)
        numbers = pictures.forward.numbers(batch, kept=kept)
        # Results and what is made of them: sums and differences of outcomes, and their gradients.
        numbers += (6 if kept else 4) * len(strings) * batch
        if arguments.state is not None:
            back = kept and arguments.state.requires_grad
            numbers += initial_numbers(len(arguments.covered), batch, back=back)
        if pictures.backward is not None:
            numbers += pictures.backward.numbers(len(strings), kept=kept)
            numbers += 2 * len(strings) * 4 ** len(self.active)
            numbers += contraction_numbers(pictures.forward, len(strings), batch, kept=kept)
        check_memory(
            numbers * like.element_size(),
            like.device,
            f"A density matrix of {len(self.active)} qubits for {batch} samples",
            "use method='trajectories' (noise_injection=true in training), fewer samples or fewer "
            "qubits",
        )
        state: dict[int, Tensor] = {}
        if arguments.state is not None:
            state[0] = pauli_vector(arguments.state, self._constants)
        matrices = self._layouts.run(layout, state, arguments)
        if pictures.backward is None:
            (order,) = pictures.forward.orders.values()
            (final,) = state.values()
            found = final.index_select(0, self._rows(key, strings, order, like))
            return self._connected(found.expand(-1, batch), arguments)
        rows = self._rows(key, strings, self.active, like)
        start = like.new_zeros(4 ** len(self.active), len(strings))
        start.scatter_(0, rows.unsqueeze(0), 1.0)
        evolved = {0: start}
        run_observables(pictures.backward, evolved, matrices)
        found = contracted(pictures, evolved[0], state)
        return self._connected(found.expand(-1, batch), arguments)

    # ------------------------------------------------------------------ small things

    def _rows(
        self, key: object, strings: list[String], order: Sequence[int], like: Tensor
    ) -> Tensor:
        """Return the indices of Pauli strings in a vector whose qubits lie in this order."""
        weight = {q: 4 ** (len(order) - 1 - k) for k, q in enumerate(order)}
        rows = [sum(digit * weight[q] for q, digit in string) for string in strings]
        return self._constants.of((key, tuple(order)), np.array(rows, np.int64), like)

    def _idle(self, qubit: int, readout: bool) -> np.ndarray:
        """Return the probabilities of the outcomes of a qubit on which nothing acts."""
        if readout and qubit in self._noisy.confusion:
            return self._noisy.confusion[qubit][0]
        return np.array([1.0, 0.0])

    def _bias(self, qubit: int) -> float:
        matrix = self._noisy.confusion.get(qubit)
        return 0.0 if matrix is None else confusion_terms(matrix)[0]
