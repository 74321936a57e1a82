"""`qdm models`: the sizes that the papers state."""

from __future__ import annotations

import json
import re

import pytest
import typer.main

from qdm_qiskit.cli.main import app
from qdm_qiskit.models import MODELS, PRESETS
from qdm_qiskit.models.eeqdm import AmplitudeDenoiserConfig
from qdm_qiskit.options import explain
from qdm_qiskit.training import DataConfig, TrainingConfig

KEYS = {"name", "preset", "parameters", "quantum_parameters", "qubits", "source"}


def test_list_has_one_object_for_each_preset(qdm):
    result = qdm("models", "list", "--json")
    assert (result.code, result.err) == (0, "")
    rows = json.loads(result.out)
    for row in rows[::12]:
        described = json.loads(qdm("models", "describe", row["preset"], "--json").out)
        assert {key: each for key, each in described.items() if key != "explained"} == row
    assert [row["preset"] for row in rows] == list(PRESETS)
    for row in rows:
        assert set(row) >= KEYS
        assert row["name"] == PRESETS[row["preset"]].model
        assert row["parameters"] >= row["quantum_parameters"] >= 0
        assert (row["qubits"] > 0) == (row["quantum_parameters"] > 0)
        assert row["source"]
    assert {row["name"] for row in rows} == set(MODELS)


def test_the_list_in_the_package_is_what_the_models_say(qdm):
    listed, counted = (qdm("models", "list", *words, "--json") for words in ([], ["--fresh"]))
    assert listed.code == counted.code == 0
    assert json.loads(listed.out) == json.loads(counted.out), "stale: run `make presets`"


def test_list_for_people(qdm):
    result = qdm("models", "list")
    assert result.code == 0
    for preset in PRESETS:
        assert preset in result.out
    assert "…" not in result.out  # no name is cut


# arXiv:2411.15973: section 4.1 and the range of figure 5, at L = 10 and 50.
@pytest.mark.parametrize(
    ("model", "size", "depth", "parameters"),
    [
        *(("eeqdm", 8, depth, 12 * depth) for depth in (10, 20, 30, 40, 50)),
        *(("eeqdm", 16, depth, 15 * depth) for depth in (10, 50)),
        *(("eeqdm", 32, depth, 18 * depth) for depth in (10, 20, 30, 40, 50)),
        ("qddm", 8, 50, 1050),
        ("qddm", 16, 50, 1350),
        ("qddm", 32, 50, 1650),
    ],
)
def test_describe_gives_the_papers_counts(qdm, model, size, depth, parameters):
    settings = "--set", f"image_size={size}", "--set", f"depth={depth}"
    result = qdm("models", "describe", model, *settings, "--json")
    assert (result.code, result.err) == (0, "")
    row = json.loads(result.out)
    assert set(row) >= KEYS
    assert row["parameters"] == row["quantum_parameters"] == parameters
    assert (row["name"], row["preset"]) == (model, None)
    assert 2 ** (row["qubits"] - 1) == size * size


def test_the_figures_of_the_issue(qdm):
    def count(*arguments):
        return json.loads(qdm("models", "describe", *arguments, "--json").out)["parameters"]

    assert count("eeqdm", "--set", "image_size=16", "--set", "depth=50") == 750
    assert count("qddm", "--set", "image_size=16", "--set", "depth=50") == 1350
    assert [count("eeqdm", "--set", f"depth={depth}") for depth in (10, 50)] == [120, 600]


def test_describe_takes_a_preset_with_other_options(qdm):
    row = json.loads(qdm("models", "describe", "eeqdm-16x16-L50", "--json").out)
    assert (row["name"], row["preset"], row["parameters"]) == ("eeqdm", "eeqdm-16x16-L50", 750)
    changed = qdm("models", "describe", "eeqdm-16x16-L50", "--set", "depth=10", "--json")
    assert json.loads(changed.out)["parameters"] == 150
    assert json.loads(changed.out)["options"]["image_size"] == 16


def test_describe_for_people(qdm):
    result = qdm("models", "describe", "ddpm-depth2")
    assert "892" in result.out
    assert re.search(r"start_channels\W+3\W", result.out)


def test_every_option_is_explained(qdm):
    """Of each model, and of the data, the process and the loop: what it means, takes and is here."""
    for model in MODELS:
        result = qdm("models", "describe", model, "--json")
        if result.code:  # made of a circuit
            assert "circuit" in result.err
            continue
        row = json.loads(result.out)
        assert set(row["explained"]) == {"model", "data", "diffusion", "training"}
        for options in row["explained"].values():
            assert [each["name"] for each in options if not each["meaning"]] == []
            assert [each["name"] for each in options if not each["choices"]] == []
            assert [each["name"] for each in options if ":`" in each["meaning"]] == []
        told = {each["name"]: each["value"] for each in row["explained"]["model"]}
        assert told == row["options"]


def test_help_of_train_beside_a_model_explains_what_set_takes(qdm):
    described = json.loads(qdm("models", "describe", "eeqdm", "--json").out)["explained"]
    alone = qdm("train", "--help").out
    for words in (("--model", "eeqdm"), ("--preset=eeqdm-8x8-L10",), ("--model=eeqdm",)):
        helped = qdm("train", *words, "--help")
        assert (helped.code, helped.err) == (0, "")
        assert helped.out.startswith(alone.rstrip())
        for section, options in described.items():
            assert f"options of the {section}" in helped.out
            for each in options:
                assert re.search(rf"│ {each['name']} ", helped.out), each
    assert "options of the model" not in alone
    wrong = qdm("train", "--model", "eqdm", "--help")
    assert wrong.code == 2
    assert wrong.err.startswith("error: There is no model or preset 'eqdm'. Did you mean 'eeqdm'?")


def test_flags_for_options_show_the_defaults_of_their_classes(qdm):
    """The texts stand in the command, which imports no model; the classes are asked here."""
    flags = {each.name: each for each in typer.main.get_command(app).commands["train"].params}
    defaults = {
        each.name: each.default
        for options in (DataConfig, TrainingConfig, AmplitudeDenoiserConfig)
        for each in explain(options)
    }
    for name in ("dataset", "loader", "epochs", "seed", "train_on", "train_shots"):
        shown = flags[name].show_default.removesuffix(", or the preset's")
        assert shown == str({None: "exact values"}.get(defaults[name], defaults[name]))


def test_a_value_that_is_set_stands_beside_its_default(qdm):
    result = qdm("models", "describe", "eeqdm", "--set", "depth=7", "--set", "optimizer=spsa")
    assert result.code == 0
    assert "7 (default" in result.out
    assert re.search(r"learning_rate\W+0\.01\W", result.out)
    assert "spsa (default" in result.out
