"""Devices as files: what is saved comes back with the same numbers, and hostile files are one line."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_aer.noise import (
    NoiseModel,
    QuantumError,
    amplitude_damping_error,
    coherent_unitary_error,
    depolarizing_error,
    thermal_relaxation_error,
)
from qiskit_aer.noise.passes import LocalNoisePass

import qdm_qiskit.execution.device_files as device_files
from qdm_qiskit.errors import InvalidData, InvalidOption, MissingData, OutputNotWritable, QdmError
from qdm_qiskit.execution.device_files import load_device, save_device
from qdm_qiskit.execution.devices import make_device
from qdm_qiskit.execution.factory import make_runner
from qdm_qiskit.execution.saved_devices import (
    add_device,
    devices_folder,
    remove_device,
    saved_device,
    saved_names,
)
from qdm_qiskit.execution.snapshots import backend_names, load_backend
from qdm_qiskit.transpiling.passes import select_values, transpile_for


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("QDM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def circuit(qubits: int) -> QuantumCircuit:
    found = QuantumCircuit(qubits, qubits)
    for k in range(qubits):
        found.ry(Parameter(f"x_{k}"), k)
    for k in range(qubits - 1):
        found.cx(k, k + 1)
    found.rx(0.4, 0)
    found.measure(range(qubits), range(qubits))
    return found


def same_answers(name: str, path: Path) -> None:
    """A snapshot and its copy in a file: circuits, probabilities, counts, local mode, all alike."""
    snapshot = load_backend(name)
    copied = load_device(save_device(name, path))
    logical = circuit(min(3, snapshot.num_qubits))
    values = np.array([[0.1, 0.7, 2.0][: logical.num_parameters]])
    isa = transpile_for(logical, snapshot, seed=3)
    assert transpile_for(logical, copied, seed=3) == isa
    rows = select_values(values, logical, isa)
    for readout in ("mean", "asymmetric"):
        one = make_runner(f"noisy:{name}", seed=1, readout=readout)
        two = make_runner(copied, seed=1, readout=readout)
        expected = one.exact_probabilities(isa, rows)
        np.testing.assert_allclose(two.exact_probabilities(isa, rows), expected, atol=1e-12)
        assert np.array_equal(
            one.run([(isa, rows)], shots=300)[0], two.run([(isa, rows)], shots=300)[0]
        )
    assert copied.digest == make_device(name).digest


SOME = ["fake_quito", "fake_fractional", "fake_armonk"]
"""Plain; with ranges of angles; of one qubit."""
IN_TWO_PIECES = {"fake_kyoto"}
"""None of whose couplers works: nothing of two qubits can be laid out there."""


@pytest.mark.parametrize("name", SOME)
def test_a_saved_snapshot_gives_what_the_snapshot_gives(name, tmp_path):
    same_answers(name, tmp_path / "copy.json")


@pytest.mark.filterwarnings("ignore:Properties of fake_nighthawk:UserWarning")
@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in backend_names() if n not in IN_TWO_PIECES])
def test_every_saved_snapshot_gives_what_it_gives(name, tmp_path):
    same_answers(name, tmp_path / "copy.json")


def test_ibms_two_files_are_the_snapshot(tmp_path):
    from qiskit_ibm_runtime import fake_provider

    folder = Path(fake_provider.FakeQuitoV2.dirname)
    found = load_device(folder, name="quito")
    assert found.digest == make_device("fake_quito").digest
    with pytest.raises(MissingData, match="one conf_"):
        load_device(tmp_path)
    for each in folder.glob("*_quito.json"):
        content = each.read_text()
        (tmp_path / each.name).write_text(content[: len(content) // 2])
    with pytest.raises(InvalidData, match="is no device") as told:
        load_device(tmp_path)
    assert "\n" not in str(told.value)


def model() -> NoiseModel:
    found = NoiseModel(basis_gates=["rz", "sx", "x", "cz"])
    pair = thermal_relaxation_error(1e-4, 1.7e-4, 3e-6)
    found.add_all_qubit_quantum_error(
        depolarizing_error(0.03, 2).compose(pair.tensor(pair)), ["cz"]
    )
    found.add_quantum_error(amplitude_damping_error(0.1), ["x"], [1])
    found.add_quantum_error(coherent_unitary_error(np.diag([1, 1j])), ["sx"], [0])
    rotation = QuantumCircuit(1)
    rotation.rx(0.1, 0)
    found.add_quantum_error(QuantumError([(rotation, 0.5), (QuantumCircuit(1), 0.5)]), ["x"], [0])
    found.add_readout_error([[0.97, 0.03], [0.1, 0.9]], [0])
    return found


def test_a_noise_model_comes_back_with_the_same_numbers(tmp_path):
    device = make_device(model(), num_qubits=3, name="mine")
    copied = load_device(save_device(device, tmp_path / "mine.json"))
    assert copied.name == device.name
    isa = transpile_for(circuit(3), device, seed=3)
    rows = np.array([[0.1, 0.7, 2.0]])[:, : isa.num_parameters]
    expected = make_runner(device, seed=1).exact_probabilities(isa, rows)
    found = make_runner(copied, seed=1).exact_probabilities(isa, rows)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    # Aer's own text of the model alone, which names no qubits but 0 and 1, is read as well.
    text = json.dumps(model().to_dict(serializable=True))
    (tmp_path / "aer.json").write_text(text)
    plain = load_device(tmp_path / "aer.json")
    assert plain.label == "aer"
    assert plain.num_qubits == 20
    ours = plain.facts.noise.to_dict(serializable=True)["errors"]
    theirs = json.loads(text)["errors"]
    assert len(ours) == len(theirs) == 5
    for one, two in zip(ours, theirs, strict=True):
        assert one.get("gate_qubits") == two.get("gate_qubits")
        np.testing.assert_allclose(one["probabilities"], two["probabilities"], atol=1e-15)


def test_the_relaxation_of_delays_is_kept(tmp_path):
    noise = NoiseModel.from_backend(GenericBackendV2(2, seed=1))
    copied = load_device(save_device(make_device(noise), tmp_path / "x.json"))
    [kept] = copied.facts.noise._custom_noise_passes
    [given] = noise._custom_noise_passes
    assert np.array_equal(kept._t1s, given._t1s)
    assert np.array_equal(kept._t2s, given._t2s)
    assert kept._dt == given._dt
    wait = QuantumCircuit(2, 1)
    wait.x(0)
    wait.delay(20_000, 0, "dt")
    wait.measure(0, 0)
    nothing = np.zeros((1, 0))
    first = make_runner(make_device(noise), seed=1).exact_probabilities(wait, nothing)
    assert np.allclose(
        make_runner(copied, seed=1).exact_probabilities(wait, nothing), first, atol=1e-12
    )
    short = wait.copy_empty_like()
    short.x(0)
    short.measure(0, 0)
    assert (
        first[0, 0] > make_runner(copied, seed=1).exact_probabilities(short, nothing)[0, 0] + 1e-3
    )


def test_what_cannot_be_read_back_is_not_written(tmp_path):
    backend = GenericBackendV2(2, seed=1)
    backend.target.add_instruction(Gate("mine", 1, []), {(0,): None})
    with pytest.raises(InvalidOption, match="'mine' that is none of Qiskit's own"):
        save_device(backend, tmp_path / "x.json")
    noise = model()
    noise._custom_noise_passes.append(LocalNoisePass(lambda op, qubits: None))
    with pytest.raises(InvalidOption, match="LocalNoisePass"):
        save_device(make_device(noise), tmp_path / "x.json")
    assert not list(tmp_path.glob("*.json"))


# -- files that are none ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("good")
    device = make_device(model(), num_qubits=2, name="mine")
    whole = json.loads(save_device("fake_quito", folder / "a.json").read_text())
    whole["noise_model"] = json.loads(save_device(device, folder / "b.json").read_text())[
        "noise_model"
    ]
    return whole


def gate(content: dict, name: str) -> dict:
    return next(each for each in content["gates"] if each["name"] == name)


def error(content: dict, operation: str) -> dict:
    return next(e for e in content["noise_model"]["errors"] if e["operations"] == [operation])


BAD = {
    "another schema": (lambda c: c.update(schema="qdm-device/2"), "its schema is 'qdm-device/1'"),
    "an unknown key": (lambda c: c.update(extra=1), r"the unknown \['extra'\]"),
    "a missing key": (lambda c: c.pop("qubits"), r"lacks \['qubits'\]"),
    "no object": (lambda c: c.update(limits=[]), "limits is an object"),
    "a negative number of qubits": (lambda c: c.update(num_qubits=-1), "num_qubits is a whole"),
    "a huge number of qubits": (lambda c: c.update(num_qubits=10**30), "a huge number"),
    "true as a number": (lambda c: c.update(num_qubits=True), "num_qubits is a whole"),
    "too few qubits": (lambda c: c.update(qubits=c["qubits"][:2]), "qubits has 2 entries"),
    "text as dt": (lambda c: c.update(dt="1"), "dt is a number"),
    "a T2 above 2 T1": (lambda c: c["qubits"][1].update(t1=1e-5, t2=3e-5), r"qubits\[1\].t2"),
    "a T1 of zero": (lambda c: c["qubits"][1].update(t1=0), r"qubits\[1\].t1"),
    "a readout above 1": (lambda c: c["qubits"][0].update(one_for_zero=1.5), "one_for_zero is 0"),
    "half a readout": (lambda c: c["qubits"][0].update(one_for_zero=None), "one_for_zero"),
    "readout of one qubit": (
        lambda c: c["qubits"][0].update(one_for_zero=None, zero_for_one=None),
        "for some qubits",
    ),
    "an error above 1": (lambda c: gate(c, "cx")["on"][0].update(error=1.2), "error is 0 to 1"),
    "a negative error": (lambda c: gate(c, "cx")["on"][0].update(error=-0.1), "error is 0 to 1"),
    "a long gate": (lambda c: gate(c, "cx")["on"][0].update(duration=1e9), "duration is 0 to 1"),
    "a coupler out of range": (
        lambda c: gate(c, "cx")["on"][0].update(qubits=[0, 5]),
        "qubits is a whole number, 0 to 4",
    ),
    "a coupler of one qubit": (
        lambda c: gate(c, "cx")["on"][0].update(qubits=[1, 1]),
        "2 different qubits",
    ),
    "a coupler twice": (
        lambda c: gate(c, "cx")["on"].append(gate(c, "cx")["on"][0]),
        "a second time",
    ),
    "an unknown gate": (lambda c: gate(c, "cx").update(name="os.system"), "standard set"),
    "a gate twice": (lambda c: c["gates"].append(gate(c, "cx")), "twice"),
    "no measurement": (lambda c: c["gates"].remove(gate(c, "measure")), "no 'measure'"),
    "a date that is none": (lambda c: c.update(calibrated_at="soon"), "ISO 8601"),
    "a bad limit": (lambda c: c["limits"].update(max_shots=0), "max_shots"),
    "probabilities that are more than one": (
        lambda c: error(c, "cz").update(probabilities=[0.9] * len(error(c, "cz")["probabilities"])),
        "sum is 1",
    ),
    "fewer probabilities": (lambda c: error(c, "cz")["probabilities"].pop(), "one probability"),
    "a gate that errors do not have": (
        lambda c: error(c, "cz")["instructions"][0][0].update(name="exec", params=[]),
        "standard gate",
    ),
    "a Pauli that is none": (
        lambda c: error(c, "cz")["instructions"][0][0].update(params=["IQ"]),
        "I, X, Y or Z",
    ),
    "no unitary": (
        lambda c: error(c, "sx")["instructions"][0][0].update(params=[[[[2, 0]] * 2] * 2]),
        "unitary",
    ),
    "an error on a qubit that is not there": (
        lambda c: error(c, "sx").update(gate_qubits=[[9]]),
        "0 to 4",
    ),
    "an error of a measurement": (
        lambda c: error(c, "sx").update(operations=["measure"]),
        "readout",
    ),
    "a readout that is no distribution": (
        lambda c: error(c, "measure").update(probabilities=[[0.9, 0.2], [0, 1]]),
        "sum 1",
    ),
    "an error of another type": (lambda c: error(c, "sx").update(type="zerror"), "'qerror'"),
}


@pytest.mark.parametrize(("change", "says"), BAD.values(), ids=BAD)
def test_a_wrong_file_is_one_line_and_nothing_is_stored(good, change, says, tmp_path, home):
    content = copy.deepcopy(good)
    change(content)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidData, match=says) as told:
        add_device("bad", path)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400
    assert saved_names() == ()
    assert not home.exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no JSON"),
        ("[1, 2]", "no JSON object"),
        ("null", "no JSON object"),
        ('{"schema": "qdm-device/1", "num_qubits": NaN}', "NaN is no number"),
        ('{"schema": "qdm-device/1", "num_qubits": -Infinity}', "Infinity is no number"),
        ('{"num_qubits": 1' + "0" * 5000 + "}", "no JSON"),
        ("[" * 200_000, "no JSON"),
        ('{"a": ' * 100_000, "no JSON"),
        ("{}", "neither a schema"),
        ('{"errors": [{"type": "qerror"}]}', "lacks"),
        ('{"errors": {}}', "is a list"),
        ("\udcff", "no JSON"),
    ],
    ids=range(12),
)
def test_text_that_is_no_device_is_one_line(text, says, tmp_path):
    path = tmp_path / "bad.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidData, match=says) as told:
        load_device(path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_one_line(good, part, tmp_path):
    text = json.dumps(good)
    path = tmp_path / "bad.json"
    path.write_text(text[: int(len(text) * part)])
    with pytest.raises(InvalidData, match="no JSON"):
        load_device(path)


def test_a_pickle_is_no_device(tmp_path):
    path = tmp_path / "bad.json"
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch /tmp/never'\ntR.")
    with pytest.raises(InvalidData, match="no JSON"):
        load_device(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(device_files, "MAX_BYTES", 100)
    path = save_device("fake_quito", tmp_path / "large.json")
    with pytest.raises(InvalidData, match="larger than any device"):
        load_device(path)


def test_a_number_too_large_for_a_float_is_refused(good, tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({**good, "dt": 0}).replace('"dt": 0', '"dt": 1e999'))
    with pytest.raises(InvalidData, match="dt is"):
        load_device(path)


# -- the folder of saved devices --------------------------------------------------------------


def test_saved_devices_have_a_folder_of_their_own(home):
    assert devices_folder() == home / "devices"
    assert saved_names() == ()
    add_device("mine", GenericBackendV2(3, seed=1))
    assert saved_names() == ("mine",)
    assert [each.name for each in devices_folder().iterdir()] == ["mine.json"]
    with pytest.raises(OutputNotWritable, match="saved already"):
        add_device("mine", GenericBackendV2(3, seed=2))
    assert saved_device("mine").digest == make_device(GenericBackendV2(3, seed=1)).digest
    add_device("mine", GenericBackendV2(3, seed=2), replace=True)
    assert saved_device("mine").digest == make_device(GenericBackendV2(3, seed=2)).digest
    remove_device("mine")
    assert list(devices_folder().iterdir()) == []
    with pytest.raises(QdmError, match="no saved device 'mine'"):
        remove_device("mine")


def test_a_write_that_fails_leaves_the_old_device(home, monkeypatch):
    add_device("mine", GenericBackendV2(3, seed=1))
    before = (devices_folder() / "mine.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputNotWritable, match="No space left"):
        add_device("mine", GenericBackendV2(3, seed=2), replace=True)
    monkeypatch.undo()
    monkeypatch.setenv("QDM_HOME", str(home))
    assert (devices_folder() / "mine.json").read_bytes() == before
    assert len(list(devices_folder().iterdir())) == 1


def test_a_damaged_saved_device_is_one_line(home):
    add_device("mine", GenericBackendV2(3, seed=1))
    path = devices_folder() / "mine.json"
    path.write_text(path.read_text()[:200])
    with pytest.raises(InvalidData, match=r"mine\.json is no device"):
        make_runner("noisy:mine", seed=0)
    # A link to somewhere else, a hidden file or a folder is no name that breaks the list.
    (devices_folder() / ".hidden.json").write_text("{}")
    (devices_folder() / "a b.json").write_text("{}")
    assert saved_names() == ("mine",)
