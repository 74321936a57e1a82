"""Pure states from counts: the bases to measure, and the likeliest state behind the counts.

For n qubits ``3 n + 2`` settings, all of product bases: Z everywhere, which gives the moduli; for each
qubit X there and Y there with Z elsewhere, which give the phases between amplitudes that differ in one
bit; X everywhere, and for each qubit Y there with X elsewhere, which give the phase between groups of
amplitudes with nothing but zeros between them, as a GHZ state has. Where settings coincide (one qubit)
each is measured once.

The estimate is a unit vector, so it is physical whatever the counts. It maximises the likelihood of
a state that is mixed with a fitted share of white noise, so that a device's noise is not taken for
amplitudes. The infidelity falls as 1/shots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from ..circuits.parameters import input_parameters
from ..circuits.spec import CircuitSpec
from ..errors import InvalidData, InvalidOption

__all__ = [
    "MAX_QUBITS",
    "basis_angles",
    "estimate_states",
    "in_product_basis",
    "tomography_settings",
]

MAX_QUBITS = 10
"""Number of qubits of the largest register whose state is estimated."""
LEAST_NOISE, MOST_NOISE = 1e-9, 0.9
"""Share of white noise beside the state; the lower end keeps every outcome possible."""
_TURNS = {
    "Z": np.eye(2, dtype=complex),
    "X": np.array([[1, 1], [1, -1]]) / np.sqrt(2) + 0j,
    "Y": np.array([[1, -1j], [1, 1j]]) / np.sqrt(2),
}
_ANGLES = {"Z": (0.0, 0.0), "X": (0.0, -np.pi / 2), "Y": (-np.pi / 2, -np.pi / 2)}
"""Angles of RZ and RY for each basis, in radians."""


@lru_cache(maxsize=16)
def tomography_settings(num_qubits: int) -> tuple[str, ...]:
    """Return the bases to measure: a letter X, Y or Z for each qubit, the first qubit's first.

    Args:
        num_qubits: n, 1 to 10.

    Returns:
        ``3 n + 2`` settings, 8 of two qubits, 3 of one.

    Raises:
        InvalidOption: If n is out of range.

    >>> tomography_settings(2)
    ('ZZ', 'XZ', 'YZ', 'ZX', 'ZY', 'XX', 'YX', 'XY')
    """
    if not 1 <= num_qubits <= MAX_QUBITS:
        raise InvalidOption(
            f"States of 1 to {MAX_QUBITS} qubits are estimated from counts, got {num_qubits}; a chain "
            "of larger states runs coherently, without activation, or on the engine."
        )
    n = num_qubits
    found = ["Z" * n]
    found += ["Z" * k + letter + "Z" * (n - k - 1) for k in range(n) for letter in "XY"]
    found += ["X" * n]
    found += ["X" * k + "Y" + "X" * (n - k - 1) for k in range(n)]
    return tuple(dict.fromkeys(found))


def in_product_basis(spec: CircuitSpec, qubits: Sequence[int]) -> CircuitSpec:
    """Return a circuit with two more inputs for each of some qubits, which turn it before its
    readout.

    One circuit then serves all settings: :func:`basis_angles` gives the inputs' values.

    Returns:
        A spec with the given inputs first, then for each of the qubits the angles of RZ and RY.
    """
    circuit = spec.circuit.copy()
    turns = iter(input_parameters(2 * len(qubits), len(spec.inputs)))
    for qubit in qubits:
        circuit.rz(next(turns), qubit)
        circuit.ry(next(turns), qubit)
    return replace(spec, circuit=circuit)


def basis_angles(settings: Sequence[str]) -> np.ndarray:
    """Return the angles that turn each setting's basis into Z, ``(settings, 2 n)`` radians.

    >>> basis_angles(["Z", "X", "Y"]).round(3).tolist()
    [[0.0, 0.0], [0.0, -1.571], [-1.571, -1.571]]
    """
    return np.array([[angle for letter in word for angle in _ANGLES[letter]] for word in settings])


def estimate_states(frequencies: np.ndarray, shots: np.ndarray | None = None) -> np.ndarray:
    """Return the pure states that are likeliest behind measured frequencies.

    Args:
        frequencies: ``(rows, settings, 2**n)``: counts or shares of the outcomes in each setting of
            :func:`tomography_settings`, of any positive sum; the first qubit is the least significant
            bit of an outcome.
        shots: ``(rows, settings)`` shots behind them, which weigh the settings; equal weights, and
            exact frequencies, if None.

    Returns:
        ``(rows, 2**n)`` complex128 with norm 1 and a largest entry that is real and positive. The
        same frequencies give the same state; a row depends on its own frequencies only.

    Raises:
        InvalidData: If a shape does not fit, a frequency is negative or not finite, or a setting has
            no shots at all; with ``shots`` only the first setting needs some.
    """
    given = np.asarray(frequencies, dtype=np.float64)
    n = given.shape[-1].bit_length() - 1 if given.ndim == 3 else 0
    if given.ndim != 3 or given.shape[1:] != (len(tomography_settings(max(n, 1))), 2**n):
        raise InvalidData(
            "Frequencies have shape (rows, settings, 2**n), the settings those of "
            f"tomography_settings(n), got {given.shape}."
        )
    if not np.isfinite(given).all() or (given < 0).any():
        raise InvalidData("Frequencies are finite and at least 0.")
    if shots is not None and np.shape(shots) != given.shape[:2]:
        raise InvalidData(f"shots has shape {given.shape[:2]}, got {np.shape(shots)}.")
    sums = given.sum(axis=2)
    needed = sums if shots is None else sums[:, :1]  # where shots weigh, a setting may have none
    if (needed <= 0).any():
        row, setting = (int(each[0]) for each in np.nonzero(needed <= 0))
        raise InvalidData(
            f"Setting {tomography_settings(n)[setting]} of row {row} has no shots, so its state cannot "
            "be told; raise shots."
        )
    shares = np.divide(
        given, sums[:, :, None], out=np.zeros_like(given), where=sums[:, :, None] > 0
    )
    fit = _fit(n)
    return np.stack(
        [fit.state(each, None if shots is None else shots[k]) for k, each in enumerate(shares)]
    )


@lru_cache(maxsize=4)
def _fit(num_qubits: int) -> _Fit:
    return _Fit(num_qubits)


class _Fit:
    """The likelihood of states, and its maximum."""

    def __init__(self, num_qubits: int) -> None:
        self.n, self.size = num_qubits, 2**num_qubits
        self.settings = tomography_settings(num_qubits)
        turns = np.array([[_TURNS[letter] for letter in word] for word in self.settings])
        self._forth = turns[..., None, None]  # (settings, qubits, 2, 2, 1, 1)
        self._back = turns.conj().swapaxes(2, 3)[..., None, None]

    def state(self, shares: np.ndarray, shots: np.ndarray | None) -> np.ndarray:
        """Return the state of one row, from the first start whose fit explains the frequencies."""
        weights = np.ones(len(shares)) if shots is None else shots / shots.mean()
        weighted = shares * weights[:, None]
        seen = shares > 0
        floor = -float((weighted[seen] * np.log(shares[seen])).sum())
        enough = floor + self._tolerance(shots)
        best, least = None, np.inf
        for start in self._starts(shares):
            value, found = self._maximise(weighted, start)
            if value < least:
                best, least = found, value
            if least <= enough:
                break
        assert best is not None
        best = best / np.linalg.norm(best)
        largest = best[np.argmax(np.abs(best))]
        return best * (largest.conj() / abs(largest))

    def _tolerance(self, shots: np.ndarray | None) -> float:
        """Return a good fit's distance from frequencies that fit themselves: chi-squared, 5
        deviations."""
        if shots is None:
            return 1e-8
        free = len(self.settings) * (self.size - 1) - 2 * (self.size - 1)
        return (free + 5 * np.sqrt(2 * max(free, 1))) / (2 * float(shots.mean()))

    def _starts(self, shares: np.ndarray) -> Iterator[np.ndarray]:
        """Yield states to start from, the likeliest to succeed first."""
        moduli = np.sqrt(shares[0])
        yield self._mixed(moduli, np.linalg.eigh(self._neighbours(shares))[1][:, -1])
        if self.n <= 8:
            yield self._mixed(moduli, np.linalg.eigh(self._projected(shares))[1][:, -1])
        rng = np.random.default_rng(0)  # the same in every call
        for _ in range(4):
            yield self._mixed(moduli, np.exp(2j * np.pi * rng.random(self.size)))

    @staticmethod
    def _mixed(moduli: np.ndarray, phases: np.ndarray) -> np.ndarray:
        """Return the measured moduli with a vector's phases; no entry is 0, which has no
        gradient."""
        size = np.abs(phases)
        unit = np.where(size > 1e-9, phases / np.maximum(size, 1e-12), 1)
        start = 0.9 * moduli * unit + 0.1 * phases + 1e-3
        return np.asarray(start / np.linalg.norm(start))

    def _neighbours(self, shares: np.ndarray) -> np.ndarray:
        """Return the density matrix where rows and columns differ in at most one bit; 0
        elsewhere."""
        found = np.diag(shares[0]).astype(complex)
        index = np.arange(self.size)
        for k in range(self.n):
            rest = "Z" * k, "Z" * (self.n - k - 1)
            x, y = (shares[self.settings.index(rest[0] + letter + rest[1])] for letter in "XY")
            low = index[(index >> k) & 1 == 0]
            high = low | (1 << k)
            entry = (x[low] - x[high]) / 2 + 1j * (y[low] - y[high]) / 2
            found[high, low], found[low, high] = entry, entry.conj()
        return found

    def _projected(self, shares: np.ndarray) -> np.ndarray:
        """Sum the projectors on all outcomes, weighted by their frequencies."""
        vectors = np.stack([self._turned(each) for each in np.eye(self.size) + 0j], axis=-1)
        flat = vectors.reshape(-1, self.size)
        return np.asarray((flat.conj().T * shares.ravel()) @ flat)

    def _turned(self, states: np.ndarray, *, back: bool = False) -> np.ndarray:
        """Turn a state into all bases, or one of each basis back: ``(settings, 2**n)``."""
        turns = self._back if back else self._forth
        for k in range(self.n):
            split = states.reshape(-1, self.size >> (k + 1), 2, 1 << k)
            first, second = split[:, :, 0], split[:, :, 1]
            turn = turns[:, k]
            states = np.stack(
                [turn[:, i, 0] * first + turn[:, i, 1] * second for i in (0, 1)], axis=2
            )
        return states.reshape(len(self.settings), self.size)

    def _maximise(self, weighted: np.ndarray, start: np.ndarray) -> tuple[float, np.ndarray]:
        from scipy.optimize import minimize  # slow to import

        found = minimize(
            self._loss,
            np.concatenate([start.real, start.imag, [1e-3]]),
            args=(weighted,),
            jac=True,
            method="L-BFGS-B",
            bounds=[(None, None)] * (2 * self.size) + [(LEAST_NOISE, MOST_NOISE)],
            options={"maxiter": 500, "maxfun": 1000, "ftol": 1e-14, "gtol": 1e-9},
        )
        return float(found.fun), found.x[: self.size] + 1j * found.x[self.size : -1]

    def _loss(self, values: np.ndarray, weighted: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the negative log-likelihood of ``(1 - noise) |<outcome|state>|**2 + noise /
        2**n``."""
        state, noise = values[: self.size] + 1j * values[self.size : -1], values[-1]
        norm = float((np.abs(state) ** 2).sum())
        turned = self._turned(state)
        pure = np.abs(turned) ** 2 / norm
        p = (1 - noise) * pure + noise / self.size
        slope = -weighted / p
        of_pure = (1 - noise) * slope
        of_state = self._turned(2 * of_pure * turned, back=True).sum(axis=0) / norm
        of_state -= 2 * state * float((of_pure * pure).sum()) / norm
        of_noise = float((slope * (1 / self.size - pure)).sum())
        gradient = np.concatenate([of_state.real, of_state.imag, [of_noise]])
        return -float((weighted * np.log(p)).sum()), gradient
