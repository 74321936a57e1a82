"""Searches over transpiler seeds: what was tried elsewhere gives the circuit of a search here."""

from __future__ import annotations

import json

import pytest
from qiskit import QuantumCircuit

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.execution.devices import as_backend
from qdm_qiskit.transpiling import search as search_module
from qdm_qiskit.transpiling.passes import layout_trials
from qdm_qiskit.transpiling.search import TriedSeeds, layout_key, search_layouts, tried_seed

SEEDS = [3, 1, 4, 15, 9, 2]


@pytest.fixture(scope="module")
def quito():
    return as_backend("fake_quito")


@pytest.fixture(scope="module")
def circuit():
    made = QuantumCircuit(4)
    made.h(0)
    for a, b in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)):
        made.cx(a, b)
    made.measure_all()
    return made


@pytest.fixture(scope="module")
def tried(circuit, quito):
    how = {"level": 1, "read": None, "fractional": False}
    found = [tried_seed(circuit, quito, seed, **how) for seed in SEEDS]
    return json.loads(json.dumps(found))


def test_the_best_is_that_of_all_trials_and_only_it_is_transpiled(
    circuit, quito, tried, monkeypatch
):
    here = search_layouts(circuit, quito, seeds=SEEDS, level=1)
    assert len({each.expected_success for each in here.costs}) > 1, "nothing to choose"
    asked = []
    monkeypatch.setattr(
        search_module,
        "layout_trials",
        lambda *given, seeds, **named: (
            asked.append(seeds) or layout_trials(*given, seeds=seeds, **named)
        ),
    )
    there = TriedSeeds(tried)(circuit, quito, seeds=SEEDS, level=1)
    assert (there.best.seed, there.costs) == (here.best.seed, here.costs)
    assert there.best.circuit == here.best.circuit
    assert asked == [[here.best.seed]]
    key = layout_key(circuit, "fake_quito", level=1, read=None, fractional=False)
    assert TriedSeeds(tried).best_seeds(SEEDS) == {key: here.best.seed}


def test_what_nobody_has_tried_is_tried_here(circuit, quito, tried):
    for options in ({"level": 0}, {"level": 1, "read": [0, 1]}):
        found = TriedSeeds(tried)(circuit, quito, seeds=SEEDS[:2], **options)
        assert found.costs == search_layouts(circuit, quito, seeds=SEEDS[:2], **options).costs
    found = TriedSeeds(tried[:1])(circuit, quito, seeds=SEEDS[:2], level=1)
    assert found.costs == search_layouts(circuit, quito, seeds=SEEDS[:2], level=1).costs
    assert TriedSeeds(tried[:1]).best_seeds(SEEDS) == {}
    with pytest.raises(InvalidOption, match="at least one transpiler seed"):
        TriedSeeds(tried)(circuit, quito, seeds=[], level=1)


def test_a_worker_whose_device_is_another_is_found_out(circuit, quito, tried):
    wrong = [{**each, "cost": {**each["cost"], "depth": 1}} for each in tried]
    with pytest.raises(InvalidData, match="another circuit on fake_quito"):
        TriedSeeds(wrong)(circuit, quito, seeds=SEEDS, level=1)
    for broken in ([{}], [{**tried[0], "cost": {}}], ["text"]):
        with pytest.raises(InvalidData, match="remove it"):
            TriedSeeds(broken)
