"""Ensembles: their diffusion against its closed form, their distances against plain numpy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import Statevector, partial_trace
from scipy.optimize import linprog

from qdm_qiskit.diffusion import DiffusionConfig, make_process
from qdm_qiskit.diffusion.depolarizing import Depolarizing, closed_form
from qdm_qiskit.diffusion.ensembles import ensemble_losses, mmd, wasserstein
from qdm_qiskit.errors import InvalidData, InvalidOption
from tests.helpers import generator, random_states


def mean_state(states: torch.Tensor) -> torch.Tensor:
    return torch.einsum("si,sj->ij", states, states.conj()) / len(states)


@pytest.mark.parametrize(("scrambler", "width"), [("gates", 2), ("haar", 2), ("haar", 4)])
def test_mean_state_follows_the_closed_form(scrambler, width):
    process = Depolarizing(5, scrambler=scrambler)
    one = random_states(1, width)
    path = process.trajectory(one.expand(40_000, width), generator(1))
    for step, signal in enumerate(process.signal().tolist()):
        expected = closed_form(one.T @ one.conj(), signal)
        assert torch.allclose(mean_state(path[step]), expected, atol=0.012), step
    norms = torch.linalg.vector_norm(path, dim=2)
    assert torch.allclose(norms, torch.ones_like(norms))


def test_gates_end_in_haar_randomness_of_two_qubits():
    """Second moments: the mean of |<a|b>|^4 over random pairs is 2 / (d (d + 1)) = 0.1 for d = 4."""
    process = Depolarizing(6)
    start = torch.zeros(3000, 4, dtype=torch.complex128)
    start[:, 0] = 1
    end = process.trajectory(start, generator())[-1]
    fidelity = (end.conj() @ end.T).abs().square()
    off = fidelity[~torch.eye(3000, dtype=torch.bool)]
    assert float(off.mean()) == pytest.approx(0.25, abs=0.01)
    assert float((off**2).mean()) == pytest.approx(0.1, abs=0.01)


def test_start_is_haar_random():
    states = Depolarizing().start((20_000, 2), generator())
    z = states[:, 0].abs().square() * 2 - 1
    assert float(z.mean()) == pytest.approx(0, abs=0.02)
    assert float(z.var()) == pytest.approx(1 / 3, abs=0.02)  # uniform on [-1, 1]


def test_mmd_is_the_distance_of_mean_states():
    one, other = random_states(400, 4, 1), random_states(300, 4, 2)
    own = float((mean_state(one) - mean_state(other)).abs().square().sum())
    # The unbiased estimate leaves each state's product with itself out.
    purity = [float(mean_state(each).abs().square().sum()) for each in (one, other)]
    bias = sum((1 - p) / (len(s) - 1) for p, s in zip(purity, (one, other), strict=True))
    assert mmd(one.numpy(), other.numpy()) == pytest.approx(own - bias, abs=1e-10)


def test_mmd_is_unbiased():
    values = [
        mmd(random_states(20, 2, seed).numpy(), random_states(20, 2, seed + 999).numpy())
        for seed in range(200)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.integers(2, 6))
def test_wasserstein_is_the_linear_programme(seed, count):
    one, other = random_states(count, 4, seed).numpy(), random_states(count, 4, seed + 1).numpy()
    cost = 1 - np.abs(one.conj() @ other.T) ** 2
    equal = np.zeros((2 * count, count * count))
    for k in range(count):
        equal[k, k * count : (k + 1) * count] = 1
        equal[count + k, k::count] = 1
    best = linprog(cost.ravel(), A_eq=equal, b_eq=np.full(2 * count, 1 / count))
    assert wasserstein(one, other) == pytest.approx(best.fun, abs=1e-9)


def branches(samples: int, outcomes: int, width: int, seed: int) -> torch.Tensor:
    whole = random_states(samples, outcomes * width, seed)
    return whole.reshape(samples, outcomes, width)


def test_mmd_of_branches_is_that_of_drawn_outcomes():
    """Weighting by probabilities is the mean over draws."""
    made, target = branches(30, 2, 2, 1), random_states(30, 2, 2)
    expected = float(ensemble_losses("mmd", made[None], target[None]))
    process, drawn = Depolarizing(1), []
    for seed in range(1500):
        states = process.reverse_step(made[:, 0], 1, made, generator(seed))
        drawn.append(mmd(states.numpy(), target.numpy()))
    assert np.mean(drawn) == pytest.approx(expected, abs=5 * np.std(drawn) / np.sqrt(1500))


def test_outcomes_are_drawn_by_their_probabilities():
    made = torch.zeros(1, 2, 2, dtype=torch.complex128)
    made[0, 0, 0], made[0, 1, 1] = 0.8**0.5, 0.2**0.5
    many = made.expand(20_000, 2, 2)
    states = Depolarizing(1).reverse_step(many[:, 0], 1, many, generator())
    assert float(states[:, 1].abs().mean()) == pytest.approx(0.2, abs=0.015)
    norms = torch.linalg.vector_norm(states, dim=1)
    assert torch.allclose(norms, torch.ones_like(norms))


def test_smoothed_transport_is_near_the_exact_one():
    one, other = random_states(40, 2, 1), random_states(40, 2, 2)
    smooth = float(ensemble_losses("wasserstein", one[None, :, None], other[None]))
    exact = wasserstein(one.numpy(), other.numpy())
    assert exact - 1e-6 <= smooth <= exact + 0.03


def test_trace_distance_and_fidelity_against_numpy():
    made, target = branches(10, 2, 4, 1), random_states(10, 4, 2)
    difference = sum(mean_state(made[:, k]) for k in range(2)) - mean_state(target)
    expected = np.abs(np.linalg.eigvalsh(difference.numpy())).sum() / 2
    assert float(ensemble_losses("trace", made[None], target[None])) == pytest.approx(expected)
    overlap = np.abs(np.einsum("skd,sd->sk", made.numpy().conj(), target.numpy())) ** 2
    expected = 1 - overlap.sum(1).mean()
    assert float(ensemble_losses("fidelity", made[None], target[None])) == pytest.approx(expected)


def reduced(state, qubit):
    others = [each for each in range(len(state).bit_length() - 1) if each != qubit]
    return partial_trace(Statevector(state), others).data


def test_projected_distance_against_partial_traces():
    made, target = random_states(4, 4, 1).numpy(), random_states(3, 4, 2).numpy()

    def kernel(a, b):
        apart = [np.linalg.norm(reduced(a, q) - reduced(b, q)) ** 2 for q in range(2)]
        return np.exp(-sum(apart))

    def within(states):
        return np.mean([kernel(a, b) for a, b in itertools.permutations(states, 2)])

    between = np.mean([kernel(a, b) for a in made for b in target])
    expected = within(made) + within(target) - 2 * between
    tensors = torch.from_numpy(made)[None, :, None], torch.from_numpy(target)[None]
    assert float(ensemble_losses("projected", *tensors)) == pytest.approx(expected)


def test_projected_distance_of_branches_is_that_of_drawn_outcomes():
    made, target = branches(30, 2, 2, 1), random_states(30, 2, 2)
    expected = float(ensemble_losses("projected", made[None], target[None]))
    process, drawn = Depolarizing(1), []
    for seed in range(300):
        states = process.reverse_step(made[:, 0], 1, made, generator(seed))
        drawn.append(float(ensemble_losses("projected", states[None, :, None], target[None])))
    assert np.mean(drawn) == pytest.approx(expected, abs=5 * np.std(drawn) / np.sqrt(300))


def test_projected_distance_sees_what_mean_states_hide():
    """Halves of |0> and |1>, and of |+> and |->, have the same mean state."""
    poles = torch.eye(2, dtype=torch.complex128).repeat(50, 1)
    equator = torch.tensor([[1, 1], [1, -1]], dtype=torch.complex128).repeat(50, 1) / 2**0.5
    blind = float(ensemble_losses("mmd", poles[None, :, None], equator[None]))
    sees = float(ensemble_losses("projected", poles[None, :, None], equator[None]))
    # Of 100 states each: pairs within score (49 + 50 exp(-2)) / 99, pairs between exp(-1).
    closed = 2 * (49 + 50 * np.exp(-2)) / 99 - 2 * np.exp(-1)
    assert sees == pytest.approx(closed)
    assert abs(blind) < 0.02 < sees


@pytest.mark.parametrize("kind", ["mmd", "wasserstein", "trace", "fidelity", "projected"])
def test_gradients_against_finite_differences(kind):
    made, target = branches(6, 2, 2, 1), random_states(6, 2, 2)
    direction = torch.view_as_real(branches(6, 2, 2, 3).contiguous())
    base = torch.view_as_real(made.contiguous()).clone().requires_grad_()

    def loss(values):
        return ensemble_losses(kind, torch.view_as_complex(values)[None], target[None])[0]

    loss(base).backward()
    step = 1e-4
    with torch.no_grad():
        expected = (loss(base + step * direction) - loss(base - step * direction)) / (2 * step)
    # The plan of the smoothed transport is the optimum of cost plus entropy, not of the cost alone.
    tolerance = 0.05 if kind == "wasserstein" else 1e-6
    assert float((base.grad * direction).sum()) == pytest.approx(float(expected), abs=tolerance)


def test_identity_keeps_every_ensemble():
    process = Depolarizing(3)
    pairs = process.training_pairs(random_states(50, 2).to(torch.complex64), generator())
    losses = process.identity_losses(pairs)
    assert losses.shape == (150,)
    assert torch.equal(losses, process.losses(pairs.noisy[:, None], pairs))


def test_inputs_come_from_the_models_own_chain():
    process = Depolarizing(3)
    x_0 = random_states(5, 2).to(torch.complex64)
    pairs = process.training_pairs(x_0, generator())
    seen = []

    def prediction(x, step):
        seen.append((step, x))
        return x[:, None] * 1j

    given_ = process.as_generated(pairs, prediction, generator(1))
    assert [step for step, _ in seen] == [3, 2]
    assert torch.equal(given_.noisy[10:], seen[0][1])
    assert torch.equal(given_.noisy[5:10], seen[1][1])
    assert torch.allclose(seen[1][1], seen[0][1] * 1j)
    assert torch.equal(given_.target, pairs.target)


def test_arrays_and_states_are_each_others_inverse():
    process = Depolarizing()
    states = random_states(5, 4).to(torch.complex64)
    assert torch.allclose(process.to_states(process.to_images(states)), states, atol=1e-6)


def test_bad_input_is_refused():
    with pytest.raises(InvalidOption, match="scrambler"):
        Depolarizing(scrambler="gate")
    with pytest.raises(InvalidOption, match="ensemble_loss"):
        Depolarizing(loss="mse")
    with pytest.raises(InvalidOption, match="num_steps"):
        make_process(DiffusionConfig(process="depolarizing", num_steps=0))
    with pytest.raises(InvalidData, match="data set of states"):
        Depolarizing().to_states(torch.zeros(2, 1, 8, 8))
    with pytest.raises(InvalidOption, match="lies in"):
        closed_form(torch.eye(2), 1.5)
