"""The reverse chain on the engine, exact and with shots, and what a run must be."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from qdm_qiskit.diffusion import make_process
from qdm_qiskit.errors import (
    InvalidCheckpoint,
    InvalidData,
    InvalidOption,
    MissingData,
    TargetUnavailable,
    UnknownName,
)
from qdm_qiskit.rng import derived_seed
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.sampling.config import MOST

PROCESSES = [
    {"process": "interpolated", "goal": "data"},
    {"process": "interpolated", "goal": "noise"},
    {"process": "gaussian", "goal": "data"},
    {"process": "gaussian", "goal": "noise"},
]


def by_hand(run, config: SamplingConfig, labels: torch.Tensor | None = None) -> list[np.ndarray]:
    """x_T .. x_0, written out: Ho's algorithm 2, Koelle's and EEQDM's repeated application."""

    def noise(step: int) -> torch.Generator:
        return torch.Generator().manual_seed(derived_seed(config.seed, "sampling", step))

    options = run.config.diffusion
    T, shape = options.num_steps, (config.num_images, *run.model.image_shape)
    z = torch.randn(shape, generator=noise(0))
    gaussian = options.process == "gaussian"
    x = z if gaussian else (0.5 + 0.2 * z).clamp(0, 1)
    beta = torch.linspace(options.beta_start, options.beta_end, T, dtype=torch.float64)
    alpha_bar = torch.cumprod(1 - beta, 0)
    path = [x]
    for t in range(T, 0, -1):
        with torch.no_grad():
            a = run.model.forward(x, torch.full((len(x),), t / T), labels)
        if options.goal == "data":
            x = a
        elif gaussian:
            b, eps = float(beta[t - 1]), (a - 0.5) * 6
            x = (x - b / math.sqrt(1 - float(alpha_bar[t - 1])) * eps) / math.sqrt(1 - b)
            if t > 1:
                x = x + math.sqrt(b) * torch.randn(shape, generator=noise(t))
        else:
            x = (x - (a - 0.5) * 0.1).clamp(0, 1)
        path.append(x)
    path[-1] = path[-1].clamp(0, 1)
    return [each.numpy() for each in path]


@pytest.mark.parametrize("model", ["eeqdm", "qddm", "classical_unet"])
@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: "-".join(p.values()))
def test_the_exact_chain_is_the_hand_written_loop(make_run, model, process):
    run = make_run(model, image_size=4, **process)
    config = SamplingConfig(num_images=5, seed=11)
    steps = []
    samples = sample(run, config, on_step=lambda step, x: steps.append(step))
    expected = by_hand(run, config)
    assert samples.trajectory.shape == (4, 5, 1, 4, 4)
    np.testing.assert_allclose(samples.trajectory, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(samples.images, samples.trajectory[-1])
    assert samples.images.dtype == np.float32
    assert np.isfinite(samples.trajectory).all()
    assert samples.images.min() >= 0
    assert samples.images.max() <= 1
    assert steps == [2, 1, 0]


@pytest.mark.parametrize("process", PROCESSES[1:], ids=lambda p: "-".join(p.values()))
def test_other_processes_sample_with_shots_too(make_run, process):
    run = make_run(num_steps=10, **process)
    for target in ("engine", "aer"):
        samples = sample(run, SamplingConfig(target=target, shots=200, num_images=4))
        assert np.isfinite(samples.trajectory).all()
        assert samples.trajectory.shape[0] == 11
        assert 0 <= samples.images.min() <= samples.images.max() <= 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shots": 100},
        {"target": "aer", "shots": 100},
        {"target": "noisy:fake_torino", "shots": 100, "layout_trials": 1},
    ],
    ids=["exact", "shots", "aer", "noisy"],
)
def test_one_seed_gives_the_same_images_and_another_others(make_run, options):
    run = make_run()
    first, again, other = (
        sample(run, SamplingConfig(num_images=3, seed=seed, **options)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.trajectory, again.trajectory)
    assert not np.array_equal(first.trajectory[0], other.trajectory[0])
    assert not np.array_equal(first.images, other.images)


def test_targets_start_from_the_same_noise(make_run):
    run = make_run()
    exact = sample(run, SamplingConfig(seed=4))
    for target in ("engine", "aer"):
        shots = sample(run, SamplingConfig(seed=4, target=target, shots=50))
        np.testing.assert_array_equal(exact.trajectory[0], shots.trajectory[0])
        assert not np.array_equal(exact.trajectory[1], shots.trajectory[1])


def test_shot_noise_falls_as_one_over_the_square_root_of_the_shots(make_run):
    run = make_run("qddm", num_steps=1)
    exact = sample(run, SamplingConfig(num_images=1000)).images
    # Pixels far from both ends of the clamp, where a pixel is 4 times a binomial frequency.
    inside = (exact > 0.3) & (exact < 0.7)
    assert inside.sum() > 500
    shots = 2 ** np.arange(8, 17)
    rms, derived = [], []
    p = exact[inside] / 4
    for each in shots:
        drawn = sample(run, SamplingConfig(num_images=1000, shots=int(each), seed=0))
        kept = drawn.images[inside].astype(np.float64) * each / 4
        # A pixel is 4 times a whole number of shots over all shots, in float32.
        np.testing.assert_allclose(kept, np.rint(kept), atol=each * 1e-6)
        rms.append(np.sqrt(np.mean((drawn.images[inside] - exact[inside]) ** 2)))
        derived.append(np.sqrt(np.mean(16 * p * (1 - p) / each)))
    # The mean square of m normal numbers has relative deviation sqrt(2 / m), its root half of that.
    sigma = 1 / np.sqrt(2 * inside.sum())
    np.testing.assert_allclose(rms, derived, rtol=5 * sigma)
    x = np.log2(shots)
    slope = np.polyfit(x, np.log2(rms), 1)[0]
    slope_sigma = sigma / np.log(2) / np.sqrt(np.sum((x - x.mean()) ** 2))
    assert abs(slope + 0.5) < 5 * slope_sigma


def test_without_a_kept_shot_there_is_no_image(make_run):
    # One shot passes the post-selection half of the time; of 64 images some have none.
    for target in ("engine", "aer"):
        config = SamplingConfig(target=target, shots=1, num_images=64)
        with pytest.raises(InvalidData, match=r"no shot of image \d+ passed .* above 1\.$"):
            sample(make_run(), config)


# --- labels -------------------------------------------------------------------------------------


def test_guided_images_cycle_over_the_classes(make_run):
    run = make_run(guided=True, classes=(7, 2, 5))
    samples = sample(run, SamplingConfig(num_images=7))
    assert samples.manifest["labels"] == [0, 1, 2, 0, 1, 2, 0]
    config = SamplingConfig(num_images=7)
    expected = by_hand(run, config, torch.tensor([0, 1, 2, 0, 1, 2, 0]))
    np.testing.assert_allclose(samples.trajectory, expected, rtol=1e-6, atol=1e-6)


def test_a_label_is_a_class_of_the_data_and_its_place_in_their_sorted_list(make_run):
    run = make_run(guided=True, classes=(7, 2, 5))
    samples = sample(run, SamplingConfig(num_images=2, label=5))
    assert samples.manifest["labels"] == [1, 1]
    np.testing.assert_allclose(
        samples.trajectory,
        by_hand(run, SamplingConfig(num_images=2), torch.tensor([1, 1])),
        rtol=1e-6,
        atol=1e-6,
    )
    other = sample(run, SamplingConfig(num_images=2, label=7))
    assert not np.array_equal(samples.images, other.images)


def test_labels_that_make_no_sense_are_refused(make_run):
    with pytest.raises(InvalidOption, match=r"label is one of 7, 2, 5; got 1\."):
        sample(make_run(guided=True, classes=(7, 2, 5)), SamplingConfig(label=1))
    with pytest.raises(InvalidOption, match="label is one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; got -1"):
        sample(make_run(guided=True), SamplingConfig(label=-1))
    with pytest.raises(InvalidOption, match="not guided"):
        sample(make_run(), SamplingConfig(label=0))


# --- targets and options ------------------------------------------------------------------------


def test_a_model_without_a_circuit_runs_on_the_engine_only(make_run):
    run = make_run("classical_unet")
    with pytest.raises(TargetUnavailable, match=r"has no circuits.*'aer'.*use 'engine'"):
        sample(run, SamplingConfig(target="aer", shots=10))
    with pytest.raises(InvalidOption, match="has no shots"):
        sample(run, SamplingConfig(shots=10))


def test_nothing_here_can_spend_qpu_time(make_run):
    with pytest.raises(TargetUnavailable, match=r"QPU.*never spends.*local:fake_fez"):
        sample(make_run(), SamplingConfig(target="ibm:ibm_fez", shots=10))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("shots", [None, 10])
def test_cuda_is_refused_where_there_is_none(make_run, shots):
    with pytest.raises(TargetUnavailable, match="CUDA"):
        sample(make_run(), SamplingConfig(target="engine:cuda", shots=shots))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_images": 0}, "num_images must be at least 1 and at most 1000000, got 0"),
        ({"shots": 0}, "shots must be at least 1 .* got 0"),
        ({"shots": -5}, "shots must be at least 1"),
        *(({name: most + 1}, f"at most {most}, got {most + 1}") for name, most in MOST.items()),
        ({"shots": 10**30}, "shots must be"),
        ({"calibration_shots": 0}, "calibration_shots must be at least 1"),
        ({"layout_trials": 0}, "layout_trials must be at least 1"),
        ({"seed": -1}, "seed is >= 0"),
        ({"optimization_level": 4}, "optimization_level is 0 to 3"),
        ({"mitigation": "zne"}, "mitigation is 'none' or 'm3', got 'zne'"),
        ({"mitigation": "m3"}, "no readout errors to mitigate"),
        ({"mitigation": "m3", "target": "aer", "shots": 10}, "no readout errors to mitigate"),
        ({"target": "aer"}, "set shots"),
        ({"target": "noisy:fake_torino"}, "set shots"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(InvalidOption, match=message):
        SamplingConfig(**options)


def test_an_unknown_target_is_refused_with_the_nearest_one():
    with pytest.raises(UnknownName, match="Did you mean 'fake_torino'"):
        SamplingConfig(target="noisy:fake_torin", shots=1)


# --- loading ------------------------------------------------------------------------------------


def test_a_run_is_loaded_from_its_folder_or_from_a_checkpoint(make_run):
    run = make_run(guided=True, classes=(0, 1))
    folder = run.checkpoint.parent.parent
    assert run.checkpoint.name == "step-00000001"
    assert run.num_classes == 2
    assert not run.model.training
    assert run.process.num_steps == make_process(run.config.diffusion).num_steps == 3
    again = load_run(run.checkpoint)
    assert again.checkpoint == run.checkpoint
    assert load_run(folder).config == again.config


def test_a_checkpoint_of_another_run_is_refused(make_run):
    folder = make_run().checkpoint.parent.parent
    # Of the same model, with the same weights even: only the options say that it is another.
    other = make_run(init_std=0.5, weight_map="identity").checkpoint
    for name in ("config.json", "model.safetensors"):
        (folder / "checkpoints" / "step-00000001" / name).write_bytes((other / name).read_bytes())
    with pytest.raises(InvalidCheckpoint, match="belongs to another run"):
        load_run(folder)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[" * 100_000,
        "[]",
        "{}",
        '{"schema": "qdm-run/1", "model": ["eeqdm"]}',
        '{"schema": "qdm-run/1", "model": "eeqdm"}',
        '{"schema": "qdm-run/1", "model": "eeqdm", "model_options": 3}',
        '{"schema": "qdm-run/1", "model": "eeqdm", "model_options": {"depth": 1e300}}',
        '{"schema": "qdm-run/1", "model": "eeqdm", "model_options": {"depth": [1]}}',
        '{"schema": "qdm-run/1", "model": "eeqdm", "model_options": {}, "extra": 1}',
        '{"schema": "qdm-run/1", "model": "eeqdm", "model_options": {"image_size": '
        + "9" * 5000
        + "}}",
        '{"schema": "qdm-run/1", "model": "eeqdm", "model_options": {"image_size": '
        + "9" * 4000
        + "}}",
        '{"schema": "qdm-run/1", "model": "eeqdm", "model_options": {"init_std": NaN}}',
        '{"schema": "qdm-run/1", "model": "eeqdm", "model_options": {}, '
        '"diffusion": {"num_steps": 1000000000}}',
    ],
)
def test_a_damaged_configuration_is_refused_in_one_line(make_run, content):
    folder = make_run().checkpoint.parent.parent
    (folder / "config.json").write_text(content)
    with pytest.raises(InvalidData) as caught:
        load_run(folder)
    assert "\n" not in str(caught.value)
    assert "config.json" in str(caught.value)


def test_a_missing_run_says_what_is_missing(make_run, tmp_path):
    with pytest.raises(MissingData, match=r"no checkpoint in .*qdm train"):
        load_run(tmp_path / "nowhere")
    run = make_run()
    (run.checkpoint.parent.parent / "config.json").unlink()
    with pytest.raises(MissingData, match=r"config\.json is missing"):
        load_run(run.checkpoint)


def test_the_manifest_explains_the_images(make_run):
    run = make_run()
    manifest = sample(run, SamplingConfig(num_images=2, seed=9)).manifest
    assert json.loads(json.dumps(manifest, allow_nan=False)) == manifest | {
        "run": json.loads(json.dumps(manifest["run"]))
    }
    assert manifest["schema"] == "qdm-samples/1"
    assert manifest["sampling"]["seed"] == 9
    assert manifest["sampling"]["shots"] is None
    assert manifest["checkpoint"] == "r/checkpoints/step-00000001"
    assert set(manifest["versions"]) >= {"qdm_qiskit", "qiskit", "torch", "mthree"}
    assert manifest["device"] is None
    assert len(manifest["model_sha256"]) == 64
