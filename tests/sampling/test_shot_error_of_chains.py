"""Chains in one circuit on Aer: the distance to the engine's answer falls as 1/sqrt(shots)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from qdm_qiskit.layers.calling import ExactTarget
from qdm_qiskit.sampling import SamplingConfig, TrainedRun, load_run, sample
from qdm_qiskit.sampling.coherent import CoherentChain
from tests.state_runs import STATE_RUNS, write_state_run

SHOTS = (1_000, 4_000, 16_000)
MORE = {"conditioned": 40}
"""How many times as many shots a family takes, which keeps so few of them."""


def distance(run: TrainedRun, config: SamplingConfig) -> float:
    """Root mean square distance of the images of a target from the engine's, from the same x_T.

    Of states it is ``sqrt(1 - fidelity)``, which no phase changes, to the engine's state of the same
    history of measured ancillas.
    """
    found = sample(run, config)
    assert found.manifest["chain"]["circuits"] == "one"
    histories = found.manifest["chain"]["histories"]
    if histories is None:
        exact = sample(run, dataclasses.replace(config, target="engine", shots=None))
        return float(np.sqrt(np.mean((found.images - exact.images) ** 2)))
    shape = (config.num_images, *run.model.state_shape)
    x = run.process.start(shape, _noise(config.seed))
    chain = CoherentChain.of(run.model, run.process)
    [answer] = ExactTarget().answer(chain.calls(x, shots=None))
    rng = np.random.default_rng(0)
    wanted = chain.read(answer, x, None, None, rng, np.array(histories)).states
    seen = torch.from_numpy(2 * found.images[:, 0] - 1)
    states = torch.complex(seen[:, 0], seen[:, 1])
    states = states / torch.linalg.vector_norm(states, dim=1, keepdim=True)
    overlap = (wanted.to(states).conj() * states).sum(dim=1).abs()
    return float((1 - overlap.square()).clamp_min(0).mean().sqrt())


def _noise(seed: int) -> torch.Generator:
    from qdm_qiskit.rng import derived_seed

    return torch.Generator().manual_seed(derived_seed(seed, "sampling", 0))


def slope(run: TrainedRun, shots: tuple[int, ...], seeds: int, **options: object) -> float:
    """Slope of the logarithm of the distance against that of the shots."""
    errors = [
        np.sqrt(
            np.mean(
                [
                    distance(run, SamplingConfig(shots=each, seed=seed, **options)) ** 2  # type: ignore[arg-type]
                    for seed in range(seeds)
                ]
            )
        )
        for each in shots
    ]
    return float(np.polyfit(np.log(shots), np.log(errors), 1)[0])


@pytest.mark.parametrize(
    "name",
    ["unitary", *(pytest.param(n, marks=pytest.mark.slow) for n in STATE_RUNS if n != "unitary")],
)
def test_the_distance_falls_as_one_over_the_root_of_the_shots(tmp_path, name):
    # At weights near 0 a conditioned chain ends near one basis state, whose other amplitudes take more
    # shots than this to be seen at all.
    own = {"init_std": 0.6} if name == "conditioned" else {}
    run = load_run(write_state_run(tmp_path / "r", name, **own))
    shots = tuple(MORE.get(name, 1) * each for each in SHOTS)
    options: dict[str, object] = {"num_images": 12}
    if name == "conditioned":
        options = {"num_images": 4, "label": 4}
    if name == "unitary":
        options = {"num_images": 6}
    found = slope(run, shots, 1 if name == "unitary" else 2, target="aer", **options)
    assert -0.6 < found < -0.4, found
