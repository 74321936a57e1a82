"""What cannot be trained on: one line that says what to do, from Python and by the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qiskit_aer.noise import NoiseModel, depolarizing_error

from qdm_qiskit.cli.main import main
from qdm_qiskit.errors import InvalidData, InvalidOption, QdmError, TargetUnavailable, UnknownName
from qdm_qiskit.execution.saved_devices import add_device, devices_folder
from qdm_qiskit.sampling import load_run
from qdm_qiskit.training import train
from tests.training.targets.conftest import TINY

TORINO = "noisy:fake_torino"


def by_command(
    capsys: pytest.CaptureFixture[str], out: Path, model: str = "eeqdm", **options: Any
) -> tuple[object, str]:
    """Return how `qdm train` leaves, and what it says on standard error, notes on its work apart."""
    small = {"image_size": 2, "depth": 1} if model == "eeqdm" else {}
    given = {**TINY, **small, **options}
    words = ["train", "--model", model, "--quiet", "--out", str(out)]
    flags = {"train_on": "--train-on", "train_shots": "--train-shots"}
    for name, value in given.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        words += [flags[name], text] if name in flags else ["--set", f"{name}={text}"]
    with pytest.raises(SystemExit) as left:
        main(words)
    said = capsys.readouterr().err.strip().splitlines()
    return left.value.code, "\n".join(line for line in said if not line.startswith("note: "))


def check_one_line(text: str, *parts: str) -> None:
    assert "\n" not in text
    for part in parts:
        assert part in text


# -- options that cannot be --------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "shots 0": ({"train_shots": 0}, InvalidOption, "must be at least 1"),
    "no GPU": ({"train_on": "engine:cuda"}, TargetUnavailable, "needs a CUDA device; use 'engine'"),
    "no GPU of Aer": ({"train_on": "aer:gpu"}, TargetUnavailable, "needs a GPU"),
    "no such device": ({"train_on": "noisy:fake_torin"}, UnknownName, "fake_torino"),
    "no such target": ({"train_on": "engin"}, InvalidOption, "is engine, engine:cuda, aer"),
    "a QPU": ({"train_on": "ibm:ibm_fez"}, InvalidOption, "qdm run plan RUN --train"),
    "twice": ({"train_on": f"{TORINO}+fake_torino"}, InvalidOption, "a device twice"),
    "no noise": ({"noise_injection": True}, InvalidOption, "has no noise of a device"),
    "no readout": ({"train_readout": "none"}, InvalidOption, "is one of mean, asymmetric"),
    "epochs": ({"train_on": TORINO, "noise_epochs": -1}, InvalidOption, "must be at least 0"),
    "metric": ({"train_on": "aer", "optimizer": "natural"}, InvalidOption, "metric of 'natural'"),
    "QNN without shots": ({"train_on": "qnn"}, InvalidOption, "1024"),
    "both starts": (
        {"start_from": "a", "transfer_epochs": 1},
        InvalidOption,
        "or from a classical",
    ),
    "no gate of two qubits": (
        {"train_on": "noisy:fake_armonk"},
        QdmError,
        "the device has 1; use a smaller model",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_option_is_one_line(tiny_run, tmp_path, capsys, case):
    options, kind, message = WRONG[case]
    with pytest.raises(kind) as caught:
        train(tiny_run(**options), tmp_path / "run")
    check_one_line(str(caught.value), message)
    code, said = by_command(capsys, tmp_path / "other", **options)
    assert code == 2
    check_one_line(said, message)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "other").exists()


def test_the_command_line_takes_shots(tmp_path, capsys):
    code, _ = by_command(capsys, tmp_path / "run", train_on="aer", train_shots=8)
    assert code == 0
    assert load_run(tmp_path / "run").config.training.train_shots == 8


# -- noise models that cannot be ---------------------------------------------------------------------


def model_of(basis: list[str] | None, **errors: float) -> NoiseModel:
    """Return depolarising errors of gates; of the names, those of two qubits begin with c."""
    noise = NoiseModel(basis_gates=basis)
    for name, rate in errors.items():
        noise.add_all_qubit_quantum_error(depolarizing_error(rate, 1 + name.startswith("c")), name)
    return noise


def leaky() -> NoiseModel:
    """A model whose error of sx loses a tenth of the trace, which Aer itself lets pass."""
    noise = model_of(["rz", "sx", "cz"], sx=0.1, cz=0.1)
    error = noise._default_quantum_errors["sx"]
    error._probs = [share * 0.9 for share in error._probs]
    return noise


NOISE: dict[str, tuple[Callable[[], NoiseModel], str]] = {
    "loses trace": (leaky, "trace"),
    # Aer's own basis has sx, which has no entry here while another gate of one qubit has one.
    "a gate without an entry": (lambda: model_of(None, x=0.1, cx=0.1), "cannot be transpiled"),
    "no gate of two qubits": (
        lambda: model_of(["rz", "sx"], rz=0.1, sx=0.1),
        "cannot be transpiled",
    ),
}


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """Where devices are saved."""
    monkeypatch.setenv("QDM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    "case",
    [pytest.param(e, marks=() if e == "loses trace" else pytest.mark.slow) for e in NOISE],
)
def test_a_noise_model_that_cannot_be_used_is_one_line(tiny_run, tmp_path, capsys, home, case):
    """As an object from Python, and by the command as a saved device."""
    make, message = NOISE[case]
    with pytest.raises(QdmError) as caught:
        train(tiny_run(train_on=make()), tmp_path / "run")
    check_one_line(str(caught.value), message)
    add_device("mine", make_saved(case))
    if case == "loses trace":  # nobody can save such a model, but a file may be changed
        lose_trace(devices_folder() / "mine.json")
    code, said = by_command(capsys, tmp_path / "other", train_on="noisy:mine")
    assert code == 2
    check_one_line(said, message if case != "loses trace" else "their sum is 1")
    assert not (tmp_path / "other").exists()


def make_saved(case: str) -> NoiseModel:
    return (
        model_of(["rz", "sx", "cz"], sx=0.1, cz=0.1) if case == "loses trace" else NOISE[case][0]()
    )


def lose_trace(file: Path) -> None:
    """Take a tenth of the chances of an error in a saved device."""
    content = json.loads(file.read_text())

    def errors(value: Any) -> Any:
        if isinstance(value, dict):
            found = value.get("probabilities")
            if value.get("operations") == ["sx"] and found is not None:
                value["probabilities"] = [share * 0.9 for share in found]
            return [errors(each) for each in value.values()]
        return [errors(each) for each in value] if isinstance(value, list) else None

    errors(content)
    file.write_text(json.dumps(content))


# -- memory ------------------------------------------------------------------------------------------


def test_a_density_matrix_without_room_is_refused_before_it_is_made(
    tiny_run, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("qdm_qiskit.training.targets.device.available_bytes", lambda device: 1000)
    parts = "'layer' uses 3 qubits of fake_torino", "noise_injection=true"
    with pytest.raises(TargetUnavailable) as caught:
        train(tiny_run(train_on=TORINO), tmp_path / "run")
    check_one_line(str(caught.value), *parts)
    code, said = by_command(capsys, tmp_path / "other", train_on=TORINO)
    assert code == 2
    check_one_line(said, *parts)
    assert not (tmp_path / "run").exists()


def test_a_batch_without_room_leaves_nothing_behind(tiny_run, tmp_path, capsys, monkeypatch):
    """Rows are counted when a step asks; whoever repeats the command finds the folder free."""
    monkeypatch.setattr("qdm_qiskit.engine.noise.memory.SMALL_BYTES", 0)
    monkeypatch.setattr("qdm_qiskit.engine.noise.memory.available_bytes", lambda device: 2000)
    parts = "A density matrix of 3 qubits for 8 samples needs about", "noise_injection=true"
    with pytest.raises(InvalidData) as caught:
        train(tiny_run(train_on=TORINO), tmp_path / "run")
    check_one_line(str(caught.value), *parts)
    code, said = by_command(capsys, tmp_path / "other", train_on=TORINO)
    assert code == 2
    check_one_line(said, *parts)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_what_exact_noise_of_twelve_qubits_takes_is_said_first(tiny_run, tmp_path, monkeypatch):
    """Of De Falco's circuits: in a note where there is room, in a refusal where there is none."""
    monkeypatch.setattr("qdm_qiskit.training.targets.device.available_bytes", lambda device: 2**29)
    config = tiny_run("hybrid_unet", circuits=1, layers=1, train_on=TORINO)
    heard: list[str] = []
    with pytest.raises(TargetUnavailable, match=r"GiB a row and 0.5 GiB are free") as caught:
        train(config, tmp_path / "run", progress=heard.append)
    assert "noise_injection=true" in str(caught.value)
    [note] = [each for each in heard if "pure state" in each]
    assert "GiB and seconds for each row of a batch; noise_injection=true" in note
