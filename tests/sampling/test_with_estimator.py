"""Samples whose expectation values the target's Estimator gives."""

from __future__ import annotations

import json

import numpy as np
import pytest

import qdm_qiskit as qdm
from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from tests.hardware.reading_model import write_reading_run

JANUARY = {
    "num_steps": 1,
    "image_size": 4,
    "width": 8,
    "num_qubits": 2,
    "reps": 1,
    "num_observables": 3,
}


@pytest.fixture(scope="module")
def january(make_run):
    """States by tomography, then trained observables: calls of both kinds in one step."""
    return make_run("qamp_january", **JANUARY)


def test_calls_of_both_kinds_go_where_they_belong(january):
    exact = sample(january, SamplingConfig(num_images=2)).images
    found = sample(
        january, SamplingConfig(target="aer", shots=20_000, num_images=2, primitive="estimator")
    )
    np.testing.assert_allclose(found.images, exact, atol=0.02)
    device = found.manifest["device"]
    assert [each.call for each in found.records] == ["blocks"]  # no circuit of an eigenbasis
    record = device["estimator"]["blocks.observables"]
    assert record["estimator"] == "qiskit_aer.primitives.EstimatorV2"
    [errors] = device["value_errors"]
    assert errors["name"] == "blocks.observables"
    assert errors["standard_error"] == pytest.approx(1 / np.sqrt(20_000))
    json.dumps(found.manifest)


def test_a_model_that_reads_values_alone_needs_no_shots(tmp_path):
    run = load_run(write_reading_run(tmp_path / "reading", num_steps=2))
    exact = qdm.sample(run, num_images=2).images
    found = qdm.sample(
        run,
        "aer",
        shots=1_000,
        num_images=2,
        primitive="estimator",
        primitive_options={"default_precision": 0.0},
    )
    np.testing.assert_allclose(found.images, exact, atol=1e-5)  # exact where asked
    device = found.manifest["device"]
    assert (set(device["estimator"]), device["calls"]) == ({"first", "second"}, [])
    assert device["runner"]["jobs"] == 0
    assert found.manifest["sampling"]["primitive_options"] == '{"default_precision":0.0}'


@pytest.mark.slow
def test_ibms_estimator_in_local_mode_and_aers_under_noise(tmp_path):
    run = load_run(write_reading_run(tmp_path / "reading", num_steps=1))
    exact = qdm.sample(run, num_images=1).images
    common = {"shots": 4_000, "num_images": 1, "layout_trials": 1, "primitive": "estimator"}
    local = qdm.sample(run, "local:fake_manila", **common)
    with pytest.warns(UserWarning, match="leaves out those of the readout") as said:
        noisy = qdm.sample(run, "noisy:fake_manila", **common)
    assert len(said) == 1  # for all calls of all steps
    for found in (local, noisy):
        np.testing.assert_allclose(found.images, exact, atol=0.3)
        assert found.manifest["device"]["value_errors"]


@pytest.mark.parametrize(
    ("match", "options"),
    [
        ("mitigates by its own options", {"target": "noisy:fake_manila", "mitigation": "m3"}),
        ("has no Estimator here", {"target": "engine"}),
        ("has no tiles; ", {"target": "noisy:fake_manila", "tiles": 2}),
        ("has no readout; ", {"target": "noisy:fake_manila", "readout": "asymmetric"}),
        ("are a JSON object", {"primitive_options": "[1]"}),
        ("are of an Estimator", {"primitive": "sampler", "primitive_options": '{"a": 1}'}),
        ("'sampler' or 'estimator'", {"primitive": "both"}),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(match, options):
    with pytest.raises(InvalidOption, match=match) as error:
        SamplingConfig(**{"target": "aer", "shots": 10, "primitive": "estimator", **options})
    text = str(error.value)
    assert "\n" not in text
    assert text.count("primitive_options are") <= 1


def test_models_of_probabilities_are_refused(make_run):
    options = {"target": "aer", "shots": 10, "num_images": 1, "primitive": "estimator"}
    with pytest.raises(InvalidOption, match="circuits of 'eeqdm' read probabilities"):
        sample(make_run("eeqdm"), SamplingConfig(**options))
    chain = make_run("cacioppo", image_size=2, num_steps=2, activation=False)
    with pytest.raises(InvalidOption, match="read probabilities"):
        sample(chain, SamplingConfig(**options))
