"""A model on many devices: numbers of the reports, items that are done once, and limits."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp, Statevector

from qdm_qiskit.circuits import ExpectationReadout, eeqdm
from qdm_qiskit.cli.main import EXIT_ERROR
from qdm_qiskit.diffusion import InterpolatedNoise
from qdm_qiskit.errors import InvalidOption, UnknownName
from qdm_qiskit.evaluation.comparison import Comparison, comparison_table, device_row
from qdm_qiskit.evaluation.transpile import exact_probabilities, share_in_bases, verdict_of
from qdm_qiskit.execution.devices import as_backend
from qdm_qiskit.execution.noisy import NoisyRunner
from qdm_qiskit.models import Denoiser
from qdm_qiskit.overview import RunRow
from qdm_qiskit.reports.comparison_render import draw_comparison
from qdm_qiskit.reports.figures import png_bytes
from qdm_qiskit.sampling.readings import Reading
from qdm_qiskit.tasks import compare, cost
from qdm_qiskit.tasks.comparing import cost_on_device, listed_devices
from qdm_qiskit.tasks.run_work import run_work
from qdm_qiskit.transpiling.passes import (
    best_trial,
    layout_trials,
    select_values,
    transpile_for,
)
from tests.cli.conftest import Qdm, qdm  # noqa: F401 (a fixture)
from tests.pages.reading import assert_self_contained

SMALL = {"image_size": 2, "depth": 1, "num_steps": 2}
WORDS = [part for k, v in SMALL.items() for part in ("--set", f"{k}={v}")]


@pytest.fixture(scope="module")
def found() -> Comparison:
    return compare(
        "eeqdm", ["fake_quito", "fake_armonk", "fake_torino"], settings=SMALL, trials=1, shots=100
    )


@pytest.mark.slow
def test_numbers_are_those_of_the_report_of_a_circuit(found):
    settings = {name: value for name, value in SMALL.items() if name != "num_steps"}
    report = cost("eeqdm", ["fake_quito", "fake_torino"], settings=settings, trials=1, shots=100)
    rows = {row.name: row.metrics for row in found.table.rows}
    for each in report.backends:
        total, row = each.cost.total, rows[each.backend]
        assert (row["depth"], row["two_qubit"]) == (total.depth, total.two_qubit_count)
        assert row["two_qubit_depth"] == total.two_qubit_depth
        assert row["cnots"] == total.cnot_equivalents
        assert row["success"] == total.expected_success
        assert row["duration_us"] == pytest.approx(total.duration_seconds * 1e6)
        assert row["device_qubits"] == each.device_qubits
        assert each.verdict.method == "simulated"
        assert 0 < row["signal_left"] <= 1.05
    torino = rows["fake_torino"]
    # IBM's formula by hand: two steps of one job each, 16 images, 250 us between shots.
    seconds = 2 * (2.0 + 16 * 100 * (250e-6 + torino["duration_us"] * 1e-6))
    assert torino["qpu_seconds"] == pytest.approx(seconds)


def test_a_device_that_is_too_small_is_a_row(found):
    row = found.table.rows[-1]
    assert (row.name, row.state) == ("fake_armonk", "too small")
    assert "has 3 qubits and the device has 1" in row.metrics["problem"]
    assert found.notes() == [f"fake_armonk: {row.metrics['problem']}"]
    assert found.failures == {}


def test_rows_stand_by_success(found):
    ranks = [row.value("rank") for row in found.table.rows]
    assert ranks == [1, 2, None]
    first, second, _ = found.table.rows
    assert first.metrics["success"] > second.metrics["success"]
    tied = [
        RunRow(n, "device", "done", {}, {"success": 0.5, "cnots": c})
        for n, c in (("a", 9), ("b", 3))
    ]
    assert [row.name for row in comparison_table("x", tied).rows] == ["b", "a"]


def test_it_shows_itself(found):
    page = found._repr_html_()
    assert "fake_torino" in page
    assert "too small" in page
    assert "has 3 qubits" in page
    assert repr(found) == ("<Comparison: eeqdm_image_size2_depth1_num_steps2, 3 rows, 0 failed>")


def test_limits_name_rows(found):
    best, worse, _ = found.table.rows
    between = (best.metrics["success"] + worse.metrics["success"]) / 2
    failing = found.failing(below={"success": between})
    assert [each.name for each in failing] == [worse.name]
    assert f"is below {between:g}" in str(failing[0])
    assert found.failing({"cnots": 10**6}, {"success": 0.0}) == []
    assert len(found.failing({"depth": 1})) == 2
    unknown = replace(best, metrics={**best.metrics, "duration_us": None})
    part = replace(found, table=replace(found.table, rows=(unknown, worse)))
    told = part.failing(above={"duration_us": 1e9})
    assert [str(each) for each in told] == [
        f"{best.name}: duration_us is not known, and may not be above 1e+09"
    ]
    alone = replace(found, table=replace(found.table, rows=(unknown,)))
    with pytest.raises(InvalidOption, match="No row has a duration_us"):
        alone.failing(above={"duration_us": 1e9})
    nobody = replace(found, table=replace(found.table, rows=found.table.rows[-1:]))
    with pytest.raises(InvalidOption, match="no limit was tested"):
        nobody.failing(above={"depth": 1})
    with pytest.raises(UnknownName, match="Did you mean 'cnots'"):
        found.failing(above={"cnot": 1})
    with pytest.raises(InvalidOption, match="takes a number"):
        found.failing(above={"cnots": float("nan")})


def test_devices_by_name_and_all_of_them():
    assert listed_devices(["fake_quito", "fake_quito"]) == ["fake_quito"]
    assert len(listed_devices("all")) >= 60
    with pytest.raises(UnknownName, match="Did you mean 'fake_quito'"):
        listed_devices(["fake_quit"])
    with pytest.raises(InvalidOption, match="at least one backend"):
        listed_devices([])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"levels": [4]}, "levels are 0 to 3"),
        ({"levels": []}, "levels is a list with at least one"),
        ({"loaders": "exact"}, "`loaders` is a list"),
        ({"trials": 0}, "trials must be at least 1"),
        ({"settings": {"dept": 1}}, "Did you mean 'depth'"),
        ({"workers": 0}, "workers is a whole number"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(options, told):
    with pytest.raises(Exception, match=told):
        compare("eeqdm", ["fake_quito"], **{"settings": SMALL, **options})


def test_more_devices_do_those_alone(tmp_path, monkeypatch):
    asked = []

    def counted(folder, **arguments):
        asked.append((arguments["device"], arguments["level"], arguments["loader"]))
        return cost_on_device(folder, **arguments)

    counted.__module__, counted.__qualname__ = "here", "counted"
    monkeypatch.setattr("qdm_qiskit.tasks.comparing.cost_on_device", counted)
    shared = {"settings": SMALL, "trials": 1, "folder": tmp_path}
    compare("eeqdm", ["fake_quito"], **shared)
    again = compare("eeqdm", ["fake_quito", "fake_lima"], levels=[3, 0], **shared)
    other = compare("eeqdm", ["fake_lima"], loaders=["exact", None], **shared)
    assert asked == [
        ("fake_quito", 3, None),
        ("fake_quito", 0, None),
        ("fake_lima", 3, None),
        ("fake_lima", 0, None),
        ("fake_lima", 3, "exact"),
    ]
    assert again.table.options == ("level",)
    assert other.table.options == ("loader",)
    assert {row.options["loader"] for row in other.table.rows} == {"exact", "own"}
    assert png_bytes(draw_comparison(again.table)).startswith(b"\x89PNG")


def test_the_command_writes_and_fails(qdm, tmp_path):  # noqa: F811
    command = ["compare", "eeqdm", *WORDS, "--trials", "1", "--out", tmp_path / "out", "--quiet"]
    command += ["--backend", "fake_quito,fake_armonk"]
    done = qdm(*command, "--fail-above", "cnots=1000", "--fail-below", "success=0.1")
    assert done.code == 0, done.err
    assert "too small" in done.out
    names = ("comparison.csv", "comparison.json", "comparison.html", "comparison.png")
    assert [line.split("/")[-1] for line in done.out.splitlines() if "written" in line] == list(
        names
    )
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert content["schema"] == "qdm-comparison/1"
    assert content["failing"] == []
    page = assert_self_contained((tmp_path / "out" / "comparison.html").read_text())
    assert "has 3 qubits" in page.words()
    assert len(page.all("circle")) == 5  # the device that runs, in each panel
    bad = qdm(*command, "--fail-above", "cnots=1", "--json")
    assert bad.code == 1
    assert json.loads(bad.out)["failing"][0].startswith("fake_quito: cnots")
    assert "beyond a limit: fake_quito: cnots" in bad.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--fail-above", "cnot=1"], "Did you mean 'cnots'?"),
        (["--fail-below", "success"], "set as name=value"),
        (["--fail-below", "success=much"], "takes a number for 'success'"),
        (["--optimization-level", "high"], "optimization_level is a list of numbers 0 to 3"),
        (["--sort", "cnot"], "Did you mean 'cnots'?"),
        (["--backend", "fake_tor"], "There is no device 'fake_tor'"),
    ],
)
def test_bad_words_are_one_line_before_any_work(qdm, tmp_path, words, told):  # noqa: F811
    done = qdm("compare", "eeqdm", *WORDS, "--out", tmp_path / "out", *words)
    assert done.code == EXIT_ERROR
    assert told in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_signal_of_several_bases_is_that_of_aers_distributions():
    """Recomputed from Aer's noise and Qiskit's states, for one device and one noisy image."""
    device = as_backend("fake_quito")
    terms = (SparsePauliOp(["ZZI", "IZI"]), *map(SparsePauliOp, ("XII", "IYZ", "IIZ")))
    spec = replace(eeqdm(num_data=2, depth=1), readout=ExpectationReadout(observables=terms))
    generator = torch.Generator().manual_seed(0)
    model = Denoiser.from_spec(spec, image_shape=(1, 2, 2), generator=generator)
    work = run_work(model, InterpolatedNoise(2), num_images=1, shots=100)
    row = device_row("own", work, "fake_quito", level=3, seeds=[5], shots=100, fractional=False)
    [call] = [call for job in work.jobs for call in job]
    reading = Reading.of(call.spec)
    assert reading.num_circuits > 1
    isa = transpile_for(call.circuit, device, seed=5, read=reading.qubits)
    aer, spent, signal = NoisyRunner(device, seed=0), 0.0, 0.0
    values = call.values[:1]
    for logical, circuit in zip(
        reading.circuits(call.circuit, None), reading.circuits(isa, device.target), strict=True
    ):
        noisy = aer.exact_probabilities(circuit, select_values(values, logical, circuit))[0]
        erased = aer.mean_output(circuit)
        bare = logical.remove_final_measurements(inplace=False)
        bound = bare.assign_parameters(select_values(values, logical, bare)[0])
        exact = Statevector(bound).probabilities(list(reading.qubits))
        difference = exact - erased
        spent += float(difference @ (noisy - erased))
        signal += float(difference @ difference)
    assert row["signal_left"] == pytest.approx(spent / signal, abs=1e-6)
    assert 0 < row["signal_left"] < 1


def test_the_signal_of_a_model_that_reads_values_is_known():
    settings = {"num_qubits": 3, "uploads": 2, "bricks": 1}
    [row] = compare("line", "fake_quito", settings=settings, trials=1, shots=100).table.rows
    assert 0 < row.metrics["signal_left"] < 1.05


def test_a_circuit_in_one_basis_has_the_verdict_of_its_report():
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("a"), 0)
    circuit.cx(0, 1)
    circuit.measure_all()
    device, values = as_backend("fake_quito"), np.array([1.2])
    best = best_trial(layout_trials(circuit, device, seeds=[1]))
    exact = exact_probabilities(circuit, values)
    one = verdict_of(device, circuit, best, values, exact, 100)
    assert share_in_bases(device, [(circuit, best.circuit)], values, 0.5, 100) == one
    twice = share_in_bases(device, [(circuit, best.circuit)] * 2, values, 0.5, 100)
    assert twice.fraction == pytest.approx(one.fraction)
    # In a basis in which every outcome is as likely as any other there is nothing to lose.
    blank = QuantumCircuit(2)
    blank.h([0, 1])
    blank.rz(circuit.parameters[0], 0)
    blank.measure_all()
    flat = best_trial(layout_trials(blank, device, seeds=[1])).circuit
    both = share_in_bases(device, [(circuit, best.circuit), (blank, flat)], values, 0.5, 100)
    assert both.fraction == pytest.approx(one.fraction, abs=0.02)
