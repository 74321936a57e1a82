"""The latent mixed-state QuDDPM: its circuit against density matrices, its process, and all targets."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.quantum_info import DensityMatrix, Operator, Pauli, partial_trace, state_fidelity

from qdm_qiskit.circuits.mixed_step import bloch_angles, mixed_step
from qdm_qiskit.diffusion import DiffusionConfig, MixedStates, make_process
from qdm_qiskit.diffusion.mixed_states import (
    fidelities,
    in_ball,
    mixed_losses,
    product_overlaps,
)
from qdm_qiskit.errors import InvalidData, InvalidOption, InvalidTemplate, TargetUnavailable
from qdm_qiskit.models import describe, load_model, save_model
from qdm_qiskit.models.mixed_quddpm import MixedQuDDPM, MixedQuDDPMConfig
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.training import resolve_run, train
from qdm_qiskit.training.by_calls import check_by_calls
from tests.helpers import generator

SMALL = {"num_qubits": 2, "num_ancillas": 1, "num_traced": 1, "depth": 2, "num_steps": 3}


def model(**options) -> MixedQuDDPM:
    return MixedQuDDPM(
        MixedQuDDPMConfig(**{**SMALL, "init_std": 1.0, **options}), generator=generator()
    )


def states(count: int, qubits: int, seed: int = 1) -> torch.Tensor:
    return MixedStates().start((count, 3 * qubits), generator(seed)).double()


def density(bloch) -> DensityMatrix:
    """The product of single qubits, qubit 0 last in Qiskit's order of factors."""
    found = DensityMatrix(np.ones((1, 1)))
    for vector in np.asarray(bloch, dtype=float).reshape(-1, 3):
        matrix = np.eye(2, dtype=complex) / 2
        for value, name in zip(vector, "XYZ", strict=True):
            matrix = matrix + value / 2 * Pauli(name).to_matrix()
        found = DensityMatrix(matrix).tensor(found)
    return found


def bloch_of(rho: DensityMatrix) -> list[float]:
    size = rho.num_qubits
    return [
        float(rho.expectation_value(Pauli(name), [qubit]).real)
        for qubit in range(size)
        for name in "XYZ"
    ]


def test_angles_prepare_the_mixed_states():
    x = states(4, 2).numpy()
    x[0, :3], x[1, :3], x[2, 3:] = 0, (0, 0, -1), (0.6, 0.8, 0)
    spec = mixed_step(2, 0, 0, 1)
    prepared = QuantumCircuit(spec.num_qubits)
    for instruction in spec.circuit.data:
        used = {p.name[0] for each in instruction.operation.params for p in each.parameters}
        if used == {"w"}:
            break
        prepared.append(
            instruction.operation, [spec.circuit.find_bit(q).index for q in instruction.qubits]
        )
    for row, angles in zip(x, bloch_angles(x), strict=True):
        bound = prepared.assign_parameters(
            dict(zip(sorted(prepared.parameters, key=lambda p: p.name), angles, strict=True))
        )
        left = partial_trace(DensityMatrix(bound), [2, 3])
        assert np.allclose(left.data, density(row).data, atol=1e-12)


@pytest.mark.parametrize(("ancillas", "traced"), [(0, 1), (1, 1), (2, 0)])
def test_a_step_is_the_measured_channel_of_qiskits_density_matrices(ancillas, traced):
    """Kraus operators of the layers: ancillas in |0>, an outcome of the measured, the others traced."""
    made = model(num_ancillas=ancillas, num_traced=traced)
    x = states(3, 2)
    with torch.no_grad():
        found = made(x, torch.full((3,), 2 / 3)).numpy()
    layer = made.steps[1]
    active = 2 + ancillas + traced
    layers = QuantumCircuit(active)
    rotations = list(layer.spec.circuit.data)
    first = 2 * 2 + 2 * 2  # two gates and two gates of the mixed states' preparation
    for instruction in rotations[first:]:
        layers.append(
            instruction.operation,
            [layer.spec.circuit.find_bit(q).index for q in instruction.qubits],
        )
    angles = dict(zip(layer.spec.weights, layer.weights.detach().numpy(), strict=True))
    unitary = Operator(layers.assign_parameters(angles)).data
    for row, outcomes in zip(x.numpy(), found, strict=True):
        rho = density(row).data
        for outcome, values in enumerate(outcomes):
            left = np.zeros((4, 4), dtype=complex)
            for hidden in range(2**traced):
                ends = (hidden << ancillas | outcome) << 2
                kraus = unitary[ends : ends + 4, :4]
                left = left + kraus @ rho @ kraus.conj().T
            chance = np.trace(left).real
            assert values[0] == pytest.approx(chance, abs=1e-6)
            wanted = bloch_of(DensityMatrix(left / chance))
            assert values[1:] / values[0] == pytest.approx(wanted, abs=1e-4)


def test_outcomes_are_chances_and_states_stay_in_the_ball():
    made = model(num_ancillas=2)
    x = states(50, 2).float()
    with torch.no_grad():
        found = made(x, torch.linspace(1, 3, 50).round() / 3)
    assert torch.allclose(found[..., 0].sum(1), torch.ones(50), atol=1e-5)
    assert float(found[..., 0].min()) > -1e-6
    lengths = found[..., 1:].unflatten(2, (-1, 3)).norm(dim=3)
    assert bool((lengths <= found[..., :1] + 1e-5).all())


def test_without_ancillas_a_step_brings_states_nearer():
    """A channel contracts the trace distance, a qubit's Bloch vectors' distance: nothing spreads."""
    made = model(num_qubits=1, num_ancillas=0)
    one, other = states(40, 1, 1), states(40, 1, 2)
    t = torch.full((40,), 1.0)
    with torch.no_grad():
        after = (made(one, t)[:, 0, 1:] - made(other, t)[:, 0, 1:]).norm(dim=1)
    assert bool((after <= (one - other).norm(dim=1) + 1e-6).all())


def test_kernel_and_fidelity_are_qiskits():
    one, other = states(3, 2, 1), states(3, 2, 2)
    overlap = product_overlaps(one, other)
    for i in range(3):
        a = density(one[i])
        for j in range(3):
            b = density(other[j])
            assert float(overlap[i, j]) == pytest.approx(np.trace(a.data @ b.data).real)
        assert float(fidelities(one[i], other[i])) == pytest.approx(
            state_fidelity(a, density(other[i])), abs=1e-4
        )


def test_losses_are_means_over_the_outcomes():
    """Against every pair of samples and outcomes, one by one, with Qiskit's matrices."""
    made = model()
    x, target = states(3, 2, 1), states(4, 2, 2)
    with torch.no_grad():
        outcomes = made(x, torch.full((3,), 1 / 3)).double()
    chance = outcomes[..., 0].numpy()
    left = [[density(r[1:] / r[0]).data for r in row] for row in outcomes]
    wanted = [density(each).data for each in target]

    def unbiased(kernel):
        total = 0.0
        for a in range(3):
            for b in range(3):
                if a != b:
                    for i in range(2):
                        for j in range(2):
                            total += (
                                chance[a, i] * chance[b, j] * kernel(left[a][i], left[b][j]) / 6
                            )
        for a in range(4):
            for b in range(4):
                total += kernel(wanted[a], wanted[b]) / 12 if a != b else 0
        for a in range(3):
            for i in range(2):
                total -= sum(2 * chance[a, i] * kernel(left[a][i], w) / 12 for w in wanted)
        return total

    def projected(one, other):
        off = 0.0
        for qubit in (0, 1):
            parts = [partial_trace(DensityMatrix(e), [1 - qubit]).data for e in (one, other)]
            off += np.trace((parts[0] - parts[1]) @ (parts[0] - parts[1])).real
        return np.exp(-off)

    found = {k: float(mixed_losses(k, outcomes[None], target[None])) for k in ("mmd", "projected")}
    assert found["mmd"] == pytest.approx(unbiased(lambda a, b: np.trace(a @ b).real), abs=1e-6)
    assert found["projected"] == pytest.approx(unbiased(projected), abs=1e-6)


def test_transport_is_that_of_assignments():
    from scipy.optimize import linear_sum_assignment

    one, other = states(30, 2, 1), states(30, 2, 2)
    cost = torch.cdist(one, other).square().numpy() / 2
    rows, columns = linear_sum_assignment(cost)
    found = mixed_losses("wasserstein", MixedStates().certain(one)[None], other[None])
    # Entropy of at most log(30) at a sharpness of 0.02, and Sinkhorn's rounds.
    assert float(found) == pytest.approx(cost[rows, columns].mean(), abs=0.07)
    assert float(mixed_losses("fidelity", MixedStates().certain(one)[None], one[None])) < 1e-4


@pytest.mark.parametrize("kind", ["mmd", "wasserstein", "fidelity", "projected"])
def test_losses_have_finite_gradients_at_pure_states_and_empty_outcomes(kind):
    outcomes = torch.tensor([[[1.0, 0, 0, 1.0], [0, 0, 0, 0]], [[0.5, 0, 0.5, 0], [0.5, 0, 0, 0]]])
    outcomes.requires_grad_()
    target = torch.tensor([[0, 0, 1.0], [1.0, 0, 0]])
    mixed_losses(kind, outcomes[None], target[None]).sum().backward()
    assert torch.isfinite(outcomes.grad).all()


def test_the_mean_of_the_forward_process_is_the_depolarizing_channel():
    process = MixedStates(4)
    x = torch.tensor([[0.6, 0.0, 0.8]]).repeat(40_000, 1)
    path = process.trajectory(x, generator())
    assert torch.equal(path[0], x)
    for left, each in zip(process.signal().tolist(), path, strict=True):
        # A coordinate of a uniform ball has variance 1/5; five standard errors.
        assert torch.allclose(each.mean(0), left * x[0], atol=5 * (1 - left) * 0.2**0.5 / 200)
        assert float(each.norm(dim=1).max()) <= 1 + 1e-6
    lengths = process.start((40_000, 3), generator()).norm(dim=1)
    assert float(lengths.mean()) == pytest.approx(0.75, abs=0.01)  # of a uniform ball
    assert all(a > b for a, b in pairwise(process.signal().tolist()))


def test_outcomes_are_drawn_by_their_chances():
    process = MixedStates(1)
    prediction = torch.tensor([[[0.2, 0.2, 0, 0], [0.8, 0, 0, 1.2]]]).repeat(20_000, 1, 1)
    drawn = process.reverse_step(torch.zeros(20_000, 3), 1, prediction, generator())
    share = float((drawn[:, 0] == 1).float().mean())
    assert share == pytest.approx(0.2, abs=5 * (0.16 / 20_000) ** 0.5)
    assert float(drawn.norm(dim=1).max()) == pytest.approx(1)  # shot noise left one of length 1.5


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidOption, match="num_qubits is 1 to 4, got 5"):
        MixedQuDDPMConfig(num_qubits=5)
    with pytest.raises(InvalidOption, match=r"at most 14 qubits, got 2 x 4 [+] 4 [+] 4"):
        MixedQuDDPMConfig(num_qubits=4, num_ancillas=4, num_traced=4)
    with pytest.raises(InvalidOption, match="step is 'circuit' or 'network', got 'mlp'"):
        MixedQuDDPMConfig(step="mlp")
    with pytest.raises(InvalidTemplate, match="num_data"):
        mixed_step(0)
    with pytest.raises(InvalidOption, match=r"mixed states is one of mmd, .*, got 'trace'"):
        make_process(DiffusionConfig(process="mixed_states", ensemble_loss="trace"))
    made, t = model(), torch.full((2,), 1 / 3)
    with pytest.raises(InvalidData, match=r"latents of shape \(batch, 6\), got \(2, 3\)"):
        made(torch.zeros(2, 3), t)
    with pytest.raises(InvalidData, match=r"at most 1 long, got one of 1\.414"):
        made(torch.tensor([[1.0, 1.0, 0, 0, 0, 0]]), t[:1])
    with pytest.raises(InvalidData, match="not guided and takes no labels"):
        made(torch.zeros(2, 6), t, torch.tensor([0, 1]))
    with pytest.raises(InvalidData, match=r"one of the times 1/3 \.\. 1 for each state"):
        made(torch.zeros(2, 6), torch.full((2,), 0.01))
    with pytest.raises(InvalidData, match="3 numbers a qubit, got shape"):
        MixedStates().to_states(torch.zeros(2, 1, 8, 8))
    assert torch.equal(in_ball(torch.tensor([3.0, 0, 4.0])), torch.tensor([0.6, 0, 0.8]))


def test_networks_stand_in_for_circuits():
    found = describe("mixed-digits")
    numbers, circuits = found["parameters"], found["quantum_parameters"]
    assert numbers == circuits == 6 * 2 * 4 * 5
    network = describe("mixed-digits", {"step": "network"})
    assert network["quantum_parameters"] == network["qubits"] == 0
    assert abs(network["parameters"] - numbers) < 0.2 * numbers
    made = model(step="network")
    with torch.no_grad():
        said = made(states(5, 2).float(), torch.full((5,), 1.0))
    assert torch.allclose(said[..., 0].sum(1), torch.ones(5))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed") / "run"
    settings = {
        "num_qubits": 1,
        "num_traced": 0,
        "depth": 1,
        "num_steps": 2,
        "train_count": 60,
        "test_count": 20,
        "batch_size": 30,
        "epochs": 2,
    }
    train(resolve_run("mixed-digits", settings), folder)
    return load_run(folder)


def test_a_run_is_read_back_and_sampled(trained, tmp_path):
    save_model(trained.model, tmp_path / "model")
    x = states(3, 1).float()
    with torch.no_grad():
        again = load_model(tmp_path / "model")(x, torch.full((3,), 0.5))
        assert torch.equal(again, trained.model(x, torch.full((3,), 0.5)))
    found = sample(trained, SamplingConfig(num_images=4))
    assert found.images.shape == (4, 1, 8, 8)
    assert np.array_equal(found.images, sample(trained, SamplingConfig(num_images=4)).images)


def test_no_plan_trains_it(trained):
    with pytest.raises(TargetUnavailable, match="trains on ensembles") as caught:
        check_by_calls(trained.model, trained.process, "local:fake_torino")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "target",
    [
        "aer",
        pytest.param("noisy:fake_manila", marks=pytest.mark.slow),
        pytest.param("local:fake_manila", marks=pytest.mark.slow),
    ],
)
def test_targets_draw_from_near_the_exact_states(trained, target):
    """Outcomes are drawn with one generator, so most images take the exact chain's outcomes."""
    exact = sample(trained, SamplingConfig(num_images=8, seed=3))
    config = SamplingConfig(target=target, shots=20_000, num_images=8, layout_trials=1, seed=3)
    found = sample(trained, config)
    off = np.abs(found.images - exact.images).mean(axis=(1, 2, 3))
    assert float(np.median(off)) < (0.01 if target == "aer" else 0.05)
    assert not np.array_equal(found.images, exact.images)
