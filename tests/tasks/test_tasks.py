"""One function a task: it gives what the parts give, and checks as the command line does."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit

import qdm_qiskit as qdm
from qdm_qiskit.circuits import eeqdm
from qdm_qiskit.errors import (
    InvalidArgument,
    InvalidOption,
    MissingData,
    OutputNotWritable,
    UnknownName,
)
from qdm_qiskit.sampling import SamplingConfig, read_calibration
from qdm_qiskit.sampling import sample as sample_run
from qdm_qiskit.tasks.chip_tiles import tiles
from qdm_qiskit.tasks.hardware_run import price

SMALL = {
    "image_size": 2,
    "depth": 1,
    "num_steps": 2,
    "train_count": 8,
    "epochs": 1,
    "baseline": False,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return qdm.train("eeqdm", tmp_path_factory.mktemp("runs") / "first", **SMALL).run


# -- train -----------------------------------------------------------------------------------


def test_training_by_keywords_is_training_by_configuration(run, tmp_path):
    config = qdm.resolve_run("eeqdm", SMALL)
    other = qdm.train(config, tmp_path / "second").run
    ours, theirs = (qdm.load_run(each).model.state_dict() for each in (run, other))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_denoiser_of_ones_own_is_trained(tmp_path):
    model = qdm.Denoiser.from_spec(eeqdm(num_data=2, depth=1), image_shape=(1, 2, 2))
    result = qdm.train(model, str(tmp_path / "own"), num_steps=2, train_count=8, epochs=1)
    assert qdm.load_run(result.run).model.spec.num_qubits == 3


def test_a_configuration_takes_no_options_beside_it(tmp_path):
    with pytest.raises(InvalidOption, match="others beside it: epochs"):
        qdm.train(qdm.resolve_run("eeqdm"), tmp_path / "x", epochs=3)
    assert not (tmp_path / "x").exists()


def test_an_option_that_is_no_option_is_named(tmp_path):
    with pytest.raises(InvalidOption, match=r"called 'epoch'.*Did you mean 'epochs'"):
        qdm.train("eeqdm", tmp_path / "x", epoch=3)


def test_training_goes_on_and_only_epochs_change(tmp_path):
    whole = qdm.train("eeqdm", tmp_path / "whole", **{**SMALL, "epochs": 2})
    qdm.train("eeqdm", tmp_path / "parts", **SMALL)
    parts = qdm.continue_training(tmp_path / "parts", epochs=2)
    assert parts.epochs == whole.epochs == 2
    assert parts.history[-1]["test_loss"] == whole.history[-1]["test_loss"]


def test_there_is_nothing_to_go_on_with(tmp_path):
    with pytest.raises(MissingData, match="no run to resume"):
        qdm.continue_training(tmp_path)


# -- sample ----------------------------------------------------------------------------------


def test_sampling_by_folder_is_sampling_the_loaded_run(run):
    config = SamplingConfig(num_images=3, seed=5)
    direct = sample_run(qdm.load_run(run), config)
    for found in (
        qdm.sample(run, num_images=3, seed=5),
        qdm.sample(str(run), config=config),
        qdm.sample(qdm.load_run(run), num_images=3, seed=5),
    ):
        assert np.array_equal(found.images, direct.images)


def test_samples_are_written_and_a_calibration_is_used_again(run, tmp_path):
    options = {"num_images": 1, "shots": 64, "layout_trials": 1, "calibration_shots": 64}
    target = "noisy:fake_torino"
    first = qdm.sample(run, target, out=tmp_path / "a", mitigation="m3", **options)
    file = tmp_path / "a" / "calibration.json"
    taken = read_calibration(file)
    for calibration in (str(file), taken):
        again = qdm.sample(run, target, calibration=calibration, mitigation="m3", **options)
        assert again.manifest["device"]["calibration"] == first.manifest["device"]["calibration"]
    with pytest.raises(OutputNotWritable, match="already"):
        qdm.sample(run, out=tmp_path / "a", num_images=1)


def test_a_calibration_without_mitigation_is_refused(run):
    with pytest.raises(InvalidOption, match="mitigation 'm3' only"):
        qdm.sample(run, calibration="calibration.json")


def test_options_beside_a_sampling_configuration_are_refused(run):
    with pytest.raises(InvalidOption, match="got target='aer'"):
        qdm.sample(run, "aer", config=SamplingConfig())
    with pytest.raises(InvalidOption, match="seed"):
        qdm.sample(run, config=SamplingConfig(), seed=3)


def test_sampling_asks_for_shots_where_a_target_needs_them(run):
    with pytest.raises(InvalidOption, match="set shots"):
        qdm.sample(run, "aer")


# -- cost ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_model_a_run_and_its_denoiser_cost_the_same(run):
    loaded = qdm.load_run(run)
    quick = {"trials": 1, "level": 0}
    by_run, by_loaded = (qdm.cost(each, name="x", **quick).to_dict() for each in (run, loaded))
    assert by_run == by_loaded
    named = qdm.cost("eeqdm", image_size=2, depth=1, **quick)
    assert named.name == "eeqdm_image_size2_depth1"
    # Other weights, the same gates: all are one template.
    built = qdm.cost(loaded.model, **quick)
    counts = [each.backends[0].cost.total.two_qubit_count for each in (named, built)]
    assert counts == [by_run["backends"][0]["cost"]["total"]["two_qubit_count"]] * 2


def test_a_run_whose_folder_has_any_name_has_a_report(run, tmp_path):
    """A space in the folder's name was refused, after the work."""
    for name, title in (("mein Lauf", "mein-Lauf"), ("_", "report")):
        folder = shutil.copytree(run, tmp_path / name)
        assert qdm.cost(folder, trials=1, level=0).name == title
        assert tiles(folder, "fake_lima", trials=1, level=0, inputs=0).name == title
    with pytest.raises(InvalidOption, match="got 'mein Lauf'"):
        qdm.cost(folder, trials=1, name="mein Lauf")


def test_a_spec_costs_what_its_full_circuit_costs():
    spec = eeqdm(num_data=2, depth=1)
    by_spec = qdm.cost(spec, trials=1, level=0)
    by_circuit = qdm.cost(spec.full_circuit(), trials=1, level=0)
    assert by_spec.to_dict() == by_circuit.to_dict()


@pytest.mark.parametrize("clbits", [0, 2])
def test_a_circuit_without_measurements_is_measured_and_left_as_it_was(clbits):
    bell = QuantumCircuit(2, clbits, name="bell")
    bell.h(0)
    bell.cx(0, 1)
    measured = bell.copy()
    measured.measure_all(add_bits=not clbits)
    before = bell.copy()
    assert qdm.cost(bell, trials=1).to_dict() == qdm.cost(measured, trials=1).to_dict()
    assert bell == before


def test_cost_refuses_what_has_no_circuit_no_name_or_no_trials(run):
    with pytest.raises(UnknownName, match="model or preset 'eqdm'"):
        qdm.cost("eqdm")
    with pytest.raises(UnknownName, match="fake_torinio"):
        qdm.cost("eeqdm", "fake_torinio")
    with pytest.raises(InvalidOption, match="no single circuit"):
        qdm.cost("classical_unet")
    with pytest.raises(InvalidOption, match=r"models and presets by name.*depth"):
        qdm.cost(run, depth=2)
    with pytest.raises(InvalidOption, match="trials must be at least 1"):
        qdm.cost("eeqdm", trials=0)
    with pytest.raises(InvalidArgument, match="subject"):
        qdm.cost(3)


# -- plan, submit, resume, replay ------------------------------------------------------------


def plan(run, root, **options):
    return qdm.plan(run, "aer", num_images=2, shots=32, root=root, **options)


def test_nothing_is_sent_without_yes_and_the_price_is_said(run, tmp_path):
    planned = plan(run, tmp_path)
    with pytest.raises(InvalidOption, match=r"takes 2 jobs, 128 shots.*yes=True") as caught:
        qdm.submit(planned)
    assert price(planned) in str(caught.value)
    assert qdm.HardwareRun.find("latest", root=tmp_path).state.state == "planned"


def test_a_run_is_found_by_plan_id_folder_and_latest(run, tmp_path):
    planned = plan(run, tmp_path)
    for each in (planned.run_id, planned.folder, planned.folder / "plan.json", "latest"):
        assert qdm.HardwareRun.find(each, root=tmp_path).plan == planned
    assert [each.plan for each in qdm.HardwareRun.all(tmp_path)] == [planned]
    with pytest.raises(MissingData, match="no run 'nothing'"):
        qdm.HardwareRun.find("nothing", root=tmp_path)
    with pytest.raises(MissingData, match="no run in"):
        qdm.HardwareRun(tmp_path / "x")
    with pytest.raises(InvalidArgument, match="run"):
        qdm.submit(3, yes=True)


def test_detached_resumed_and_replayed_it_is_the_run_in_one_go(run, tmp_path):
    whole = qdm.submit(plan(run, tmp_path / "a"), yes=True)
    begun = qdm.submit(plan(run, tmp_path / "b"), yes=True, detach=True)
    assert begun.state.state == "running"
    assert begun.images is None
    done = qdm.resume(begun)
    assert done.state.state == "done"
    assert np.array_equal(done.images, whole.images)
    found = qdm.replay("latest", root=tmp_path / "b")
    assert found.equal
    assert np.array_equal(found.images, whole.images)


def test_a_run_that_was_never_sent_cannot_be_resumed(run, tmp_path):
    with pytest.raises(MissingData, match="not submitted"):
        qdm.resume(plan(run, tmp_path))


def test_a_run_is_cancelled(run, tmp_path):
    begun = qdm.submit(plan(run, tmp_path), yes=True, detach=True)
    assert begun.cancel().state.state == "cancelled"


def test_options_of_the_sampler_and_of_the_plan_come_by_name(run, tmp_path):
    with pytest.raises(InvalidOption, match="twirl_gates=True"):
        plan(run, tmp_path, twirl_gates=True)  # a simulation would leave it out in silence
    with pytest.raises(InvalidOption, match="no option 'twirl_gate'"):
        plan(run, tmp_path, twirl_gate=True)
    with pytest.raises(InvalidOption, match="needs a target"):
        qdm.plan(run, root=tmp_path)
    with pytest.raises(InvalidOption, match="config holds all options"):
        qdm.plan(run, "aer", config=qdm.PlanConfig(), root=tmp_path)


def test_targets_are_tried_in_order(run, tmp_path):
    for k, targets in enumerate(["aer,engine", ["aer", "engine"], ("aer", "engine")]):
        made = qdm.plan(run, targets, num_images=1, shots=8, seed=k, root=tmp_path)
        assert (made.targets, made.target) == (("aer", "engine"), "aer")


def test_a_plan_is_in_the_ledger_with_its_budget(run, tmp_path):
    with pytest.raises(MissingData, match="no ledger"):
        qdm.budget("b", root=tmp_path / "empty")
    qdm.set_budget("b", shots=100, root=tmp_path)
    planned = plan(run, tmp_path, budget="b")
    assert qdm.HardwareRun.find("latest", root=tmp_path).state.budget == "b"
    assert qdm.budget("b", root=tmp_path).remaining_shots == 100
    assert planned.total_shots == 128
    with pytest.raises(UnknownName, match="budget"):
        plan(run, tmp_path, budget="c", seed=1)


def test_a_preset_of_a_budget_stands_alone(tmp_path):
    with pytest.raises(InvalidOption, match="open-plan; got 'paid'"):
        qdm.set_budget("b", preset="paid", root=tmp_path)
    for more in ({"seconds": 3.0}, {"period_days": 3.0}, {"window": "calendar"}):
        with pytest.raises(InvalidOption, match="leave them out"):
            qdm.set_budget("b", preset="open-plan", root=tmp_path, **more)
    assert qdm.set_budget("b", preset="open-plan", root=tmp_path).period_days == 28
