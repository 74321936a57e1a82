from __future__ import annotations

import gzip
import tarfile

import numpy as np
import pytest

from qdm_qiskit.data import cifar as cifar_module
from qdm_qiskit.data import load_dataset
from qdm_qiskit.errors import InvalidData, MissingData

ARCHIVE = "cifar-10-binary.tar.gz"
INSIDE = "cifar-10-batches-bin/"


def load(folder, **options):
    options = {"image_size": 32, "channels": 3, **options}
    return load_dataset("cifar10", folder=folder, **options)


def members(batches):
    return [(INSIDE + name, content) for name, content in batches.items()]


def test_archive_and_folder_give_the_same_images(tmp_path, cifar_batches, write_tar):
    write_tar(tmp_path / ARCHIVE, [*members(cifar_batches), (INSIDE + "readme.html", b"hello")])
    unpacked = tmp_path / "unpacked" / "cifar-10-batches-bin"
    unpacked.mkdir(parents=True)
    for name, content in cifar_batches.items():
        (unpacked / name).write_bytes(content)
    one, other = load(tmp_path), load(tmp_path / "unpacked")
    assert one.train.images.shape == (100, 3, 32, 32)
    assert one.test.images.shape == (20, 3, 32, 32)
    np.testing.assert_array_equal(one.train.images, other.train.images)
    np.testing.assert_array_equal(one.test.labels, other.test.labels)


def test_pixels_are_red_green_blue_planes(tmp_path, cifar_batches):
    record = bytes([7]) + b"\xff" * 1024 + b"\x80" * 1024 + b"\x00" * 1024
    for name in cifar_batches:
        (tmp_path / name).write_bytes(record)
    image = load(tmp_path).test.images[0]
    np.testing.assert_allclose(image.mean(axis=(1, 2)), [1, 128 / 255, 0], atol=1e-6)
    assert load(tmp_path).test.labels.tolist() == [7]
    grey = load(tmp_path, channels=1, image_size=8).test.images
    np.testing.assert_allclose(grey, 0.299 + 0.587 * 128 / 255, atol=1e-6)


def test_hostile_names_are_ignored_and_nothing_is_written(tmp_path, cifar_batches, write_tar):
    folder = tmp_path / "data"
    folder.mkdir()
    device = tarfile.TarInfo("dev")
    device.type = tarfile.CHRTYPE
    hostile = [
        ("../../escaped", b"x"),
        ("/tmp/escaped", b"x"),  # noqa: S108 - a name inside an archive that is never extracted
        (f"../{INSIDE}test_batch.bin", b"x"),
        (device, b""),
    ]
    write_tar(folder / ARCHIVE, [*hostile, *members(cifar_batches)])
    assert len(load(folder).test) == 20
    assert [path.name for path in tmp_path.rglob("*")] == ["data", ARCHIVE]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_links_and_folders_in_place_of_a_batch_are_refused(
    kind, tmp_path, cifar_batches, write_tar
):
    link = tarfile.TarInfo(INSIDE + "test_batch.bin")
    link.type, link.linkname = kind, INSIDE + "data_batch_1.bin"
    others = [(n, c) for n, c in members(cifar_batches) if "test" not in n]
    write_tar(tmp_path / ARCHIVE, [*others, (link, b"")])
    with pytest.raises(InvalidData, match="must be a plain file"):
        load(tmp_path)


def test_a_batch_that_comes_twice_is_refused(tmp_path, cifar_batches, write_tar):
    write_tar(tmp_path / ARCHIVE, [*members(cifar_batches), *members(cifar_batches)[:1]])
    with pytest.raises(InvalidData, match=r"data_batch_1.bin' twice"):
        load(tmp_path)


def test_a_missing_batch_is_named(tmp_path, cifar_batches, write_tar):
    write_tar(tmp_path / ARCHIVE, members(cifar_batches)[1:])
    with pytest.raises(InvalidData, match=r"lacks cifar-10-batches-bin/data_batch_1\.bin; it must"):
        load(tmp_path)


@pytest.mark.parametrize("length", [0, 1, 3072, 3074])
def test_a_batch_of_an_odd_length_is_refused(length, tmp_path, cifar_batches, write_tar):
    broken = {**cifar_batches, "data_batch_3.bin": b"\1" * length}
    write_tar(tmp_path / ARCHIVE, members(broken))
    with pytest.raises(InvalidData, match=rf"data_batch_3.bin' must hold .* got {length} bytes"):
        load(tmp_path)
    (tmp_path / ARCHIVE).unlink()
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidData, match=rf"data_batch_3.bin must hold .* got {length} bytes"):
        load(tmp_path)


def test_a_label_out_of_range_is_refused(tmp_path, cifar_batches):
    content = bytearray(cifar_batches["test_batch.bin"])
    content[3073 * 2] = 10
    for name, batch in {**cifar_batches, "test_batch.bin": content}.items():
        (tmp_path / name).write_bytes(batch)
    with pytest.raises(InvalidData, match=r"test_batch.bin must hold labels .* record 2 has 10"):
        load(tmp_path)


@pytest.mark.parametrize("keep", [0, 1, 9, 10, 11, 40, 5000, -9, -1])
def test_truncated_archives_are_refused(keep, tmp_path, cifar_batches, write_tar):
    whole = write_tar(tmp_path / ARCHIVE, members(cifar_batches)).read_bytes()
    (tmp_path / ARCHIVE).write_bytes(whole[:keep])
    with pytest.raises(InvalidData, match=ARCHIVE) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_damaged_archives_give_our_error_or_the_images(
    tmp_path, cifar_batches, write_tar, message_of
):
    small = {name: content[:3073] for name, content in cifar_batches.items()}
    plain = gzip.decompress(write_tar(tmp_path / ARCHIVE, members(small)).read_bytes())
    rng = np.random.default_rng(3)
    for _ in range(60):
        content = bytearray(plain)
        header = 3584 * int(rng.integers(0, 6))  # 512 bytes of header and seven blocks of data
        for place in header + rng.integers(0, 512, size=3):
            content[place] = int(rng.integers(0, 256))
        # A wrong header checksum ends most of these early, so half of them get a right one.
        if rng.random() < 0.5:
            block = bytearray(content[header : header + 512])
            block[148:156] = b" " * 8
            content[header + 148 : header + 156] = b"%06o\0 " % sum(block)
        (tmp_path / ARCHIVE).write_bytes(gzip.compress(bytes(content), 1))
        assert "\n" not in message_of(lambda: load(tmp_path), InvalidData)


def test_a_gzip_bomb_is_stopped(tmp_path, cifar_batches, write_tar, monkeypatch):
    monkeypatch.setattr(cifar_module, "LARGEST_ARCHIVE", 1_000_000)
    write_tar(tmp_path / ARCHIVE, [("zeros", bytes(3_000_000)), *members(cifar_batches)])
    with pytest.raises(InvalidData, match="unpacks to more than 1000000 bytes"):
        load(tmp_path)


def test_a_batch_larger_than_the_published_ones_is_refused(tmp_path, write_tar):
    write_tar(tmp_path / ARCHIVE, [(INSIDE + "data_batch_1.bin", bytes(3073 * 10_001))])
    with pytest.raises(InvalidData, match="30733073 bytes or more"):
        load(tmp_path)


def test_the_python_version_of_the_archive_is_refused(tmp_path, write_tar):
    write_tar(tmp_path / ARCHIVE, [("cifar-10-batches-py/data_batch_1", b"\x80\x02pickle")])
    with pytest.raises(InvalidData, match="must be the binary version"):
        load(tmp_path)


def test_not_an_archive(tmp_path):
    for content in (b"", b"hello", gzip.compress(b"hello")):
        (tmp_path / ARCHIVE).write_bytes(content)
        with pytest.raises(InvalidData, match=ARCHIVE):
            load(tmp_path)


def test_a_folder_without_the_files_says_what_it_needs(tmp_path):
    with pytest.raises(MissingData, match=r"does not hold 'cifar10': it needs .*data_batch_1.bin"):
        load(tmp_path)
