"""A model's circuit on runners: against Statevector, against the engine, and through noise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector

from qdm_qiskit.errors import CalibrationMismatch
from qdm_qiskit.execution.distributions import total_variation_distance
from qdm_qiskit.execution.factory import make_runner
from qdm_qiskit.sampling import DevicePredictor, SamplingConfig, sample, unrolled_circuit

NOISY = "noisy:fake_torino"


def bound_probabilities(model, x, labels=None):
    """Register probabilities of the full circuit, loader included, by Qiskit's Statevector."""
    circuit = unrolled_circuit(model).remove_final_measurements(inplace=False)
    amplitudes, inputs = model.encode(x, labels)
    values = model.spec.input_values(
        amplitudes.double().numpy(), None if inputs is None else inputs.double().numpy()
    )
    return np.array([Statevector(circuit.assign_parameters(v)).probabilities() for v in values])


def read(model, probabilities):
    """Pixels from register probabilities: joint with ancilla 0, times their number, clamped."""
    spec = model.spec
    (ancilla,) = spec.ancilla_qubits
    index = np.arange(2**spec.num_qubits)
    pixels = np.zeros((len(probabilities), spec.num_amplitudes))
    for state in index[(index >> ancilla) & 1 == 0]:
        pixel = sum(((state >> qubit) & 1) << bit for bit, qubit in enumerate(spec.data_qubits))
        pixels[:, pixel] += probabilities[:, state]
    size = model.config.channels * model.config.image_size**2
    images = np.clip(pixels * spec.num_amplitudes, 0, 1)[:, :size]
    return images.reshape(-1, *model.image_shape)


class Spy:
    """A runner that keeps its jobs' counts."""

    def __init__(self, target: str, seed: int = 0) -> None:
        self.runner = make_runner(target, seed=seed)
        self.counts: list[list[np.ndarray]] = []
        run = self.runner.run

        def spied(pubs, *, shots):
            self.counts.append(run(pubs, shots=shots))
            return self.counts[-1]

        self.runner.run = spied


def images(model, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, *model.image_shape, generator=generator)


# --- the unrolled circuit -----------------------------------------------------------------------


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("eeqdm", {"image_size": 2, "depth": 1}),
        ("eeqdm", {"image_size": 4, "depth": 3}),
        ("qddm", {"image_size": 4, "depth": 2}),
        ("qddm", {"image_size": 2, "depth": 2, "channels": 3}),
        ("eeqdm", {"image_size": 4, "depth": 2, "weight_map": "identity"}),
    ],
)
def test_the_bound_circuit_is_the_model(make_run, name, options, guided):
    model = make_run(name, guided=guided, num_classes=3, **options).model
    x = images(model, 4)
    labels = torch.tensor([0, 1, 2, 1]) if guided else None
    found = read(model, bound_probabilities(model, x, labels))
    expected = model(x, torch.ones(4), labels).detach().numpy()
    # A pixel is 64 times a probability that the engine computes in float32 in some ten products.
    np.testing.assert_allclose(found, expected, atol=64 * 10 * np.finfo(np.float32).eps)


def test_the_circuit_leaves_only_the_inputs_free(make_run):
    model = make_run("qddm", image_size=4, guided=True).model
    circuit = unrolled_circuit(model)
    # 2**4 - 1 angles of the loader and the label.
    assert [p.name for p in circuit.parameters] == [f"x_{k:04d}" for k in range(16)]
    assert circuit.num_clbits == model.spec.num_qubits == 5


# --- without noise ------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["engine", "aer"])
@pytest.mark.parametrize("guided", [False, True])
def test_shots_stay_within_shot_noise_of_the_model_at_every_step(make_run, target, guided):
    run = make_run("qddm", image_size=4, depth=2, guided=guided, num_classes=2)
    shots = 4096
    samples = sample(run, SamplingConfig(target=target, shots=shots, num_images=6, seed=5))
    exact = sample(run, SamplingConfig(num_images=6, seed=5))
    np.testing.assert_array_equal(samples.trajectory[0], exact.trajectory[0])
    labels = torch.arange(6) % 2 if guided else None
    for before, after in zip(samples.trajectory[:-1], samples.trajectory[1:], strict=True):
        p = bound_probabilities(run.model, torch.from_numpy(before), labels)
        expected = read(run.model, p)
        # A pixel is 16 times a frequency, clamped; its deviation follows from the unclamped p.
        n = 16
        joint = p.reshape(6, n, 2)[:, :, 0].reshape(after.shape)  # the ancilla is qubit 0
        sigma = np.sqrt(joint * (1 - joint) / shots)
        # Clamping brings two numbers no further apart. 5 sigma, + 1 / shots for rare outcomes.
        assert (np.abs(after - expected) <= n * (5 * sigma + 1 / shots)).all()
        assert not np.allclose(after, expected, atol=1e-6)


def test_one_job_a_step_holds_all_images(make_run):
    run = make_run(num_steps=4)
    samples = sample(run, SamplingConfig(target="aer", shots=100, num_images=7))
    runner = samples.manifest["device"]["runner"]
    assert (runner["jobs"], runner["circuits"]) == (4, 4 * 7)
    assert runner["total_shots"] == 4 * 7 * 100
    assert [record.step for record in samples.records] == [4, 3, 2, 1]
    assert samples.manifest["device"]["calibration"] is None
    assert all(record.mitigated_distance is None for record in samples.records)


def test_records_are_what_the_counts_say(make_run):
    run = make_run(guided=True, num_classes=2)
    spy = Spy("aer")
    config = SamplingConfig(target="aer", shots=500)
    prediction = DevicePredictor.prepare(run.model, spy.runner, config)
    x, labels = images(run.model, 3), torch.tensor([0, 1, 1])
    found = prediction(x, 2, labels)
    [[counts]] = spy.counts
    assert counts.sum() == 3 * 500
    frequencies = counts / 500
    np.testing.assert_allclose(found.numpy(), read(run.model, frequencies), atol=1e-6)
    exact = bound_probabilities(run.model, x, labels)
    [record] = prediction.records
    assert record.step == 2
    raw = total_variation_distance(frequencies, exact).mean()
    assert record.raw_distance == pytest.approx(raw, abs=1e-6)
    assert record.postselected == pytest.approx(frequencies[:, ::2].sum(1).mean())
    assert record.erased_images == 0
    # Without noise all of the signal is left, up to shot noise (the fraction is unbiased).
    assert record.signal_left == pytest.approx(1, abs=0.2)
    assert record.sentence == "No device noise, shot noise only."


# --- through noise ------------------------------------------------------------------------------


def test_noise_changes_the_answer(make_run):
    run = make_run("qddm", image_size=4, depth=3)
    shots = 20_000
    spy = Spy(NOISY)
    config = SamplingConfig(target=NOISY, shots=shots, layout_trials=1)
    prediction = DevicePredictor.prepare(run.model, spy.runner, config)
    x = images(run.model, 3)
    prediction(x, 1)
    [[counts]] = spy.counts
    exact = bound_probabilities(run.model, x)
    sigma = np.sqrt(exact * (1 - exact) / shots)
    # Shot noise alone stays below 5 sigma; noise moves something in each image to twice that.
    assert (np.abs(counts / shots - exact) / sigma).max(axis=1).min() > 10
    assert prediction.records[0].raw_distance > 0.05
    assert prediction.cost is not None
    assert 0 < prediction.cost.expected_success < 1


@pytest.fixture(scope="module", params=["eeqdm", "qddm"])
def mitigated(request, make_run):
    """A shallow model (3 qubits, 5 to 8 CZ) with many shots, mitigated."""
    run = make_run(request.param)
    config = SamplingConfig(
        target=NOISY,
        shots=50_000,
        mitigation="m3",
        calibration_shots=50_000,
        num_images=8,
        layout_trials=3,
    )
    return run, config, sample(run, config)


def test_m3_brings_every_step_closer_to_exact(mitigated):
    _, _, samples = mitigated
    assert len(samples.records) == 3
    for record in samples.records:
        # Shot noise is 0.003 of this; the rest that M3 leaves is the gates' noise. Seen: 0.4 - 0.6.
        assert record.raw_distance > 0.015
        assert record.mitigated_distance < 0.75 * record.raw_distance


def test_mitigated_distances_are_computed_from_what_was_used(mitigated):
    run, config, samples = mitigated
    # A chain's images are made of the mitigated probabilities: they hold the mitigated distance.
    x = torch.from_numpy(samples.trajectory[0])
    exact = read(run.model, bound_probabilities(run.model, x))
    plain = sample(run, dataclasses.replace(config, mitigation="none"))
    errors = [np.abs(each.trajectory[1] - exact).mean() for each in (samples, plain)]
    assert errors[0] < errors[1]


def test_the_calibration_is_taken_once(mitigated):
    _, config, samples = mitigated
    device = samples.manifest["device"]
    taken = device["calibration"]
    assert device["runner"]["jobs"] == 3 + 1
    # 3 qubits are calibrated by 4 balanced circuits.
    assert device["runner"]["circuits"] == 3 * 8 + 4
    assert taken["qubits"] == device["layout"]["measured_qubits"]
    assert taken["backend"] == "fake_torino"
    assert taken["shots"] == 4 * config.calibration_shots


def test_a_calibration_is_used_again_without_a_job(mitigated):
    from qdm_qiskit.mitigation.readout import ReadoutCalibration

    run, config, samples = mitigated
    calibration = ReadoutCalibration.from_dict(samples.manifest["device"]["calibration"])
    again = sample(run, config, calibration=calibration)
    assert again.manifest["device"]["runner"]["jobs"] == 3
    assert again.manifest["device"]["calibration"] == calibration.to_dict()
    for record in again.records:
        assert record.mitigated_distance < 0.75 * record.raw_distance


@pytest.mark.parametrize("foreign", ["backend", "qubits"])
def test_a_foreign_calibration_is_refused_before_any_job(mitigated, foreign):
    from qdm_qiskit.mitigation.readout import ReadoutCalibration

    run, config, samples = mitigated
    content = dict(samples.manifest["device"]["calibration"])
    if foreign == "backend":
        content["backend"] = "fake_fez"
    else:
        gone = content["qubits"][0]
        content["qubits"] = content["qubits"][1:]
        content["matrices"] = {k: v for k, v in content["matrices"].items() if k != str(gone)}
    calibration = ReadoutCalibration.from_dict(content)
    spy = Spy(NOISY)
    with pytest.raises(CalibrationMismatch, match="fake_fez" if foreign == "backend" else "lacks"):
        DevicePredictor.prepare(run.model, spy.runner, config, calibration=calibration)
    assert spy.counts == []


@pytest.mark.slow
def test_local_mode_gives_the_same_distribution_in_one_job_a_step(make_run):
    run = make_run(num_steps=2)
    x, shots = images(run.model, 2), 2000
    frequencies, layouts = [], []
    # With one seed they would even agree to the bit; two seeds make it a test of distributions.
    for seed, target in enumerate(("local:fake_torino", NOISY)):
        spy = Spy(target, seed=seed)
        config = SamplingConfig(target=target, shots=shots, layout_trials=1)
        prediction = DevicePredictor.prepare(run.model, spy.runner, config)
        prediction(x, 1)
        [[counts]] = spy.counts
        frequencies.append(counts / shots)
        layouts.append(prediction.qubits)
    assert layouts[0] == layouts[1]
    a, b = frequencies
    p = (a + b) / 2
    # Two samples of one distribution: 5 sigma of their difference, + 2 / shots for rare outcomes.
    assert (np.abs(a - b) <= 5 * np.sqrt(2 * p * (1 - p) / shots) + 2 / shots).all()
    assert not np.array_equal(a, b)

    config = SamplingConfig(
        target="local:fake_torino", shots=300, num_images=3, mitigation="m3", layout_trials=1
    )
    samples = sample(run, config)
    runner = samples.manifest["device"]["runner"]
    assert runner["target"] == "local:fake_torino"
    assert runner["jobs"] == 2 + 1
    assert runner["circuits"] == 2 * 3 + 4
    assert samples.images.shape == (3, 1, 2, 2)
    assert np.isfinite(samples.trajectory).all()
    assert all(record.mitigated_distance is not None for record in samples.records)


@pytest.mark.slow
def test_the_record_says_when_noise_has_erased_the_signal(make_run):
    # Of QDDM: half of EEQDM's data qubits pass the Bell stage only and keep their signal.
    run = make_run("qddm", image_size=4, depth=60, num_steps=1)
    config = SamplingConfig(target=NOISY, shots=1000, num_images=3, layout_trials=1)
    samples = sample(run, config)
    [record] = samples.records
    assert record.erased_images == 3
    assert record.sentence.startswith("The device's noise has erased the signal")
    assert samples.manifest["device"]["circuit"]["two_qubit_gates"] > 500


def test_the_share_of_shots_is_of_whole_shots(mitigated):
    _, _, samples = mitigated
    for record in samples.records:
        assert 0 < record.postselected < 1
        # A share of 8 * 50 000 whole shots: mitigated probabilities would be no such fraction.
        assert record.postselected * 400_000 == pytest.approx(
            round(record.postselected * 400_000), abs=1e-6
        )
