"""The pipeline: load, call, save; every model of the package."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qdm_qiskit.errors import InvalidArgument, InvalidOption, MissingData, TargetUnavailable
from qdm_qiskit.models import MODELS
from qdm_qiskit.sampling import DDIM, QDMPipeline, SamplingConfig, sample
from qdm_qiskit.training import resolve_run, train
from tests.helpers import generator

NOISE = {"process": "gaussian", "goal": "noise", "num_steps": 6}


def test_pipeline_is_sampling(make_run):
    run = make_run()
    seed = int(torch.randint(2**62, (1,), generator=generator(4)))
    images = QDMPipeline(run)(num_images=3, generator=generator(4)).images
    expected = sample(run, SamplingConfig(num_images=3, seed=seed)).images
    assert np.array_equal(images, expected)


def test_one_generator_gives_new_images_at_each_call(make_run):
    pipe, source = QDMPipeline(make_run()), generator(4)
    one, other = (pipe(num_images=2, generator=source).images for _ in range(2))
    assert not np.array_equal(one, other)


def test_saved_pipeline_gives_the_same_images(make_run, tmp_path):
    pipe = QDMPipeline(make_run(**NOISE))
    pipe.save_pretrained(tmp_path / "saved")
    again = QDMPipeline.from_pretrained(tmp_path / "saved")
    one, other = (each(num_images=2, generator=generator(1)) for each in (pipe, again))
    assert np.array_equal(one.images, other.images)
    assert again.config == pipe.config


def test_fewer_steps_take_ddim(make_run):
    out = QDMPipeline(make_run(**NOISE))(num_images=2, num_inference_steps=3)
    assert out.trajectory.shape == (4, 2, 1, 2, 2)
    assert out.manifest["sampling"]["scheduler"] == "ddim"


def test_callback_sees_and_changes_states(make_run):
    told = []

    def callback(pipe, taken, left, values):
        told.append((taken, left))
        return {"states": torch.zeros_like(values["states"])} if left == 0 else None

    out = QDMPipeline(make_run())(num_images=2, callback_on_step_end=callback)
    assert told == [(1, 2), (2, 1), (3, 0)]
    assert np.array_equal(out.images, np.zeros_like(out.images))
    with pytest.raises(InvalidOption, match="A callback gives states"):
        QDMPipeline(make_run())(callback_on_step_end=lambda *_: {"states": torch.zeros(1)})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"num_inference_steps": 0}, "num_inference_steps is 1 to 3, got 0"),
        ({"num_inference_steps": 2}, "takes all 3 steps.*leave num_inference_steps out"),
        ({"num_inference_steps": "2"}, "`num_inference_steps` is a whole number"),
        ({"generator": 3}, "`generator` is a Generator.*manual_seed"),
        ({"callback_on_step_end": 3}, "`callback_on_step_end` is a function"),
        ({"callback_on_step_end": lambda *_: 3}, "A callback gives None back, or"),
        ({"callback_on_step_end": lambda *_: {"states": 3}}, "A callback gives None back, or"),
    ],
)
def test_a_mistake_in_a_call_names_its_argument(make_run, given, words):
    with pytest.raises((InvalidArgument, InvalidOption), match=words) as found:
        QDMPipeline(make_run())(2, **given)
    assert "scheduler" not in str(found.value)  # none was given


def test_shots_and_targets_go_through(make_run):
    out = QDMPipeline(make_run())(num_images=2, target="aer", shots=500)
    assert out.manifest["device"]["runner"]["target"] == "aer"


def test_a_scheduler_is_an_object_of_the_pipeline_or_of_a_call(make_run):
    run = make_run(**NOISE)
    named = QDMPipeline(run)(2, 3, scheduler="ddim", eta=0.5)
    pipe = QDMPipeline(run, scheduler=DDIM(eta=0.5))
    assert np.array_equal(pipe(2, 3).trajectory, named.trajectory)
    pipe.scheduler = None
    assert not np.array_equal(pipe(2, 3).trajectory, named.trajectory)
    assert np.array_equal(pipe(2, 3, scheduler=DDIM(eta=0.5)).trajectory, named.trajectory)


def test_kinds_of_output_hold_the_same_images(make_run):
    pipe = QDMPipeline(make_run())
    array, tensor = pipe(2).images, pipe(2, output_type="pt").images
    assert np.array_equal(array, tensor.numpy())
    out = pipe(2, output_type="pil")
    assert [each.mode for each in out.images] == ["L", "L"]
    levels = np.stack([np.asarray(each) for each in out.images])
    assert np.abs(levels / 255 - array[:, 0]).max() <= 0.5 / 255 + 1e-6
    assert "2 images of 1 x 2 x 2" in repr(out)
    assert out._repr_html_().startswith("<div")
    with pytest.raises(InvalidOption, match="output_type is one of np, pt, pil; got 'latent'"):
        pipe(2, output_type="latent")


def test_to_a_device(make_run):
    pipe = QDMPipeline(make_run())
    assert pipe.to("cpu") is pipe
    assert pipe(1).manifest["sampling"]["target"] == "engine"
    for wrong in ("gpu", "cuda:3", "mps", 0):
        with pytest.raises(InvalidArgument, match="`device` is "):
            pipe.to(wrong)
    if not torch.cuda.is_available():
        with pytest.raises(TargetUnavailable, match="no CUDA device"):
            pipe.to("cuda")


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(MissingData):
        QDMPipeline.from_pretrained(tmp_path / "nothing")


TINY = {
    "eeqdm": {"image_size": 2, "depth": 1},
    "qddm": {"image_size": 2, "depth": 1},
    "classical_unet": {"image_size": 4},
    "q_dense": {"image_size": 2, "depth": 1},
    "q_dense_unitary": {"image_size": 2, "depth": 1},
    "qu_net": {"image_size": 4, "levels": 2, "start_channels": 1, "depth": 1},
    "koelle_unet": {"image_size": 4, "levels": 2},
    "hybrid_unet": {"num_steps": 4},
    "cacioppo": {"image_size": 4, "depths": (2, 2, 2)},
    "cacioppo_latent": {"depths": (2, 2, 2), "train_count": 40},
    "qamp_december": {},
    "qamp_january": {"reps": 1},
    "quddpm": {"train_count": 40, "test_count": 20},
    "line": {"image_size": 4, "latents": 3, "uploads": 2, "bricks": 1, "train_count": 40},
    "line_amplitudes": {"image_size": 4, "train_count": 40},
    "mixed_quddpm": {"num_qubits": 1, "depth": 1, "train_count": 40},
    "coded": {"image_size": 4, "inner_options": "depth=1", "side": 2, "train_count": 40},
    "hybrid_score": {"image_size": 4, "codec": "pca", "latents": 3, "width": 2, "neck": 2},
    "series": {"width": 2, "num_qubits": 2, "blocks": 1, "train_count": 40},
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow) if n in ("line", "line_amplitudes") else n
        for n in MODELS
    ],
)
def test_every_model_has_a_pipeline(name, tmp_path):
    """Whatever its state space: images, complex amplitudes, codes, ensembles of states."""
    small = {"num_steps": 3, "train_count": 8, "test_count": 4, "batch_size": 4, "epochs": 1}
    options = {**small, "baseline": False, "sample_every": 0, **TINY[name]}
    train(resolve_run(name, options), tmp_path / "run")
    pipe = QDMPipeline.from_pretrained(tmp_path / "run")
    pipe.save_pretrained(tmp_path / "saved")
    again = QDMPipeline.from_pretrained(tmp_path / "saved")
    seen = []
    one = pipe(
        num_images=2,
        generator=generator(1),
        callback_on_step_end=lambda _, taken, left, values: seen.append((taken, left)),
    )
    other = again(num_images=2, generator=generator(1))
    steps = options["num_steps"]
    assert seen == [(k, steps - k) for k in range(1, steps + 1)]
    assert one.images.shape == (2, *one.images.shape[1:])
    assert one.trajectory.shape == (steps + 1, *one.images.shape)
    assert np.isfinite(one.images).all()
    assert 0 <= one.images.min() <= one.images.max() <= 1
    assert np.array_equal(one.images, other.images)
