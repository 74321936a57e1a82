"""Which way of measuring QAMP's trained observables takes the fewest shots?

The 16 Hermitian observables of a QAMP model of January (4 qubits), trained on scikit-learn's digits,
in the states that its circuit leaves of noise at the first step of the chain. Compared at equal total
shots of a state, all 16 observables together:

- ``one Pauli basis a term``: qubit-wise commuting terms share a circuit, each is read in one of them;
- ``all Pauli bases``: the same 81 bases, and each term is read in all that hold it;
- ``shadows``: a random Pauli basis for each shot, the usual estimator;
- ``eigenbasis``: a circuit for each observable, which ends in the unitary that diagonalises it;
- ``state``: tomography (14 settings), then the exact value in the state that is told.

The first four are unbiased, and their variances are computed exactly from the distributions; the last
one is drawn 200 times. A variance is given times the total shots and divided by the observable's own
variance in the state: 1 would be measuring this one alone, in its eigenbasis.

    python benchmarks/observables.py [--epochs 3] [--train-count 192] [--states 8] [--json FILE]
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from qiskit.quantum_info import SparsePauliOp
from qiskit.synthesis import qs_decomposition

from qdm_qiskit.mitigation.expectation import measurement_plan
from qdm_qiskit.mitigation.tomography import estimate_states, tomography_settings
from qdm_qiskit.models.qamp import QampJanuary, as_real
from qdm_qiskit.sampling import load_run
from qdm_qiskit.training import resolve_run, train

REPEATS, TOMOGRAPHY_SHOTS = 200, 14_000
TURNS = {
    "Z": np.eye(2),
    "I": np.eye(2),
    "X": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
    "Y": np.array([[1, -1j], [1, 1j]]) / np.sqrt(2),
}


def trained(epochs: int, count: int, folder: Path) -> QampJanuary:
    values = {"epochs": epochs, "train_count": count, "sample_every": 0, "baseline": False}
    train(resolve_run("qamp-january-digits", values), folder)
    model = load_run(folder).model
    assert isinstance(model, QampJanuary)
    return model


@torch.no_grad()
def states_of(model: QampJanuary, count: int) -> np.ndarray:
    """What the circuit leaves of normalised noise at t = T, ``(count, 16)``."""
    size = model.config.image_size**2
    x = torch.randn(count, size, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    x = x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
    real = model.norm(model.narrow(model.encoder(as_real(x)).relu()))
    rows = torch.full((count,), model.config.num_steps - 1)
    return model.blocks(real.to(x.dtype), rows).numpy().astype(np.complex128)


def distribution(state: np.ndarray, letters: str) -> np.ndarray:
    """Probabilities of the outcomes in a product basis; the first letter is qubit 0's."""
    tensor = state.reshape([2] * len(letters))
    for qubit, letter in enumerate(letters):
        axis = len(letters) - 1 - qubit
        tensor = np.moveaxis(np.tensordot(TURNS[letter], tensor, axes=(1, axis)), 0, axis)
    return np.abs(tensor.ravel()) ** 2


def term_signs(label: str) -> np.ndarray:
    """Sign of a Pauli term for each outcome of a basis that holds it."""
    mask = sum(1 << q for q, letter in enumerate(reversed(label)) if letter != "I")
    return 1.0 - 2.0 * (np.bitwise_count(np.arange(2 ** len(label)) & mask) & 1)


def spread(values: np.ndarray, p: np.ndarray) -> np.ndarray:
    mean = p @ values
    return p @ values**2 - mean**2


def one_basis_a_term(sums: list[SparsePauliOp], state: np.ndarray) -> tuple[np.ndarray, int]:
    plan = measurement_plan(sums)
    found = np.zeros(len(sums))
    for basis in plan.bases:
        signs = np.stack(
            [
                1.0
                - 2.0
                * (np.bitwise_count(np.arange(16) & int((mask << np.array(plan.qubits)).sum())) & 1)
                for mask in basis.masks.astype(np.int64)
            ],
            axis=1,
        )
        found += spread(signs @ basis.weights, distribution(state, basis.letters))
    return found * len(plan.bases), len(plan.bases)


def all_bases(
    sums: list[SparsePauliOp], state: np.ndarray, *, shadows: bool
) -> tuple[np.ndarray, int]:
    bases = ["".join(each) for each in itertools.product("XYZ", repeat=4)]
    found, second, mean = np.zeros(len(sums)), np.zeros(len(sums)), np.zeros(len(sums))
    for letters in bases:
        values = np.zeros((16, len(sums)))
        for k, each in enumerate(sums):
            for label, coefficient in each.to_list():
                own = label[::-1]
                if all(a in ("I", b) for a, b in zip(own, letters, strict=True)):
                    weight = 3.0 ** sum(letter != "I" for letter in own)
                    values[:, k] += coefficient.real * weight * term_signs(label)
        p = distribution(state, letters)
        found += spread(values, p)
        mean += p @ values / len(bases)
        second += p @ values**2 / len(bases)
    # As many shots in each basis, or a basis drawn for each shot.
    return (second - mean**2 if shadows else found / len(bases)), len(bases)


def by_state(
    matrices: np.ndarray, state: np.ndarray, exact: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    settings = tomography_settings(4)
    each = TOMOGRAPHY_SHOTS // len(settings)
    rng = np.random.default_rng(3)
    p = np.stack([distribution(state, letters) for letters in settings])
    counts = np.stack(
        [np.stack([rng.multinomial(each, row / row.sum()) for row in p]) for _ in range(REPEATS)]
    )
    told = estimate_states(counts, np.full(counts.shape[:2], each))
    values = np.einsum("ri,kij,rj->rk", told.conj(), matrices, told).real
    bias = values.mean(axis=0) - exact
    return values.var(axis=0, ddof=1) * each * len(settings), bias, len(settings)


def compare(model: QampJanuary, count: int) -> dict[str, Any]:
    matrices = model.observables.matrices().detach().to(torch.complex128).numpy()
    sums = model.observables.pauli_decomposition()
    rows: dict[str, list[np.ndarray]] = {}
    circuits: dict[str, int] = {}
    biases = []
    for state in states_of(model, count):
        state = state / np.linalg.norm(state)
        exact = np.einsum("i,kij,j->k", state.conj(), matrices, state).real
        square = np.einsum("i,kij,kjl,l->k", state.conj(), matrices, matrices, state).real
        own = square - exact**2
        ways = {
            "one Pauli basis a term": one_basis_a_term(sums, state),
            "all Pauli bases": all_bases(sums, state, shadows=False),
            "shadows": all_bases(sums, state, shadows=True),
            "eigenbasis": (len(sums) * own, len(sums)),
        }
        variance, bias, settings = by_state(matrices, state, exact)
        ways["state"] = variance, settings
        biases.append(bias / np.sqrt(variance / TOMOGRAPHY_SHOTS))
        for name, (found, needed) in ways.items():
            rows.setdefault(name, []).append(found / own)
            circuits[name] = needed
    turned = qs_decomposition(np.linalg.eigh(matrices[0])[1].conj().T)
    return {
        "states": count,
        "observables": len(sums),
        "terms": len({label for each in sums for label, _ in each.to_list()}),
        "ways": {
            name: {
                "variance": float(np.mean(found)),
                "largest": float(np.max(found)),
                "circuits": circuits[name],
                "more_cnots": int(turned.count_ops()["cx"]) if name == "eigenbasis" else 0,
            }
            for name, found in rows.items()
        },
        "bias_of_state_in_deviations": float(np.sqrt(np.mean(np.square(biases)))),
        "tomography_shots": TOMOGRAPHY_SHOTS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--train-count", type=int, default=192)
    parser.add_argument("--states", type=int, default=8)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = trained(options.epochs, options.train_count, Path(folder) / "run")
    found = compare(model, options.states)
    print("| way | circuits | CNOTs more | variance x shots | worst |\n|---|---:|---:|---:|---:|")
    for name, row in found["ways"].items():
        print(
            f"| {name} | {row['circuits']} | {row['more_cnots']} | {row['variance']:.1f} "
            f"| {row['largest']:.1f} |"
        )
    print(f"bias of 'state': {found['bias_of_state_in_deviations']:.2f} standard deviations")
    if options.json:
        options.json.write_text(
            json.dumps({**found, "machine": machine.describe()}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
