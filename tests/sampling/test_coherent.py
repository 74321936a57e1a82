"""Chains of states in one circuit: the engine's steps again, in state, distribution and kept share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qdm_qiskit.diffusion import reverse_chain
from qdm_qiskit.diffusion.depolarizing import Depolarizing
from qdm_qiskit.diffusion.interpolated_states import InterpolatedStates
from qdm_qiskit.diffusion.states import ComplexGaussian
from qdm_qiskit.errors import InvalidData, TargetUnavailable
from qdm_qiskit.execution.calls import CallResult
from qdm_qiskit.layers.calling import ExactTarget
from qdm_qiskit.models.cacioppo import Cacioppo, CacioppoConfig
from qdm_qiskit.models.koelle_dense import QDenseConfig, UnitaryQDense
from qdm_qiskit.models.latent import CacioppoLatent, LatentConfig
from qdm_qiskit.models.qamp import QampDecember, QampDecemberConfig
from qdm_qiskit.models.quddpm import QuDDPM, QuDDPMConfig
from qdm_qiskit.sampling.coherent import CoherentChain
from tests.aer_target import AerTarget
from tests.helpers import generator

LABELS = torch.tensor([0, 3, 1])


def cacioppo(**options) -> tuple:
    options = {"image_size": 2, "num_steps": 3, "activation": False, **options}
    return Cacioppo(CacioppoConfig(**options), generator=generator()), ComplexGaussian(3)


def latent(num_steps: int = 4, **options) -> tuple:
    options = {"image_size": 4, "num_steps": num_steps, "depths": (1, 2, 1), **options}
    model = CacioppoLatent(LatentConfig(**options), generator=generator())
    return model, ComplexGaussian(num_steps)


def unitary(**options) -> tuple:
    config = QDenseConfig(image_size=2, depth=2, **options)
    return UnitaryQDense(config, generator=generator()), InterpolatedStates(5)


def quddpm(ancilla: str = "measure") -> tuple:
    config = QuDDPMConfig(num_qubits=2, num_steps=3, depth=2, init_std=0.7, ancilla=ancilla)
    return QuDDPM(config, generator=generator()), Depolarizing(3)


CHAINS = {
    "cacioppo": cacioppo,
    "latent": latent,
    "latent, angles of their own": lambda: latent(3, steps="separate"),
    "latent, conditioned": lambda: latent(3, latent_qubits=2, guided=True),
    "unitary": unitary,
    "unitary, ancilla": lambda: unitary(ancilla=True),
    "unitary, guided": lambda: unitary(ancilla=True, guided=True),
    "quddpm, outcome 0": lambda: quddpm("postselect"),
}


def chain_of(made: tuple, count: int = 3):
    """A model in double precision, its process, x_T and labels."""
    model, process = made
    x = process.start((count, *model.state_shape), generator(3)).to(torch.complex128)
    if process.state_space == "complex":  # unit rows, in double precision too
        x = x / torch.linalg.vector_norm(x.flatten(1), dim=1).reshape(-1, *[1] * (x.ndim - 1))
    guided = getattr(model.config, "guided", False)
    return model.double(), process, x, LABELS[:count] if guided else None


@torch.no_grad()
def stepwise(model, process, x, labels) -> torch.Tensor:
    """x_0 by the engine, step by step."""
    for step in range(process.num_steps, 0, -1):
        prediction = model(x, torch.full((len(x),), step / process.num_steps), labels)
        x = process.reverse_step(x, step, prediction, generator(step))
    return x


@pytest.mark.parametrize("name", CHAINS)
def test_one_circuit_is_the_engines_chain(name):
    model, process, x, labels = chain_of(CHAINS[name]())
    wanted = stepwise(model, process, x, labels)
    chain = CoherentChain.of(model, process)
    rng = np.random.default_rng(0)
    found = chain.run(ExactTarget(), x, labels, shots=None, rng=rng)
    torch.testing.assert_close(found.states.real, wanted.abs(), atol=1e-10, rtol=0)
    np.testing.assert_allclose(found.kept, found.predicted, atol=1e-12)
    assert not chain.spec.weights


def test_the_state_of_the_circuit_is_the_engines_up_to_a_phase():
    from qiskit.quantum_info import Statevector

    model, process, x, labels = chain_of(cacioppo(), count=1)
    wanted = stepwise(model, process, x, labels).flatten().numpy()
    [call] = CoherentChain.of(model, process).calls(x, labels, shots=None)
    circuit = call.circuit.remove_final_measurements(inplace=False)
    whole = Statevector(circuit.assign_parameters(call.values[0])).data
    kept = whole[call.spec.readout.selection(call.spec.num_qubits)[:, 0]]
    overlap = abs(np.vdot(kept, wanted)) / np.linalg.norm(kept) / np.linalg.norm(wanted)
    assert 1 - overlap < 1e-10


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "cacioppo",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("latent", "unitary, ancilla")),
    ],
)
def test_on_aer_moduli_and_kept_share_are_those_predicted(name, reuse):
    model, process, x, labels = chain_of(CHAINS[name]())
    wanted = stepwise(model, process, x, labels).abs().flatten(1).numpy()
    chain, target, shots = CoherentChain.of(model, process), AerTarget(), 4_000
    found = chain.run(
        target, x, labels, shots=shots, rng=np.random.default_rng(0), reuse_qubits=reuse
    )
    deviation = np.sqrt(found.predicted * (1 - found.predicted) / shots)
    assert (np.abs(found.kept - found.predicted) < 5 * deviation + 1e-9).all()
    seen, exact = found.states.real.flatten(1).numpy() ** 2, wanted**2
    norms = exact.sum(axis=1, keepdims=True) / found.predicted[:, None]  # of x_T, where kept
    p = exact / norms
    error = np.sqrt(p * (1 - p) / shots) / found.predicted[:, None] * exact.sum(1, keepdims=True)
    assert (np.abs(seen - exact) < 6 * error + 1e-3).all()
    data = len(chain.spec.data_qubits)
    assert target.qubits == [data + 1 if reuse and name != "unitary" else chain.spec.num_qubits]


@pytest.mark.slow
def test_with_shots_moduli_approach_the_engines_as_one_over_their_root():
    model, process, x, labels = chain_of(cacioppo())
    wanted = stepwise(model, process, x, labels).abs()
    chain, errors, shots = CoherentChain.of(model, process), [], (300, 3_000, 30_000)
    for each in shots:
        runs = [
            chain.run(AerTarget(seed=k), x, labels, shots=each, rng=np.random.default_rng(0))
            for k in range(3)
        ]
        errors.append(np.sqrt(np.mean([(r.states - wanted).abs().square().mean() for r in runs])))
    slope = np.polyfit(np.log(shots), np.log(errors), 1)[0]
    assert -0.65 < slope < -0.35, errors


@torch.no_grad()
def walk(model, x: torch.Tensor, history: int, steps: int) -> tuple[torch.Tensor, float]:
    """The state of one history, first outcome least significant, and its probability."""
    probability = 1.0
    for k in range(steps):
        branches = model(x, torch.full((1,), (steps - k) / steps))
        x = branches[:, (history >> k) & 1]
        norm = float(torch.linalg.vector_norm(x))
        x, probability = x / norm, probability * norm**2
    return x[0], probability


def test_a_drawn_history_has_the_engines_state_and_probability():
    model, process, x, _ = chain_of(quddpm(), count=1)
    chain, rng = CoherentChain.of(model, process), np.random.default_rng(1)
    found = chain.run(ExactTarget(), x.expand(300, -1), None, shots=None, rng=rng)
    counts = np.bincount(found.histories, minlength=8)
    p = np.array([walk(model, x, h, 3)[1] for h in range(8)])
    assert abs(p.sum() - 1) < 1e-9
    assert (np.abs(counts / 300 - p) < 5 * np.sqrt(p * (1 - p) / 300) + 1e-9).all()
    for history in np.unique(found.histories):
        state, probability = walk(model, x, int(history), 3)
        row = int(np.argmax(found.histories == history))
        assert abs(found.kept[row] - probability) < 1e-9
        assert float(1 - (state.conj() @ found.states[row]).abs() ** 2) < 1e-9


def test_the_expected_share_of_a_history_is_the_sum_of_squared_probabilities():
    model, process, x, _ = chain_of(quddpm())
    p = np.array([[walk(model, row[None], h, 3)[1] for h in range(8)] for row in x])
    found = CoherentChain.of(model, process).history_share(x)
    np.testing.assert_allclose(found, (p**2).sum(axis=1), atol=1e-10)
    unitary_chain = CoherentChain.of(*chain_of(cacioppo())[:2])
    np.testing.assert_array_equal(unitary_chain.history_share(x), [1, 1, 1])


def test_quddpms_ensemble_on_aer_is_the_engines():
    """The mean state over many chains, shots, histories and all, against the engine's own chain."""
    made = quddpm()
    model, process, x, labels = chain_of(made, count=1)
    batch = x.expand(150, -1)
    chain = CoherentChain.of(model, process)
    found = chain.run(AerTarget(), batch, labels, shots=400, rng=np.random.default_rng(2))
    drawn = stepwise(model, process, x.expand(4_000, -1), labels)
    means = [torch.einsum("bi,bj->ij", s, s.conj()) / len(s) for s in (found.states, drawn)]
    distance = float(torch.linalg.matrix_norm(means[0] - means[1], ord="nuc")) / 2
    assert distance < 0.15, distance  # of 150 states: about 1/sqrt(150) each way
    purity = float((drawn[:150].conj() @ drawn[:150].T).abs().square().mean())
    other = float((found.states.conj() @ found.states.T).abs().square().mean())
    assert abs(purity - other) < 0.1  # as spread as the engine's


def test_a_chain_that_keeps_less_than_a_shot_is_refused_before_it_is_sent():
    model, process, x, labels = chain_of(CHAINS["latent, conditioned"]())
    target = ExactTarget()
    chain = CoherentChain.of(model, process)
    with pytest.raises(
        InvalidData, match=r"keep .* of the shots of image 1: .*less than one; raise shots above"
    ):
        chain.run(target, x, labels, shots=100, rng=np.random.default_rng(0))
    assert target.calls == []
    needed = int(1 / chain.kept(x, labels).min()) + 1
    chain.run(target, x, labels, shots=needed, rng=np.random.default_rng(0))
    with pytest.raises(InvalidData, match="raise shots above any number"):
        chain.check_kept(np.array([1.0, 0.0]), 10)


def test_a_history_of_less_than_a_shot_is_refused_before_it_is_sent():
    model, process, x, _ = chain_of(quddpm())
    target, chain = ExactTarget(), CoherentChain.of(model, process)
    share = chain.history_share(x)
    shots = int(1 / share.min())  # of each setting
    words = (
        rf"A drawn history .* of the shots of image {np.argmin(share)} in the mean: .* its {shots}"
    )
    with pytest.raises(
        InvalidData, match=words + ".*less than one; raise .*chain='steps'"
    ) as caught:
        chain.run(target, x, shots=shots, rng=np.random.default_rng(0))
    assert "\n" not in str(caught.value)
    assert target.calls == []
    enough = chain.run(AerTarget(), x, shots=64 * shots, rng=np.random.default_rng(0))
    np.testing.assert_allclose(enough.predicted, share)
    assert enough.manifest()["predicted_kept"] == enough.predicted.tolist()


def answered(model, process, *untold: int, shots: int = 100):
    """An answer of two histories, 2 and 5, each seen alike in all settings but those untold of 2."""
    chain = CoherentChain.of(model, process)
    outputs = np.zeros((2, 8, 8, 4))  # images, settings, histories, outcomes
    outputs[:, :, (2, 5)] = 1 / 8
    outputs[:, untold, 2] = 0
    return chain, CallResult(outputs=outputs.reshape(16, 32))


def test_a_history_without_a_shot_in_some_setting_is_drawn_again():
    model, process, x, _ = chain_of(quddpm(), count=2)
    for untold, wanted in (((), {2, 5}), ((3,), {5})):
        chain, answer = answered(model, process, *untold)
        found = [
            chain.read(answer, x, 100, None, np.random.default_rng(seed)) for seed in range(20)
        ]
        assert {int(h) for each in found for h in each.histories} == wanted
        np.testing.assert_allclose(found[0].told, len(wanted) / 2)
        assert found[0].manifest()["told"] == found[0].told.tolist()


def test_without_a_history_whose_state_can_be_told_nothing_comes_back():
    model, process, x, _ = chain_of(quddpm(), count=2)
    chain, answer = answered(model, process, 3)
    outputs = answer.outputs.reshape(2, 8, 8, 4)
    outputs[1, 4, 5] = 0
    words = "Each history of image 1 has no shot in one of its 8 settings.*raise shots above 100"
    with pytest.raises(InvalidData, match=words):
        chain.read(
            CallResult(outputs=outputs.reshape(16, 32)), x, 100, None, np.random.default_rng(0)
        )


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: cacioppo(activation=True), "LeakyReLU.*run it step by step.*activation=false"),
        (lambda: latent(15, guided=True), "measure 78 bits.*at most 20"),
        (
            lambda: (
                QampDecember(
                    QampDecemberConfig(image_size=4, width=8, num_qubits=2), generator=generator()
                ),
                ComplexGaussian(10),
            ),
            "no circuits on one and the same state",
        ),
    ],
)
def test_chains_that_are_no_circuit_are_refused_with_reason_and_alternative(made, words):
    with pytest.raises(TargetUnavailable, match=words):
        CoherentChain.of(*made())


def test_images_come_out_as_from_the_engine():
    model, process, x, labels = chain_of(latent())
    chain = CoherentChain.of(model, process)
    found = chain.run(ExactTarget(), x, labels, shots=None, rng=np.random.default_rng(0))
    images = process.to_images(found.states)

    def predict(state: torch.Tensor, step: int) -> torch.Tensor:
        return model(state, torch.full((len(x),), step / process.num_steps))

    with torch.no_grad():
        walked = reverse_chain(process, predict, x, generator)
    torch.testing.assert_close(images, walked, atol=1e-10, rtol=0)
