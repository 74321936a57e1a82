"""Items: addresses, seeds of addresses, results that are kept, versions that must agree."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from qdm_qiskit.errors import InvalidData, InvalidOption, WorkersUnavailable
from qdm_qiskit.work import WorkItem, item_seed
from qdm_qiskit.work.items import busy, do_item, read_result, versions_here
from tests.work.to_do import draw


def item(name: str = "a", **arguments: object) -> WorkItem:
    return WorkItem(name, draw, {"name": name, **arguments})


@pytest.mark.parametrize("address", ["", ".hidden", "a/b", "../a", "a b", "a" * 201, "é"])
def test_an_address_is_a_files_name(address):
    with pytest.raises(InvalidOption, match="An address is of letters"):
        item(address)


def test_seeds_depend_on_seed_and_address_alone():
    seeds = {item_seed(seed, name) for seed in (0, 1) for name in ("a", "b", "ab", "ba")}
    assert len(seeds) == 8
    assert item_seed(0, "a") == 1337745582, "a recorded seed: results of old sweeps rest on it"


def test_an_item_is_done_once(tmp_path):
    first = do_item(item(), str(tmp_path), versions_here())
    assert do_item(item(), str(tmp_path), versions_here()) == first
    assert (tmp_path / "a.begun").read_text() == "x"
    assert read_result(item(), tmp_path) == first


def test_what_stands_aside_is_handed_over_and_makes_no_other_item(tmp_path):
    plain, slow = item(), WorkItem("a", draw, {"name": "a"}, {"seconds": 0.0})
    assert slow.fingerprint == plain.fingerprint
    with pytest.raises(TypeError, match="'colour'"):  # so it is handed over
        do_item(
            WorkItem("a", draw, {"name": "a"}, {"colour": "red"}), str(tmp_path), versions_here()
        )
    first = do_item(slow, str(tmp_path), versions_here())
    assert do_item(plain, str(tmp_path), versions_here()) == first
    assert (tmp_path / "a.begun").read_text() == "x"


def test_an_item_with_other_arguments_is_another(tmp_path):
    do_item(item(), str(tmp_path), versions_here())
    assert read_result(item(seconds=0.001), tmp_path) is None


def test_a_damaged_result_is_named(tmp_path):
    do_item(item(), str(tmp_path), versions_here())
    file = item().result_file(tmp_path)
    file.write_text(json.dumps({"schema": "another"}))
    with pytest.raises(InvalidData, match="remove it, and its item is done again"):
        read_result(item(), tmp_path)


def test_of_two_who_got_the_same_item_one_does_it(tmp_path):
    slow = item(seconds=0.05)
    with ThreadPoolExecutor(2) as pool:
        sent = [pool.submit(do_item, slow, str(tmp_path), versions_here()) for _ in range(2)]
        assert sent[0].result() == sent[1].result()
    assert (tmp_path / "a.begun").read_text() == "x"
    assert not busy(0.0)


@pytest.mark.parametrize("package", ["qdm_qiskit", "torch"])
def test_a_worker_of_another_version_does_nothing(package, tmp_path):
    with pytest.raises(WorkersUnavailable, match=f"has {package} .*install .*{package} 0.0.9"):
        do_item(item(), str(tmp_path), {**versions_here(), package: "0.0.9"})
    assert list(tmp_path.iterdir()) == []
