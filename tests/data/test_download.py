from __future__ import annotations

import hashlib
import http.server
import threading
from dataclasses import replace
from functools import partial

import pytest

from qdm_qiskit.data import DATASETS, RemoteFile, cache_folder, load_dataset
from qdm_qiskit.data.download import fetch
from qdm_qiskit.errors import MissingData


def remote(url: str, content: bytes) -> RemoteFile:
    return RemoteFile("file.bin", url, f"sha256:{hashlib.sha256(content).hexdigest()}")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A publisher on this machine's loopback: (its folder, its address)."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("qdm_qiskit.data.download.cache_folder", lambda: tmp_path / "cache")
    folder = tmp_path / "published"
    folder.mkdir()
    handler = partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_failed_download_says_what_to_do(name, no_network):
    with pytest.raises(MissingData, match="is not on this machine") as caught:
        load_dataset(name, image_size=8)
    message = str(caught.value)
    assert "\n" not in message
    assert "secret" not in message
    for part in (name, DATASETS[name].files[0].url, "ProxyError", "--folder", str(no_network)):
        assert part in message


def test_the_debian_package_is_named_where_there_is_one(no_network, monkeypatch):
    info = replace(DATASETS["fashion-mnist"], system_folder="/nonexistent")
    monkeypatch.setitem(DATASETS, "fashion-mnist", info)
    with pytest.raises(MissingData, match="install the Debian package dataset-fashion-mnist"):
        load_dataset("fashion-mnist", image_size=8)


def test_a_download_is_kept_and_not_repeated(server):
    folder, address = server
    (folder / "file.bin").write_bytes(b"published")
    file = remote(f"{address}/file.bin", b"published")
    path = fetch(DATASETS["mnist"], file)
    assert path.read_bytes() == b"published"
    (folder / "file.bin").unlink()
    assert fetch(DATASETS["mnist"], file) == path


def test_a_download_of_another_checksum_is_refused_and_not_kept(server, tmp_path):
    folder, address = server
    (folder / "file.bin").write_bytes(b"tampered")
    with pytest.raises(MissingData, match="checksum differs from the published one"):
        fetch(DATASETS["mnist"], remote(f"{address}/file.bin", b"published"))
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []


def test_a_file_that_is_not_there_is_missing_data(server):
    _, address = server
    with pytest.raises(MissingData, match="HTTPError"):
        fetch(DATASETS["mnist"], remote(f"{address}/none.bin", b""))


def test_a_damaged_file_in_the_cache_is_not_used(no_network):
    path = no_network / "mnist" / "file.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a fi")
    with pytest.raises(MissingData, match="ProxyError"):
        fetch(DATASETS["mnist"], remote("http://data.invalid/file.bin", b"published"))


def test_a_cache_that_cannot_be_written_is_missing_data(no_network):
    no_network.write_text("a file where the folder should be")
    with pytest.raises(MissingData, match="could not be downloaded"):
        fetch(DATASETS["mnist"], remote("http://data.invalid/file.bin", b""))


def test_the_cache_folder_is_our_own():
    assert "qdm_qiskit" in str(cache_folder())


@pytest.mark.parametrize("info", DATASETS.values(), ids=DATASETS)
def test_every_published_file_has_a_checksum_of_its_algorithm(info):
    assert info.name in DATASETS
    for file in info.files:
        algorithm, digest = file.checksum.split(":")
        assert len(digest) == {"md5": 32, "sha256": 64}[algorithm]
        int(digest, 16)
        assert file.url.startswith("https://")
        assert file.url.endswith("/" + file.name)
