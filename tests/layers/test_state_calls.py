"""Models of states whose circuits a target answers: the engine's step again, up to shots."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from qdm_qiskit.circuits import ExpectationReadout, ProbabilityReadout
from qdm_qiskit.errors import InvalidData
from qdm_qiskit.execution.calls import CallResult
from qdm_qiskit.layers.calling import ExactTarget, answered_by, calls_of
from qdm_qiskit.models.cacioppo import Cacioppo, CacioppoConfig
from qdm_qiskit.models.koelle_dense import QDenseConfig, UnitaryQDense
from qdm_qiskit.models.latent import CacioppoLatent, LatentConfig
from qdm_qiskit.models.qamp import (
    QampDecember,
    QampDecemberConfig,
    QampJanuary,
    QampJanuaryConfig,
)
from qdm_qiskit.models.quddpm import QuDDPM, QuDDPMConfig
from qdm_qiskit.sampling.call_targets import EngineShots, Programs
from tests.aer_target import AerTarget
from tests.helpers import generator

SMALL = {"image_size": 4, "width": 8, "num_qubits": 2, "num_steps": 3}
LABELS = torch.tensor([0, 3, 1])
MODELS = {
    "cacioppo": lambda: Cacioppo(
        CacioppoConfig(image_size=2, num_steps=3, activation=False), generator=generator()
    ),
    "cacioppo, activation": lambda: Cacioppo(
        CacioppoConfig(image_size=2, num_steps=3), generator=generator()
    ),
    "latent": lambda: CacioppoLatent(
        LatentConfig(image_size=4, num_steps=3, depths=(1, 2, 1)), generator=generator()
    ),
    "latent, conditioned": lambda: CacioppoLatent(
        LatentConfig(image_size=4, num_steps=3, depths=(1, 2, 1), latent_qubits=2, guided=True),
        generator=generator(),
    ),
    "unitary": lambda: UnitaryQDense(QDenseConfig(image_size=2, depth=2), generator=generator()),
    "unitary, guided": lambda: UnitaryQDense(
        QDenseConfig(image_size=2, depth=2, ancilla=True, guided=True), generator=generator()
    ),
    "december": lambda: QampDecember(
        QampDecemberConfig(**SMALL, depths=(2, 2, 2)), generator=generator()
    ),
    "january": lambda: QampJanuary(
        QampJanuaryConfig(**SMALL, reps=2, num_observables=3, init_std=0.5), generator=generator()
    ),
    "january, no activation": lambda: QampJanuary(
        QampJanuaryConfig(**SMALL, reps=1, num_observables=3, init_std=0.5, activation=False),
        generator=generator(),
    ),
    "quddpm": lambda: QuDDPM(
        QuDDPMConfig(num_qubits=2, num_ancillas=2, depth=2, num_steps=3, init_std=0.7),
        generator=generator(),
    ),
    "quddpm, outcome 0": lambda: QuDDPM(
        QuDDPMConfig(num_qubits=2, depth=2, num_steps=3, init_std=0.7, ancilla="postselect"),
        generator=generator(),
    ),
}
UP_TO_A_PHASE = ("cacioppo", "latent", "latent, conditioned", "unitary", "unitary, guided")


def step(name: str):
    """A model, its input at t = T, and its labels."""
    model = MODELS[name]().double()
    x = torch.randn(3, *model.state_shape, dtype=torch.complex128, generator=generator(4))
    x = x / torch.linalg.vector_norm(x.flatten(1), dim=1).reshape(-1, *[1] * (x.ndim - 1))
    labels = LABELS if getattr(model.config, "guided", False) else None
    return model, (x, torch.ones(3), labels)


def aligned(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """States turned by the global phase that brings each closest to the one that is wanted."""
    overlap = (found.conj() * wanted).sum(dim=-1, keepdim=True)
    return found * overlap / overlap.abs()


@pytest.mark.parametrize("name", MODELS)
def test_exact_answers_give_the_engines_prediction(name):
    model, given = step(name)
    with torch.no_grad():
        wanted = model(*given)
    target = ExactTarget()
    with answered_by(model, target):
        found = model(*given)
    assert target.calls
    if name in UP_TO_A_PHASE or name.startswith("quddpm"):
        found, wanted = found.reshape(3, -1), wanted.reshape(3, -1)
        if name.startswith("quddpm"):  # each outcome's state has a phase of its own
            found, wanted = found.reshape(-1, 4), wanted.reshape(-1, 4)
        found = aligned(found, wanted)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
    with torch.no_grad():  # and the layers are on the engine again
        torch.testing.assert_close(model(*given), model(*given), atol=0, rtol=0)


def test_the_phase_is_needed_where_it_is_told():
    """LeakyReLU does not commute with a global phase: without it the step is another one."""
    model, given = step("cacioppo, activation")
    turned = (given[0] * np.exp(1j), *given[1:])
    with torch.no_grad():
        one, other = model(*given).flatten(1), model(*turned).flatten(1)
    missed = 1 - (one.conj() * other).sum(1).abs() ** 2
    assert missed.max() > 0.01


def missed(name: str, target, shots: int) -> float:
    """Mean squared distance of a step's states from the engine's."""
    model, given = step(name)
    with torch.no_grad():
        wanted = model(*given)
    with answered_by(model, target, shots=shots):
        found = model(*given)
    wanted, found = wanted.reshape(3, -1), found.reshape(3, -1)
    if name in UP_TO_A_PHASE:
        found = aligned(found, wanted)
    return float((found - wanted).abs().square().sum(1).mean())


@pytest.mark.parametrize(
    "name",
    [
        "december",
        pytest.param("cacioppo, activation", marks=pytest.mark.slow),
        pytest.param("latent, conditioned", marks=pytest.mark.slow),
    ],
)
def test_with_shots_the_step_approaches_the_engines(name):
    target, rng = ExactTarget(), np.random.default_rng(1)
    shots = (300, 3_000, 30_000)
    errors = [np.mean([missed(name, Drawn(target, rng), n) for _ in range(2)]) for n in shots]
    slope = np.polyfit(np.log(shots), np.log(errors), 1)[0]
    assert -1.3 < slope < -0.7, errors  # squared distances fall as 1/shots


@pytest.mark.parametrize(
    "name",
    [
        "unitary, guided",
        pytest.param("cacioppo, activation", marks=pytest.mark.slow),
        pytest.param("january", marks=pytest.mark.slow),
    ],
)
def test_aer_gives_the_engines_step(name):
    target = ExactTarget()
    rng = np.random.default_rng(2)
    like = [missed(name, Drawn(target, rng), 1_000) for _ in range(6)]
    assert missed(name, AerTarget(), 1_000) < np.mean(like) + 6 * np.std(like)


def test_branches_from_shots_have_the_outcomes_probabilities():
    model, given = step("quddpm")
    with torch.no_grad():
        wanted = model(*given)
    with answered_by(model, AerTarget(), shots=4_000):
        found = model(*given)
    p, q = (each.abs().square().sum(2) for each in (wanted, found))
    assert float((p - q).abs().max()) < 5 * np.sqrt(0.25 / (8 * 4_000)) + 1e-3
    overlap = (found.conj() * wanted).sum(2).abs().square() / (p * q).clamp_min(1e-12)
    assert bool((overlap[p > 0.05] > 0.97).all())


class Poisoned(ExactTarget):
    """Answers that no shot passed the post-selection."""

    def answer(self, calls):
        return [
            CallResult(outputs=0 * each.outputs, kept=np.zeros(len(each.outputs)))
            for each in super().answer(calls)
        ]


@pytest.mark.parametrize("name", ["cacioppo", "january, no activation"])
def test_a_state_that_no_shot_shows_is_named(name):
    model, given = step(name)
    with (
        pytest.raises(InvalidData, match=r"No shot of state 0 passed.*'blocks'.*above 10\."),
        answered_by(model, Poisoned(), shots=10),
    ):
        model(*given)


def names(target: ExactTarget) -> list[list[str]]:
    return [[call.name for call in job] for job in target.calls]


def test_the_calls_of_a_step_and_their_shots():
    model, given = step("january")
    target = ExactTarget()
    with answered_by(model, target, shots=7):
        model(*given)
    assert names(target) == [["blocks"], [f"blocks.observable{k}" for k in range(3)]]
    [[told], observed] = target.calls
    assert (told.num_rows, told.shots, told.spec.num_qubits) == (3 * 11, 7, 4)  # one more qubit
    assert all(isinstance(each.spec.readout, ProbabilityReadout) for each in observed)
    model, given = step("cacioppo")  # three blocks at once, no phase, no activation
    [[call]] = calls_of(model, *given)
    assert (call.num_rows, call.spec.num_qubits) == (3 * 8, 3)


@pytest.mark.parametrize("way", ["paulis", "state"])
@pytest.mark.parametrize("name", ["january", "january, no activation"])
def test_other_ways_to_the_observables_agree(name, way):
    model, given = step(name)
    with torch.no_grad():
        wanted = model(*given)
    target = ExactTarget()
    with answered_by(model, target, observables=way):
        found = model(*given)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
    last = target.calls[-1]
    if way == "paulis":  # ONE call of the last block
        [call] = last
        assert isinstance(call.spec.readout, ExpectationReadout)
        assert call.spec.readout.num_outputs == 3


def test_the_same_circuit_serves_every_step():
    model, (x, _, labels) = step("december")
    contents = set()
    for t in (1, 2 / 3, 1 / 3):
        jobs = calls_of(model, x, torch.full((3,), t), labels)
        contents.add(tuple(call.content for job in jobs for call in job))
    assert len(contents) == 1


def test_features_are_unbiased():
    """The mean of 200 repetitions lies within 4 standard errors of the exact features."""
    model, given = step("january, no activation")
    features = []
    states = model.norm(model.narrow(model.encoder(_real(given[0])).relu())).to(torch.complex128)
    rows = torch.full((3,), 2)
    with torch.no_grad():
        wanted = model.blocks.expectations(states, rows, model.observables).numpy()
    exact = ExactTarget()
    with answered_by(model, exact):
        model.blocks.expectations(states, rows, model.observables)
    rng = np.random.default_rng(0)
    for _ in range(200):
        with answered_by(model, Drawn(exact, rng), shots=50):
            features.append(model.blocks.expectations(states, rows, model.observables).numpy())
    mean, error = np.mean(features, axis=0), np.std(features, axis=0) / np.sqrt(200)
    assert (np.abs(mean - wanted) < 4.5 * error).all()
    assert (error > 0).all()


def _real(x: torch.Tensor) -> torch.Tensor:
    flat = x.flatten(1)
    return torch.cat([flat.real, flat.imag], dim=1)


class Drawn:
    """Shots drawn from exact answers: failed ones included."""

    def __init__(self, exact: ExactTarget, rng: np.random.Generator) -> None:
        self.exact, self.rng = exact, rng

    def answer(self, calls):
        found = []
        for call, result in zip(calls, self.exact.answer(calls), strict=True):
            p = np.maximum(result.outputs, 0)
            failed = np.maximum(1 - p.sum(axis=1, keepdims=True), 0)
            p = np.concatenate([p, failed], axis=1)
            counts = self.rng.multinomial(call.shots, p / p.sum(axis=1, keepdims=True))
            outputs = counts[:, :-1] / call.shots
            found.append(replace(result, outputs=outputs, kept=outputs.sum(axis=1)))
        return found


class Noting:
    """Shots of the engine, and what the target is told of errors."""

    def __init__(self) -> None:
        self.noted: dict[str, np.ndarray] = {}
        self._target = EngineShots(5, Programs(), single=False)

    def answer(self, calls):
        return self._target.answer(calls)

    def note(self, name, errors):
        self.noted[name] = errors


def test_trained_observables_tell_their_standard_errors():
    """Post-selected or not, the errors of the eigenbases have the size of the values' spread."""
    model, (x, *_) = step("january, no activation")
    with torch.no_grad():
        values = torch.view_as_real(x.flatten(1)).flatten(1)
        real = model.norm(model.narrow(model.encoder(values).relu()))[:1]
    many = real.repeat(400, 1)
    target = Noting()
    with answered_by(model, target, shots=300):
        found = model.blocks.expectations(
            many, torch.zeros(400, dtype=torch.int64), model.observables
        ).numpy()
    errors = target.noted["blocks.observables"]
    assert errors.shape == found.shape == (400, 3)
    # 400 values know their spread to 3.5 %.
    ratio = np.sqrt((errors**2).mean(axis=0)) / found.std(axis=0, ddof=1)
    np.testing.assert_allclose(ratio, 1, atol=0.1)
