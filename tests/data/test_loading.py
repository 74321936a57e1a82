from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qdm_qiskit.data import DATASETS, load_dataset
from qdm_qiskit.errors import InvalidData, InvalidOption, MissingData, UnknownName
from qdm_qiskit.tasks import train

DEBIAN = Path(DATASETS["fashion-mnist"].system_folder or "")


def rows(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


def digits(**options):
    return load_dataset("digits", **{"image_size": 8, **options})


def test_digits_are_the_real_ones():
    from sklearn.datasets import load_digits

    split = digits()
    bunch = load_digits()
    assert len(split.train) + len(split.test) == len(bunch.target) == DATASETS["digits"].count
    together = np.concatenate([split.train.images, split.test.images])
    assert rows(together) == rows((bunch.images / 16).astype(np.float32))
    label_of = {x.tobytes(): y for x, y in zip(bunch.images / 16, bunch.target, strict=True)}
    for image, label in zip(split.test.images, split.test.labels, strict=True):
        assert label_of[image.astype(np.float64).tobytes()] == label
    assert (split.train.images.dtype, split.train.labels.dtype) == (np.float32, np.int64)
    assert split.train.name == "digits"


def test_train_and_test_are_disjoint():
    split = digits(seed=3)  # no two digits are equal, so pixels identify an image
    assert not rows(split.train.images) & rows(split.test.images)
    assert len(rows(split.train.images)) == len(split.train)


def test_each_class_gives_its_share_to_the_test():
    for fraction in (0.1, 0.2, 0.5):
        split = digits(test_fraction=fraction)
        train, test = np.bincount(split.train.labels), np.bincount(split.test.labels)
        assert (np.abs(test - fraction * (train + test)) <= 0.5).all()


def test_the_seed_decides():
    one, same, other = digits(seed=1), digits(seed=1), digits(seed=2)
    np.testing.assert_array_equal(one.train.images, same.train.images)
    np.testing.assert_array_equal(one.test.labels, same.test.labels)
    assert rows(one.test.images) != rows(other.test.images)


def test_classes_and_counts_never_move_an_image_into_the_test():
    everything = digits(seed=4)
    some = digits(seed=4, classes=[3, 8], train_count=50, test_count=10)
    more = digits(seed=4, classes=[3, 8], train_count=60)
    assert set(some.train.labels.tolist()) == {3, 8}
    assert (len(some.train), len(some.test)) == (50, 10)
    assert rows(some.train.images) <= rows(everything.train.images)
    assert rows(some.test.images) <= rows(everything.test.images)
    np.testing.assert_array_equal(some.train.images, more.train.images[:50])


@pytest.mark.parametrize("size", [2, 4, 16, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_and_channels(size, channels):
    split = digits(image_size=size, channels=channels, train_count=4, test_count=4)
    assert split.train.images.shape == (4, channels, size, size)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 1}, "whole number from 2 to 1024"),
        ({"channels": 2}, "channels=1"),
        ({"classes": [0, 11]}, "classes of 'digits' are 0, 1, .*; got 11:"),
        ({"classes": []}, "got an empty list"),
        ({"classes": [True]}, "got True"),
        ({"classes": "01"}, "got 0, 1:"),
        ({"train_count": 0}, "train_count is an integer >= 1"),
        ({"test_count": 1.5}, "test_count is an integer >= 1"),
        ({"train_count": True}, "train_count is an integer >= 1"),
        ({"train_count": 1800}, r"train_count=1800 .* the 1438 train images that 'digits' has"),
        ({"classes": [1], "test_count": 99}, r"test_count=99 .* 36 test images of the classes 1 "),
        ({"test_fraction": 0.0}, "test_fraction is a number between 0 and 1"),
        ({"test_fraction": 1.0}, "test_fraction is a number between 0 and 1"),
        ({"test_fraction": float("nan")}, "test_fraction is a number between 0 and 1"),
        ({"test_fraction": "0.2"}, "test_fraction is a number between 0 and 1"),
        ({"seed": -1}, "seed"),
        ({"folder": "."}, "is not read from a folder"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(InvalidOption, match=message) as caught:
        digits(**options)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownName, match=r"'digits'\? There are: .*cifar10, .*digits, .*npz:PATH"):
        load_dataset("digit", image_size=8)


# --- published files: MNIST and Fashion-MNIST -------------------------------------------------


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("below", [".", "own"])
def test_published_files_keep_their_split(name, compress, below, tmp_path, write_mnist):
    own = DATASETS[name].folder_names[1] if below == "own" else "."
    write_mnist(tmp_path / own, compress=compress)
    split = load_dataset(name, image_size=8, folder=tmp_path)
    values = np.rint(split.train.images[:, 0, 0, 0] * 255).astype(int)
    assert sorted(values) == list(range(1, 41))
    assert ((values - 1) % 10 == split.train.labels).all()
    test_values = np.rint(split.test.images[:, 0, 0, 0] * 255).astype(int)
    assert sorted(test_values) == list(range(101, 121))
    assert values.tolist() != sorted(values)


def renamed(folder, compress, dotted, own_folder):
    """The four files of ``write_mnist`` under the names that mirrors and unpackers give them."""
    for path in sorted(folder.iterdir()):
        name = path.name.replace("-idx", ".idx") if dotted(path.name) else path.name
        content = path.read_bytes()
        path.unlink()
        place = folder / name / name if own_folder else folder / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
        assert name.endswith(".gz") == compress


def test_files_are_found_in_folders_of_another_of_their_names(tmp_path, write_mnist):
    """Some unpackers name the folder after the archive, and the file as it was inside."""
    for folder in ("published", "unpacked"):
        write_mnist(tmp_path / folder, compress=False)
    for path in sorted((tmp_path / "unpacked").iterdir()):
        path.rename(path.with_suffix(".moved"))
        place = path.with_name(f"{path.name}.gz")
        place.mkdir()
        path.with_suffix(".moved").rename(place / path.name.replace("-idx", ".idx"))
    published, unpacked = (
        load_dataset("mnist", image_size=8, folder=tmp_path / folder)
        for folder in ("published", "unpacked")
    )
    np.testing.assert_array_equal(unpacked.test.images, published.test.images)
    np.testing.assert_array_equal(unpacked.train.labels, published.train.labels)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize(
    ("dotted", "own_folder"),
    [
        (lambda name: True, False),  # train-images.idx3-ubyte, as mirrors write it
        (lambda name: name.startswith("t10k"), False),  # some of each
        (lambda name: "labels" in name, True),  # unpacked into a folder of its own name
    ],
)
def test_files_are_found_under_the_names_that_mirrors_give_them(
    name, compress, dotted, own_folder, tmp_path, write_mnist
):
    write_mnist(tmp_path / "published", compress=compress)
    write_mnist(tmp_path / "mirrored", compress=compress)
    renamed(tmp_path / "mirrored", compress, dotted, own_folder)
    published, mirrored = (
        load_dataset(name, image_size=8, folder=tmp_path / each)
        for each in ("published", "mirrored")
    )
    np.testing.assert_array_equal(mirrored.train.images, published.train.images)
    np.testing.assert_array_equal(mirrored.test.labels, published.test.labels)


def test_the_published_name_wins_and_the_message_names_both(tmp_path, write_mnist):
    write_mnist(tmp_path)
    (tmp_path / "train-images.idx3-ubyte").write_bytes(b"something else")
    assert len(load_dataset("mnist", image_size=8, folder=tmp_path).train) == 40
    (tmp_path / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(MissingData, match=r"with or without \.gz; '\.idx3-ubyte' is as good"):
        load_dataset("mnist", image_size=8, folder=tmp_path)


def test_published_files_are_subsampled_by_seed(tmp_path, write_mnist):
    write_mnist(tmp_path)

    def load(**options):
        return load_dataset("mnist", image_size=4, folder=str(tmp_path), **options).train.images

    np.testing.assert_array_equal(load(seed=1, train_count=5), load(seed=1)[:5])
    assert load(seed=1, train_count=5).tolist() != load(seed=2, train_count=5).tolist()


def test_a_class_that_a_file_lacks_is_said(tmp_path, write_mnist):
    write_mnist(tmp_path, train=5)
    with pytest.raises(InvalidOption, match="'mnist' has no train image of the classes 7"):
        load_dataset("mnist", image_size=8, folder=tmp_path, classes=[7])


def test_a_folder_without_files_is_not_replaced_by_another_place(tmp_path, write_mnist):
    write_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(MissingData, match=r"does not hold 'fashion-mnist'.* leave the folder"):
        load_dataset("fashion-mnist", image_size=8, folder=tmp_path)
    with pytest.raises(MissingData, match="is not a folder"):
        load_dataset("mnist", image_size=8, folder=tmp_path / "none")


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        ("train-images-idx3-ubyte", np.ones((40, 28, 27), np.uint8), "must hold 28 x 28 images"),
        ("train-images-idx3-ubyte", np.ones(40, np.uint8), "must hold 28 x 28 images"),
        ("train-images-idx3-ubyte", np.ones((40, 28, 28), np.int32), "28 images of bytes"),
        ("t10k-labels-idx1-ubyte", np.ones(19, np.uint8), "each of the 20 images"),
        ("t10k-labels-idx1-ubyte", np.ones((20, 1), np.uint8), "each of the 20 images"),
        ("t10k-labels-idx1-ubyte", np.full(20, 10, np.uint8), "labels 0 to 9, got 10"),
        ("train-images-idx3-ubyte", np.zeros((40, 28, 28), np.uint8), "no norm"),
    ],
)
def test_files_of_another_kind_are_refused(file, array, message, tmp_path, write_mnist, idx_bytes):
    write_mnist(tmp_path, compress=False)
    (tmp_path / file).write_bytes(idx_bytes(array))
    with pytest.raises(InvalidData, match=message):
        load_dataset("mnist", image_size=8, folder=tmp_path)


def test_the_cache_is_read_without_a_network(no_network, write_mnist, monkeypatch):
    """The last place of the search order; the checksums are those of the synthetic files."""
    import hashlib
    from dataclasses import replace

    write_mnist(no_network / "mnist")
    info = DATASETS["mnist"]
    files = tuple(
        replace(
            file,
            checksum="sha256:"
            + hashlib.sha256((no_network / "mnist" / file.name).read_bytes()).hexdigest(),
        )
        for file in info.files
    )
    monkeypatch.setitem(DATASETS, "mnist", replace(info, files=files))
    assert len(load_dataset("mnist", image_size=8).train) == 40


def test_the_system_package_comes_before_the_cache(no_network, write_mnist, tmp_path, monkeypatch):
    from dataclasses import replace

    info = replace(DATASETS["fashion-mnist"], system_folder=str(write_mnist(tmp_path / "system")))
    monkeypatch.setitem(DATASETS, "fashion-mnist", info)
    assert len(load_dataset("fashion-mnist", image_size=8).test) == 20


@pytest.mark.skipif(
    not (DEBIAN / "train-images-idx3-ubyte.gz").is_file(),
    reason="the Debian package dataset-fashion-mnist is not installed",
)
def test_the_debian_package_holds_fashion_mnist():
    split = load_dataset("fashion-mnist", image_size=8, train_count=200, classes=[0, 9])
    assert len(split.test) == 2000  # 1,000 test images a class, as published
    assert set(split.train.labels.tolist()) == {0, 9}
    shirts = split.train.images[split.train.labels == 0].mean()
    assert 0.2 < shirts < 0.5


# --- the room ---------------------------------------------------------------------------------


def test_the_room_starts_without_what_it_may_not_need():
    heavy = "torch", "sklearn", "matplotlib", "qiskit", "pooch", "scipy"
    code = f"import sys, qdm_qiskit.data; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_catalogue_is_consistent():
    for name, info in DATASETS.items():
        assert info.name == name
        assert len(info.classes) == len(set(info.classes))
        if info.files or name == "digits":
            assert len(info.classes) == 10
        assert info.published_split == bool(info.files)
        assert info.channels in (1, 3)


@pytest.mark.parametrize("name", ["npz:", "csv:"])
def test_a_file_without_a_path_says_how_to_name_one(name, tmp_path):
    with pytest.raises(
        InvalidOption, match=f"dataset '{name}' names no file; give it as {name}PATH"
    ):
        train("eeqdm", tmp_path / "run", dataset=name)
