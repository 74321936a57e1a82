"""Runs whose chain is one circuit: sent, stopped at every write, resumed, replayed, told of."""

from __future__ import annotations

import dataclasses
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import qdm_qiskit as qdm
from qdm_qiskit.errors import InvalidData, InvalidPlan
from qdm_qiskit.evaluation.hardware_run import hardware_report
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.ledger.run_files import read_counts, write_counts
from qdm_qiskit.hardware.plan.planned_files import read_all_circuits
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.run.commands import resume_run, run_state, submit_run
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.hardware.run.whole_chain import WholeChain
from qdm_qiskit.pages import render_page
from qdm_qiskit.reports.hardware_figures import draw_chain
from qdm_qiskit.reports.hardware_render import hardware_page, render_markdown
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from tests.hardware.plan.test_chains import folder, planned, run_of  # noqa: F401 (fixtures)
from tests.hardware.run.test_call_chain import Killed, Shelf, copied, killed_at
from tests.helpers import images_of
from tests.state_runs import STATE_RUNS

# ruff: noqa: F811 (fixtures of another file are arguments here)

DEVICE = "local:fake_manila"


@pytest.mark.parametrize("name", STATE_RUNS)
def test_the_exact_chain_is_the_one_of_qdm_sample(run_of, tmp_path, name):
    """And so the engine's, step by step: two ways to every number."""
    run = run_of(name)
    chain = WholeChain(planned(run, tmp_path, seed=1))
    chain.advance_exactly()
    at_once = SamplingConfig(num_images=2, seed=1, chain="coherent")
    found = sample(load_run(run), at_once)
    np.testing.assert_allclose(chain.images(), found.images, atol=1e-6)
    if name != "quddpm":  # whose histories are drawn otherwise from step to step
        steps = sample(load_run(run), SamplingConfig(num_images=2, seed=1)).images
        np.testing.assert_allclose(chain.images(), steps, atol=1e-5)


QUICK = (("cacioppo", "aer"), ("quddpm", "engine"), ("unitary", "engine"))


@pytest.mark.parametrize(
    ("name", "target"),
    [
        pair if pair in QUICK else pytest.param(*pair, marks=pytest.mark.slow)
        for pair in product(STATE_RUNS, ("engine", "aer"))
    ],
)
def test_a_run_keeps_what_the_plan_expects_and_is_replayed_to_the_bit(
    run_of, tmp_path, name, target
):
    shots = 20_000
    plan = planned(run_of(name), tmp_path, target, shots=shots)
    state = submit_run(plan.folder)
    assert (state.state, state.step, state.total_steps, state.jobs) == ("done", 0, 1, 1)
    found = replay(plan.folder)
    assert found.equal
    assert found.difference == 0.0
    p = np.array(plan.chain.kept)
    page, pictures = hardware_report(plan.folder)
    if name == "quddpm":
        assert found.histories is not None
        exact = WholeChain(plan)
        exact.advance_exactly(found.histories)
        p = exact.result.kept
        np.testing.assert_array_equal(exact.result.histories, found.histories)
    assert (np.abs(found.kept - p) < 5 * np.sqrt(p * (1 - p) / shots) + 1e-6).all()
    assert page.chain["kept"] == found.kept.tolist()
    assert page.image_error < 0.05
    assert found.steps[0].raw_distance < 2 * found.steps[0].shot_distance
    assert pictures.trajectory.shape[0] == 2


def test_on_a_device_with_reused_qubits_it_is_the_circuit_that_was_planned(run_of, tmp_path):
    """The device's own circuit without its noise has the exact chain's distribution."""
    from qiskit_aer import AerSimulator

    from qdm_qiskit.hardware.run.call_chain import PlannedTarget

    plan = planned(run_of("cacioppo", num_steps=4), tmp_path, DEVICE)
    [circuit], _ = read_all_circuits(plan)
    assert circuit.count_ops()["reset"] == 3  # four ancillas on one qubit
    assert len({q for item in circuit.data for q in item.qubits}) == 3
    jobs = []

    class Stop(Exception):
        pass

    def look(asked):
        jobs.extend(asked)
        raise Stop

    with pytest.raises(Stop):
        WholeChain(plan).walk(PlannedTarget(plan, look))
    [(isa, values)] = jobs[0].pubs(lambda _: circuit)
    [exact] = jobs[0].distributions()
    shots = 2_000
    for row, expected in zip(values, exact, strict=True):
        bound = isa.assign_parameters(row)
        counts = AerSimulator().run(bound, shots=shots, seed_simulator=2).result().get_counts()
        seen = np.zeros(64)
        for key, count in counts.items():
            seen[int(key, 2)] = count / shots
        sigma = np.sqrt(expected * (1 - expected) / shots)
        assert (np.abs(seen - expected) < 5 * sigma + 3 / shots).all()  # of rare ones a few


@pytest.mark.slow
def test_m3_mends_the_bits_of_a_qubit_that_is_measured_several_times(run_of, tmp_path):
    """On a device whose only errors are those of its readout: what M3 is for."""
    from qiskit_aer.noise import NoiseModel, ReadoutError

    from qdm_qiskit.execution.devices import as_backend

    noise = NoiseModel(basis_gates=["cx", "rz", "sx", "x", "id", "reset"])
    for qubit, (up, down) in enumerate([(0.02, 0.08), (0.1, 0.03), (0.05, 0.12), (0.04, 0.04)]):
        noise.add_readout_error(ReadoutError([[1 - up, up], [down, 1 - down]]), [qubit])
    device = as_backend(noise)
    shots = 2_000
    plan = planned(
        run_of("cacioppo", num_steps=9),
        tmp_path,
        device,
        shots=shots,
        mitigation="m3",
        calibration_shots=8_000,
    )
    assert plan.chain.reuse_qubits
    assert plan.calibration.circuits == 4
    submit_run(plan.folder)
    found = replay(plan.folder)
    assert found.difference == 0.0
    [step] = found.steps
    assert step.raw_distance > 2 * step.mitigated_distance
    p = np.array(plan.chain.kept)
    raw = read_counts(plan.folder / "steps" / "step-0009.npz").counts[0]
    projected = np.arange(raw.shape[1]) >> 2 == 0
    off = np.abs(raw[:, projected].sum(axis=1) / shots - p)
    assert (off > 0.15).all()
    assert (np.abs(found.kept - p) < 0.06).all()


# --- stopped and taken up again -----------------------------------------------------------------


def kill_and_resume(plan, root: Path, every: int) -> int:
    whole = copied(plan, root / "whole")
    with killed_at(0, "") as (writes, files):
        submit_run(whole.folder)
    sides = ("before", "within", "after")
    points = [(n, sides[n % 3]) for n in range(1, writes[0] + 1, every)]
    points += [(n, "unnamed") for n in range(1, len(files) + 1, every)]
    for number, side in points:
        again = copied(plan, root / f"killed-{number}-{side}")
        with pytest.raises(Killed), killed_at(number, side):
            submit_run(again.folder)
        state = submit_run(again.folder)
        assert (state.state, state.jobs) == ("done", plan.num_jobs), (number, side)
        np.testing.assert_array_equal(images_of(again.folder), images_of(whole.folder))
        assert replay(again.folder).difference == 0.0
        ledger = Ledger.open(again.folder.parent)
        assert not [row for row in ledger.reservations(again.run_id) if row["state"] == "held"]
        ledger.close()
    return len(points)


@pytest.mark.parametrize("name", ["cacioppo", pytest.param("quddpm", marks=pytest.mark.slow)])
def test_killed_at_any_write_it_ends_with_the_same_images(run_of, tmp_path, name):
    plan = planned(run_of(name), tmp_path / "fresh", shots=50)
    assert kill_and_resume(plan, tmp_path, 3) > 4


@pytest.mark.slow
@pytest.mark.parametrize("device", ["fake_manila", "fake_torino"])
@pytest.mark.parametrize("name", STATE_RUNS)
def test_killed_at_every_write_on_a_device(run_of, tmp_path, monkeypatch, name, device):
    """Also in parts; the latent model on more qubits than the small device takes reused ones."""
    from qdm_qiskit.hardware.plan import work

    if (name, device) == ("conditioned", "fake_manila"):
        device = "fake_nairobi"
    # A shot of the conditioned circuit is a trajectory of seven qubits, so it gets few.
    shots, every = (100, 4) if name == "conditioned" else (200, 1)
    monkeypatch.setattr(work, "MAX_EXECUTIONS", 2 * shots)
    plan = planned(run_of(name), tmp_path / "fresh", f"local:{device}", shots=shots)
    in_parts = planned(run_of(name), tmp_path / "parts", f"local:{device}", shots=shots * 3 // 2)
    assert in_parts.num_jobs == 2 * plan.num_jobs  # QuDDPM's images take three rows
    assert kill_and_resume(plan, tmp_path, every) > 10 // every
    assert kill_and_resume(in_parts, tmp_path / "in-parts", 4 * every) > 4 // every


def test_in_parts_it_is_the_same_chain(run_of, tmp_path, monkeypatch):
    from qdm_qiskit.hardware.plan import work

    monkeypatch.setattr(work, "MAX_EXECUTIONS", 1_000)
    plan = planned(run_of("quddpm"), tmp_path, num_images=3)  # 9 rows of 500 shots
    assert plan.num_jobs == 5
    submit_run(plan.folder)
    found = replay(plan.folder)
    assert found.difference == 0.0
    assert found.steps[0].raw_distance < 2 * found.steps[0].shot_distance
    assert len(found.steps[0].job_id.split()) == 5


def test_detached_it_is_sent_and_taken_up_again(run_of, tmp_path, monkeypatch):
    from qdm_qiskit.hardware.providers.local import LocalProvider

    monkeypatch.setattr(LocalProvider, "in_process", False)
    plan = planned(run_of("cacioppo"), tmp_path)
    state = submit_run(plan.folder, detach=True)
    assert (state.state, state.step, state.jobs) == ("running", 1, 1)
    monkeypatch.setattr(LocalProvider, "status", lambda self, job_id: "done")
    assert resume_run(tmp_path, plan.run_id).state == "done"
    assert replay(plan.folder).difference == 0.0


def test_a_users_provider_that_loses_the_job_is_sent_it_again(run_of, tmp_path):
    provider = Shelf()
    config = PlanConfig(num_images=2, shots=300, budget="b")
    plan = make_plan(run_of("quddpm"), config, root=tmp_path, provider=provider)
    assert plan.total_seconds == pytest.approx(2.0 + 0.001 * 2 * 3 * 300)
    ledger = Ledger.open(tmp_path)
    ledger.set_budget("b", seconds=2 * plan.total_seconds)
    provider.lost = {"job-1"}
    assert submit_run(plan.folder, provider=provider).state == "done"
    assert [each.part for each in provider.jobs.values()] == ["step-0002", "step-0002"]
    assert ledger.budget("b").spent_seconds == pytest.approx(plan.total_seconds)
    ledger.close()
    found = replay(plan.folder)
    assert found.difference == 0.0
    assert found.steps[0].raw_distance < 2 * found.steps[0].shot_distance


# --- what is refused ----------------------------------------------------------------------------


def test_no_shot_left_is_one_line_and_the_run_failed(run_of, tmp_path):
    plan = planned(run_of("cacioppo"), tmp_path)
    submit_run(plan.folder)
    path = plan.folder / "steps" / "step-0002.npz"
    stored = read_counts(path)
    lost = np.zeros_like(stored.counts[0])
    lost[:, -1] = 500  # all ancillas in 1
    path.unlink()
    write_counts(path, dataclasses.replace(stored, counts=(lost,)))
    with pytest.raises(InvalidData, match="No shot of image 0 passed all projections") as caught:
        replay(plan.folder)
    assert "\n" not in str(caught.value)


def test_a_model_that_calls_another_circuit_is_refused_before_anything_is_sent(
    run_of, tmp_path, monkeypatch
):
    from qdm_qiskit.models import Cacioppo

    plan = planned(run_of("cacioppo"), tmp_path)
    parts = Cacioppo.chain_parts
    monkeypatch.setattr(Cacioppo, "chain_parts", lambda self, steps: parts(self, steps)[::-1])
    with pytest.raises(InvalidPlan, match="calls other circuits"):
        submit_run(plan.folder)
    assert run_state(tmp_path, plan.run_id).jobs == 0


# --- the page -----------------------------------------------------------------------------------


def test_the_page_has_the_expected_and_the_measured_share(run_of, tmp_path):
    plan = planned(run_of("cacioppo", num_steps=4), tmp_path, DEVICE, shots=100)
    submit_run(plan.folder)
    page, pictures = hardware_report(plan.folder)
    content = page.to_dict()
    text = render_markdown(content)
    kept = replay(plan.folder).kept
    assert f"{kept.min():.3g} to {kept.max():.3g}" in text
    assert f"{min(plan.chain.kept):.3g} to {max(plan.chain.kept):.3g} of the 100 shots" in text
    assert "All 4 steps are one circuit, whose ancillas are measured, reset and used again" in text
    assert "T = 4 in one circuit, done" in text
    assert "All 4 steps" in render_page(hardware_page(content, pictures))
    draw_chain(content, pictures.trajectory, pictures.exact)
    manifest = json.loads((plan.folder / "manifest.json").read_text())
    assert manifest["chain"]["kept"] == list(plan.chain.kept)
    told = qdm.replay(plan.folder).to_dict()
    assert told["kept"] == kept.tolist()


def test_the_page_of_histories_compares_with_the_same_histories(run_of, tmp_path):
    plan = planned(run_of("quddpm"), tmp_path, shots=30, num_images=12)
    submit_run(plan.folder)
    found = replay(plan.folder)
    exact, own = WholeChain(plan), WholeChain(plan)
    exact.advance_exactly(found.histories)
    own.advance_exactly()
    assert (own.result.histories != found.histories).any()  # which a few shots draw otherwise
    page, pictures = hardware_report(plan.folder)
    np.testing.assert_array_equal(pictures.exact[-1], exact.images())
    error = np.sqrt(np.mean((exact.images() - found.images) ** 2))
    assert page.image_error == pytest.approx(error, abs=1e-6)
    assert error < np.sqrt(np.mean((own.images() - found.images) ** 2))
    text = render_markdown(page.to_dict())
    assert "Each image has one history of its ancillas" in text
