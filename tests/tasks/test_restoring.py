"""Restoring with a trained run, from Python and `qdm restore`; competitors beside a run."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import qdm_qiskit as qdm
from qdm_qiskit.cli.main import app
from qdm_qiskit.errors import InvalidData, InvalidOption, OutputNotWritable, QdmError
from qdm_qiskit.evaluation.subjects import competitor_subjects, subject_of
from qdm_qiskit.models.competitors import COMPETITORS, make_competitor
from qdm_qiskit.tasks import compete
from qdm_qiskit.training.competitors import load_competitors

SMALL = {"num_steps": 2, "epochs": 1, "baseline": False, "sample_every": 0, "log_with": "none"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "images"
    qdm.train("qddm", folder, image_size=4, depth=1, train_count=60, test_count=12, **SMALL)
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "rows"
    qdm.train("line-iris", folder, **{**SMALL, "num_steps": 4})
    return folder


def test_restored_images_keep_what_is_known_and_stand_beside_the_competitors(run, tmp_path):
    made = qdm.restore(run, mask="left", count=4, draws=2, out=tmp_path / "out")
    assert made.draws.shape == (2, 4, 1, 4, 4)
    np.testing.assert_array_equal(made.draws[..., 2:], np.stack([made.truth[..., 2:]] * 2))
    assert list(made.errors) == [
        "run",
        "mean",
        "nearest neighbour",
        "bilinear",
        "gaussian",
        "gaussian draws",
    ]
    saved = np.load(tmp_path / "out" / "restored.npz")
    np.testing.assert_array_equal(saved["draws"], made.draws)
    record = json.loads((tmp_path / "out" / "restoration.json").read_text())
    assert record["schema"] == "qdm-restoration/1"
    assert record["manifest"]["sampler"]["inner"] == "process"
    with pytest.raises(OutputNotWritable, match="not overwritten"):
        qdm.restore(run, mask="left", count=1, out=tmp_path / "out")
    again = qdm.restore(run, mask="left", count=4, draws=2)
    np.testing.assert_array_equal(again.draws, made.draws)


def test_shots_and_a_device_restore_too(run):
    made = qdm.restore(
        run, "noisy:fake_manila", factor=2, count=2, draws=1, shots=64, layout_trials=1
    )
    np.testing.assert_allclose(
        made.known.part(made.draws[0]), made.known.part(made.known.images), atol=0.05
    )
    assert made.manifest["device"] is not None


def test_nan_hides_pixels_and_nobody_knows_the_truth(run):
    images = np.full((2, 1, 4, 4), 0.5, dtype=np.float32)
    images[:, :, 0] = np.nan
    made = qdm.restore(run, images=images, draws=1)
    assert made.truth is None
    assert made.errors == {}
    assert (made.draws[0][:, :, 1:] == 0.5).all()
    assert np.isfinite(made.draws).all()


def test_rows_are_imputed_and_written_as_a_table(rows, tmp_path):
    made = qdm.restore(rows, mask="columns:petal width (cm),species", count=5, draws=2)
    assert set(made.columns["run"]) == {"petal width (cm)", "species"}
    file = tmp_path / "gaps.csv"
    file.write_text(
        "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm),species\n"
        "5.1,3.5,1.4,,setosa\n6.0,2.9,4.5,1.5,?\n"
    )
    found = qdm.restore(rows, table=file, draws=1, out=tmp_path / "out")
    first, second = (tmp_path / "out" / "restored.csv").read_text().splitlines()[1:]
    assert first.startswith("5.1,3.5,1.4,")
    assert first.endswith(",setosa")
    assert second.startswith("6.0,2.9,4.5,1.5,")
    assert found.errors == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "Say what is hidden"),
        ({"mask": "left", "factor": 2}, "Give mask or factor"),
        ({"mask": np.ones((2, 2), dtype=bool)}, "A mask has a true or false for each pixel"),
        ({"mask": np.ones((12, 1, 4, 4), dtype=bool)}, "hides nothing"),
        ({"mask": "none.npz"}, "no file of a mask"),
        ({"mask": "left", "draws": 0}, "draws is 1 to 1000"),
        ({"mask": "left", "count": 0}, "count must be at least 1"),
        ({"factor": 3}, "factor divides"),
        ({"table": "x.csv"}, "not on rows"),
        ({"table": "x.csv", "mask": "left"}, "A table has its gaps"),
        ({"mask": "left", "chain": "coherent"}, "no steps to restore in"),
        ({"mask": "left", "candidates": 7}, "candidates is from the 8 draws to 100000, got 7"),
        ({"mask": "left", "candidates": 8, "resamples": 2}, "without resampling"),
        ({"mask": "left", "images": np.full((1, 1, 4, 4), np.nan)}, "NaN hides pixels already"),
    ],
)
def test_what_cannot_be_restored_is_refused_in_one_line(run, options, words):
    with pytest.raises(QdmError, match=words) as caught:
        qdm.restore(run, **options)
    assert "\n" not in str(caught.value)


def test_blocks_of_a_tables_cells_are_refused(rows):
    with pytest.raises(InvalidOption, match="no neighbours in a table") as caught:
        qdm.restore(rows, factor=2, count=2, draws=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("coded", {"side": 2, "inner_options": ("depth=1",)}),
        ("line_amplitudes", {"latent_qubits": 2, "depth": 1, "codec": "pca"}),
        ("cacioppo_latent", {"latent_qubits": 2, "depths": (1, 1, 1), "guided": True}),
        ("mixed_quddpm", {"num_qubits": 1, "depth": 1}),
    ],
)
def test_latents_that_tell_no_x_0_are_restored(model, options, tmp_path):
    qdm.train(model, tmp_path / "run", image_size=4, train_count=24, **options, **SMALL)
    made = qdm.restore(tmp_path / "run", mask="left", count=3, draws=2, seed=1)
    np.testing.assert_array_equal(made.draws[..., 2:], np.stack([made.truth[..., 2:]] * 2))
    assert made.manifest["sampler"]["way"] == "rollouts"
    again = qdm.restore(tmp_path / "run", mask="left", count=3, draws=2, seed=1)
    np.testing.assert_array_equal(again.draws, made.draws)
    chosen = qdm.restore(tmp_path / "run", mask="top", count=3, draws=2, candidates=6)
    assert (chosen.draws[:, :, :, 2:] == chosen.truth[None, :, :, 2:]).all()
    assert chosen.manifest["sampler"]["candidates"] == 6


def test_candidates_are_chosen_by_what_is_known_and_for_each_image_alone(run):
    made = qdm.restore(run, mask="left", count=4, draws=3, candidates=20, seed=5)
    samples = qdm.sample(run, num_images=20, seed=5).images
    off = np.square(samples[:, None] - made.truth[None])[..., 2:].sum(axis=(2, 3, 4))
    nearest = np.argsort(off, axis=0)[:3]
    for image in range(4):
        np.testing.assert_array_equal(
            made.draws[:, image, ..., :2], samples[nearest[:, image]][..., :2]
        )
    alone = qdm.restore(run, mask="left", count=1, draws=3, candidates=20, seed=5)
    np.testing.assert_array_equal(alone.draws, made.draws[:, :1])


def test_a_mask_file_of_another_shape_is_refused(run, tmp_path):
    np.savez(tmp_path / "mask.npz", mask=np.ones((5, 5), dtype=bool))
    with pytest.raises(InvalidData, match="of the shape of the images"):
        qdm.restore(run, mask=str(tmp_path / "mask.npz"))
    np.savez(tmp_path / "good.npz", mask=np.eye(4, dtype=bool)[None])
    made = qdm.restore(run, mask=str(tmp_path / "good.npz"), count=2, draws=1)
    assert made.known.mask.sum() == 8


def test_a_guided_run_needs_labels_of_given_images(tmp_path):
    qdm.train(
        "qddm",
        tmp_path / "run",
        image_size=4,
        depth=1,
        guided=True,
        classes=(3, 8),
        train_count=40,
        **SMALL,
    )
    images = np.full((2, 1, 4, 4), 0.5, dtype=np.float32)
    with pytest.raises(InvalidData, match="give labels"):
        qdm.restore(tmp_path / "run", images=images, mask="left")
    made = qdm.restore(tmp_path / "run", images=images, mask="left", labels=[3, 8], draws=1)
    assert made.draws.shape == (1, 2, 1, 4, 4)
    assert qdm.restore(tmp_path / "run", mask="left", count=3, draws=1).errors


def test_the_command_shows_every_way(run, rows):
    shown = CliRunner().invoke(
        app, ["restore", str(run), "--mask", "top", "-n", "2", "--draws", "2"]
    )
    assert shown.exit_code == 0, shown.output
    assert "gaussian draws" in shown.output
    as_json = CliRunner().invoke(
        app,
        ["restore", str(rows), "--mask", "columns:species", "-n", "2", "--draws", "1", "--json"],
    )
    assert json.loads(as_json.output)["columns"]["run"]["species"]["rows"] == 2


@pytest.mark.parametrize("name", COMPETITORS)
@pytest.mark.parametrize("classes", [None, 3])
def test_a_competitor_has_the_models_size_and_learns(name, classes):
    generator = torch.Generator().manual_seed(0)
    made = make_competitor(name, (1, 4, 4), 600, classes, generator)
    assert abs(made.num_parameters - 600) < 60
    assert made.num_trained > made.num_parameters
    images = torch.zeros(60, 1, 4, 4)
    images[:, :, :2] = 0.9  # whatever the class
    labels = None if classes is None else torch.arange(60) % classes
    told = None if labels is None else labels[:30]
    before = made.draw(30, told, torch.Generator().manual_seed(1))
    made.fit(images, labels, 400, generator)
    after = made.draw(30, told, torch.Generator().manual_seed(1))
    errors = [float((each - images[:30]).square().mean()) for each in (before, after)]
    assert errors[1] < 0.7 * errors[0]


def test_the_class_decides_what_a_competitor_draws():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(80) % 2
    images = labels.float().reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2) * 0.8 + 0.1
    made = make_competitor("vae", (1, 2, 2), 200, 2, generator)
    made.fit(images, labels, 300, generator)
    means = made.draw(40, labels[:40], generator).flatten(1).mean(dim=1)
    assert means[1::2].mean() - means[::2].mean() > 0.4


def test_competitors_are_kept_and_measured_beside_their_run(run):
    made = compete(run, steps=3)
    assert list(made.parameters) == list(COMPETITORS)
    model = qdm.load_run(run).model
    kept = load_competitors(run, model)
    assert list(kept) == list(COMPETITORS)
    subjects = competitor_subjects(run, seed=1)
    assert [each.name for each in subjects] == list(COMPETITORS)
    for each in subjects:
        drawn = each.draw(5)
        assert drawn.shape == (5, 1, 4, 4)
        np.testing.assert_array_equal(subject_of(each.origin).draw(5), drawn)
    compete(run, ["gan"], steps=2)
    record = json.loads((run / "competitors" / "competitors.json").read_text())
    assert record["competitors"]["gan"]["steps"] == 2
    assert record["competitors"]["vae"]["steps"] == 3
    with pytest.raises(InvalidData, match="other files than when"):
        subject_of(subjects[1].origin)


@pytest.mark.parametrize(
    ("names", "steps", "words"),
    [(["flow"], 2, "flow"), ([], 2, "got none"), (["vae"], 0, "steps is 1 to")],
)
def test_what_cannot_compete_is_refused_in_one_line(run, names, steps, words):
    with pytest.raises((InvalidOption, QdmError), match=words) as caught:
        compete(run, names, steps=steps)
    assert "\n" not in str(caught.value)


def test_a_damaged_record_of_competitors_is_refused(run, tmp_path):
    import shutil

    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    compete(copied, ["vae"], steps=1)
    path = copied / "competitors" / "competitors.json"
    record = json.loads(path.read_text())
    record["competitors"]["vae"]["classes"] = -1
    path.write_text(json.dumps(record))
    with pytest.raises(InvalidData, match="cannot be used"):
        competitor_subjects(copied, seed=0)
    (copied / "competitors" / "vae.safetensors").write_bytes(b"no weights")
    record["competitors"]["vae"]["classes"] = None
    path.write_text(json.dumps(record))
    with pytest.raises(InvalidData, match="cannot be used"):
        competitor_subjects(copied, seed=0)
