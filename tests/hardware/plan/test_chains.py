"""Plans of chains in one circuit: which way, what it keeps, what it costs, what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from qiskit.circuit import Measure, Parameter
from qiskit.circuit.library import CXGate, RZGate, SXGate, XGate
from qiskit.providers import BackendV2
from qiskit.transpiler import InstructionProperties, Target

import qdm_qiskit as qdm
from qdm_qiskit.canonical_json import content_sha256
from qdm_qiskit.errors import (
    InvalidData,
    InvalidOption,
    InvalidPlan,
    QdmError,
    TargetUnavailable,
    UnsupportedCircuit,
)
from qdm_qiskit.evaluation.hardware_run import hardware_report
from qdm_qiskit.files import write_json
from qdm_qiskit.hardware.plan.chains import ChainPlan
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.reports.hardware_plan import plan_lines, plan_summary
from qdm_qiskit.reports.hardware_render import render_markdown
from qdm_qiskit.sampling import Sampler, SamplingConfig, load_run, sample
from tests.helpers import write_run
from tests.state_runs import STATE_RUNS, write_state_run

DEVICE = "local:fake_manila"
SMALL = {"num_images": 2, "shots": 500, "layout_trials": 1, "optimization_level": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run_of(folder: Path):
    def made(name: str, **options: object) -> Path:
        path = folder / "-".join([name, *(f"{k}{v}" for k, v in options.items())])
        return path if path.exists() else write_state_run(path, name, **options)

    return made


def planned(run: Path, root: Path, target: str = "engine", **changes: object) -> RunPlan:
    options = {**SMALL, "targets": (target,), **changes}
    return make_plan(run, PlanConfig(**options), root=root)  # type: ignore[arg-type]


class NoReset(BackendV2):
    """A device of a line of qubits that does not reset."""

    def __init__(self, num_qubits: int) -> None:
        super().__init__(name="noreset")
        self._target = Target(num_qubits=num_qubits)
        each = {(q,): InstructionProperties(error=1e-4, duration=3e-8) for q in range(num_qubits)}
        for gate in (SXGate(), XGate(), RZGate(Parameter("a"))):
            self._target.add_instruction(gate, dict(each))
        pairs = [(a, b) for q in range(num_qubits - 1) for a, b in ((q, q + 1), (q + 1, q))]
        slow = InstructionProperties(error=1e-3, duration=3e-7)
        self._target.add_instruction(CXGate(), dict.fromkeys(pairs, slow))
        self._target.add_instruction(Measure(), dict(each))

    @property
    def target(self) -> Target:
        return self._target

    @property
    def max_circuits(self) -> None:
        return None

    @classmethod
    def _default_options(cls) -> None:
        return None

    def run(self, run_input: object, **options: object) -> None:
        raise NotImplementedError


# --- which way ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STATE_RUNS)
def test_every_family_is_one_job_of_one_circuit_as_qdm_sample_has_it(run_of, tmp_path, name):
    run = run_of(name)
    plan = planned(run, tmp_path)
    assert (plan.num_jobs, len(plan.calls.circuits)) == (1, 1)
    assert plan.is_coherent
    assert [each.step for each in plan.steps] == [plan.num_steps]
    assert read_plan(plan.folder) == plan
    shares = np.array(plan.chain.kept)
    assert shares.shape == (2,)
    found = sample(load_run(run), SamplingConfig(shots=500, num_images=2)).manifest["chain"]
    assert found["circuits"] == "one"
    if name == "quddpm":  # the sum of p**2 over two outcomes each of two steps
        assert plan.chain.histories
        assert (shares > 0.25 - 1e-9).all()
    else:
        assert not plan.chain.histories
        np.testing.assert_allclose(shares, found["predicted_kept"], rtol=1e-9)
    # A job of as many rows as bases of as many images.
    bases = 3 if name == "quddpm" else 1
    assert plan.num_circuits == 2 * bases
    assert plan.total_shots == 2 * bases * 500


def test_steps_is_the_plan_that_it_was_and_says_nothing_of_a_chain(run_of, tmp_path):
    plan = planned(run_of("unitary"), tmp_path, chain="steps")
    whole = json.loads((plan.folder / "plan.json").read_text())
    assert whole["schema"] == "qdm-run-plan/2"
    assert "chain" not in whole["content"]
    assert [each.name for each in plan.calls.jobs] == ["step-0002", "step-0001"]
    assert not [line for line in plan_lines(plan) if line.startswith("chain")]


def test_auto_says_why_it_goes_step_by_step(tmp_path):
    run = write_run(tmp_path / "r", "cacioppo", num_steps=2)
    plan = planned(run, tmp_path / "root")
    assert plan.chain.way == "steps"
    assert "LeakyReLU" in plan.chain.because
    assert plan_summary(plan)["chain"]["because"] == plan.chain.because
    assert any("step by step: LeakyReLU" in line for line in plan_lines(plan))
    assert read_plan(plan.folder) == plan
    with pytest.raises(TargetUnavailable, match="LeakyReLU"):
        planned(run, tmp_path / "root", chain="coherent")


class Own(Sampler):
    """The process's own step, by an object that nobody else knows."""

    name = "test-own"
    takes = "own"

    def timesteps(self, process, steps):
        return [2, 1]

    def step(self, x, prediction, here):
        return here.process.reverse_step(x, here.t, prediction, here.generator)


def test_a_sampler_walks_step_by_step(run_of, tmp_path):
    config = PlanConfig(targets=("engine",), **SMALL)
    plan = make_plan(run_of("unitary"), config, root=tmp_path, sampler=Own())
    assert plan.chain.because == "Only all steps of the process's own chain are one circuit."
    assert len(plan.steps) == 2
    with pytest.raises(InvalidOption, match="leave sampler and steps out"):
        make_plan(
            run_of("unitary"),
            dataclasses.replace(config, chain="coherent"),
            root=tmp_path,
            sampler=Own(),
        )


def test_models_of_images_are_planned_as_they_were(tmp_path):
    run = write_run(tmp_path / "r")
    plan = planned(run, tmp_path / "root")
    whole = json.loads((plan.folder / "plan.json").read_text())
    assert (whole["schema"], "chain" in whole["content"]) == ("qdm-run-plan/1", False)
    with pytest.raises(TargetUnavailable, match="hands on images and no states"):
        planned(run, tmp_path / "root", chain="coherent")


# --- ancillas -----------------------------------------------------------------------------------


def test_beyond_the_device_or_a_density_matrix_qubits_are_used_again(run_of, tmp_path):
    """Each bit keeps its number; a qubit has several of them."""
    plan = planned(run_of("cacioppo"), tmp_path, DEVICE)
    assert not plan.chain.reuse_qubits
    assert len(set(plan.circuit.measured_qubits)) == plan.circuit.qubits == 4
    plan = planned(run_of("cacioppo", num_steps=4), tmp_path, DEVICE)  # 6 qubits on 5
    assert plan.chain.reuse_qubits
    assert plan.circuit.qubits == 6
    assert len(set(plan.circuit.measured_qubits)) == len(plan.measured_qubits) == 3
    assert read_plan(plan.folder) == plan
    assert any("6 bits of 3 qubits" in line for line in plan_lines(plan))
    on_aer = planned(run_of("cacioppo", num_steps=4), tmp_path, "aer")
    assert not on_aer.chain.reuse_qubits


def test_a_device_without_resets_takes_fresh_qubits_or_is_refused(run_of, tmp_path):
    run = run_of("cacioppo", num_steps=4)
    with pytest.raises(UnsupportedCircuit, match=r"6 qubits with fresh .* 5; 3 would do") as caught:
        planned(run, tmp_path, NoReset(5))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*-cacioppo-*"))
    assert not planned(run, tmp_path, NoReset(6)).chain.reuse_qubits
    long = run_of("cacioppo", num_steps=9)  # 11: too many for a density matrix
    assert not planned(long, tmp_path, NoReset(11)).chain.reuse_qubits
    # Of 2019: resets in its list, but no measurement before the end.
    with pytest.raises(UnsupportedCircuit, match="does not measure and reset in the middle"):
        planned(run, tmp_path, "local:fake_vigo")


def test_more_qubits_than_the_device_has_are_refused(run_of, tmp_path):
    with pytest.raises(UnsupportedCircuit, match="8 qubits and the device has 5") as caught:
        planned(run_of("cacioppo", image_size=8), tmp_path, DEVICE)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*-cacioppo-*"))


# --- shots --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lossy(run_of) -> Path:
    return run_of("conditioned")


def test_a_chain_that_keeps_less_than_a_shot_is_refused_and_nothing_is_written(lossy, tmp_path):
    with pytest.raises(InvalidData, match=r"less than one; raise shots above 81") as caught:
        planned(lossy, tmp_path, shots=79, chain="coherent")
    assert "\n" not in str(caught.value)
    with pytest.raises(InvalidData, match="less than one"):
        planned(lossy, tmp_path, "local:fake_nairobi", seconds=2.02, chain="coherent")
    assert not list(tmp_path.glob("*-cacioppo_latent-*"))
    assert planned(lossy, tmp_path, shots=81).chain.least_kept * 81 >= 1


def test_auto_goes_step_by_step_where_it_keeps_less_than_a_shot(run_of, tmp_path):
    lossy = run_of("conditioned", init_std=1.0)
    plan = planned(lossy, tmp_path, shots=1_000)
    words = "The projections of the chain keep 0.000392 of the shots of image 1: 0.39 of its 1,000"
    assert plan.chain.way == "steps"
    assert plan.chain.because.startswith(words)
    assert any(line.endswith("less than one.") for line in plan_lines(plan))
    assert read_plan(plan.folder) == plan
    steps = planned(lossy, tmp_path, shots=1_000, chain="steps")
    assert (plan.calls, plan.steps, plan.files) == (steps.calls, steps.steps, steps.files)
    # Seconds decide the shots only when the chain is priced.
    paid = planned(lossy, tmp_path, "local:fake_nairobi", seconds=20.0, num_images=40)
    assert paid.chain.because.startswith("The projections of the chain keep")
    assert len(paid.steps) == 2
    assert paid.total_seconds <= 20


@pytest.mark.slow
def test_a_run_of_auto_that_went_step_by_step_is_replayed_and_says_why(run_of, tmp_path):
    plan = planned(run_of("conditioned", init_std=1.0), tmp_path, shots=1_000)
    assert submit_run(plan.folder).state == "done"
    assert replay(plan.folder).difference == 0.0
    page = render_markdown(hardware_report(plan.folder)[0].to_dict())
    assert f"The chain went step by step: {plan.chain.because}" in page


def test_a_history_of_less_than_a_shot_is_refused_and_nothing_is_written(run_of, tmp_path):
    run = run_of("quddpm")
    with pytest.raises(InvalidData, match=r"A drawn history .*raise shots above 3,") as caught:
        planned(run, tmp_path, shots=2, chain="coherent")
    assert "\n" not in str(caught.value)
    with pytest.raises(InvalidData, match="A drawn history"):
        planned(run, tmp_path, DEVICE, seconds=2.002, chain="coherent")
    assert not list(tmp_path.glob("*-quddpm-*"))
    assert planned(run, tmp_path, shots=3, chain="coherent").chain.least_kept * 3 >= 1


def test_shots_asked_are_those_wanted_over_the_kept_share(lossy, tmp_path):
    plan = planned(lossy, tmp_path, kept_shots=100)
    shots, least = plan.steps[0].shots, plan.chain.least_kept
    assert 100 <= shots * least < 100 + least + 1e-6
    assert plan.total_shots == 2 * shots
    text = "\n".join(plan_lines(plan))
    assert f"{shots * least:.0f} of {shots} at least" in text
    assert plan_summary(plan)["chain"]["least_kept_shots"] == pytest.approx(shots * least)
    dear = planned(lossy, tmp_path, "local:fake_nairobi", kept_shots=100)
    same = planned(lossy, tmp_path / "same", "local:fake_nairobi", shots=shots)
    with pytest.raises(InvalidOption, match=r"at most 100,000; lower kept_shots"):
        planned(lossy, tmp_path, "local:fake_nairobi", kept_shots=10_000)
    assert dear.total_seconds == same.total_seconds > 2 + 2 * shots * 250e-6


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kept_shots": 10_000_000}, "a circuit has at most 10,000,000; lower kept_shots"),
        ({"kept_shots": 0}, "kept_shots must be at least 1"),
        ({"kept_shots": 5, "seconds": 3.0}, "each decides the shots"),
        ({"kept_shots": 5, "chain": "steps"}, "goes step by step; give shots instead"),
        ({"schedule": "variance"}, "all steps are one circuit; use 'uniform'"),
        ({"chain": "both"}, "chain is one of auto, coherent, steps"),
        ({"chain": "coherent", "num_inference_steps": 1}, "leave sampler and steps out"),
    ],
)
def test_what_cannot_be_planned_is_one_line(lossy, tmp_path, changes, words):
    with pytest.raises(InvalidOption, match=words) as caught:
        planned(lossy, tmp_path, **changes)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_chain_is_split_where_a_job_is_full(run_of, tmp_path, monkeypatch):
    from qdm_qiskit.hardware.plan import work

    monkeypatch.setattr(work, "MAX_EXECUTIONS", 1_000)
    plan = planned(run_of("cacioppo"), tmp_path, num_images=5)
    assert [each.name for each in plan.calls.jobs] == [f"step-0002-part-0{k}" for k in (1, 2, 3)]
    assert [each.circuits for each in plan.calls.jobs] == [2, 2, 1]
    assert [row[0] for row in plan.jobs()] == [f"t = 2 .. 1, part {k}" for k in (1, 2, 3)]
    with pytest.raises(InvalidOption, match="it cannot be split, so lower shots"):
        planned(run_of("cacioppo"), tmp_path, shots=1_001)


# --- files --------------------------------------------------------------------------------------


def changed(plan: RunPlan, change) -> None:
    path = plan.folder / "plan.json"
    whole = json.loads(path.read_text())
    change(whole["content"])
    whole["content_sha256"] = content_sha256(whole["content"])
    whole["run_id"] = f"{plan.date}-{plan.model}-{whole['content_sha256'][:8]}"
    write_json(path, whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["chain"].update(kept=[0.5]), "kept is a share of each image"),
        (lambda c: c["chain"].update(kept=[0.5, 0.0]), "above 0"),
        (lambda c: c["chain"].update(kept=[]), "shares of a coherent chain"),
        (lambda c: c["chain"].update(way="steps"), "shares of a coherent chain"),
        (lambda c: c["chain"].update(way="both"), "one of coherent, steps"),
        (lambda c: c.pop("chain"), "different numbers, unless a chain uses qubits again"),
        (lambda c: c["chain"].update(reuse_qubits=False), "different numbers"),
        (lambda c: c.update(num_steps=5), "one step, from T"),
    ],
)
def test_a_chain_that_does_not_fit_its_plan_is_no_plan(run_of, tmp_path, change, words):
    plan = planned(run_of("cacioppo", num_steps=4), tmp_path, DEVICE)
    changed(plan, change)
    with pytest.raises(InvalidPlan, match=words):
        read_plan(plan.folder)


def test_the_record_checks_its_own_numbers():
    good = ChainPlan(way="coherent", because="", reuse_qubits=False, histories=False, kept=(1.0,))
    with pytest.raises(QdmError, match="printable"):
        dataclasses.replace(good, because="two\nlines")
    with pytest.raises(QdmError, match="no ancillas"):
        dataclasses.replace(good, way="steps", kept=(), reuse_qubits=True)


def test_from_python_and_on_the_command_line(run_of, tmp_path):
    from typer.testing import CliRunner

    from qdm_qiskit.cli.main import app

    run = run_of("cacioppo")
    plan = qdm.plan(run, "engine", root=tmp_path, num_images=2, kept_shots=50)
    assert "shots are expected to pass" not in repr(plan)
    assert "of the shots are expected to pass its projections" in plan._repr_html_()
    base = ["run", "plan", str(run), "--target", "engine", "--num-images", "2", "--root"]
    base += [str(tmp_path / "cli"), "--quiet"]
    found = CliRunner().invoke(app, [*base, "--kept-shots", "50", "--json"])
    assert found.exit_code == 0, found.output
    told = json.loads(found.output)
    assert told["run"] == plan.run_id
    assert told["chain"]["kept"] == list(plan.chain.kept)
    found = CliRunner().invoke(app, [*base, "--chain", "steps", "--shots", "9"])
    assert found.exit_code == 0, found.output
    assert "calls" in found.output
    found = CliRunner().invoke(app, [*base, "--kept-shots", "50", "--shots", "9"])
    assert found.exit_code != 0
