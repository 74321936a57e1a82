"""Every snapshot on every path: `benchmarks/snapshots.py` prints the table."""

from __future__ import annotations

import sys

import pytest

from qdm_qiskit.execution.snapshots import backend_names
from tests.helpers import ROOT

BENCHMARKS = ROOT / "benchmarks"

REFUSED = {
    "fake_armonk": "has 5 qubits and the device has 1",
    "fake_kyoto": "None of the 144 couplers of fake_kyoto works",
}
"""The two snapshots that cannot hold the circuit, and what they say."""


@pytest.fixture
def snapshots(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import snapshots

    yield snapshots
    sys.modules.pop("snapshots", None)


def check(snapshots, name):
    row = snapshots.sweep(name)
    if name in REFUSED:
        assert set(row.refusals) == set(snapshots.PATHS)
        assert all(REFUSED[name] in line and "\n" not in line for line in row.refusals.values())
        return
    assert not row.refusals
    assert 0 < row.success < 1
    assert 5 <= row.working <= row.qubits
    # 256 shots in 32 outcomes scatter by about .1; half the shots elsewhere would be another circuit.
    assert row.distances["noisy"] < 0.3
    assert row.distances["local"] < 0.3
    assert set(row.distances) == {"noisy", "local", "m3"}


@pytest.mark.parametrize("name", ["fake_cairo", "fake_johannesburg", "fake_kyoto", "fake_armonk"])
def test_the_snapshots_that_fell(snapshots, name):
    check(snapshots, name)


# Its maker warns that its errors are placeholders, which users get to see.
@pytest.mark.filterwarnings("ignore:Properties of fake_nighthawk:UserWarning")
@pytest.mark.slow
@pytest.mark.parametrize("name", backend_names())
def test_every_snapshot_on_every_path(snapshots, name):
    check(snapshots, name)


def test_there_are_68():
    assert len(backend_names()) == 68
