"""Wrong kinds and values in the functions of numbers: metrics, analysis, chains, images, options.

Each is one line that names what is wrong; what used to give a number for them gives none now.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qdm_qiskit.analysis import (
    bloch_vectors,
    entangling_capability,
    expressibility,
    fisher_spectrum,
    gradient_scan,
    gradient_variance,
    haar_gradient_variance,
    haar_meyer_wallach,
    haar_states,
    meyer_wallach,
    random_states,
)
from qdm_qiskit.analysis.estimates import mean_estimate
from qdm_qiskit.analysis.expressibility import (
    haar_fidelity_probabilities,
    kl_divergence,
    pair_fidelities,
)
from qdm_qiskit.data import (
    convert_channels,
    image_grid,
    images_to_states,
    load_dataset,
    load_states,
    resize,
    states_to_images,
)
from qdm_qiskit.data.places import moved_to
from qdm_qiskit.diffusion import (
    DiffusionConfig,
    GaussianChain,
    NoisePrediction,
    VariancePreserving,
    check_finite,
    own_step,
    reverse_chain,
)
from qdm_qiskit.errors import InvalidArgument, QdmError
from qdm_qiskit.evaluation.bootstrap import bootstrap_interval, share_interval
from qdm_qiskit.evaluation.config import EvaluationConfig
from qdm_qiskit.evaluation.distances import (
    classifier_score,
    frechet_distance,
    kernel_distance,
    polynomial_kernel,
    subset_kernel_distance,
)
from qdm_qiskit.evaluation.image_metrics import nearest, peak_signal_to_noise, squared_errors
from qdm_qiskit.evaluation.ssim import ssim_window, structural_similarity
from qdm_qiskit.execution.distributions import (
    hellinger_fidelity,
    normalized,
    shot_noise_distance,
    signal_left,
    total_variation_distance,
)
from qdm_qiskit.models import MODELS
from qdm_qiskit.sampling import SamplingConfig
from qdm_qiskit.sampling.schedulers import check_scheduler, scheduled_chain
from qdm_qiskit.training import DataConfig, RunConfig, TrainingConfig

RNG = np.random.default_rng(0)
IMAGES = RNG.random((4, 1, 8, 8))
OTHERS = RNG.random((4, 1, 8, 8))
FEATURES = RNG.random((4, 6))
P = RNG.dirichlet(np.ones(8), size=4)
STATES = haar_states(2, 5, np.random.default_rng(0))
CIRCUIT = QuantumCircuit(2)
CIRCUIT.rx(Parameter("a"), 0)
CIRCUIT.cx(0, 1)
PROCESS = NoisePrediction(10)
X = torch.zeros(2, 1, 4, 4)

call = functools.partial


def fresh() -> np.random.Generator:
    return np.random.default_rng(0)


def stream(step: int) -> torch.Generator:
    return torch.Generator().manual_seed(step)


def nothing(x: torch.Tensor, step: int) -> torch.Tensor:
    return torch.zeros_like(x)


def one_line(mistake, *words: str) -> None:
    with pytest.raises(QdmError) as caught:
        mistake()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


BAD_IMAGES = {
    "bytes of 0 to 255": (IMAGES * 255).astype(np.uint8),
    "floats of 0 to 255": IMAGES * 255,
    "NaN": np.where(IMAGES > 0.9, np.nan, IMAGES),
    "infinity": np.where(IMAGES > 0.9, np.inf, IMAGES),
    "none at all": IMAGES[:0],
    "no channels": IMAGES[:, :0],
    "a tensor": torch.from_numpy(IMAGES),
    "a tensor with a gradient": torch.from_numpy(IMAGES).requires_grad_(),
    "a list": IMAGES.tolist(),
    "text": "images",
    "None": None,
    "words": IMAGES.astype(str),
    "complex": IMAGES.astype(complex),
    "masked": np.ma.masked_greater(IMAGES, 0.9),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
@pytest.mark.parametrize("metric", [structural_similarity, nearest, squared_errors])
def test_images_that_cannot_be_compared(metric, kind):
    """SSIM of bytes was 1e-5, that of NaN was NaN, and the nearest of no images numpy's traceback."""
    one_line(call(metric, BAD_IMAGES[kind], OTHERS), "images")
    one_line(call(metric, OTHERS, BAD_IMAGES[kind]), "references")


WRONG = {
    "a squared error below 0": ("squared error", call(peak_signal_to_noise, -1.0)),
    "a squared error of NaN": ("squared error", call(peak_signal_to_noise, np.nan)),
    "a window of 2": ("3 x 3", call(ssim_window, 2)),
    "text as size": ("`size`", call(ssim_window, "8")),
    # features
    "text for features": ("`x`", call(frechet_distance, "x", FEATURES)),
    "complex features": ("`y`", call(kernel_distance, FEATURES, FEATURES * 1j)),
    "other features": ("number of features", call(polynomial_kernel, FEATURES, FEATURES[:, :3])),
    "a seed for a generator": (
        "`rng`",
        call(subset_kernel_distance, FEATURES, FEATURES, 3, subset_size=2),
    ),
    "half a split": ("`splits`", call(classifier_score, FEATURES, 1.5)),
    "no generator": ("`rng`", call(bootstrap_interval, lambda rows: 0.0, [5], None)),
    "text as level": ("`level`", call(share_interval, np.ones(3), "0.95")),
    "shares of shares": ("Hits", call(share_interval, np.full(3, 0.5))),
    # distributions
    "NaN distributions": ("finite", call(total_variation_distance, P, P * np.nan)),
    "other rows": ("rows", call(hellinger_fidelity, P, P[:3])),
    "a dict of counts": ("`counts`", call(normalized, {"00": 5})),
    "counts for probabilities": ("counts", call(shot_noise_distance, P * 100, 100)),
    "NaN in shot noise": ("probabilities", call(shot_noise_distance, P * np.nan, 100)),
    "too many shots": ("shots", call(shot_noise_distance, P, 10**30)),
    "a signal of NaN": ("finite", call(signal_left, P * np.nan, P, shots=9)),
    "a negative rest": (">= 0", call(signal_left, P, P, -P, shots=9)),
    # analysis
    "numpy states": ("`states`", call(bloch_vectors, STATES.numpy())),
    "one state": ("2**n", call(meyer_wallach, STATES[0])),
    "three amplitudes": ("2**n", call(meyer_wallach, STATES[:, :3])),
    "states without norm": ("norm", call(meyer_wallach, STATES * 0)),
    "states of NaN": ("norm", call(pair_fidelities, STATES * np.nan)),
    "no qubits": ("num_qubits", call(haar_meyer_wallach, 0)),
    "text as qubits": ("`num_qubits`", call(haar_gradient_variance, "local", "2")),
    "a matrix as observable": ("observable", call(haar_gradient_variance, np.eye(4), 2)),
    "no bins": ("bins", call(haar_fidelity_probabilities, 0, 2)),
    "histograms of NaN": ("negative", call(kl_divergence, P[0] * np.nan, P[0])),
    "a seed for a circuit": ("`generator`", call(random_states, CIRCUIT, 5, 0)),
    "torch's generator": (
        "`generator`",
        call(entangling_capability, CIRCUIT, generator=torch.Generator()),
    ),
    "the class of generators": (
        "`generator`",
        call(expressibility, CIRCUIT, generator=np.random.Generator),
    ),
    "text as angle": (
        "`start_angle`",
        call(fisher_spectrum, CIRCUIT, generator=fresh(), start_angle="pi"),
    ),
    "a parameter's name": (
        "`component`",
        call(gradient_variance, CIRCUIT, "local", generator=fresh(), samples=4, component="a"),
    ),
    "one circuit to scan": ("`circuits`", call(gradient_scan, CIRCUIT, "local", generator=fresh())),
    "more states than fit": ("samples", call(haar_states, 40, 3, fresh())),
    "text to average": ("`values`", call(mean_estimate, "x")),
    # chains
    "a config for a process": (
        "`process`",
        call(reverse_chain, DiffusionConfig(), nothing, X, stream),
    ),
    "a class for a process": (
        "`process`",
        call(scheduled_chain, GaussianChain, nothing, X, stream),
    ),
    "a number for a model": ("`prediction`", call(reverse_chain, PROCESS, 3, X, stream)),
    "one stream for all": ("`generators`", call(scheduled_chain, PROCESS, nothing, X, stream(0))),
    "numpy's streams": (
        "`generator`",
        call(reverse_chain, PROCESS, nothing, X, np.random.default_rng),
    ),
    "numpy for x": ("`x`", call(reverse_chain, PROCESS, nothing, X.numpy(), stream)),
    "whole numbers for x": ("`x`", call(reverse_chain, PROCESS, nothing, X.long(), stream)),
    "numpy from the model": (
        "prediction",
        call(reverse_chain, PROCESS, lambda x, t: x.numpy(), X, stream),
    ),
    "a step beyond T": ("1 to 10", call(own_step, PROCESS, X, 11, X, stream(0))),
    "step 0": ("1 to 10", call(own_step, PROCESS, X, 0, X, stream(0))),
    "numpy that may be finite": ("`values`", call(check_finite, X.numpy(), 3, "state")),
    "one NaN": ("t=3", call(check_finite, torch.tensor(np.nan), 3, "state")),
    "half a step": ("`steps`", call(check_scheduler, PROCESS, "ddim", 2.5, 0.0)),
    "steps as text": ("`steps`", call(check_scheduler, PROCESS, "ddim", "5", 0.0)),
    "eta as text": ("`eta`", call(check_scheduler, PROCESS, "ddim", 5, "0.5")),
    "T as text": ("`num_steps`", call(GaussianChain, "10")),
    "T as a float": ("`num_steps`", call(NoisePrediction, 10.0)),
    "beta as text": ("`beta_start`", call(GaussianChain, 10, beta_start="0.1")),
    "beta(t) as text": ("`beta_min`", call(VariancePreserving, 10, beta_min="0.1")),
    # data
    "bytes to resize": ("255", call(resize, BAD_IMAGES["bytes of 0 to 255"], 4)),
    "NaN to resize": ("finite", call(resize, BAD_IMAGES["NaN"], 4)),
    "text to colour": ("`images`", call(convert_channels, "x", 3)),
    "bytes to look at": ("255", call(image_grid, BAD_IMAGES["bytes of 0 to 255"])),
    "NaN to look at": ("finite", call(image_grid, BAD_IMAGES["NaN"])),
    "None to look at": ("`images`", call(image_grid, None)),
    "columns as text": ("`columns`", call(image_grid, IMAGES, "3")),
    "one class": ("`classes`", call(load_dataset, "digits", image_size=8, classes=3)),
    "classes as text": ("classes", call(load_dataset, "digits", image_size=8, classes="01")),
    "a number as folder": ("`folder`", call(load_dataset, "mnist", image_size=8, folder=3)),
    "a number as place": ("`data`", call(moved_to, "npz:a.npz", 3)),
    "no place": ("`data`", call(moved_to, "npz:a.npz", "")),
    "qubits as text": ("`num_qubits`", call(load_states, "clustered-states", num_qubits="2")),
    "None as ensemble": ("`name`", call(load_states, None, num_qubits=2)),
    "states that are tensors": ("`states`", call(states_to_images, STATES)),
    "images that are tensors": ("`images`", call(images_to_states, X)),
    # options
    "T of a config": ("`num_steps`", call(DiffusionConfig, num_steps="10")),
    "T of a config as a float": ("`num_steps`", call(DiffusionConfig, num_steps=10.0)),
    "beta of a config": ("`beta_end`", call(DiffusionConfig, process="gaussian", beta_end="x")),
    "weights of a config": ("`weighted`", call(DiffusionConfig, weighted="no")),
    "images as text": ("`num_images`", call(SamplingConfig, num_images="16")),
    "no images": ("`num_images`", call(SamplingConfig, num_images=None)),
    "a label as text": ("`label`", call(SamplingConfig, label="7")),
    "True as a label": ("`label`", call(SamplingConfig, label=True)),
    "half a shot": ("`shots`", call(SamplingConfig, shots=1.5)),
    "a list of schedulers": ("`scheduler`", call(SamplingConfig, scheduler=["ddim"])),
    "a number as target": ("`target`", call(SamplingConfig, target=3)),
    "epochs as text": ("`epochs`", call(TrainingConfig, epochs="3")),
    "a path as data set": ("`dataset`", call(DataConfig, dataset=3)),
    "classes of a config": ("`classes`", call(DataConfig, classes="0,1")),
    "a count as text": ("`count`", call(EvaluationConfig, count="20")),
    "an unknown model": ("model", call(RunConfig, model="eeqdmm", model_options=None)),
    "text as data of a run": (
        "`data`",
        lambda: RunConfig(
            model="eeqdm", model_options=MODELS["eeqdm"].config_class(), data="digits"
        ),
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_line(case):
    word, mistake = WRONG[case]
    one_line(mistake, word)


@pytest.mark.parametrize("scheduler", ["process", "ddpm", "ddim", "dpm-solver++", "sde", "ode"])
def test_an_answer_of_another_shape_is_not_broadcast(scheduler):
    def one_pixel(x, step):
        return x[:, :, :1, :1]

    one_line(
        lambda: scheduled_chain(PROCESS, one_pixel, X, stream, scheduler=scheduler),
        "(2, 1, 4, 4)",
        "(2, 1, 1, 1)",
        "t=10",
    )


@pytest.mark.parametrize("model", MODELS)
def test_options_of_every_model_refuse_text_and_take_numpys_numbers(model):
    kind = MODELS[model].config_class
    plain = kind()
    whole = {name: value for name, value in vars(plain).items() if type(value) is int}
    assert whole
    for name, value in whole.items():
        one_line(call(kind, **{name: str(value)}), f"`{name}`")
        again = kind(**{name: np.int64(value)})
        assert again == plain
        assert type(getattr(again, name)) is int


def test_numbers_of_numpy_become_plain_ones_that_json_holds():
    config = SamplingConfig(num_images=np.int64(3), shots=np.int32(5), eta=np.float32(0.5))
    assert [type(each) for each in (config.num_images, config.shots, config.eta)] == [
        int,
        int,
        float,
    ]
    assert DataConfig(classes=[np.int64(3), 7]).classes == (3, 7)
    assert type(DataConfig(classes=np.array([3, 7])).classes[0]) is int
    with pytest.raises(InvalidArgument, match="classes"):
        DataConfig(classes=("3", 7))


def test_tensors_with_gradients_are_numbers_too():
    def grad(values):
        return torch.from_numpy(values).requires_grad_()

    other = FEATURES[::-1] ** 2
    assert frechet_distance(grad(FEATURES), other) == frechet_distance(FEATURES, other)
    assert kernel_distance(other, grad(FEATURES)) == kernel_distance(other, FEATURES)
    q = P[::-1].copy()
    for distance in (total_variation_distance, hellinger_fidelity):
        np.testing.assert_array_equal(distance(grad(P), q), distance(P, q))
    np.testing.assert_array_equal(shot_noise_distance(grad(P), 9), shot_noise_distance(P, 9))
    assert mean_estimate(grad(P[0])) == mean_estimate(P[0])
    np.testing.assert_array_equal(resize(grad(IMAGES), 4), resize(IMAGES, 4))
    half = torch.from_numpy(IMAGES).bfloat16()
    np.testing.assert_array_equal(image_grid(half), image_grid(half.float().numpy()))


def test_states_of_single_precision_and_real_ones_are_analysed():
    right = meyer_wallach(STATES)
    np.testing.assert_allclose(meyer_wallach(STATES.to(torch.complex64)), right, atol=1e-6)
    np.testing.assert_array_equal(meyer_wallach(STATES.clone().requires_grad_()), right)
    bell = torch.tensor([[1.0, 0, 0, 1]]) / 2**0.5
    assert meyer_wallach(bell) == pytest.approx([1.0])
    assert pair_fidelities(torch.eye(4)[:2]) == pytest.approx([0.0])
