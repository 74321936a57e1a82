"""What runs of many circuits cost, counted again from their calls; and the file of `models list`."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import SparsePauliOp

import qdm_qiskit as qdm
from qdm_qiskit.circuits import ExpectationReadout, eeqdm
from qdm_qiskit.cli.main import main
from qdm_qiskit.diffusion import InterpolatedNoise
from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.evaluation.run_cost import (
    MAX_EXECUTIONS,
    MOST_VALUES,
    _jobs,
    about_line,
    run_report,
)
from qdm_qiskit.execution.devices import as_backend
from qdm_qiskit.hardware.plan.qpu_seconds import timing
from qdm_qiskit.layers.calling import calls_of
from qdm_qiskit.models import PRESETS, Denoiser, build_model, resolve
from qdm_qiskit.tasks.preset_costs import costs_page, preset_cost, targets_of
from qdm_qiskit.tasks.run_work import run_work
from qdm_qiskit.transpiling.passes import transpile_for
from tests.artifacts.test_transpile_reports import assert_same
from tests.helpers import ROOT, write_run
from tests.pages.reading import assert_self_contained
from tests.state_runs import write_state_run

COMMITTED = json.loads((ROOT / "qdm_qiskit/models/costs.json").read_text())


def seconds_by_hand(jobs, circuits, lengths, shots, rep_delay):
    return 2.0 * jobs + sum(
        n * shots * (rep_delay + length) for n, length in zip(circuits, lengths, strict=True)
    )


@pytest.mark.slow
def test_a_run_of_many_circuits_is_its_calls_times_its_steps() -> None:
    model = build_model(resolve("koelle-qunet-L8"), generator=torch.Generator().manual_seed(0))
    process = InterpolatedNoise(3)
    report = run_report(
        "qunet",
        run_work(model, process, num_images=2),
        ["fake_torino"],
        level=1,
        seeds=[1],
        shots=10,
    )
    x = torch.rand(2, *model.image_shape)
    jobs = calls_of(model, x, torch.ones(2))
    calls = [call for job in jobs for call in job]
    [device] = report.backends
    assert [row.rows for row in device.rows] == [call.num_rows for call in calls]
    assert [row.calls_run for row in device.rows] == [3] * len(calls)
    assert device.total is not None
    rows = sum(call.num_rows for call in calls)
    assert (device.total.jobs, device.total.circuits) == (3 * len(jobs), 3 * rows)
    assert device.total.shots == 30 * rows
    backend = as_backend("fake_torino", "backend")
    counts, clocks = [], []
    for call in calls:
        isa = transpile_for(call.circuit, backend, level=1, seed=1)
        counts.append(sum(len(each.qubits) == 2 and each.name != "barrier" for each in isa.data))
        clocks.append(timing(backend, isa))
    assert [row.two_qubit_gates for row in device.rows] == counts
    assert device.total.two_qubit_gates == 3 * sum(
        n * call.num_rows for n, call in zip(counts, calls, strict=True)
    )
    by_hand = 3 * seconds_by_hand(
        len(jobs),
        [call.num_rows for call in calls],
        [each.circuit_seconds for each in clocks],
        10,
        clocks[0].rep_delay_seconds,
    )
    assert device.total.qpu_seconds == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.slow
def test_circuits_that_differ_in_weights_share_the_numbers_that_each_has() -> None:
    options = {"num_images": 1, "trials": 1, "num_inference_steps": 10, "scheduler": "ddim"}
    shared, every = (qdm.cost("defalco-1hqconv", every=each, **options) for each in (False, True))
    [few], [all_] = shared.backends, every.backends
    assert [row.transpiled for row in few.rows] == [True, False, False, False]
    assert all(row.transpiled for row in all_.rows)
    assert [row.content for row in few.rows] == [row.content for row in all_.rows]
    assert [row.two_qubit_gates for row in few.rows] == [row.two_qubit_gates for row in all_.rows]
    assert few.total.circuits == all_.total.circuits == 4 * 10
    assert few.total.two_qubit_gates == all_.total.two_qubit_gates


def test_expectation_values_cost_a_circuit_for_each_basis() -> None:
    terms = (
        SparsePauliOp(["ZZI", "IZI"]),
        *(SparsePauliOp(each) for each in ("XII", "IIZ", "IXI")),
    )
    spec = replace(eeqdm(num_data=2, depth=1), readout=ExpectationReadout(observables=terms))
    model = Denoiser.from_spec(spec, image_shape=(1, 2, 2))
    report = qdm.cost(model, num_images=5, trials=1, shots=100)
    [device] = report.backends
    [row] = device.rows
    assert (row.bases, row.rows) == (2, 5)
    assert device.total.circuits == 2 * 5 * report.steps
    assert device.total.shots == 100 * device.total.circuits
    assert "2" in repr(report) or report.sentences()


def test_a_chain_of_states_is_one_job() -> None:
    report = qdm.cost("quddpm-circular", num_images=2, trials=1)
    [device] = report.backends
    assert (report.way, report.steps, device.total.jobs) == ("coherent", 1, 1)
    assert 0 < report.kept <= 1 + 1e-12


@given(
    rows=st.integers(1, 10_000),
    executions=st.integers(1, MAX_EXECUTIONS),
    values=st.integers(0, 4096),
)
@settings(max_examples=50, deadline=None)
def test_rows_fill_jobs_up_to_the_limits(rows: int, executions: int, values: int) -> None:
    room = MAX_EXECUTIONS // executions
    if values:
        room = min(room, MOST_VALUES // values)
    assert _jobs([(rows, executions, values, "call")]) == math.ceil(rows / room)


def test_a_row_that_outgrows_a_job_is_refused() -> None:
    with pytest.raises(InvalidOption, match=r"One row of call 'down' takes .* lower shots"):
        _jobs([(1, MAX_EXECUTIONS + 1, 3, "down")])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["koelle-qunet-L8", "--backend=fake_lima"], "has 6 qubits and the device has 5"),
        (["ddpm-depth2"], "it is classical and runs on the engine"),
        (["digits-demo", "--scheduler=ddim"], "for models of many circuits"),
        (["koelle-qunet-L8", "--scheduler=ddim"], "leave scheduler out"),
        (["digits-demo", "--chain=steps"], "for models of many circuits"),
        (["koelle-qunet-L8", "--chain=both"], "chain is 'auto', 'coherent' or 'steps'"),
        (["koelle-qunet-L8", "--chain=coherent"], "hands on images and no states"),
    ],
)
def test_what_cannot_be_priced_is_one_line(words, problem, tmp_path, capsys) -> None:
    options = ["--num-images=1", "--trials=1", "--level=1", "--out", str(tmp_path), "--quiet"]
    with pytest.raises(SystemExit) as left:
        main(["report", "transpile", *words, *options])
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert problem in err
    assert len(err.splitlines()) == 1
    if "fake_lima" in words[-1]:
        assert problem in out
        rows = json.loads((tmp_path / "koelle-qunet-L8.json").read_text())["backends"][0]
        assert rows["total"] is None
        assert any(row["problem"] is None for row in rows["rows"])


@pytest.mark.slow
def test_the_command_writes_a_row_a_circuit_and_a_total(tmp_path, capsys) -> None:
    words = ["koelle-qunet-L8", "--num-images=1", "--trials=1", "--level=1", "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as left:
        main(["report", "transpile", *words])
    assert left.value.code == 0
    out = capsys.readouterr().out
    data = json.loads((tmp_path / "koelle-qunet-L8.json").read_text())
    assert data["schema"] == "calls-report/1"
    page = (tmp_path / "koelle-qunet-L8.md").read_text()
    shown = assert_self_contained((tmp_path / "koelle-qunet-L8.html").read_text()).words()
    for row in data["backends"][0]["rows"]:
        assert row["content"] in out
        assert row["content"] in page
        assert row["content"] in shown
    assert f"{data['backends'][0]['total']['jobs']} jobs" in shown
    assert f"{data['backends'][0]['total']['jobs']} jobs" in out


@pytest.mark.parametrize(
    ("images", "shots"), [(2, 64), (40, 30_000)], ids=["a job a call", "jobs that are split"]
)
def test_the_price_is_that_of_the_plan(tmp_path, images, shots) -> None:
    """Two ways to one number: counting the calls of a step, and planning every job of a run."""
    run = write_run(tmp_path / "run", "qu_net", levels=2, num_steps=2)
    found = qdm.cost(run, "fake_nairobi", trials=1, num_images=images, shots=shots)
    total = found.backends[0].total
    plan = qdm.plan(
        run,
        "local:fake_nairobi",
        num_images=images,
        shots=shots,
        layout_trials=1,
        optimization_level=3,
        root=tmp_path / "runs",
    )
    assert (total.jobs, total.circuits, total.shots) == (
        plan.num_jobs,
        plan.num_circuits,
        plan.total_shots,
    )
    assert total.qpu_seconds == pytest.approx(plan.total_seconds, rel=1e-3)


QUICK = {"num_images": 2, "layout_trials": 1, "optimization_level": 3}


def agree(report, plan) -> None:
    """The report's total is that of the plan."""
    [device] = report.backends
    total = device.total
    counted = (total.jobs, total.circuits, total.shots)
    assert counted == (plan.num_jobs, plan.num_circuits, plan.total_shots)
    assert total.qpu_seconds == pytest.approx(plan.total_seconds, rel=1e-3)


def test_a_chain_is_reported_on_the_qubits_that_a_plan_gives_it(tmp_path) -> None:
    run = write_state_run(tmp_path / "run", "cacioppo", num_steps=4)  # 6 fresh qubits, 3 used again
    devices = ["fake_manila", "fake_nairobi", "fake_vigo"]
    report = qdm.cost(run, devices, trials=1, num_images=2, shots=500)
    assert [each.rows[0].qubits for each in report.backends][:2] == [3, 6]
    assert "does not measure and reset in the middle" in report.backends[2].problem
    plan = qdm.plan(run, "local:fake_manila", shots=500, root=tmp_path / "runs", **QUICK)
    agree(replace(report, backends=report.backends[:1]), plan)
    assert report.backends[0].rows[0].two_qubit_gates == plan.circuit.two_qubit_gates


def test_the_kept_share_of_histories_is_the_plans(tmp_path) -> None:
    run = write_state_run(tmp_path / "run", "quddpm")
    report = qdm.cost(run, "fake_manila", trials=1, num_images=2, shots=500)
    plan = qdm.plan(run, "local:fake_manila", shots=500, root=tmp_path / "runs", **QUICK)
    assert report.kept == pytest.approx(plan.chain.least_kept, rel=1e-9)
    assert 0.25 < report.kept < 0.9
    agree(report, plan)


def test_a_chain_is_priced_the_way_that_it_would_run(tmp_path) -> None:
    run = write_state_run(tmp_path / "run", "conditioned", init_std=1.0)
    options = {"trials": 1, "num_images": 2, "shots": 1_000}
    report = qdm.cost(run, "fake_nairobi", **options)
    plan = qdm.plan(run, "local:fake_nairobi", shots=1_000, root=tmp_path / "runs", **QUICK)
    assert (report.way, report.kept) == ("tomography", None)
    assert f"{report.because}." == plan.chain.because
    agree(report, plan)
    one, steps = (qdm.cost(run, "fake_nairobi", chain=c, **options) for c in ("coherent", "steps"))
    assert one.kept * 1_000 < 1
    assert one.backends[0].total.jobs == 1
    assert (steps.way, steps.because) == ("tomography", "")
    assert steps.backends == report.backends
    said = [about_line(each.to_dict()) for each in (report, one, steps)]
    assert f"by tomography; one circuit does not do: {report.because}" in said[0]
    assert "less than one: the run is refused until shots are raised" in said[1]
    assert said[2].endswith("by tomography")


@pytest.mark.slow
def test_the_command_takes_the_chain(tmp_path, capsys) -> None:
    run = write_state_run(tmp_path / "run", "conditioned", init_std=1.0)
    words = ["report", "transpile", str(run), "--backend=fake_nairobi", "--trials=1", "--level=1"]
    words += ["--num-images=2", "--shots=1000", "--out", str(tmp_path / "out")]
    ends = {"auto": "less than one", "coherent": "until shots are raised", "steps": "by tomography"}
    for chain, end in ends.items():
        with pytest.raises(SystemExit) as left:
            main([*words, f"--chain={chain}"])
        assert left.value.code == 0
        assert capsys.readouterr().out.splitlines()[0].endswith(end)


def test_a_line_below_the_costs_says_what_goes_step_by_step(capsys) -> None:
    run = COMMITTED["presets"]["cacioppo-latent"]["runs"][0]
    assert COMMITTED["presets"]["cacioppo-latent"]["way"] == "tomography"
    assert f"cacioppo-latent: step by step. {run['because']}." in costs_page(COMMITTED)
    with pytest.raises(SystemExit):
        main(["models", "describe", "cacioppo-latent"])
    assert f"step by step: {run['because']}" in capsys.readouterr().out


def test_the_list_has_a_way_targets_and_a_price_for_each_preset() -> None:
    named = {*COMMITTED["presets"], *COMMITTED["not_priced"]}
    assert named == set(PRESETS)
    assert list(COMMITTED["presets"]) == [name for name in PRESETS if name in COMMITTED["presets"]]
    for name, found in COMMITTED["presets"].items():
        assert found["targets"] == targets_of(found["way"]), name
        assert bool(found["runs"]) == (found["way"] not in ("classical", "refused")), name


def test_the_page_of_costs_is_the_file_s() -> None:
    assert (ROOT / "docs/costs.md").read_text() == costs_page(COMMITTED), "run `make costs`"


CHEAP = ("ddpm-depth2", "quddpm-circular", "digits-demo")
DEAR = ("koelle-qunet-L8", "cacioppo-digits-8x8", "qamp-december-digits", "defalco-1hqconv")


@pytest.mark.parametrize(
    "name",
    [*CHEAP, *(pytest.param(name, marks=pytest.mark.slow) for name in DEAR)],
)
def test_the_committed_cost_is_the_generated_one(name: str) -> None:
    found = json.loads(json.dumps(preset_cost(name)))
    assert_same(found, COMMITTED["presets"][name], f"{name} is stale: run `make costs`")
