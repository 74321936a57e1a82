"""Models of states end to end on targets with shots: one circuit, or step by step."""

from __future__ import annotations

import re

import numpy as np
import pytest

from qdm_qiskit.errors import InvalidData, InvalidOption, TargetUnavailable, UnsupportedCircuit
from qdm_qiskit.sampling import SamplingConfig, load_run, sample, write_samples
from tests.state_runs import write_state_run

CACIOPPO = {"image_size": 2, "num_steps": 2, "init_std": 0.3}
RUNS = {
    "cacioppo, one circuit": ("cacioppo", {**CACIOPPO, "activation": False}),
    "cacioppo, step by step": ("cacioppo", CACIOPPO),
    "unitary": ("q_dense_unitary", {"image_size": 2, "depth": 1, "num_steps": 2}),
    "december": ("qamp_december", {"image_size": 4, "width": 8, "num_qubits": 2, "num_steps": 2}),
    "january": (
        "qamp_january",
        {
            "image_size": 4,
            "width": 8,
            "num_qubits": 2,
            "num_steps": 2,
            "reps": 1,
            "num_observables": 3,
        },
    ),
}
ONE = ("cacioppo, one circuit", "unitary")


@pytest.fixture(scope="module")
def run_of(make_run):
    found: dict[str, object] = {}

    def make(name: str):
        if name not in found:
            model, options = RUNS[name]
            found[name] = make_run(model, **options)
        return found[name]

    return make


def config(**options) -> SamplingConfig:
    return SamplingConfig(**{"num_images": 3, "target": "aer", "shots": 2_000, **options})


SLOW = [
    pytest.param(name, marks=pytest.mark.slow) if name in ("january", "december") else name
    for name in RUNS
]


@pytest.mark.parametrize("name", SLOW)
def test_images_from_shots_are_the_engines_up_to_shots(run_of, name, tmp_path):
    run = run_of(name)
    exact = sample(run, SamplingConfig(num_images=3)).images
    found = sample(run, config())
    assert found.manifest["chain"]["circuits"] == ("one" if name in ONE else "step by step")
    assert float(np.sqrt(np.mean((found.images - exact) ** 2))) < 0.08
    assert len(write_samples(found, tmp_path / "out")) == 3
    drawn = sample(run, config(target="engine", shots=2_000)).images
    assert float(np.sqrt(np.mean((drawn - exact) ** 2))) < 0.08


def test_one_circuit_is_one_job_and_its_kept_share_is_the_predicted_one(run_of):
    found = sample(run_of("cacioppo, one circuit"), config())
    chain = found.manifest["chain"]
    assert found.manifest["device"]["runner"]["jobs"] == 1
    p = np.array(chain["predicted_kept"])
    assert (np.abs(np.array(chain["kept"]) - p) < 5 * np.sqrt(p * (1 - p) / 2_000) + 1e-9).all()
    assert found.trajectory.shape[0] == 2  # x_T and x_0: nothing is known between


def test_both_ways_of_a_chain_agree(run_of):
    run = run_of("cacioppo, one circuit")
    exact = sample(run, SamplingConfig(num_images=3)).images
    for chain in ("coherent", "steps"):
        found = sample(run, config(chain=chain, shots=20_000)).images
        assert float(np.sqrt(np.mean((found - exact) ** 2))) < 0.03


def test_the_same_seed_gives_the_same_images(run_of):
    for name in ("cacioppo, one circuit", "cacioppo, step by step"):
        one, other = (sample(run_of(name), config(shots=50)).images for _ in range(2))
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("target", ["noisy:fake_manila", "local:fake_manila"])
@pytest.mark.parametrize(
    "name", ["cacioppo, one circuit", pytest.param("january", marks=pytest.mark.slow)]
)
def test_they_run_through_a_devices_noise(run_of, name, target):
    options = {"target": target, "shots": 40, "num_images": 2, "layout_trials": 1}
    found = sample(run_of(name), config(**options))
    assert np.isfinite(found.images).all()
    assert found.manifest["device"]["calls"][0]["circuit"]["two_qubit_gates"] > 0


@pytest.mark.slow
def test_trained_observables_have_their_errors_in_the_manifest(run_of):
    found = sample(run_of("january"), config(target="aer", shots=400, num_images=2))
    device = found.manifest["device"]
    assert {each["step"] for each in device["value_errors"]} == {
        each["step"] for each in device["steps"]
    }
    for each in device["value_errors"]:
        assert each["name"] == "blocks.observables"
        assert 0 < each["standard_error"] < 1  # their largest eigenvalues are about 2
    assert all(each["standard_error"] > 0 for each in device["steps"])


def test_what_is_no_one_circuit_is_refused_where_it_is_insisted_on(run_of, make_run):
    with pytest.raises(TargetUnavailable, match=r"LeakyReLU.*activation=false"):
        sample(run_of("cacioppo, step by step"), config(chain="coherent"))
    with pytest.raises(TargetUnavailable, match="hands on images and no states"):
        sample(make_run("eeqdm"), config(chain="coherent"))
    with pytest.raises(InvalidOption, match="chain is 'auto', 'coherent' or 'steps'"):
        config(chain="both")


def test_a_chain_that_keeps_no_shot_is_refused_and_nothing_is_sent(run_of, monkeypatch):
    from qdm_qiskit.execution.runner import CircuitRunner

    sent = []
    monkeypatch.setattr(CircuitRunner, "run", lambda *a, **k: sent.append(a))
    run = run_of("cacioppo, one circuit")
    with pytest.raises(InvalidData, match=r"less than one; raise shots above .* or run it step"):
        sample(run, config(shots=1, chain="coherent"))
    assert not sent


@pytest.mark.parametrize(
    ("chain", "words"),
    [
        ("coherent", r"A drawn history .*less than one; raise shots above 3, .*chain='steps'"),
        (
            "steps",
            "Each outcome of state 2 has no shot in one of the 3 settings .*raise shots above 1",
        ),
    ],
)
def test_a_measured_ancilla_takes_more_than_a_shot_either_way(tmp_path, chain, words):
    run = load_run(write_state_run(tmp_path / "run", "quddpm"))
    with pytest.raises(InvalidData, match=words) as caught:
        sample(run, config(shots=1, num_images=12, chain=chain))
    assert "\n" not in str(caught.value)


def test_auto_goes_step_by_step_where_one_circuit_keeps_less_than_a_shot(tmp_path):
    from typer.testing import CliRunner

    from qdm_qiskit.cli.main import app

    folder = write_state_run(tmp_path / "run", "conditioned", init_std=1.0)
    run = load_run(folder)
    options = {"shots": 1_000, "num_images": 2}
    found, steps = (sample(run, config(**options, chain=way)) for way in ("auto", "steps"))
    np.testing.assert_array_equal(found.images, steps.images)
    chain = found.manifest["chain"]
    assert chain["circuits"] == "step by step"
    words = r"The projections .* keep 0\.000392 .* image 1: 0\.39 of its 1,000 .* less than one\."
    assert re.fullmatch(words, chain["because"])
    with pytest.raises(InvalidData, match=r"raise shots above 2,550, .* with chain='steps'"):
        sample(run, config(**options, chain="coherent"))
    assert sample(run, config(shots=20_000, num_images=2)).manifest["chain"]["circuits"] == "one"
    words = ["sample", str(folder), "--target", "aer", "--shots", "1000", "--num-images", "2"]
    said = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out"), "--quiet"])
    assert said.exit_code == 0, said.output
    assert f"chain      step by step: {chain['because']}" in said.output


def test_more_qubits_than_the_device_has_are_refused(make_run):
    run = make_run("cacioppo", image_size=8, num_steps=2, activation=False)
    with pytest.raises(UnsupportedCircuit, match="8 qubits and the device has 5"):
        sample(run, config(target="noisy:fake_manila", layout_trials=1))


@pytest.mark.parametrize(
    "target", ["noisy:fake_manila", pytest.param("local:fake_manila", marks=pytest.mark.slow)]
)
def test_on_too_few_qubits_ancillas_are_used_again_and_their_bits_mended(make_run, target):
    run = make_run("cacioppo", image_size=2, num_steps=4, init_std=0.3, activation=False)
    options = {"target": target, "shots": 200, "num_images": 2, "layout_trials": 1}
    found = sample(run, config(**options, mitigation="m3", calibration_shots=1_000))
    [entry] = found.manifest["device"]["calls"]
    measured = entry["layout"]["measured_qubits"]
    assert (len(measured), len(set(measured))) == (6, 3)
    assert sorted(found.manifest["device"]["calibration"]["qubits"]) == sorted(set(measured))
    [step] = found.manifest["device"]["steps"]  # of 200 shots, by how many are kept, and corrected
    assert 0.5 / np.sqrt(200) / 10 < step["standard_error"] < 0.5
    p = np.array(found.manifest["chain"]["predicted_kept"])
    assert (np.abs(np.array(found.manifest["chain"]["kept"]) - p) < 0.25).all()
