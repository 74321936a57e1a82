"""Data sets as objects: those of this package as before, those of others, and what they do wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qdm_qiskit.data import (
    DATASET_DOOR,
    DATASETS,
    Dataset,
    LabelledImages,
    find_dataset,
    load_dataset,
    load_with_source,
)
from qdm_qiskit.data.datasets import raw_parts
from qdm_qiskit.data.digits import read_digits
from qdm_qiskit.errors import (
    InvalidArgument,
    InvalidData,
    InvalidExtension,
    InvalidOption,
    UnknownName,
)
from qdm_qiskit.evaluation.subjects import load_reference, run_subject
from qdm_qiskit.models import load_model
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.training import resolve_run, train
from tests.cli.conftest import Qdm, qdm  # noqa: F401 (a fixture)
from tests.test_doors import package  # noqa: F401 (a fixture)


class Stripes(Dataset):
    name = "stripes"
    classes = ("upright", "level")
    licence = "CC0"
    source = "drawn here"
    description = "stripes of two directions"

    def __init__(self, count: int = 40, seed: int = 0) -> None:
        self.count, self.seed = count, seed

    def load(self):
        noise = np.random.default_rng(self.seed).uniform(0, 0.5, (self.count, 8, 8))
        upright = np.tile([0.0, 0.5], (self.count, 8, 4)) + noise
        images = np.concatenate([upright, upright.swapaxes(1, 2)])
        return LabelledImages(images, np.repeat([0, 1], self.count))


def of(loaded, classes=(), **fields):
    """A data set that loads just this."""
    values = {"name": "own", "licence": "mine", "source": "me", "classes": classes, **fields}
    return type("Own", (Dataset,), {**values, "load": lambda self: loaded})()


IMAGES = np.linspace(0.1, 1, 6 * 4 * 4).reshape(6, 4, 4)
LABELS = np.array([0, 1, 0, 1, 0, 1])


@pytest.mark.parametrize("name", DATASETS)
def test_built_in_data_sets_stand_behind_the_door_and_say_their_licence(name):
    found = DATASET_DOOR.get(name)
    assert (found.name, found.classes) == (name, DATASETS[name].classes)
    assert found.licence
    assert found.licence == DATASETS[name].licence


def test_licences_are_said_honestly():
    assert DATASETS["digits"].licence.startswith("CC BY 4.0")
    assert DATASETS["fashion-mnist"].licence == "MIT"
    assert "none stated" in DATASETS["mnist"].licence
    assert DATASETS["cifar10"].licence.startswith("none stated")


def test_raw_arrays_of_this_package_are_what_the_readers_give():
    raw, test = raw_parts(find_dataset("digits"))
    assert test is None
    read = read_digits()
    assert raw.pixels.dtype == read.pixels.dtype == np.float32
    np.testing.assert_array_equal(raw.pixels, read.pixels)
    np.testing.assert_array_equal(raw.labels, read.labels)


def test_content_of_the_digits_is_that_of_0_1():
    loaded = load_with_source("digits", image_size=4)
    run = Path(__file__).parents[1] / "fixtures" / "digits_content.json"
    assert loaded.content() == json.loads(run.read_text())["content_sha256"]


def test_an_object_needs_no_registration():
    split = load_dataset(Stripes(), image_size=8, test_fraction=0.25, seed=3)
    assert (len(split.train), len(split.test)) == (60, 20)
    assert split.train.name == "stripes"
    assert np.bincount(split.test.labels).tolist() == [10, 10]
    whole = Stripes().load()
    label_of = {
        image.astype(np.float32).tobytes(): label
        for image, label in zip(whole.images, whole.labels, strict=True)
    }
    for part in (split.train, split.test):
        for image, label in zip(part.images, part.labels, strict=True):
            assert label_of.pop(image.tobytes()) == label
    assert not label_of  # every image once
    again = load_dataset(Stripes, image_size=8, test_fraction=0.25, seed=3)
    np.testing.assert_array_equal(again.train.images, split.train.images)


def test_options_of_every_data_set_hold_for_an_object():
    split = load_dataset(
        Stripes(), image_size=4, channels=3, classes=[1], train_count=8, test_count=2
    )
    assert split.train.images.shape == (8, 3, 4, 4)
    assert set(split.train.labels.tolist()) == {1}
    with pytest.raises(InvalidOption, match="classes of 'stripes' are 0, 1; got 2"):
        load_dataset(Stripes(), image_size=4, classes=[2])
    with pytest.raises(InvalidOption, match="'stripes' is not read from a folder"):
        load_dataset(Stripes(), image_size=4, folder=".")


def test_published_parts_are_kept_apart():
    pair = (LabelledImages(IMAGES[:4], LABELS[:4]), LabelledImages(IMAGES[4:], LABELS[4:]))
    split = load_dataset(of(pair), image_size=4)
    assert (len(split.train), len(split.test)) == (4, 2)
    assert {x.tobytes() for x in split.test.images} == {
        x.astype(np.float32).tobytes() for x in IMAGES[4:]
    }


@pytest.mark.parametrize("colours", [1, 3])
def test_bytes_and_colours(colours):
    images = np.arange(1, 1 + 5 * 4 * 6 * colours, dtype=np.uint8).reshape(5, 4, 6, colours)
    raw, _ = raw_parts(of(LabelledImages(images)))
    assert raw.pixels.shape == (5, colours, 4, 6)
    np.testing.assert_array_equal(
        raw.chosen(np.array([2]))[0, 0], images[2, :, :, 0] / np.float32(255)
    )
    assert raw.labels.tolist() == [0] * 5


def test_hash_is_of_pixels_and_labels():
    def content(**options):
        return load_with_source(Stripes(**options), image_size=4).content()

    assert content() == content()
    assert content(seed=1) != content()
    other = of(LabelledImages(IMAGES, 1 - LABELS))
    same = of(LabelledImages(IMAGES, LABELS))
    hashes = {load_with_source(each, image_size=4).content() for each in (other, same)}
    assert len(hashes) == 2


NAN, BEYOND, EMPTY = (IMAGES.copy() for _ in range(3))
NAN[3, 0, 0], BEYOND[2, 1, 1], EMPTY[4] = np.nan, 1.5, 0


@pytest.mark.parametrize(
    ("loaded", "message"),
    [
        (LabelledImages(NAN), "images of 'own' must be finite, but image 3 holds NaN"),
        (LabelledImages(BEYOND), r"images of 'own' must lie in \[0, 1\], but image 2 .*1\.5"),
        (LabelledImages(IMAGES * 255), r"must lie in \[0, 1\], but image 0"),
        (LabelledImages(EMPTY), "must not be zero everywhere, but image 4"),
        (
            LabelledImages((255 * EMPTY).astype(np.uint8)),
            "must not be zero everywhere, but image 4",
        ),
        (LabelledImages((255 * IMAGES).astype(int)), "uint8 or floats.*got int64"),
        (LabelledImages(IMAGES.tolist()), "are a numpy array, got a list"),
        (LabelledImages(IMAGES[0]), r"have shape \(count, height, width\).*got \(4, 4\)"),
        (LabelledImages(IMAGES[:, None]), r"width, 1 or 3\).*got \(6, 1, 4, 4\)"),
        (LabelledImages(IMAGES[:0]), r"without a zero, got \(0, 4, 4\)"),
        (LabelledImages(IMAGES, LABELS[:5]), r"one to an image, shape \(6,\), got \(5,\)"),
        (LabelledImages(IMAGES, LABELS.astype(float)), "array of integers, got float64"),
        (LabelledImages(IMAGES, LABELS.tolist()), "array of integers, got a list"),
        (LabelledImages(IMAGES, LABELS + 1), "0 to 1, positions among its 2 classes; got 1 to 2"),
        (LabelledImages(IMAGES, LABELS - 1), "got -1 to 0"),
        (IMAGES, r"loads LabelledImages, or a pair.*got a ndarray"),
        ((IMAGES, LABELS), "loads LabelledImages, or a pair"),
        ((LabelledImages(IMAGES),) * 3, "loads LabelledImages, or a pair"),
        (
            (LabelledImages(IMAGES), LabelledImages(IMAGES[:, :2])),
            r"have one shape, got \(1, 4, 4\) and \(1, 2, 4\)",
        ),
        ((LabelledImages(IMAGES, LABELS), LabelledImages(IMAGES)), "have labels, or neither has"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_one_line(loaded, message):
    with pytest.raises(InvalidData, match=message) as error:
        load_dataset(of(loaded, classes=("a", "b")), image_size=4)
    assert "\n" not in str(error.value)
    assert "own" in str(error.value)


def test_a_failure_while_loading():
    class Broken(Stripes):
        name = "broken"

        def load(self):
            raise KeyError("images")

    with pytest.raises(InvalidExtension, match="'broken' fails to load: KeyError: 'images'"):
        load_dataset(Broken(), image_size=4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"licence": None}, "Own lacks its licence"),
        ({"licence": " "}, "Own lacks its licence"),
        ({"source": None}, "Own lacks its source"),
        ({"classes": "ab"}, "classes is a tuple of names"),
        ({"name": "digits"}, "'digits' is a data set of this package"),
        ({"name": "npz:x"}, "does not begin with npz:"),
    ],
)
def test_no_data_sets(fields, message):
    with pytest.raises(InvalidArgument, match=message):
        find_dataset(of(LabelledImages(IMAGES), **fields))


def test_a_class_without_load():
    class Nothing(Dataset):
        name, licence, source = "nothing", "none", "nobody"

    with pytest.raises(InvalidArgument, match="Nothing lacks load"):
        find_dataset(Nothing)
    with pytest.raises(InvalidArgument, match="`name` is text"):
        load_dataset(3, image_size=4)


TINY = {"image_size": 4, "depth": 1, "num_steps": 2, "epochs": 1, "baseline": False}


def test_a_run_of_an_object(tmp_path):
    config = resolve_run("qddm", {**TINY, "sample_every": 0})
    result = train(config, tmp_path / "run", dataset=Stripes())
    run = load_run(tmp_path / "run")
    assert run.config.data.dataset == "stripes"
    record = run.config.record
    assert record.content_sha256 == load_with_source(Stripes(), image_size=4).content()
    assert record.classes == (0, 1)
    assert sample(run, SamplingConfig(num_images=1)).images.shape == (1, 1, 4, 4)
    longer = config.with_epochs(2)
    resumed = train(longer, tmp_path / "run", resume="latest", dataset=Stripes())
    assert resumed.epochs == 2
    assert load_model(resumed.checkpoint).name == "qddm"
    with pytest.raises(InvalidData, match="are not those that the run was trained on"):
        train(config.with_epochs(3), tmp_path / "run", resume="latest", dataset=Stripes(seed=1))
    with pytest.raises(
        UnknownName, match=r"no dataset 'stripes'.*give it as an object by dataset="
    ):
        train(run.config.with_epochs(3), tmp_path / "run", resume="latest")
    assert result.epochs == 1
    subject = run_subject(tmp_path / "run", seed=0, dataset=Stripes())
    reference = load_reference([subject], None, "test", 10)
    assert reference.own
    assert reference.images.shape == (10, 1, 4, 4)
    assert len(subject.training_split().train) == 64


def test_states_are_no_images(tmp_path):
    config = resolve_run("quddpm-clustered", {"epochs": 1})
    with pytest.raises(InvalidOption, match="'stripes' holds images, but model 'quddpm' takes"):
        train(config, tmp_path / "run", dataset=Stripes())


CODE = """
from tests.data.test_datasets import Stripes

class Theirs(Stripes):
    name = "theirs"

class Called(Stripes):
    name = "otherwise"
"""
POINTS = "[qdm_qiskit.dataset]\ntheirs = packaged:Theirs\n"


def test_a_package_brings_one(package, qdm: Qdm, tmp_path):  # noqa: F811
    package("packaged", POINTS, CODE)
    listed = json.loads(qdm("data", "list", "--json").out)
    row = next(each for each in listed if each["name"] == "theirs")
    assert (row["licence"], row["package"], row["classes"]) == (
        "CC0",
        "packaged",
        ["upright", "level"],
    )
    assert "Licence: CC0" in qdm("data", "list").out
    shown = qdm("data", "show", "theirs", "--image-size", "4", "--count", "6")
    assert shown.code == 0, shown.err
    assert "licence  CC0" in shown.out
    settings = [
        part
        for key, value in TINY.items()
        if key != "epochs"
        for part in ("--set", f"{key}={value}")
    ]
    trained = qdm(
        *("train", "--model", "qddm", "--dataset", "theirs", "--set", "guided=true"),
        *(*settings, "--epochs", "1", "--quiet", "--out", tmp_path / "run"),
    )
    assert trained.code == 0, trained.err
    run = load_run(tmp_path / "run")
    assert run.config.model_options.num_classes == 2
    assert run.config.record.origin == "packaged 1.5"
    assert run.config.record.classes == (0, 1)


def test_broken_packages_do_not_hide_the_others(package, qdm: Qdm):  # noqa: F811
    points = "[qdm_qiskit.dataset]\nbroken = packaged:Called\nabsent = packaged:Absent\n"
    package("packaged", points, CODE)
    listed = qdm("data", "list")
    assert listed.code == 0
    assert "digits" in listed.out
    text = " ".join(listed.out.split())
    assert "It calls itself 'otherwise', and its entry point 'broken'" in text
    assert "'absent' of package packaged cannot be loaded" in text
    with pytest.raises(InvalidExtension, match="give it one name"):
        load_dataset("broken", image_size=4)
