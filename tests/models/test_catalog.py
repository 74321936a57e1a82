"""Models and presets by name."""

from __future__ import annotations

import json
import time

import pytest
import torch

from qdm_qiskit.diffusion.mixed_states import in_ball
from qdm_qiskit.errors import InvalidOption, UnknownName
from qdm_qiskit.models import MODELS, PRESETS, build_model, describe, resolve

COUNTS = {  # of the papers' presets; there may be others
    **{f"eeqdm-8x8-L{depth}": 12 * depth for depth in (10, 20, 30, 40, 50)},
    **{f"eeqdm-16x16-L{depth}": 15 * depth for depth in (10, 20, 30, 40, 50)},
    **{f"eeqdm-32x32-L{depth}": 18 * depth for depth in (10, 50)},
    "qddm-8x8-L10": 210,
    "qddm-8x8-L50": 1050,
    "qddm-16x16-L10": 270,
    "qddm-16x16-L50": 1350,
    "qddm-32x32-L50": 1650,
    "qddm-8x8-guided-L47": 987,
    "koelle-dense-L50": 900,
    "koelle-dense-noise-L55": 990,
    "koelle-guided-L47": 987,
    "koelle-reupload-L47": 987,
    "koelle-unitary-L56": 1008,
    "koelle-qunet-L8": 835,
    "koelle-qunet-L12": 1231,
    "koelle-unet-depth2": 934,
    "koelle-unet-depth3-channels2": 1843,
    "koelle-unet-depth3-channels4": 7077,
    "cacioppo-16x16": 1500,
    "cacioppo-16x16-4-4-4": 3000,
    "cacioppo-latent": 510,
    "cacioppo-latent-conditioned": 1110,
    "qamp-december": 822_328,
    "qamp-january": 826_392,
    "ddpm-depth2": 892,
    "ddpm-depth3-channels2": 1735,
    "ddpm-depth3-channels4": 6781,
}


def test_every_preset_of_the_papers_is_there():
    assert set(COUNTS) <= set(PRESETS)


@pytest.mark.parametrize("name", [*MODELS, *PRESETS])
def test_descriptions_are_json_with_the_promised_keys(name):
    description = json.loads(json.dumps(describe(name), allow_nan=False))
    assert set(description) == {
        "name", "preset", "parameters", "quantum_parameters", "qubits", "source", "options",
    }  # fmt: skip
    assert description["name"] in MODELS
    assert description["preset"] == (name if name in PRESETS else None)
    assert description["parameters"] == COUNTS.get(name, description["parameters"])
    quantum = description["quantum_parameters"]
    assert 0 <= quantum <= description["parameters"]
    if description["name"] in (
        "eeqdm",
        "qddm",
        "q_dense",
        "q_dense_unitary",
    ):  # nothing else in them
        assert quantum == description["parameters"]
    assert (description["qubits"] > 0) == (quantum > 0)
    assert description["source"]
    # The options, read back from JSON, are the same choice.
    assert resolve(description["name"], description["options"]).config == resolve(name).config


DISTINCT = {repr((p.model, p.options)): n for n, p in reversed(PRESETS.items())}.values()
QUICK = set({PRESETS[name].model: name for name in DISTINCT}.values())
"""Presets that are tried by default, one of each model."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in DISTINCT]
)
def test_every_preset_runs_and_learns(name):
    """Presets of one network, which differ in their training only, are tried once."""
    choice = resolve(name)
    model = build_model(choice, generator=torch.Generator().manual_seed(0))
    x = torch.rand(2, *model.state_shape, generator=torch.Generator().manual_seed(1))
    if model.state_space.startswith("complex"):
        x = x / torch.linalg.vector_norm(x.flatten(1), dim=1).reshape(-1, *[1] * (x.ndim - 1)) + 0j
    labels = torch.tensor([0, 1]) if getattr(choice.config, "guided", False) else None
    first = 1 / getattr(choice.config, "num_steps", 10)
    t = torch.tensor([first, 1.0])
    if choice.model == "mixed_quddpm":  # a module a step, and states in the Bloch ball
        t = torch.arange(1, choice.config.num_steps + 1) * first
        x = in_ball(x[:1].repeat(len(t), 1))
    y = model(x, t, labels)
    if choice.model == "quddpm":  # all outcomes of the ancillas
        assert y.shape == (2, 2**choice.config.num_ancillas, *x.shape[1:])
    elif choice.model == "mixed_quddpm":  # and their chances
        assert y.shape == (len(t), 2**choice.config.num_ancillas, 1 + x.shape[1])
    else:
        assert y.shape == x.shape
    assert bool(torch.isfinite(y).all())
    y.abs().square().sum().backward()
    assert all(
        p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters()
    )


def test_same_seed_same_weights():
    for name in MODELS:
        one, same, other = (
            build_model(resolve(name), generator=torch.Generator().manual_seed(seed)).state_dict()
            for seed in (0, 0, 1)
        )
        assert all(torch.equal(one[key], same[key]) for key in one)
        assert not all(torch.equal(one[key], other[key]) for key in one)


def test_text_overrides_a_preset():
    choice = resolve("eeqdm-16x16-L50", {"depth": "3", "guided": "true"})
    assert (choice.model, choice.preset) == ("eeqdm", "eeqdm-16x16-L50")
    assert (choice.config.image_size, choice.config.depth, choice.config.guided) == (16, 3, True)
    assert describe("eeqdm", {"image_size": "16", "depth": "50"})["parameters"] == 750


@pytest.mark.parametrize(
    ("name", "overrides", "error", "message"),
    [
        ("eqdm", {}, UnknownName, r"no model or preset 'eqdm'.*Did you mean 'eeqdm'\?"),
        ("eeqdm", {"dept": 3}, InvalidOption, r"no option 'dept'.*Did you mean 'depth'\?"),
        ("eeqdm", {"depth": 0}, InvalidOption, "depth must be at least 1"),
        ("eeqdm", {"depth": 10**9}, InvalidOption, "at most 1000, got 1000000000"),
        ("eeqdm", {"image_size": 12}, InvalidOption, "power of two"),
        ("eeqdm", {"image_size": 0}, InvalidOption, "power of two"),
        ("eeqdm", {"image_size": 1}, InvalidOption, "power of two"),
        ("qddm", {"image_size": 2**40}, InvalidOption, "from 2 to 1024 .* got 1099511627776"),
        ("eeqdm", {"channels": 2}, InvalidOption, "1 .grey. or 3 .RGB."),
        ("eeqdm", {"num_classes": 0}, InvalidOption, "num_classes must be at least 1"),
        ("eeqdm", {"init_std": "nan"}, InvalidOption, "init_std must be a finite number"),
        ("eeqdm", {"weight_map": "tanh"}, InvalidOption, "weight_map is one of identity, pi_tanh"),
        ("classical_unet", {"levels": 0}, InvalidOption, "at least 1"),
        ("classical_unet", {"image_size": 9}, InvalidOption, "divisible by 2"),
        ("classical_unet", {"image_size": 2**40}, InvalidOption, "at most 1024"),
        ("classical_unet", {"levels": 10**9}, InvalidOption, "at most 11"),
        ("classical_unet", {"levels": 11, "image_size": 1024}, InvalidOption, "at most 1024"),
        ("classical_unet", {"start_channels": 10**9}, InvalidOption, "at most 1024"),
        ("classical_unet", {"channels": 10**9}, InvalidOption, "at most 1024"),
        ("classical_unet", {"guided": True}, InvalidOption, "no option 'guided'"),
    ],
)
def test_bad_choices_are_refused_quickly_in_one_line(name, overrides, error, message):
    started = time.perf_counter()
    with pytest.raises(error, match=message) as caught:
        describe(name, overrides)
    assert time.perf_counter() - started < 1
    assert "\n" not in str(caught.value)
