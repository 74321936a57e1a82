"""The page of a hardware run: numbers from the record, words that fit them, pictures that open."""

from __future__ import annotations

import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qdm_qiskit.errors import InvalidData, MissingData, OutputNotWritable
from qdm_qiskit.evaluation.hardware_run import hardware_report
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.pages import render_page
from qdm_qiskit.pages.drawing import shown
from qdm_qiskit.reports.figures import png_bytes
from qdm_qiskit.reports.hardware_figures import draw_chain, shown_steps
from qdm_qiskit.reports.hardware_plan import plan_lines, plan_summary
from qdm_qiskit.reports.hardware_render import (
    hardware_page,
    render_markdown,
    write_hardware_report,
)
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from tests.helpers import budget, write_run
from tests.pages.reading import assert_self_contained


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "r")


@pytest.fixture(scope="module")
def finished(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = PlanConfig(
        targets=("local:fake_nairobi", "engine"),
        num_images=2,
        shots=400,
        mitigation="m3",
        calibration_shots=1000,
        layout_trials=1,
        seed=4,
    )
    plan = make_plan(trained, config, root=tmp_path_factory.mktemp("root"))
    assert submit_run(plan.folder).state == "done"
    return plan.folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / finished.name))


def test_numbers_are_those_of_the_record(finished, trained):
    report, pictures = hardware_report(finished)
    found = replay(finished)
    assert (report.run, report.done, report.equal) == (finished.name, True, True)
    assert [each["step"] for each in report.steps] == [3, 2, 1]
    assert report.steps[0]["raw_distance"] == found.steps[0].raw_distance
    np.testing.assert_array_equal(pictures.trajectory, found.trajectory)
    # One calibration and three steps; a snapshot charges nothing.
    assert [each.part for each in report.jobs] == [
        *("calibration-0001", "step-0003", "step-0002", "step-0001"),
    ]
    plan = found.plan
    assert [each.estimated for each in report.jobs] == [
        plan.calibration.seconds,
        *(each.seconds for each in plan.steps),
    ]
    assert report.seconds_estimated == pytest.approx(sum(each.estimated for each in report.jobs))
    assert (report.seconds_charged, report.cost_known, report.spends) == (0.0, True, False)
    # The exact chain is that of `qdm sample` with the same seed, on the model's own way.
    exact = sample(load_run(trained), SamplingConfig(num_images=2, seed=4)).images
    np.testing.assert_allclose(pictures.exact[-1], exact, atol=1e-5)
    np.testing.assert_array_equal(pictures.exact[0], found.trajectory[0])  # the same x_T
    assert pictures.exact.shape == found.trajectory.shape
    error = np.sqrt(np.mean((found.images - exact) ** 2))
    assert report.image_error == pytest.approx(error, abs=1e-5)


def test_all_four_files_are_written_and_open(finished, tmp_path):
    report, pictures = hardware_report(finished)
    files = write_hardware_report(report, pictures, tmp_path / "page")
    assert [each.name for each in files] == [
        *("report.json", "report.md", "report.html", "report.png")
    ]
    assert json.loads(files[0].read_text())["run"] == finished.name
    assert "![images, distances, cost](report.png)" in files[1].read_text()
    assert "data:image/png;base64," in files[2].read_text()
    with Image.open(io.BytesIO(files[3].read_bytes())) as picture:
        assert min(picture.size) > 300
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    # Again: the report is replaced, the record is not touched.
    # The measured images stand above the exact ones: both bands change with what they show.
    png = files[3].read_bytes()
    content = report.to_dict()
    measured, exact = pictures.trajectory, pictures.exact
    assert png_bytes(draw_chain(content, measured, exact)) == png
    assert png_bytes(draw_chain(content, 1 - measured, exact)) != png
    assert png_bytes(draw_chain(content, measured, 1 - exact)) != png
    before = {each: each.read_bytes() for each in finished.rglob("*") if each.is_file()}
    write_hardware_report(report, pictures, tmp_path / "page")
    assert {each: each.read_bytes() for each in finished.rglob("*") if each.is_file()} == before


def test_a_folder_that_cannot_be_made_is_refused(finished, tmp_path):
    report, pictures = hardware_report(finished)
    (tmp_path / "page").write_text("a file")
    with pytest.raises(OutputNotWritable, match="page"):
        write_hardware_report(report, pictures, tmp_path / "page")
    assert (tmp_path / "page").read_text() == "a file"


def test_words_fit_the_numbers(finished):
    content = hardware_report(finished)[0].to_dict()
    text = render_markdown(content)
    assert "This target charges nothing" in text
    assert "to the bit" in text
    alone = np.mean([each["shot_distance"] for each in content["steps"]])
    assert f"shot noise alone would leave {alone:.3f}" in text
    rows = [line for line in text.splitlines() if line.startswith("| step-") or "| 400 |" in line]
    assert len(rows) == 3 + 3
    worse = [{**each, "mitigated_distance": 0.9} for each in content["steps"]]
    assert "no closer to exact" in render_markdown({**content, "steps": worse})
    better = [{**each, "mitigated_distance": 0.0} for each in content["steps"]]
    assert "distributions closer to exact" in render_markdown({**content, "steps": better})
    paid = {**content, "spends": True, "seconds_estimated": 30.0, "seconds_charged": 25.0}
    assert "The estimate is 1.20 times the charge." in render_markdown(paid)
    assert "25.0 of them are a session's waits" in render_markdown(paid)
    jobs = [{**each, "charged": 6.25} for each in content["jobs"]]
    assert "waits between jobs." not in render_markdown({**paid, "jobs": jobs})
    counting = render_markdown({**paid, "cost_known": False})
    assert "still counts some of the jobs" in counting
    assert "times the charge" not in counting


def test_html_escapes_what_it_is_given(finished):
    report, pictures = hardware_report(finished)
    content = {**report.to_dict(), "run": "<script src=x>", "replay": "a < b"}
    page = render_page(hardware_page(content, pictures))
    assert "<script src" not in page
    assert "&lt;script src=x&gt;" in page
    assert "a &lt; b" in page


def test_the_page_has_chain_charts_cost_and_chip(finished):
    report, pictures = hardware_report(finished)
    page = assert_self_contained(render_page(hardware_page(report.to_dict(), pictures)))
    words = page.words()
    [slider] = page.all("input")
    assert slider["max"] == "3"
    for each in report.steps:
        assert f"after step {each['step']}: 400 shots" in words
        assert f"distance from exact, raw {each['raw_distance']:.3f}" in words
    # Raw, mitigated and shots alone; then two fidelities.
    assert len(page.all("polyline")) == 5
    for job in report.jobs:
        assert f"{job.part}, estimated: {shown(job.estimated)}" in words
    steps = sum(each.estimated for each in report.jobs if each.part.startswith("step"))
    assert f"estimated, steps: {shown(steps)}" in words
    plan = replay(finished).plan
    assert pictures.chip.layout == plan.circuit.physical_qubits
    assert sum(pictures.chip.uses) == plan.circuit.two_qubit_gates
    assert "fake_nairobi: errors, and where the circuit is" in words


def test_a_device_that_is_not_here_is_not_drawn(finished):
    report, pictures = hardware_report(finished)
    found = replace(pictures, chip=None)
    page = assert_self_contained(render_page(hardware_page(report.to_dict(), found)))
    assert "fake_nairobi is not drawn" in page.words()


def test_an_unfinished_run_has_a_page(copied):
    for name in ("steps/step-0001.npz", "images.npz", "manifest.json"):
        (copied / name).unlink()
    report, pictures = hardware_report(copied)
    assert (report.done, report.image_error, report.seconds_charged) == (False, None, None)
    assert len(report.steps) == 2
    text = render_markdown(report.to_dict())
    assert "2 of 3 steps" in text
    assert "the run is not finished" in text
    write_hardware_report(report, pictures, copied / "page")


def test_an_unfinished_run_says_what_it_has_cost_so_far(trained, tmp_path):
    config = PlanConfig(targets=("local:fake_nairobi",), num_images=1, shots=50, layout_trials=1)
    plan = make_plan(trained, config, root=tmp_path)
    submit_run(plan.folder, detach=True)
    before = sorted(path.name for path in plan.folder.rglob("*"))
    report, pictures = hardware_report(plan.folder)
    assert (report.done, report.seconds_charged, report.image_error) == (False, 0.0, None)
    assert [(each.part, each.state) for each in report.jobs] == [("step-0003", "done")]
    assert report.jobs[0].estimated == plan.steps[0].seconds
    text = render_markdown(report.to_dict())
    seconds = plan.total_seconds
    assert f"Estimated {seconds:.1f} QPU seconds for the whole run, charged 0.0 so far" in text
    assert "1 image, T = 3" in text
    assert "times the charge" not in text
    assert sorted(path.name for path in plan.folder.rglob("*")) == before
    write_hardware_report(report, pictures, tmp_path / "page")


def test_a_run_without_a_step_has_none(copied):
    shutil.rmtree(copied / "steps")
    (copied / "images.npz").unlink()
    with pytest.raises(MissingData, match="no finished step"):
        hardware_report(copied)


@pytest.mark.parametrize("content", ["{}", "[]", '{"jobs": 3}', '{"seconds_charged": "much"}'])
def test_a_damaged_manifest_is_refused(copied, content):
    (copied / "manifest.json").write_text(content)
    with pytest.raises(InvalidData, match=r"manifest\.json"):
        hardware_report(copied)


@pytest.mark.parametrize("steps", [1, 2, 7, 8, 1000])
def test_shown_steps_have_both_ends(steps):
    shown = shown_steps(steps)
    assert shown[0] == 0
    assert shown[-1] == steps
    assert shown == sorted(set(shown))
    assert len(shown) <= 8


# --- the plan, before -----------------------------------------------------------------------------


def test_a_plans_lines_say_the_price_and_what_is_left(trained, tmp_path):
    from qdm_qiskit.execution.snapshots import load_backend

    backend = load_backend("fake_torino")
    backend.name = "ibm_torino"
    config = PlanConfig(targets=("ibm:ibm_torino",), num_images=2, layout_trials=1)
    plan = make_plan(trained, config, root=tmp_path, backend=backend)
    seconds = plan.total_seconds
    text = "\n".join(plan_lines(plan, budget(seconds + 1)))
    assert f"about {seconds:.1f} QPU seconds" in text
    assert re.search(r"'b' has [\d.]+ QPU seconds left$", text, re.MULTILINE)
    short = "\n".join(plan_lines(plan, budget(seconds - 1)))
    assert "DOES NOT FIT" in short
    assert plan_summary(plan, budget(seconds - 1))["budget"]["fits"] is False
    assert plan_summary(plan, budget(1e9, plan.total_shots - 1))["budget"]["fits"] is False
    assert plan_summary(plan, budget(1e9, plan.total_shots))["budget"]["fits"] is True
    json.dumps(plan_summary(plan, budget(1)), allow_nan=False)
