import json
import os
from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qdm_qiskit.errors import (
    InvalidData,
    InvalidOption,
    OutputNotWritable,
    UnknownName,
    UnsupportedCircuit,
)
from qdm_qiskit.evaluation.transpile import transpile_report
from qdm_qiskit.pages import render_page
from qdm_qiskit.pages.drawing import shown
from qdm_qiskit.reports import transpile_render as module
from qdm_qiskit.reports.transpile_render import transpile_page, write_report
from tests.pages.reading import assert_self_contained

SEEDS = (3, 4, 5)


def full(num_qubits=3, layers=1):
    """Loader, barrier, ring of CNOTs, measurement."""
    circuit = QuantumCircuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.ry(Parameter(f"x_{qubit:04d}"), qubit)
    circuit.cx(0, 1)
    circuit.barrier(label="denoiser")
    for _ in range(layers):
        for qubit in range(num_qubits):
            circuit.cx(qubit, (qubit + 1) % num_qubits)
    circuit.measure_all()
    return circuit


@pytest.fixture(scope="module")
def report():
    calls = []
    made = transpile_report(
        "toy",
        full(),
        ["fake_torino", "fake_quito"],
        seeds=SEEDS,
        example_values=np.array([0.3, 0.1, 0.2]),
        progress=lambda each: calls.append((each, each.done, each.total)),
    )
    assert calls[0] == ("fake_torino", 1, 3)
    assert calls[-1] == ("fake_quito", 3, 3)
    return made


def test_logical_counts_are_the_circuits(report):
    assert report.logical.loader.cnot_count == 1
    assert report.logical.denoiser.cnot_count == 3
    assert report.logical.total.cnot_count == 4
    assert report.logical.total.parameters == 3


def test_parts_add_up_and_the_best_is_within_the_spread(report):
    assert [b.backend for b in report.backends] == ["fake_torino", "fake_quito"]
    for backend in report.backends:
        cost = backend.cost
        assert (
            cost.loader.two_qubit_count + cost.denoiser.two_qubit_count
            == cost.total.two_qubit_count
        )
        assert backend.best_seed in SEEDS
        assert backend.spread["expected_success"].largest == cost.total.expected_success
        assert backend.spread["depth"].smallest <= backend.spread["depth"].median
        assert set(backend.layout) == set(backend.measured_qubits)
        assert cost.total.readout_error > 0
        assert cost.total.duration_seconds > 0


def test_shallow_circuit_survives_and_it_was_simulated(report):
    for backend in report.backends:
        assert backend.verdict.method == "simulated"
        assert not backend.verdict.erased
        assert 0.5 < backend.verdict.fraction < 1
        assert "survives" in backend.verdict.sentence


def test_deep_circuit_is_erased_by_either_method():
    circuit = full(3, layers=400)
    # Level 0 cancels nothing. All that is left is relaxation towards 0, which is no signal.
    for example in (np.zeros(3), None):
        deep = transpile_report(
            "deep", circuit, ["fake_quito"], level=0, seeds=[1], example_values=example, shots=1000
        )
        (backend,) = deep.backends
        assert backend.verdict.method == ("estimated" if example is None else "simulated")
        assert backend.cost.total.expected_success < 1e-3
        assert backend.verdict.erased
        assert "erased the signal" in backend.verdict.sentence


def test_circuit_without_barrier_is_all_denoiser():
    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    circuit.measure_all()
    (backend,) = transpile_report("bare", circuit, ["fake_quito"], seeds=[1]).backends
    assert backend.cost.loader.depth == 0
    assert backend.cost.denoiser == backend.cost.total


def test_files_are_written_and_say_the_same(report, tmp_path):
    paths = write_report(report, tmp_path / "transpile_reports")
    assert [p.name for p in paths] == ["toy.json", "toy.md", "toy.png", "toy.html"]
    assert sorted(os.listdir(tmp_path / "transpile_reports")) == sorted(p.name for p in paths)
    data = json.loads(paths[0].read_text())
    assert data == json.loads(json.dumps(report.to_dict()))
    assert data["schema"] == "transpile-report/1"
    text = paths[1].read_text()
    for backend in report.backends:
        assert backend.verdict.sentence in text
        assert f"## {backend.backend}" in text
        assert f"| two-qubit gates | {backend.cost.loader.two_qubit_count} |" in text
    assert paths[2].read_bytes().startswith(b"\x89PNG")


def test_the_page_draws_each_chip_with_the_circuit_on_it(report):
    page = assert_self_contained(render_page(transpile_page(report.to_dict(), report.chips)))
    words = page.words()
    for backend, chip in zip(report.backends, report.chips, strict=True):
        assert backend.verdict.sentence in words
        assert chip.layout == backend.layout
        assert sum(chip.uses) == backend.cost.total.two_qubit_count
        for number, physical in enumerate(backend.layout):
            error = f"readout error {chip.readout_errors[physical]:.2g}"
            assert f"qubit {physical}, {error}" in words
            assert f"holds logical qubit {number}" in words
    used = [each for each in page.all("g") if "qubit used" in (each.get("class") or "")]
    assert len(used) == sum(len(each.layout) for each in report.backends)
    assert len(page.all("circle")) >= sum(each.device_qubits for each in report.backends)
    # Parts of -ln(success) are those of the cost.
    cost = report.backends[0].cost.total
    text = f"fake_torino, readout: {shown(-np.log(cost.readout_success))}"
    assert text in words


def test_figures_for_papers(report, tmp_path):
    paths = write_report(report, tmp_path / "a", ["svg", "pdf"])
    assert [p.name for p in paths[-2:]] == ["toy.svg", "toy.pdf"]
    assert paths[-2].read_text().startswith("<?xml")
    assert paths[-1].read_bytes().startswith(b"%PDF")
    again = write_report(report, tmp_path / "b", ["svg", "pdf"])
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in again]
    with pytest.raises(UnknownName, match="format of figures called 'eps'"):
        write_report(report, tmp_path / "c", ["eps"])
    assert not (tmp_path / "c").exists()


@pytest.mark.slow
def test_same_input_writes_the_same_text(report, tmp_path):
    example = np.array([0.3, 0.1, 0.2])
    again = transpile_report(
        "toy", full(), ["fake_torino", "fake_quito"], seeds=SEEDS, example_values=example
    )
    first = write_report(report, tmp_path / "a")
    second = write_report(again, tmp_path / "b")
    for one, other in zip(first[:2], second[:2], strict=True):
        assert one.read_text() == other.read_text()


def test_folder_that_cannot_be_made_is_one_line(report, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(OutputNotWritable, match="Cannot write") as caught:
        write_report(report, blocker / "reports")
    assert "\n" not in str(caught.value)


def test_full_disk_leaves_the_old_report_whole(report, tmp_path, monkeypatch):
    before = {p: p.read_bytes() for p in write_report(report, tmp_path)}

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "replace", full_disk)
    with pytest.raises(OutputNotWritable, match="No space left on device"):
        write_report(report, tmp_path)
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"name": "../toy"}, InvalidOption, "name"),
        ({"name": ""}, InvalidOption, "name"),
        ({"backends": []}, InvalidOption, "at least one backend"),
        ({"backends": ["fake_torinoo"]}, UnknownName, "Did you mean 'fake_torino'"),
        ({"seeds": []}, InvalidOption, "at least one transpiler seed"),
        ({"level": 7}, InvalidOption, "level"),
        ({"shots": 0}, InvalidOption, "shots must be at least 1, got 0"),
        ({"example_values": np.zeros(2)}, InvalidData, "one finite row of 3"),
        ({"example_values": np.full(3, np.nan)}, InvalidData, "one finite row of 3"),
        ({"circuit": QuantumCircuit(2, 2)}, UnsupportedCircuit, "never measures"),
        ({"circuit": full(6)}, UnsupportedCircuit, "6 qubits and the device has 5"),
    ],
)
def test_bad_input_is_refused(change, error, says):
    arguments = {"name": "toy", "circuit": full(), "backends": ["fake_quito"], "seeds": [1]}
    with pytest.raises(error, match=says):
        transpile_report(**{**arguments, **change})


def test_report_names_are_relative(report):
    assert not Path(report.name).is_absolute()


@pytest.mark.parametrize("snapshot", ["fake_torino", "fake_quito"])
def test_the_simulated_verdict_is_of_aers_distribution(monkeypatch, snapshot):
    """The engine simulates the device; Aer has the same distribution and mean output."""
    from qdm_qiskit.evaluation import transpile
    from qdm_qiskit.execution.noisy import NoisyRunner
    from qdm_qiskit.transpiling.passes import select_values, transpile_for

    circuit, example = full(), np.array([0.3, 1.1, -0.2])
    aer = NoisyRunner(snapshot, seed=0)
    isa = transpile_for(circuit, aer.backend, level=1, seed=3)
    noisy, erased = transpile._simulated(snapshot, circuit, isa, example)
    expected = aer.exact_probabilities(isa, select_values(example[None], circuit, isa))[0]
    np.testing.assert_allclose(noisy, expected, atol=1e-8)
    np.testing.assert_allclose(erased, aer.mean_output(isa), atol=1e-8)
    # And it is the engine that does it: Aer is not asked.
    monkeypatch.setattr(NoisyRunner, "_exact", None)
    again, _ = transpile._simulated(snapshot, circuit, isa, example)
    np.testing.assert_array_equal(again, noisy)
