"""The GPU's benchmark as far as it goes without one: it refuses, and `--device cpu` runs the rest."""

from __future__ import annotations

import importlib
import json
import sys

import pytest
import torch

from tests.helpers import ROOT

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(scope="module")
def gpu():
    known = set(sys.modules)
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("gpu")
    sys.path.remove(str(BENCHMARKS))
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", None) or "/").startswith(str(BENCHMARKS)):
            del sys.modules[name]


def test_without_a_card_it_says_so_in_a_line(gpu, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "gpu.py: there is no CUDA card that torch sees; `--device cpu` tries the script itself.\n"
    )
    assert gpu.main(["--device", "cpu", "--seconds", "600"]) == 2


@pytest.mark.slow
def test_on_the_cpu_it_measures_what_it_says(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "COPIED", 2**20)
    out = tmp_path / "gpu.json"
    few = ["--batches", "1,4", "--exact", "3", "--noisy", "2", "--seconds", "100"]
    monkeypatch.setattr(gpu, "seconds_of", lambda call, device, spend: (call(), 1e-3)[1])
    assert gpu.main(["--device", "cpu", *few, "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert [(row["circuit"], row["batch"]) for row in found["rows"]] == [
        ("exact, 3 qubits", 1),
        ("fake_torino, 2 qubits", 1),
        ("exact, 3 qubits", 4),
        ("fake_torino, 2 qubits", 4),
    ]
    assert found["left_out"] == []
    for row in found["rows"]:
        assert row["rows_per_second"] == pytest.approx(row["batch"] / 1e-3)
        share = row["gbytes_per_second"] / found["copy_gbytes_per_second"]
        assert row["share_of_copy"] == pytest.approx(share)
    assert all(each["float64"] < 1e-9 < each["float32"] < 1e-4 for each in found["equality"])


def test_bytes_are_those_of_the_calls(gpu):
    numbers = torch.ones(1000)
    assert gpu.moved_bytes(lambda: numbers + 1.0) == 8000
    assert gpu.moved_bytes(lambda: numbers.view(10, 100)) == 0


def test_another_result_than_the_cpus_stops_it(gpu, capsys, monkeypatch):
    subject = gpu.exact(2)
    plain = subject.outputs
    off = gpu.Subject(
        "off",
        2,
        subject.num_weights,
        lambda x, w: plain(x, w) * (1 + 1e-3 * (x.dtype == torch.float32)),
    )
    with pytest.raises(gpu.Unequal, match=r"off on cpu in torch.float32 is 0.002"):
        gpu.compared(off, "cpu")
    monkeypatch.setattr(gpu, "exact", lambda qubits: off)
    assert gpu.main(["--device", "cpu", "--exact", "2", "--noisy", "", "--seconds", "9"]) == 1
    assert "from the CPU's results" in capsys.readouterr().err


def test_what_there_is_no_time_for_is_named(gpu):
    rows, left = gpu.all_rows([gpu.exact(2)], [1, 2], "cpu", 1e9, end=0.0)
    assert (rows, left) == (
        [],
        ["exact, 2 qubits, batch 1: no time", "exact, 2 qubits, batch 2: no time"],
    )
