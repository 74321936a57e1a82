"""Data are part of a run: it goes on with the same ones only, wherever they lie."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from qdm_qiskit.data import DataRecord, load_dataset, record_from_dict
from qdm_qiskit.errors import InvalidCheckpoint, InvalidData, InvalidOption, MissingData, QdmError
from qdm_qiskit.hardware.plan.files import inputs as planned_inputs
from qdm_qiskit.sampling import QDMPipeline, SamplingConfig, chosen_labels, load_run, sample
from qdm_qiskit.training import TrainingProgress, load_split, resolve_run, run_from_dict, train

SMALL = {
    "image_size": 4,
    "depth": 1,
    "num_steps": 3,
    "batch_size": 16,
    "sample_every": 1,
    "baseline": False,
}


def write_images(path: Path, labels=(3, 7), count: int = 40, seed: int = 0) -> Path:
    """Images whose mean tells their class; returns the path."""
    rng = np.random.default_rng(seed)
    y = np.resize(np.array(labels), count)
    level = np.searchsorted(np.unique(labels), y) / max(1, len(set(labels)) - 1)
    images = 0.1 + 0.2 * rng.random((count, 4, 4)) + 0.6 * level[:, None, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, images=images, labels=y)
    return path


def changed(path: Path, **functions) -> None:
    """Write a file again with some of its arrays changed."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{name: functions.get(name, lambda a: a)(a) for name, a in arrays.items()})


def config_of(name, **settings):
    return resolve_run("qddm", {**SMALL, "epochs": 1, "dataset": name, **settings})


def begin(folder: Path, file: Path | None = None, **settings):
    """One epoch on a file of one's own."""
    file = write_images(folder / "mine.npz") if file is None else file
    config = config_of(f"npz:{file}", **settings)
    train(config, folder / "run")
    return config.with_epochs(2), folder / "run"


def saved(run: Path) -> dict:
    return json.loads((run / "config.json").read_text())


def weights(run: Path) -> bytes:
    newest = sorted((run / "checkpoints").iterdir())[-1]
    return (newest / "model.safetensors").read_bytes()


def refused(error: type[QdmError], says: str, config, run: Path, **options) -> None:
    before = (run / "config.json").read_bytes(), weights(run)
    with pytest.raises(error, match=says) as caught:
        train(config, run, resume="latest", **options)
    assert "\n" not in str(caught.value)
    assert ((run / "config.json").read_bytes(), weights(run)) == before


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> bytes:
    """Weights after two epochs on the file that `begin` writes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    file = write_images(folder / "mine.npz")
    train(config_of(f"npz:{file}").with_epochs(2), folder / "run")
    return weights(folder / "run")


# --- what is kept -------------------------------------------------------------------------------


def test_place_hashes_and_classes_are_kept(tmp_path, monkeypatch):
    file = write_images(tmp_path / "data" / "mine.npz", labels=(3, 7, 7))
    monkeypatch.chdir(tmp_path)
    train(config_of("npz:data/../data/mine.npz"), tmp_path / "run")
    content = saved(tmp_path / "run")
    assert content["data"]["dataset"] == f"npz:{file}"
    record = content["record"]
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    size = file.stat().st_size
    assert record["files"] == [{"path": str(file), "sha256": sha256, "bytes": size}]
    # 14 images of class 3 and 26 of 7, a fifth of each for the test.
    assert record["train_classes"] == {"3": 11, "7": 21}
    assert record["test_classes"] == {"3": 3, "7": 5}
    assert record["origin"] == "files"
    back = run_from_dict(content)
    assert json.loads(json.dumps(back.to_dict())) == content
    assert back.record.classes == (3, 7)


def test_published_files_are_kept_one_by_one(tmp_path):
    folder = idx_files(tmp_path / "mnist")
    train(config_of("mnist", folder=str(folder)), tmp_path / "run")
    record = saved(tmp_path / "run")["record"]
    assert [Path(each["path"]).name for each in record["files"]] == [
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ]
    for each in record["files"]:
        content = Path(each["path"]).read_bytes()
        assert each["sha256"] == hashlib.sha256(content).hexdigest()
        assert each["bytes"] == len(content)


def idx_files(folder: Path) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(4)
    for part, count in (("train", 40), ("t10k", 20)):
        images = rng.integers(1, 256, size=(count, 28, 28), dtype=np.uint8)
        head = struct.pack(">BBBBIII", 0, 0, 8, 3, count, 28, 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        labels = (np.arange(count) % 10).astype(np.uint8)
        head = struct.pack(">BBBBI", 0, 0, 8, 1, count)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
    return folder


# --- data that changed --------------------------------------------------------------------------


def one_step(images: np.ndarray) -> np.ndarray:
    images = images.copy()
    images[7, 1, 2] += 1e-6
    return images


@pytest.mark.parametrize(
    "change",
    [
        {"images": lambda a: 1 - a, "labels": lambda a: 10 - a},
        {"labels": lambda a: 10 - a},
        {"labels": lambda a: np.roll(a, 1)},  # the same labels in another order
        {"images": lambda a: a[::-1], "labels": lambda a: a[::-1]},  # the same pairs likewise
        {"images": one_step},
        {"images": lambda a: a[:-2], "labels": lambda a: a[:-2]},
        {"images": lambda a: a.repeat(2, axis=1).repeat(2, axis=2)},
    ],
    ids=["inverted", "swapped", "reordered", "reversed", "one-pixel", "fewer", "larger"],
)
def test_a_run_does_not_go_on_with_other_data(tmp_path, change):
    config, run = begin(tmp_path)
    changed(tmp_path / "mine.npz", **change)
    refused(InvalidData, r"not those that the run was trained on: .*mine\.npz has SHA", config, run)
    refused(InvalidData, r"data=PATH", run_from_dict(saved(run)).with_epochs(2), run)
    with pytest.raises(InvalidData, match="not those that the run was trained on"):
        load_split(load_run(run).config)


def test_a_truncated_file_is_one_line(tmp_path):
    config, run = begin(tmp_path)
    whole = (tmp_path / "mine.npz").read_bytes()
    (tmp_path / "mine.npz").write_bytes(whole[: len(whole) // 2])
    refused(InvalidData, "cannot be read as a .npz file", config, run)


def test_a_file_replaced_between_epochs_is_noticed_on_resume(tmp_path, stop_after, undisturbed):
    file = write_images(tmp_path / "mine.npz")
    kept = file.read_bytes()

    class Replaces(stop_after):
        def epoch(self, row):
            changed(file, images=lambda a: 1 - a)

    config = config_of(f"npz:{file}").with_epochs(2)
    result = train(config, tmp_path / "run", progress=Replaces(3))  # 2 batches an epoch
    assert result.interrupted
    refused(InvalidData, "not those that the run was trained on", config, tmp_path / "run")
    file.write_bytes(kept)
    train(config, tmp_path / "run", resume="latest")
    assert weights(tmp_path / "run") == undisturbed


def test_a_folder_of_published_files_that_changed(tmp_path):
    folder = idx_files(tmp_path / "mnist")
    config = config_of("mnist", folder=str(folder))
    train(config, tmp_path / "run")
    labels = folder / "train-labels-idx1-ubyte"
    kept = labels.read_bytes()
    # Unpacked or not, and under a mirror's name, they are the same data.
    (folder / "train-images.idx3-ubyte.gz").write_bytes(
        gzip.compress((folder / "train-images-idx3-ubyte").read_bytes())
    )
    (folder / "train-images-idx3-ubyte").unlink()
    train(config.with_epochs(2), tmp_path / "run", resume="latest")
    labels.write_bytes(kept[:-1] + bytes([(kept[-1] + 1) % 10]))
    refused(
        InvalidData,
        r"trained on: .*train-labels-idx1-ubyte has SHA-256",
        config.with_epochs(3),
        tmp_path / "run",
    )


def test_embedded_data_of_another_version(tmp_path, monkeypatch):
    config = config_of("digits", classes=(0, 1), train_count=20, test_count=5)
    train(config, tmp_path / "run")
    record = run_from_dict(saved(tmp_path / "run")).record
    assert record.files == ()
    assert record.origin.startswith("scikit-learn ")
    from qdm_qiskit.data import datasets

    def of_another_version():
        raw = read()
        pixels = raw.pixels.copy()
        pixels[5, 0, 3, 3] = 1 - pixels[5, 0, 3, 3]
        return replace(raw, pixels=pixels)

    read = datasets._UNDIVIDED["digits"]
    monkeypatch.setitem(datasets._UNDIVIDED, "digits", of_another_version)
    refused(
        InvalidData,
        "data of scikit-learn .* install that version",
        config.with_epochs(2),
        tmp_path / "run",
    )
    refused(
        InvalidOption, "not read from a file", config.with_epochs(2), tmp_path / "run", data="."
    )


def test_ensembles_of_states_are_kept_too(tmp_path, monkeypatch):
    small = {"train_count": 20, "test_count": 10, "num_steps": 2, "num_qubits": 1, "epochs": 1}
    config = resolve_run("quddpm", {**small, "depth": 1, "dataset": "circular-states"})
    train(config, tmp_path / "run")
    train(config.with_epochs(2), tmp_path / "run", resume="latest")
    from qdm_qiskit.data import states

    # Another version's recipe under the same name.
    other = {**states.STATE_ENSEMBLES, "circular-states": states.clustered_states}
    monkeypatch.setattr(states, "STATE_ENSEMBLES", other)
    refused(InvalidData, "numpy .* not those that the run", config.with_epochs(3), tmp_path / "run")


def test_options_of_the_data_stay_frozen(tmp_path):
    config, run = begin(tmp_path)
    for changes in ({"test_fraction": 0.3}, {"classes": (3,)}, {"train_count": 10}):
        other = replace(config, data=replace(config.data, **changes))
        refused(InvalidOption, "only epochs may change", other, run)
    refused(InvalidOption, "only epochs may change", config_of("digits"), run)


# --- data that moved ----------------------------------------------------------------------------


def test_the_same_data_in_another_place(tmp_path, undisturbed):
    config, run = begin(tmp_path)
    moved = tmp_path / "else" / "renamed.npz"
    moved.parent.mkdir()
    (tmp_path / "mine.npz").rename(moved)
    refused(MissingData, r"no file mine\.npz.*data=PATH", config, run)
    refused(MissingData, "There is no file", config, run, data=tmp_path / "nowhere.npz")
    foreign = write_images(tmp_path / "foreign.npz", seed=1)
    refused(InvalidData, "not those that the run was trained on", config, run, data=foreign)
    train(config, run, resume="latest", data=moved)
    assert weights(run) == undisturbed
    assert saved(run)["data"]["dataset"] == f"npz:{moved}"
    # From now on that is their place; a folder that holds a file of that name will do as well.
    train(config.with_epochs(3), run, resume="latest")
    train(config.with_epochs(4), run, resume="latest", data=moved.parent)


def test_the_same_content_in_another_file(tmp_path, undisturbed):
    config, run = begin(tmp_path)
    with np.load(tmp_path / "mine.npz") as file:
        arrays = dict(file.items())
    (tmp_path / "mine.npz").unlink()
    np.savez_compressed(tmp_path / "mine.npz", **arrays, note=np.arange(3))
    train(config, run, resume="latest")
    assert weights(run) == undisturbed


def test_the_same_bytes_read_by_another_version(tmp_path, monkeypatch):
    config, run = begin(tmp_path)
    content = saved(run)
    content["record"]["content_sha256"] = "0" * 64
    (run / "config.json").write_text(json.dumps(content))
    train(config, run, resume="latest")
    changed(tmp_path / "mine.npz", images=lambda a: 1 - a)
    refused(InvalidData, "not those", config.with_epochs(3), run)


def test_a_link_that_points_to_other_data(tmp_path, undisturbed):
    first = write_images(tmp_path / "v1.npz")
    second = write_images(tmp_path / "v2.npz", seed=9)
    link = tmp_path / "current.npz"
    link.symlink_to(first)
    config, run = begin(tmp_path, link)
    assert saved(run)["record"]["files"][0]["path"] == str(link)
    link.unlink()
    link.symlink_to(second)
    refused(InvalidData, "current.npz has SHA-256", config, run)
    link.unlink()
    link.symlink_to(first)
    train(config, run, resume="latest")
    assert weights(run) == undisturbed


def test_a_relative_path_from_another_folder(tmp_path, monkeypatch, undisturbed):
    write_images(tmp_path / "here" / "mine.npz")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    config = config_of("npz:../here/mine.npz")
    train(config, Path("run"))
    monkeypatch.chdir(tmp_path / "there")
    run = Path("../here/run")
    assert len(load_split(load_run(run).config).train) == 32
    write_images(tmp_path / "there" / "here" / "mine.npz", seed=3)  # not what ../here means
    train(config.with_epochs(2), run, resume="latest")
    assert weights(run) == undisturbed


def test_a_parent_behind_a_linked_folder(tmp_path):
    """``link/..`` is the parent of what the link points to, not of the link."""
    file = write_images(tmp_path / "real" / "mine.npz")
    (tmp_path / "real" / "below").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "below")
    train(config_of(f"npz:{tmp_path / 'link' / '..' / 'mine.npz'}"), tmp_path / "run")
    path = saved(tmp_path / "run")["record"]["files"][0]["path"]
    assert os.path.realpath(path) == str(file)
    load_split(load_run(tmp_path / "run").config)


def test_data_are_named_by_dataset_where_a_run_begins(tmp_path):
    file = write_images(tmp_path / "mine.npz")
    with pytest.raises(InvalidOption, match="a new run names its own"):
        train(config_of(f"npz:{file}"), tmp_path / "run", data=file)
    assert not (tmp_path / "run").exists()


# --- runs of version 0.1 ------------------------------------------------------------------------


class Notes(TrainingProgress):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def aged(run: Path, **data) -> None:
    """Make a run as 0.1 left it: no record, and the path as it was typed."""
    content = saved(run)
    del content["record"]
    content["data"] |= data
    (run / "config.json").write_text(json.dumps(content))


def test_a_run_without_hashes_goes_on_with_a_note(tmp_path, monkeypatch, undisturbed):
    _, run = begin(tmp_path)
    aged(run, dataset="npz:mine.npz")
    monkeypatch.chdir(tmp_path)
    assert load_run(run).config.record is None
    assert len(load_split(load_run(run).config).train) == 32
    notes = Notes()
    config = run_from_dict(saved(run)).with_epochs(2)
    train(config, run, resume="latest", progress=notes)
    assert weights(run) == undisturbed
    assert len(notes.texts) == 1
    assert "cannot be verified" in notes.texts[0]
    assert "\n" not in notes.texts[0]
    # The data that it went on with are kept, so that the next time they are compared.
    changed(tmp_path / "mine.npz", images=lambda a: 1 - a)
    refused(InvalidData, "not those", config.with_epochs(3), run)


def test_such_a_run_takes_its_data_from_another_place(tmp_path, monkeypatch, undisturbed):
    _, run = begin(tmp_path)
    aged(run, dataset="npz:gone.npz")
    monkeypatch.chdir(tmp_path)
    config = run_from_dict(saved(run)).with_epochs(2)
    refused(MissingData, r"no file gone\.npz", config, run)
    other = replace(config, data=replace(config.data, dataset=f"npz:{tmp_path / 'mine.npz'}"))
    refused(InvalidOption, "only epochs may change", other, run)  # as ever, unless it is asked for
    train(config, run, resume="latest", data="mine.npz")
    assert weights(run) == undisturbed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("record", 3),
        ("record", []),
        ("record", {}),
        ("files", [1]),
        ("files", [{"path": "x", "sha256": "0" * 64, "bytes": -1}]),
        ("files", [{"path": "x", "sha256": "zz", "bytes": 1}]),
        ("content_sha256", None),
        ("content_sha256", "A" * 64),
        ("train_classes", [3, 7]),
        ("train_classes", {"three": 1}),
        ("train_classes", {"3": 0}),
        ("train_classes", {"3": True}),
        ("test_classes", None),
        ("origin", 7),
    ],
)
def test_a_damaged_record_is_one_line(field, value):
    digest = "0" * 64
    record = DataRecord(
        files=(), origin="x", content_sha256=digest, train_classes={3: 1}, test_classes={}
    )
    assert record_from_dict(record.to_dict()) == record
    content = value if field == "record" else {**record.to_dict(), field: value}
    config = resolve_run("eeqdm").to_dict()
    with pytest.raises(InvalidOption) as caught:
        run_from_dict({**config, "record": content})
    assert "\n" not in str(caught.value)


def test_a_damaged_record_stops_a_resume_in_one_line(tmp_path):
    config, run = begin(tmp_path)
    content = saved(run)
    content["record"]["content_sha256"] = "?"
    (run / "config.json").write_text(json.dumps(content))
    refused(InvalidCheckpoint, "cannot be resumed: A SHA-256 has 64", config, run)


# --- classes of guided runs ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "positions"),
    [
        ((3, 7), {3: 0, 7: 1}),
        ((7, 3), {3: 0, 7: 1}),
        ((0, 2, 9), {0: 0, 2: 1, 9: 2}),
        ((-4, 5), {-4: 0, 5: 1}),
        ((1, 10**12), {1: 0, 10**12: 1}),
        ((6,), {6: 0}),
    ],
)
def test_a_guided_run_knows_the_labels_of_its_file(tmp_path, labels, positions):
    file = write_images(tmp_path / "mine.npz", labels=labels)
    config = config_of(f"npz:{file}", guided=True)
    assert config.model_options.num_classes == len(positions)
    train(config, tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.class_positions() == positions
    assert run.num_classes == len(positions)
    for label, position in positions.items():
        told = chosen_labels(run, SamplingConfig(num_images=2, label=label))
        assert told.tolist() == [position, position]
    for unseen in {1, 0, -1, 10} - set(labels):
        with pytest.raises(InvalidOption, match=r"^label is one of [-\d, ]+; got") as caught:
            sample(run, SamplingConfig(num_images=2, label=unseen))
        assert "\n" not in str(caught.value)
    turns = chosen_labels(run, SamplingConfig(num_images=5)).tolist()
    assert turns == [each % len(positions) for each in range(5)]
    samples = sample(run, SamplingConfig(num_images=2, seed=1))
    assert samples.manifest["classes"] == positions


def test_a_label_is_told_as_it_was_in_training(tmp_path):
    """Positions are those of the run's labels, whatever num_classes is."""
    file = write_images(tmp_path / "mine.npz", labels=(0, 4))
    train(config_of(f"npz:{file}", guided=True, num_classes=10), tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.config.model_options.num_classes == 10
    assert run.class_positions() == {0: 0, 4: 1}
    told = torch.tensor([1, 1])
    config = SamplingConfig(num_images=2, label=4, seed=3)
    x = torch.from_numpy(sample(run, config).trajectory[0])
    prediction = run.model(x, torch.ones(2), told)
    first = sample(run, config).trajectory[1]
    process = run.process
    generator = torch.Generator().manual_seed(0)
    expected = process.reverse_step(x, 3, process.predicted_target(prediction), generator)
    np.testing.assert_allclose(first, expected.detach().numpy(), atol=1e-6)


def test_a_class_that_only_the_test_has_is_not_asked_for(tmp_path):
    file = write_images(tmp_path / "mine.npz", labels=(3, 5, 7), count=30)
    seed, config = next(
        (seed, config)
        for seed in range(50)
        for config in [config_of(f"npz:{file}", guided=True, train_count=2, seed=seed)]
        for split in [load_split(config)]
        if 3 not in split.train.labels and 3 in split.test.labels and 7 in split.train.labels
    )
    train(config, tmp_path / "run")
    run = load_run(tmp_path / "run")
    positions = {7: 2} | ({5: 1} if 5 in load_split(config).train.labels else {})
    assert run.class_positions() == dict(sorted(positions.items()))
    assert set(chosen_labels(run, SamplingConfig(num_images=6)).tolist()) == set(positions.values())
    with pytest.raises(InvalidOption, match=r"got 3\. The model has seen no other"):
        chosen_labels(run, SamplingConfig(label=3))
    assert seed < 50


def test_classes_that_are_chosen_are_those_that_count(tmp_path):
    file = write_images(tmp_path / "mine.npz", labels=(3, 5, 7))
    config = config_of(f"npz:{file}", guided=True, classes="7,3,7")
    assert config.model_options.num_classes == 2
    train(config, tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.class_positions() == {3: 0, 7: 1}
    with pytest.raises(InvalidOption, match=r"label is one of 7, 3; got 5\."):
        chosen_labels(run, SamplingConfig(label=5))


def test_pipelines_and_plans_know_the_classes(tmp_path):
    _, run = begin(tmp_path, guided=True)
    QDMPipeline.from_pretrained(run).save_pretrained(tmp_path / "alone")
    (tmp_path / "mine.npz").unlink()  # sampling needs no data
    pipeline = QDMPipeline.from_pretrained(tmp_path / "alone")
    assert pipeline(num_images=2, label=7).manifest["labels"] == [1, 1]
    with pytest.raises(InvalidOption, match=r"label is one of 3, 7; got 1\."):
        pipeline(num_images=2, label=1)
    _, labels = planned_inputs(load_run(run), 3, 3, 0)
    assert labels.tolist() == [0, 0, 0]
    with pytest.raises(InvalidOption, match=r"label is one of 3, 7; got 0\."):
        planned_inputs(load_run(run), 3, 0, 0)


def test_a_guided_run_of_version_01_reads_its_labels_where_they_are(tmp_path):
    _, run = begin(tmp_path, guided=True, num_classes=10)
    aged(run)
    trained = load_run(run)
    assert trained.num_classes == 10
    assert trained.class_positions() == {3: 0, 7: 1}
    with pytest.raises(InvalidOption, match=r"label is one of 3, 7; got 1\."):
        chosen_labels(trained, SamplingConfig(label=1))
    (tmp_path / "mine.npz").unlink()
    with pytest.raises(MissingData, match=r"no file mine\.npz"):
        chosen_labels(trained, SamplingConfig(label=3))


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["three", "seven"] * 10),
        np.array([3.0, 7.0] * 10),
        np.array([3.5, np.nan] * 10),
        np.array([True, False] * 10),
        np.array([1, 2**63 + 5] * 10, dtype=np.uint64),
        np.arange(40).reshape(20, 2),
    ],
    ids=["text", "floats", "nan", "bools", "beyond", "one-hot"],
)
def test_labels_of_another_kind_are_one_line(tmp_path, labels):
    images = np.random.default_rng(0).random((20, 4, 4)) + 0.0
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    name = f"npz:{tmp_path / 'mine.npz'}"
    for call in (
        lambda: config_of(name, guided=True),
        lambda: load_dataset(name, image_size=4),
    ):
        with pytest.raises(InvalidData, match="'labels'") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_presets_keep_their_published_number_of_classes(tmp_path):
    assert resolve_run("eeqdm", {"guided": True}).model_options.num_classes == 10
    file = write_images(tmp_path / "mine.npz")
    plain = resolve_run("eeqdm", {"dataset": f"npz:{file}"})
    assert plain.model_options.num_classes == 10  # not guided: nothing is read, and nothing told
    with pytest.raises(MissingData):
        resolve_run("eeqdm", {"dataset": "npz:nowhere.npz", "guided": True})
