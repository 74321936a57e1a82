"""Networks of a run's own loader: made, named, sampled with, planned, replayed, saved, refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import qdm_qiskit as qdm
from qdm_qiskit.circuits import amortised, make_loader
from qdm_qiskit.errors import InvalidData, InvalidOption, MissingData, OutputNotWritable
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.sampling import QDMPipeline, SamplingConfig, load_run, sample
from qdm_qiskit.sampling.amortise import amortise
from qdm_qiskit.sampling.loader_choice import loaded_vectors

ON_AER = {"target": "aer", "shots": 4_000, "num_images": 3}


@pytest.fixture(scope="module")
def dense(make_run):
    run = make_run("q_dense", image_size=4, depth=1, num_steps=3)
    return run, amortise(run, "bricks:4", vectors=60)


@pytest.fixture
def forgetful(monkeypatch):
    """A process that has loaded no run."""
    monkeypatch.setattr(amortised, "_PLACES", [])


def test_a_network_is_near_the_fit_on_chains_it_has_not_seen(dense):
    run, made = dense
    [held_out] = made.held_out
    assert (made.loader, made.vectors, held_out.qubits) == ("bricks:4", 60, 4)
    assert held_out.network > held_out.fit - 0.01
    [(spec, data)] = loaded_vectors(run.model, run.process, seed=9, images=4)
    assert data.shape == (12, 16)
    near, fit = (make_loader(name, 4) for name in (made.name, "bricks:4"))
    told = [each.fidelities(data, each.angles(data)).mean() for each in (near, fit)]
    assert told[0] > told[1] - 0.01
    assert spec.loaded_by(made.name).loading.loader.name == made.name


def test_the_same_run_and_seed_make_the_same_network(dense):
    run, made = dense
    assert amortise(run, "bricks:4", vectors=60).name == made.name
    assert len(list(run.networks.iterdir())) == 1


def test_samples_record_the_network_and_how_near_it_loads(dense):
    run, made = dense
    engine = sample(run, SamplingConfig(num_images=3)).images
    found = sample(run, SamplingConfig(**ON_AER, loader="amortised:bricks:4,6"))
    assert found.manifest["sampling"]["loader"] == f"{made.name},6"
    assert {record.loader for record in found.records} == {f"{made.name},6"}
    assert min(value for each in found.records for value in each.loaded) > 0.9
    assert float(np.sqrt(np.mean((found.images - engine) ** 2))) < 0.15
    with pytest.raises(InvalidData, match="promises 1 - fidelity of at most 1e-09"):
        sample(run, SamplingConfig(**ON_AER, loader="amortised:bricks:4,0,0.000000001"))
    both = sample(run, SamplingConfig(**ON_AER, loader="amortised:bricks:4,0,0.000000001,exact"))
    assert {record.loader for record in both.records} == {None}


def test_reports_know_a_runs_network_too(dense):
    run, made = dense
    folder = run.checkpoint.parent.parent
    reports = [
        qdm.cost(subject, "fake_lagos", trials=1, loader=loader)
        for subject, loader in (
            (run, "amortised:bricks:4"),
            (folder, "amortised:bricks:4,2"),
            (run, "bricks:4"),
        )
    ]
    gates = {each.backends[0].cost.total.two_qubit_count for each in reports}
    assert len(gates) == 1
    assert made.name.replace(":", "") in reports[0].name


def test_plans_and_pipelines_take_the_network_with_them(dense, tmp_path, monkeypatch):
    run, made = dense
    folder = tmp_path / "run"
    shutil.copytree(run.checkpoint.parent.parent, folder)
    config = PlanConfig(
        targets=("aer",), num_images=2, shots=500, seed=5, loader="amortised:bricks:4"
    )
    plan = make_plan(folder, config, root=tmp_path / "hardware")
    QDMPipeline.from_pretrained(folder, loader="amortised:bricks:4").save_pretrained(
        tmp_path / "saved"
    )
    monkeypatch.setattr(amortised, "_PLACES", [])
    shutil.rmtree(folder)
    shutil.move(run.networks, tmp_path / "away")
    try:
        assert load_run(plan.folder / "model").model.config.loader == made.name
        assert submit_run(plan.folder).state == "done"
        assert replay(plan.folder).equal
        monkeypatch.setattr(amortised, "_PLACES", [])
        saved = load_run(tmp_path / "saved")
        assert saved.model.config.loader == made.name
        assert saved.with_loader("amortised:bricks:4").model.config.loader == made.name
    finally:
        shutil.move(tmp_path / "away", run.networks)


def test_a_network_that_is_not_there_is_refused_in_one_line(dense, make_run, forgetful):
    run, made = dense
    key = made.name.partition(":")[2]
    with pytest.raises(MissingData, match=f"has {key}.npz; load the run that has it"):
        make_loader(made.name, 4)
    other = make_run("q_dense", image_size=4, depth=1, num_steps=2, seed=4)
    with pytest.raises(
        MissingData, match="has no networks, none of loader 'bricks:4'; make one by"
    ):
        other.with_loader("amortised:bricks:4")
    with pytest.raises(
        MissingData, match="has networks of bricks:4 only, none of loader 'bricks:5'"
    ):
        run.with_loader("amortised:bricks:5")
    assert run.with_loader(made.name).model.config.loader == made.name  # its folder is known again


def test_two_networks_of_a_loader_are_told_apart_by_their_hash(make_run):
    run = make_run("q_dense", image_size=2, depth=1, num_steps=2, seed=6)
    names = {amortise(run, "staircase:1", vectors=9, seed=seed).name for seed in (0, 1)}
    assert len(names) == 2
    with pytest.raises(InvalidOption, match="has 2 networks of 'staircase:1'; name one of"):
        run.with_loader("amortised:staircase:1,2")
    for name in names:
        assert run.with_loader(name).model.config.loader == name


def test_models_of_states_and_of_several_circuits_have_networks_of_each_width(make_run):
    run = make_run("q_dense_unitary", image_size=2, depth=1, num_steps=2)
    made = amortise(run, "staircase:2", vectors=20)
    found = sample(run, SamplingConfig(**ON_AER, loader="amortised:staircase:2"))
    assert all(record.loader == made.name for record in found.records)
    assert min(value for each in found.records for value in each.loaded) > 0.98


def test_what_is_no_network_is_refused(dense, make_run, tmp_path):
    run, _ = dense
    for loader in ("exact", "amortised:bricks:4"):
        with pytest.raises(InvalidOption):
            amortise(run, loader)
    with pytest.raises(InvalidOption, match="A bound belongs to the network's name"):
        amortise(run, "bricks:4,0.1")
    with pytest.raises(InvalidOption, match="vectors is 1 to 100000, got 0"):
        amortise(run, "bricks:4", vectors=0)
    with pytest.raises(qdm.QdmError, match="loads no amplitudes; leave loader out"):
        amortise(make_run("line", image_size=8, depth=None, init_std=None), "bricks:4")
    moved = load_run(shutil.copytree(run.checkpoint.parent.parent, tmp_path / "run"))
    shutil.rmtree(moved.networks)
    moved.networks.write_text("a file where the folder would be")
    with pytest.raises(OutputNotWritable):
        amortise(moved, "bricks:4", vectors=4)
