"""The ladder: rungs that are what the same sampling gives, honest notes, and costs by the formula."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qiskit.circuit.library import RZZGate
from qiskit_aer.noise import NoiseModel, ReadoutError, coherent_unitary_error, depolarizing_error
from qiskit_ibm_runtime.fake_provider.backends.fractional.fake_fractional import (
    FakeFractionalBackend,
)

import qdm_qiskit as qdm
from qdm_qiskit.engine.noise.runners import runner_for
from qdm_qiskit.errors import InvalidOption, UnknownName
from qdm_qiskit.evaluation import ladder_rungs
from qdm_qiskit.evaluation.ladder import LadderConfig, ladder_notes
from qdm_qiskit.evaluation.ladder_rungs import RUNGS
from qdm_qiskit.execution.devices import make_device
from qdm_qiskit.execution.rewritten import RewrittenRunner
from qdm_qiskit.hardware.plan.qpu_seconds import timing
from qdm_qiskit.models import whitened_codecs
from qdm_qiskit.sampling import SamplingConfig, TrainedRun, load_run, sample
from qdm_qiskit.transpiling.cost import circuit_cost
from qdm_qiskit.transpiling.waits import with_waits
from tests.helpers import write_run

SMALL = {"num_images": 3, "shots": 128, "classifier": False, "layout_trials": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return load_run(write_run(tmp_path_factory.mktemp("runs") / "r"))


def device(readout: float = 0.0, gates: float = 0.0, turned: float = 0.0):
    """A line of four qubits with chosen errors of readout and of cx."""
    noise = NoiseModel(basis_gates=["rz", "sx", "x", "cx"])
    if gates:
        noise.add_all_qubit_quantum_error(depolarizing_error(gates, 2), ["cx"])
    if turned:
        error = coherent_unitary_error(RZZGate(turned).to_matrix())
        noise.add_all_qubit_quantum_error(error, ["cx"])
    if readout:
        chances = [[1 - readout, readout], [readout, 1 - readout]]
        noise.add_all_qubit_readout_error(ReadoutError(chances))
    return make_device(
        noise,
        name=f"line{int(1000 * readout)}{int(1000 * gates)}{int(1000 * turned)}",
        num_qubits=4,
        coupling_map=[(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)],
    )


def test_rungs_are_what_sampling_gives(run):
    chosen = ["gates", "m3", "readout", "waiting"]
    found = qdm.ladder(run, "noisy:fake_manila", rungs=chosen, seed=5, **{**SMALL, "shots": 256})
    assert [row.name for row in found.rows] == [
        *("exact", "shots", "gates", "readout", "all", "waiting", "m3")
    ]
    plain = {"seed": 5, "num_images": 3, "shots": 256, "layout_trials": 1}
    exact = qdm.sample(run, num_images=3, seed=5).images
    np.testing.assert_array_equal(found.images["exact"], exact)
    sampled = {}
    for name, options in {
        "shots": {"noise": "none"},
        "gates": {"noise": "gates"},
        "readout": {"noise": "readout"},
        "all": {},
        "m3": {"mitigation": "m3"},
    }.items():
        sampled[name] = again = qdm.sample(run, "noisy:fake_manila", **plain, **options)
        np.testing.assert_array_equal(found.images[name], again.images)
        assert found.row(name).distance.estimate == pytest.approx(
            np.sqrt(((again.images - exact) ** 2).mean()), rel=1e-6
        )
    assert found.row("exact").distance.estimate == 0
    inner = runner_for("noisy:fake_manila", seed=5)
    waits = RewrittenRunner(inner, rewrite=lambda each: with_waits(each, inner.backend.target))
    config = SamplingConfig(target="noisy:fake_manila", **plain)
    np.testing.assert_array_equal(found.images["waiting"], sample(run, config, runner=waits).images)
    gain = found.row("m3").gain
    distances = [found.row(name).distance.estimate for name in ("all", "m3")]
    assert gain.estimate == pytest.approx(distances[0] - distances[1])
    # Predicted are the successes that the device's calibration gives the circuit that ran.
    cost = circuit_cost(again.circuit, inner.backend.target)
    predicted = {row.name: row.predicted for row in found.rows}
    assert predicted == {
        "exact": None,
        "shots": 1.0,
        "gates": pytest.approx(cost.gate_success),
        "readout": pytest.approx(cost.readout_success),
        "all": pytest.approx(cost.gate_success * cost.readout_success),
        "waiting": pytest.approx(cost.expected_success * cost.idle_success),
        "m3": None,
    }
    for name in ("gates", "readout", "all"):
        row = found.row(name)
        assert row.signal_interval.low <= row.signal_left <= row.signal_interval.high
        assert row.signal_left == pytest.approx(
            np.mean([each.signal_left for each in sampled[name].records])
        )


def test_costs_are_those_of_the_jobs(run):
    found = qdm.ladder(run, "noisy:fake_manila", rungs=["m3", "twirled-gates"], **SMALL)
    whole, m3, twirled = (found.row(name) for name in ("all", "m3", "twirled-gates"))
    steps, rows, shots = 3, 3, 128
    assert (whole.jobs, whole.circuits, whole.shots) == (3, steps * rows, steps * rows * shots)
    # EEQDM's circuit measures 3 qubits: a balanced calibration has 2 + ceil(log2(3)) circuits or so.
    extra = m3.circuits - whole.circuits
    assert (m3.jobs, m3.shots) == (4, whole.shots + extra * 8192)
    assert (twirled.circuits, twirled.shots) == (8 * whole.circuits, whole.shots)
    samples = qdm.sample(run, "noisy:fake_manila", num_images=3, shots=128, layout_trials=1)
    backend = qdm.load_backend("fake_manila")
    clock = timing(backend, samples.circuit)
    expected = 3 * 2.0 + whole.shots * (clock.rep_delay_seconds + clock.circuit_seconds)
    assert whole.qpu_seconds == pytest.approx(expected)
    assert found.row("exact").qpu_seconds is None
    assert all(row.processor_seconds > 0 for row in found.rows)


def test_a_part_without_errors_costs_nothing(run):
    # Readout errors alone: gates change no shot, and the readout is all the noise.
    found = qdm.ladder(run, device(readout=0.1), rungs=["gates", "readout", "m3"], **SMALL)
    images = found.images
    np.testing.assert_array_equal(images["gates"], images["shots"])
    np.testing.assert_array_equal(images["readout"], images["all"])
    assert found.row("gates").gain.estimate == 0
    assert found.row("readout").gain.estimate != 0


def test_m3_gives_back_what_the_readout_took(run):
    many = {**SMALL, "shots": 20_000, "num_images": 6}
    found = qdm.ladder(run, device(readout=0.1), rungs=["m3"], **many)
    assert found.row("all").gain.high < 0  # the readout costs more than these images scatter
    assert found.row("m3").gain.low > 0
    assert found.row("m3").distance.estimate < 0.2 * found.row("all").distance.estimate
    assert found.row("m3").step_distance < 0.2 * found.row("all").step_distance


def test_shots_alone_err_by_one_over_their_root(run):
    errors = [
        qdm.ladder(
            run, device(0.01), rungs=["shots"], **{**SMALL, "shots": shots, "num_images": 16}
        )
        .row("shots")
        .step_distance
        for shots in (100, 1600)
    ]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)


def test_remedies_say_what_the_noise_cannot_show(run):
    random = qdm.ladder(run, device(gates=0.02), rungs=["twirled-gates"], **SMALL)
    turned = qdm.ladder(run, device(turned=0.3), rungs=["twirled-gates"], **SMALL)
    assert "Not shown by this noise model: its errors are random" in random.rows[-1].note
    assert turned.rows[-1].note == ""
    measured = random.rows[-1].gain
    [said] = [each for each in ladder_notes(random.to_dict()) if each.startswith("twirled gates")]
    assert f"Measured: {measured.estimate:.3g} [" in said


def test_a_rung_that_cannot_run_says_why(run):
    names = ["waiting", "decoupling", "postselected", "refit"]
    found = qdm.ladder(run, device(gates=0.02), rungs=names, **SMALL)
    problems = {row.name: row.problem for row in found.rows if row.problem}
    assert set(problems) == set(names)
    assert "gives no durations" in problems["waiting"]
    assert "no linear head" in problems["refit"]
    assert "slow rx" in problems["postselected"]
    assert set(found.images) == {"exact", "shots", "all"}
    assert all(row.distance is None for row in found.rows if row.problem)


def test_a_head_is_fitted_again_where_there_is_one(tmp_path, monkeypatch):
    """On a device that reads one bit in five wrong; its circuits are counted, and cost seconds."""
    monkeypatch.setattr(whitened_codecs, "STEPS", 50)
    monkeypatch.setattr(ladder_rungs, "REFIT_CIRCUITS", 60)
    small = {"image_size": 4, "latents": 3, "num_qubits": 3, "uploads": 2, "bricks": 1}
    settings = {"guided": True, "classes": (0, 1), "num_steps": 3, "epochs": 30, "baseline": False}
    qdm.train("line", tmp_path / "run", **small, **settings)
    options = {**SMALL, "num_images": 12, "shots": 512}
    found = qdm.ladder(tmp_path / "run", device(readout=0.2), rungs=["refit"], **options)
    row, below = found.row("refit"), found.row("all")
    assert row.problem == ""
    assert row.distance.estimate < 0.7 * below.distance.estimate
    assert row.circuits == below.circuits + 60
    assert row.shots == below.shots + 60 * 512


@pytest.mark.slow
def test_fractional_gates_and_checks_of_shots_run_where_a_device_has_them(run):
    device = FakeFractionalBackend()
    names = ["fractional", "twirled-fractional", "postselected"]
    found = qdm.ladder(run, device, rungs=names, **{**SMALL, "shots": 256})
    assert not any(row.problem for row in found.rows)
    plain = {"num_images": 3, "shots": 256, "layout_trials": 1}
    again = qdm.sample(run, device, fractional_gates=True, **plain)
    np.testing.assert_array_equal(found.images["fractional"], again.images)
    # Two readings of each bit: shots that disagree are gone, and the rest are nearer.
    assert found.row("postselected").step_distance < found.row("all").step_distance
    assert found.row("postselected").note.startswith("Shown in part")
    other = qdm.ladder(run, "noisy:fake_manila", rungs=names[:2], **SMALL)
    problems = {row.name: row.problem for row in other.rows if row.problem}
    assert set(problems) == {"fractional", "twirled-fractional"}
    assert all("fake_manila has no rzz and no rx" in each for each in problems.values())


@pytest.mark.slow
def test_twirled_readout_is_shown_where_the_two_errors_differ(run):
    options = {**SMALL, "readout": "asymmetric", "rungs": ["twirled-readout"]}
    assert qdm.ladder(run, "noisy:fake_manila", **options).rows[-1].note == ""


@pytest.mark.slow
def test_decoupling_and_twirling_are_not_shown_as_worthless(run):
    names = ["decoupling", "twirled-readout"]
    found = qdm.ladder(run, "noisy:fake_manila", rungs=names, **SMALL)
    assert found.row("twirled-readout").note.startswith("Not shown by this noise model: it reads")
    row = found.row("decoupling")
    assert row.below == "waiting"
    assert row.note.startswith("Not shown by this noise model: waiting qubits relax")


@pytest.mark.slow
def test_labels_and_frechet_distances_need_a_classifier(tmp_path):
    settings = {"image_size": 4, "dataset": "digits", "num_steps": 2}
    run = load_run(write_run(tmp_path / "r", "q_dense", guided=True, ancilla=True, **settings))
    options = {"rungs": ["shots"], "num_images": 40, "shots": 16, "resamples": 20}
    found = qdm.ladder(run, "noisy:fake_manila", layout_trials=1, **options)
    share, frechet = found.row("exact").label_accuracy, found.row("exact").frechet
    assert 0 <= share.low <= share.estimate <= share.high <= 1
    assert share.estimate < 0.6  # weights are random, and labels no more than told
    assert frechet.estimate > 0
    assert found.judged["accuracy"] > 0.3
    few = qdm.ladder(run, "noisy:fake_manila", layout_trials=1, **{**options, "num_images": 4})
    assert few.row("exact").frechet is None  # fewer images than features


def test_what_is_written_is_what_was_found(run, tmp_path):
    names = ["refit", "m3"]
    found = qdm.ladder(run, device(readout=0.1), rungs=names, out=tmp_path / "l", **SMALL)
    assert sorted(each.name for each in (tmp_path / "l").iterdir()) == [
        *("ladder.json", "ladder.md", "ladder.png")
    ]
    data = json.loads((tmp_path / "l" / "ladder.json").read_text())
    assert data == json.loads(json.dumps(found.to_dict()))
    page = (tmp_path / "l" / "ladder.md").read_text()
    assert "head refitted on the device: not run." in page
    assert found._repr_html_().count("<tr") >= len(found.rows)
    assert repr(found) == "<Ladder: eeqdm, 4 of 5 rungs on " + found.backend + ">"


def test_rungs_bring_those_below_them():
    assert LadderConfig(rungs=("decoupling",)).names() == (
        *("exact", "shots", "all", "waiting", "decoupling"),
    )
    assert LadderConfig().names() == tuple(RUNGS)
    order = list(RUNGS)
    assert all(
        rung.below is None or order.index(rung.below) < order.index(name)
        for name, rung in RUNGS.items()
    )


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("aer", {}, "stands on a device's simulated noise, got target 'aer'"),
        ("noisy:fake_manila", {"noise": "gates"}, "takes the noise apart and mitigates it itself"),
        (
            "noisy:fake_manila",
            {"mitigation": "m3"},
            "leave noise at 'all' and mitigation at 'none'",
        ),
        ("noisy:fake_manila", {"num_images": 1}, "num_images of at least 2, got 1"),
        ("noisy:fake_manila", {"rungs": ["m33"]}, "rung 'm33'"),
        ("noisy:fake_manila", {"pulses": "off"}, "pulses is"),
        ("noisy:fake_manila", {"randomizations": 0}, "randomizations is 1 to 10000, got 0"),
        ("noisy:fake_manila", {"shotz": 1}, "option 'shotz'"),
    ],
)
def test_a_wrong_option_is_one_line(run, target, options, message):
    with pytest.raises(InvalidOption, match=message) as caught:
        qdm.ladder(run, target, **options)
    assert "\n" not in str(caught.value)


def test_a_rung_is_found_by_its_name(run):
    found = qdm.ladder(run, device(readout=0.1), rungs=["shots"], **SMALL)
    with pytest.raises(UnknownName, match="rung 'm3'"):
        found.row("m3")
