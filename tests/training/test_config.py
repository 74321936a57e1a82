"""Run configurations: from flat settings, to JSON and back."""

from __future__ import annotations

import dataclasses
import json

import pytest

from qdm_qiskit.errors import InvalidOption, UnknownName
from qdm_qiskit.models import MODELS, PRESETS
from qdm_qiskit.training import DataConfig, RunConfig, TrainingConfig, resolve_run, run_from_dict


@pytest.mark.parametrize("name", [*MODELS, *PRESETS])
def test_every_run_survives_json(name):
    run = resolve_run(name, {"classes": "1,2", "train_count": "none", "folder": "x"})
    assert run_from_dict(json.loads(json.dumps(run.to_dict(), allow_nan=False))) == run
    assert hash(run) == hash(
        resolve_run(name, {"classes": (1, 2), "train_count": None, "folder": "x"})
    )


def test_settings_find_their_section():
    run = resolve_run(
        "eeqdm-16x16-L50", {"depth": "3", "num_steps": "7", "epochs": "2", "train_count": "5"}
    )
    assert (run.model, run.preset) == ("eeqdm", "eeqdm-16x16-L50")
    assert (run.model_options.image_size, run.model_options.depth) == (16, 3)
    assert (run.diffusion.num_steps, run.training.epochs, run.data.train_count) == (7, 2, 5)


def test_no_option_belongs_to_two_sections():
    from qdm_qiskit.diffusion import DiffusionConfig

    sections = [DataConfig, DiffusionConfig, TrainingConfig]
    for model in MODELS.values():
        names = [
            f.name for kind in (*sections, model.config_class) for f in dataclasses.fields(kind)
        ]
        if "num_steps" in [f.name for f in dataclasses.fields(model.config_class)]:
            names.remove("num_steps")  # the model's decides the process's
        assert len(set(names)) == len(names)


def test_a_guided_model_learns_its_number_of_classes():
    assert resolve_run("eeqdm", {"guided": True, "classes": "3,5,7"}).model_options.num_classes == 3
    assert resolve_run("eeqdm", {"guided": True}).model_options.num_classes == 10
    chosen = resolve_run("eeqdm", {"guided": True, "classes": "3,5", "num_classes": 4})
    assert chosen.model_options.num_classes == 4


def test_only_epochs_change():
    run = resolve_run("eeqdm")
    longer = run.with_epochs(99)
    assert longer.training.epochs == 99
    assert longer.with_epochs(run.training.epochs) == run
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.model = "qddm"


@pytest.mark.parametrize(
    ("name", "settings", "error", "message"),
    [
        ("eqdm", {}, UnknownName, r"no model or preset 'eqdm'.*Did you mean 'eeqdm'\?"),
        (
            "eeqdm",
            {"epoch": 3},
            InvalidOption,
            r"no option of 'eeqdm' called 'epoch'.*Did you mean 'epochs'\?",
        ),
        ("eeqdm", {"levels": 3}, InvalidOption, "no option of 'eeqdm' called 'levels'"),
        ("eeqdm", {"epochs": 0}, InvalidOption, "epochs must be at least 1, got 0"),
        ("eeqdm", {"batch_size": -1}, InvalidOption, "batch_size must be at least 1"),
        ("eeqdm", {"checkpoint_every": 0}, InvalidOption, "checkpoint_every must be at least 1"),
        ("eeqdm", {"keep_checkpoints": 0}, InvalidOption, "keep_checkpoints must be at least 1"),
        ("eeqdm", {"sample_every": -1}, InvalidOption, "sample_every and seed are >= 0"),
        ("eeqdm", {"seed": -1}, InvalidOption, "sample_every and seed are >= 0"),
        ("eeqdm", {"learning_rate": 0}, InvalidOption, "finite number above 0"),
        ("eeqdm", {"learning_rate": "nan"}, InvalidOption, "finite number above 0"),
        ("eeqdm", {"learning_rate": "inf"}, InvalidOption, "finite number above 0"),
        ("eeqdm", {"learning_rate": 1e38}, InvalidOption, r"at most 1e\+30, got 1e\+38"),
        ("eeqdm", {"circuit_learning_rate": 1e38}, InvalidOption, r"at most 1e\+30, got 1e\+38"),
        ("eeqdm", {"perturbation": 1e39}, InvalidOption, r"at most 1e\+30, got 1e\+39"),
        ("eeqdm", {"weight_decay": 1e39}, InvalidOption, r"at most 1e\+30, got 1e\+39"),
        ("eeqdm", {"weight_decay": "nan"}, InvalidOption, "finite number >= 0"),
        ("eeqdm", {"weight_decay": -1.0}, InvalidOption, "finite number >= 0"),
        ("eeqdm", {"depth": 0}, InvalidOption, "depth must be at least 1"),
        ("eeqdm", {"num_steps": 10**12}, InvalidOption, "num_steps must be 1 to 10000"),
        ("eeqdm", {"goal": "velocity"}, InvalidOption, "goal is one of data, noise"),
    ],
)
def test_bad_settings_are_refused_in_one_line(name, settings, error, message):
    with pytest.raises(error, match=message) as caught:
        resolve_run(name, settings)
    assert "\n" not in str(caught.value)


def without(key: str) -> dict:
    content = resolve_run("eeqdm").to_dict()
    del content[key]
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "has schema 'qdm-run/1' and a model"),
        ({**resolve_run("eeqdm").to_dict(), "schema": "x"}, "got 'x' and 'eeqdm'"),
        ({**resolve_run("eeqdm").to_dict(), "model": "x"}, "and 'x'"),
        ({**resolve_run("eeqdm").to_dict(), "model": ["eeqdm"]}, r"and \['eeqdm'\]"),
        ({**resolve_run("eeqdm").to_dict(), "extra": 1}, "has no field 'extra'"),
        ({**resolve_run("eeqdm").to_dict(), "data": 3}, "'data' must be an object, got int"),
        ({**resolve_run("eeqdm").to_dict(), "preset": 3}, "'preset' is a name or null, got 3"),
        ({**resolve_run("eeqdm").to_dict(), "training": {"epoch": 1}}, "Did you mean 'epochs'"),
        ({**resolve_run("eeqdm").to_dict(), "model_options": {"depth": 10**9}}, "at most 1000"),
        (without("model_options"), "has the field 'model_options', got none"),
    ],
)
def test_foreign_configurations_are_refused(content, message):
    with pytest.raises(InvalidOption, match=message):
        run_from_dict(content)


def test_missing_sections_take_their_defaults():
    run = run_from_dict(without("training"))
    assert isinstance(run, RunConfig)
    assert run.training == TrainingConfig()
