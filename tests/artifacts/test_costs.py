"""The costs that `qdm models list` shows are those that would be measured today."""

from __future__ import annotations

import json
import sys

import pytest

from qdm_qiskit.cli.models import TARGETS
from qdm_qiskit.models import PRESETS
from tests.helpers import ROOT

FOUND = json.loads((ROOT / "qdm_qiskit/models/costs.json").read_text())
CHEAP = ("digits-demo", "ddpm-depth2", "cacioppo-latent-conditioned", "cacioppo-digits-8x8")


@pytest.fixture
def costs(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import costs

    yield costs
    del sys.modules["costs"]


def test_each_preset_has_its_costs():
    assert list(FOUND) == list(PRESETS)
    assert {row["how"] for row in FOUND.values()} == set(TARGETS)


def test_the_page_is_made_of_the_same_figures(costs):
    assert (ROOT / "docs/costs.md").read_text() == costs.page(FOUND)


@pytest.mark.parametrize("preset", CHEAP)
def test_costs_are_what_would_be_measured_now(costs, preset):
    assert costs.measured(preset) == FOUND[preset]


@pytest.mark.slow
@pytest.mark.parametrize("preset", [each for each in PRESETS if each not in CHEAP][::5])
def test_costs_of_each_fifth_of_the_others_too(costs, preset):
    assert costs.measured(preset) == FOUND[preset]
