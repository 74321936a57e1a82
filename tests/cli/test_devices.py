"""`qdm devices`, and a device of one's own through sampling, reports and a hardware run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from qiskit.providers.fake_provider import GenericBackendV2

from qdm_qiskit.execution import devices
from qdm_qiskit.execution.device_files import save_device
from qdm_qiskit.execution.devices import make_device
from qdm_qiskit.execution.saved_devices import add_device, devices_folder
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return save_device(GenericBackendV2(5, seed=3), tmp_path / "mine.json")


def test_a_device_is_added_shown_exported_and_removed(qdm, file, tmp_path):
    added = qdm("devices", "add", "mine", file)
    assert added.code == 0
    assert f"mine@{make_device(GenericBackendV2(5, seed=3)).digest[:12]}, 5 qubits" in added.out
    listed = json.loads(qdm("devices", "list", "--json").out)
    assert listed[-1] == {
        "name": "mine",
        "from": "saved",
        "version": "",
        "place": str(devices_folder() / "mine.json"),
    }
    assert listed[0]["from"] == "qdm_qiskit"
    shown = json.loads(qdm("devices", "show", "mine", "--json").out)
    assert (shown["name"], shown["qubits"], shown["couplers"]) == ("mine", 5, 10)
    assert {gate["name"] for gate in shown["gates"]} >= {"cx", "measure"}
    copied = tmp_path / "copy.json"
    assert qdm("devices", "export", "mine", copied).code == 0
    assert copied.read_text() == file.read_text()
    refused = qdm("devices", "export", "mine", copied)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert qdm("devices", "remove", "mine").code == 0
    assert not list(devices_folder().iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "fake_torino", "FILE"), "is the name of another device"),
        (("add", "a/b", "FILE"), "letters, digits"),
        (("add", "mine", "NOWHERE"), "There is no file"),
        (("show", "fake_tornio"), "Did you mean 'fake_torino'"),
        (("remove", "fake_torino"), "There is no saved device 'fake_torino'"),
    ],
)
def test_mistakes_are_one_line(qdm, file, arguments, says):
    names = {"FILE": file, "NOWHERE": file.parent / "nowhere.json"}
    result = qdm("devices", *(names.get(each, each) for each in arguments))
    assert result.code == 2
    assert says in result.err
    assert result.err.count("\n") == 1


def test_sampling_and_reports_take_a_saved_device(qdm, file, trained, tmp_path):
    qdm("devices", "add", "mine", file)
    out = tmp_path / "samples"
    options = ("--shots", 64, "--num-images", 1, "--layout-trials", 1)
    sampled = qdm("sample", trained, "--target", "noisy:mine", *options, "--out", out)
    assert sampled.code == 0, sampled.err
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["device"]["runner"]["backend"] == make_device("mine").name
    near = qdm("sample", trained, "--target", "noisy:mien", *options, "--out", tmp_path / "no")
    assert (near.code, "Did you mean 'mine'" in near.err) == (2, True)
    report = qdm(
        *("report", "transpile", trained, "--backend", "mine", "--trials", 1),
        *("--out", tmp_path / "report", "--json"),
    )
    assert report.code == 0, report.err
    assert json.loads(report.out)["backends"][0]["backend"] == make_device("mine").name


PLAN = ("--num-images", 1, "--shots", 64, "--layout-trials", 1, "--quiet", "--mitigation", "m3")


def planned(qdm, trained: Path, root: Path) -> str:
    made = qdm("run", "plan", trained, "--target", "local:mine", *PLAN, "--root", root, "--json")
    assert made.code == 0, made.err
    return next(each.name for each in root.iterdir() if (each / "plan.json").is_file())


def test_a_run_on_a_saved_device_is_planned_submitted_and_replayed(qdm, file, trained, tmp_path):
    qdm("devices", "add", "mine", file)
    root = tmp_path / "hardware"
    run = planned(qdm, trained, root)
    name = make_device("mine").name
    content = json.loads((root / run / "plan.json").read_text())["content"]
    assert (content["target"], content["backend"]) == (f"local:{name}", name)
    assert content["targets"] == ["local:mine"]
    sent = qdm("run", "submit", run, "--yes", "--root", root)
    assert sent.code == 0, sent.err
    assert qdm("run", "resume", run, "--root", root).code == 0
    calibration = next(p for p in (root / run).rglob("calibration*.json"))
    assert json.loads(calibration.read_text())["backend"] == name
    # A record stands by itself: it is computed again without the device.
    qdm("devices", "remove", "mine")
    replayed = qdm("run", "replay", run, "--root", root)
    assert replayed.code == 0, replayed.err
    assert "to the bit" in replayed.out


def test_a_run_refuses_another_device_of_the_same_name(qdm, file, trained, tmp_path):
    qdm("devices", "add", "mine", file)
    root = tmp_path / "hardware"
    run = planned(qdm, trained, root)
    was = make_device("mine").name
    add_device("mine", GenericBackendV2(5, seed=4), replace=True)
    refused = qdm("run", "submit", run, "--yes", "--root", root)
    assert refused.code == 2
    assert "Device 'mine' has changed" in refused.err
    assert was in refused.err
    assert refused.err.count("error:") == 1
    assert not (root / run / "counts").exists()
    qdm("devices", "remove", "mine")
    gone = qdm("run", "submit", run, "--yes", "--root", root)
    assert "is not known here" in gone.err
    # With the device that was planned for, the run goes its way.
    qdm("devices", "add", "mine", file)
    assert qdm("run", "submit", run, "--yes", "--root", root).code == 0


@pytest.mark.slow
def test_another_process_submits_what_was_planned_with_an_object(
    qdm, trained, tmp_path, monkeypatch
):
    backend = GenericBackendV2(5, seed=3)
    root = tmp_path / "hardware"
    config = PlanConfig(targets=(backend,), num_images=1, shots=64, layout_trials=1)
    plan = make_plan(trained, config, root=root)
    label = make_device(backend).label
    submit = ("run", "submit", plan.run_id, "--yes", "--root", root)
    monkeypatch.setattr(devices, "_in_hand", {})  # as in another process
    unknown = qdm(*submit)
    assert unknown.code == 2
    assert f"qdm devices add {label} PATH" in unknown.err
    add_device(label, backend)
    assert qdm(*submit).code == 0
