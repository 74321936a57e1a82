"""Circuits and models of another package, and plain classes, go all the way."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from qdm_qiskit import doors
from qdm_qiskit.circuits import CIRCUITS, TEMPLATES, CircuitSpec
from qdm_qiskit.cli.main import main
from qdm_qiskit.errors import (
    InvalidArgument,
    InvalidCheckpoint,
    InvalidData,
    InvalidExtension,
    InvalidOption,
    UnknownName,
)
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.models import (
    MODELS,
    Denoiser,
    build_model,
    catalog,
    describe,
    load_model,
    model_class,
    resolve,
    save_model,
    take_class,
)
from qdm_qiskit.reports.gallery import gallery_names
from qdm_qiskit.sampling import QDMPipeline, SamplingConfig, load_run, sample
from qdm_qiskit.training import resolve_run, run_from_dict, train

TINY = {
    "train_count": 8,
    "test_count": 4,
    "batch_size": 4,
    "num_steps": 2,
    "epochs": 1,
    "baseline": False,
    "sample_every": 0,
}


@pytest.fixture
def qdm(capsys):
    """Run `qdm` in this process, where the package is; give back what it printed."""

    def run(*words: object, code: int = 0) -> str:
        with pytest.raises(SystemExit) as left:
            main([str(each) for each in words])
        printed = capsys.readouterr()
        assert left.value.code == code, printed.err
        return printed.err if code else printed.out

    return run


def settings() -> list[str]:
    return [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "origins"),
    [
        pytest.param("five", {"circuit": "theirs:five"}),
        ("seen", {"circuit": "theirs:SEEN"}),
        ("wave", {"model": "theirs:Wave", "loader": "theirs:Rounded"}),
    ],
)
def test_from_the_name_to_a_hardware_run(theirs, name, origins, qdm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loader = [] if name == "seen" else ["--loader", "rounded:3"]
    told = loader if name == "wave" else []  # the other one is told later
    qdm("train", "--model", name, *settings(), *told, "--out", "run", "--quiet")
    content = json.loads(Path("run/config.json").read_text())
    assert {kind: each["module"] for kind, each in content["origins"].items()} == origins
    assert all(each["package"] == "theirs" for each in content["origins"].values())
    # What was trained is what is loaded, and every target runs it.
    exact = sample(load_run(Path("run")), SamplingConfig(num_images=2)).images
    few = ["--num-images", 2, "--shots", 4000, "--layout-trials", 1, "--quiet"]
    for target in ("aer", "noisy:fake_lagos", "local:fake_lagos"):
        out = target.partition(":")[0]
        printed = qdm("sample", "run", "--target", target, *few, *loader, "--out", out)
        assert "distance to exact" in printed
        found = np.load(f"{out}/samples.npz")["images"]
        manifest = json.loads(Path(out, "manifest.json").read_text())
        recorded = manifest["run"].get("origins", {})
        assert ("loader" in recorded) == bool(loader)
        if target == "aer":  # 2 steps of multinomial noise; 0.001 of a loader's angles is far less
            assert np.abs(found - exact).max() < 6 * 2 * np.sqrt(exact[0].size / 4000)
    cost = json.loads(
        qdm("report", "transpile", "run", "--backend", "fake_lagos", "--trials", 1, "--level", 1,
            *loader, "--json", "--quiet", "--out", "report")
    )  # fmt: skip
    two_qubit = cost["backends"][0]["cost"]["loader"]["two_qubit_count"]
    assert (two_qubit > 0) == bool(loader)
    qdm("run", "plan", "run", "--target", "local:fake_lagos", "--num-images", 2, "--shots", 100,
        "--layout-trials", 1, *loader, "--quiet", "--root", "hardware")  # fmt: skip
    [folder] = (each.parent for each in Path("hardware").glob("*/plan.json"))
    qdm("run", "submit", folder.name, "--root", "hardware", "--yes", "--quiet")
    assert np.load(folder / "images.npz")["images"].shape == exact.shape
    assert replay(folder).equal
    assert load_run(folder / "model").model.config.loader == (loader or ["", "exact"])[1]


def test_a_circuit_is_listed_shown_analysed_and_exported(theirs, qdm, tmp_path, monkeypatch):
    assert [name for name in TEMPLATES if name not in CIRCUITS.built_in] == ["five", "seen"]
    assert TEMPLATES["five"].summary == "Five qubits of Qiskit's library."
    assert "five" not in MODELS
    shown = json.loads(qdm("circuits", "show", "five", "--set", "reps=2", "--json"))
    assert (shown["options"], len(shown["parameters"]["weights"])) == ({"reps": 2}, 30)
    assert shown["source"] == "package theirs 1.5"
    assert "no option of 'five'" in qdm("circuits", "show", "five", "--set", "rep=2", code=2)
    assert "expressibility" in qdm("circuits", "analyze", "seen", "--quiet", "--samples", 20,
                                   "--repeats", 2, "--json")  # fmt: skip
    qdm("circuits", "export", "seen", "--out", tmp_path, "--quiet")
    assert "input float[64] w_0000" in (tmp_path / "seen.qasm").read_text()
    # The gallery of this package has this package's templates.
    assert gallery_names() == list(CIRCUITS.built_in)


def test_models_and_circuits_of_a_package_are_listed(theirs, qdm):
    rows = json.loads(qdm("models", "list", "--json"))[-3:]
    assert [row["name"] for row in rows] == ["wave", "five", "seen"]
    assert [row["parameters"] for row in rows] == [8, 20, 5]
    assert all(row["origins"] for row in rows)
    assert "wave: nobody's paper, from theirs 1.5" in qdm("models", "list")
    assert describe("five", {"reps": "3", "scale": "0.5"})["parameters"] == 40
    assert "origins" not in describe("eeqdm", {"image_size": 2, "depth": 1})


def test_a_built_in_template_is_trained_by_its_name():
    config = resolve_run("basic_entangling_layers", {"num_wires": "4", "classes": "0,1"})
    assert (config.model, config.circuit) == ("circuit", "basic_entangling_layers")
    assert config.model_options.image_size == 4
    assert (
        config.model_options.circuit
        == resolve("basic_entangling_layers", {"num_wires": 4}).config.circuit
    )
    assert run_from_dict(config.to_dict()) == config
    assert resolve_run("eeqdm").model == "eeqdm"  # the model, not the template of its circuit
    # A guided template learns its classes from the data, as a model does.
    guided = CircuitSpec.from_circuit(
        build_model(resolve("eeqdm", {"image_size": 2, "guided": True})).spec.circuit,
        weights=[f"w_{k:04d}" for k in range(60)], label="x_0000", loads="amplitudes",
        data_qubits=[1, 2], readout=[1, 2],
    )  # fmt: skip
    assert Denoiser.from_spec(guided, image_shape=(1, 2, 2)).config.guided


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        (
            "amplitude_loader",
            {"image_size": 2},
            InvalidOption,
            "has no weights, so there is nothing",
        ),
        ("hqconv", {}, InvalidOption, "no square image of 1 channels; set image_size"),
        ("five", {"image_size": 8}, InvalidOption, "hold 16 amplitudes"),
        ("five", {"rep": 1}, InvalidOption, r"no option of 'five' called 'rep'.*'reps'"),
        ("five", {"reps": "two"}, InvalidOption, "reps is a whole number"),
        (
            "five",
            {"loader": "nope"},
            UnknownName,
            "no loader 'nope'; there are: amortised, auto, bricks, exact, r",
        ),
        ("fife", {}, UnknownName, "no model or preset 'fife'.*Did you mean 'five'"),
        ("circuit", {}, InvalidOption, "is made of a circuit"),
        ("seen", {"loader": "rounded"}, Exception, "takes angles; leave loader out"),
    ],
)
def test_wrong_options_of_a_named_circuit(theirs, name, options, error, message):
    with pytest.raises(error, match=message) as caught:
        resolve_run(name, options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("part = 3", "is no template: a circuit's entry point is a CircuitSpec.*got 3"),
        (
            "from qiskit import QuantumCircuit\npart = QuantumCircuit(1)",
            "from_circuit.*got a Quantum",
        ),
        ("def part(depth): pass", "'depth' has none"),
        ("def part(*sizes): pass", "'sizes' cannot"),
        ("def part(): return 7", "returns a CircuitSpec.*got 7"),
        ("def part(): 1 / 0", "'bent' of package theirs2 cannot be made: ZeroDivisionError"),
    ],
)
def test_what_a_package_brings_for_a_circuit_is_checked(package, code, message, qdm):
    package("theirs2", "[qdm_qiskit.circuit]\nbent = theirs2:part\n", code + "\n")
    with pytest.raises(InvalidExtension, match=message) as caught:
        TEMPLATES["bent"].example()
    assert "\n" not in str(caught.value)
    assert qdm("circuits", "show", "bent", code=2).count("\n") == 1


def test_a_broken_circuit_leaves_the_list_of_the_others(package, capsys):
    points = "bent = theirs2:part\nround = theirs2:absent\nempty = theirs2:empty\n"
    code = "from qdm_qiskit.circuits import eeqdm\ndef part(): 1 / 0\n"
    code += "def empty():\n    return eeqdm(num_data=2, depth=1)\n"
    package("theirs2", f"[qdm_qiskit.circuit]\n{points}", code)
    for words in ([], ["--json"]):
        with pytest.raises(SystemExit) as left:
            main(["circuits", "list", *words])
        printed = capsys.readouterr()
        assert left.value.code == 0
        notes = printed.err.splitlines()
        assert len(notes) == 2
        assert notes[0].startswith("note: Circuit 'bent' of package theirs2 cannot be made: Zero")
        assert notes[1].startswith("note: Template 'round' of package theirs2 cannot be loaded")
        assert "bent" not in printed.out
        assert "empty" in printed.out
        assert "eeqdm" in printed.out
    names = [row["name"] for row in json.loads(printed.out)]
    assert names == [each for each in TEMPLATES if each not in ("bent", "round")]


OPTIONS = """
from dataclasses import dataclass
from qdm_qiskit.models import Denoiser
@dataclass(frozen=True, kw_only=True)
class Options:
    image_size: int = 2
    channels: int = 1
"""
GOOD = """
class Part(Denoiser):
    name = "bent"
    config_class = Options
    def __init__(self, config, *, generator=None):
        super().__init__()
        self.config, self.image_shape = config, (1, 2, 2)
    def forward(self, x, t, labels=None): return x
"""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("Part = 3", "no model: a model is a class derived from .*Denoiser, got 3"),
        ("class Part(Denoiser): name = 'bent'", r"defines forward\(\), and Part does not"),
        (GOOD.replace('"bent"', '"other"'), "entry point, 'bent', and Part has 'other'"),
        (GOOD.replace('name = "bent"', ""), "class attribute `name`, and Part has None"),
        (GOOD.replace("= Options", "= dict"), "`config_class` is a frozen dataclass.*class dict"),
        (GOOD.replace("name =", "state_space = 'flat'\n    name ="), "has 'flat' and 'images'"),
        (GOOD.replace(", *, generator=None", ""), r"made by Part\(config, generator=generator\)"),
        (GOOD.replace("name =", "data_kind = 'states'\n    name ="), "have `num_qubits`"),
        (GOOD.replace("self.config, ", "_, "), "keeps its options as self.config"),
        (GOOD.replace("(1, 2, 2)", "[2, 2]"), r"self.image_shape to \(channels, height, width\)"),
        (GOOD.replace("super().__init__()", "raise ValueError('no\\nway')"), "no way"),
    ],
)  # fmt: skip
def test_what_a_package_brings_for_a_model_is_checked(package, code, message, qdm, tmp_path):
    package("theirs2", "[qdm_qiskit.model]\nbent = theirs2:Part\n", OPTIONS + code + "\n")
    said = qdm("train", "--model", "bent", "--out", tmp_path / "run", "--quiet", code=2)
    assert said.count("\n") == 1
    assert re.search(message, said), said
    assert not (tmp_path / "run").exists()


def test_a_good_class_is_a_model(package):
    package("theirs2", "[qdm_qiskit.model]\nbent = theirs2:Part\n", OPTIONS + GOOD)
    assert "bent" in MODELS
    assert build_model(resolve("bent")).num_parameters == 0


def test_an_option_that_the_run_has_too(package):
    code = OPTIONS.replace("channels: int = 1", "channels: int = 1\n    epochs: int = 3")
    package("theirs2", "[qdm_qiskit.model]\nbent = theirs2:Part\n", code + GOOD)
    with pytest.raises(InvalidOption, match="'epochs' is an option of 'bent' and of the run's"):
        resolve_run("bent", {"epochs": 1})


def uninstall(module: str) -> None:
    for path in sys.path:
        for each in Path(path).glob(f"{module}-1.5.dist-info/entry_points.txt"):
            each.unlink()
    doors._outside.cache_clear()


def test_without_the_package_the_line_names_it(theirs, qdm, tmp_path):
    train(resolve_run("wave", {**TINY, "loader": "rounded:2"}), tmp_path / "wave")
    train(resolve_run("eeqdm", {**TINY, "image_size": 2, "loader": "rounded"}), tmp_path / "eeqdm")
    train(resolve_run("seen", TINY), tmp_path / "seen")
    uninstall("theirs")
    line = "needs the model 'wave' of package theirs 1.5, which is not installed; install it: pip"
    with pytest.raises(InvalidData, match=line):
        load_run(tmp_path / "wave")
    [checkpoint] = (tmp_path / "wave" / "checkpoints").iterdir()
    with pytest.raises(InvalidCheckpoint, match=line):
        load_model(checkpoint)
    for words in (["sample", tmp_path / "wave", "--out", tmp_path / "out"],
                  ["train", "--out", tmp_path / "wave", "--resume", "latest"]):  # fmt: skip
        said = qdm(*words, code=2)
        assert line in said
        assert said.count("\n") == 1
    with pytest.raises(InvalidData, match="needs the loader 'rounded' of package theirs"):
        load_run(tmp_path / "eeqdm")
    # A circuit is in its folder whole, and needs nobody.
    run = load_run(tmp_path / "seen")
    assert sample(run, SamplingConfig(num_images=1)).images.shape == (1, 1, 2, 2)
    assert run.config.circuit == "seen"


def test_a_plain_class_needs_no_registration(theirs, tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "_given", {})
    mine = type("Mine", (theirs.Wave,), {"name": "mine"})
    config = resolve_run(mine, {**TINY, "gain": 0.5})
    train(config, tmp_path / "run")
    train(config.with_epochs(2), tmp_path / "run", resume="latest")
    once = load_run(tmp_path / "run")
    assert (type(once.model), once.model.config.gain) == (mine, 0.5)
    again = resolve_run(mine(theirs.WaveOptions(gain=0.5)), TINY)  # by an object
    assert again == config
    save_model(once.model, tmp_path / "saved")
    # Another process, which was not given the class.
    monkeypatch.setattr(catalog, "_given", {})
    with pytest.raises(
        InvalidData, match=r"'mine' is of the class .*Mine, which no package brings"
    ):
        load_run(tmp_path / "run")
    with pytest.raises(InvalidCheckpoint, match="give the class"):
        load_model(tmp_path / "saved")
    loaded = load_model(tmp_path / "saved", model_class=mine)
    assert torch.equal(loaded.layer.weights, once.model.layer.weights)
    monkeypatch.setattr(catalog, "_given", {})
    pipe = QDMPipeline.from_pretrained(tmp_path / "run", model_class=mine)
    assert pipe(num_images=1, target="aer", shots=50).images.shape == (1, 1, 2, 2)


def test_a_plain_class_takes_no_name_of_others(theirs):
    for name in ("eeqdm", "digits-demo", "wave"):
        other = type("Other", (theirs.Wave,), {"name": name})
        with pytest.raises(InvalidOption, match=f"is '{name}', which another model or preset has"):
            take_class(other)
    assert take_class(theirs.Wave) is model_class("wave")
    with pytest.raises(InvalidArgument, match="got the class dict itself"):
        resolve_run(dict)
