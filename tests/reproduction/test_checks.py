"""The checks: their arguments are those of the table, and a fault in what they check is seen."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch

from qdm_qiskit.circuits import qddm
from qdm_qiskit.errors import InvalidData, InvalidOption, UnknownName
from qdm_qiskit.reproduction import closed_forms, counts, printed
from qdm_qiskit.reproduction.check_arguments import CHECK_ARGUMENTS, OPTIONAL
from qdm_qiskit.reproduction.checks import CHECKS, compute


def test_the_table_of_arguments_is_that_of_the_functions():
    assert list(CHECKS) == list(CHECK_ARGUMENTS)
    for name, function in CHECKS.items():
        parameters = inspect.signature(function).parameters
        assert set(parameters) == set(CHECK_ARGUMENTS[name]), name
        for each in parameters.values():
            assert (each.default is inspect.Parameter.empty) == (each.name not in OPTIONAL), name


def test_layers_with_another_range_of_cnots_are_seen(monkeypatch):
    right = closed_forms.strongly_entangling(num_wires=4, depth=2, seed=0)
    whole = closed_forms.strongly_entangling_layers

    def shorter(num_wires, depth):
        circuit = whole(num_wires, depth)
        circuit.cx(0, 1)
        return circuit

    monkeypatch.setattr(closed_forms, "strongly_entangling_layers", shorter)
    assert right < 1e-12 < 0.1 < closed_forms.strongly_entangling(num_wires=4, depth=2, seed=0)


def test_layers_on_all_wires_move_the_second_half(monkeypatch):
    asked = {"num_data": 4, "depth": 2, "draws": 3, "seed": 0}
    assert closed_forms.second_half(**asked) < 1e-12
    monkeypatch.setattr(closed_forms, "eeqdm", qddm)
    assert closed_forms.second_half(**asked) > 0.01


def test_a_chain_of_another_length_is_seen(monkeypatch):
    asked = {"image_size": 2, "depth": 2, "steps": 3, "seed": 0}
    assert closed_forms.chain_matrix(**asked) < 1e-5
    whole = closed_forms.UnitaryQDense.chain_matrix
    monkeypatch.setattr(
        closed_forms.UnitaryQDense, "chain_matrix", lambda self, steps: whole(self, steps + 1)
    )
    assert closed_forms.chain_matrix(**asked) > 0.01


def test_a_posterior_mean_of_other_shares_is_seen(monkeypatch):
    assert closed_forms.posterior_mean(steps=4, beta=0.2) < 1e-12
    whole = closed_forms.ComplexGaussian.posterior_mean
    monkeypatch.setattr(
        closed_forms.ComplexGaussian,
        "posterior_mean",
        lambda self, x_0, x_t, step: whole(self, x_0, x_t, step - 1),
    )
    assert closed_forms.posterior_mean(steps=4, beta=0.2) > 0.01


def test_a_loss_without_its_weight_is_seen(monkeypatch):
    assert closed_forms.loss_weight(steps=20) < 1e-6
    monkeypatch.setattr(
        closed_forms.NoisePrediction, "weights", lambda self, step: torch.ones(len(step))
    )
    assert closed_forms.loss_weight(steps=20) > 0.5


def test_another_mixed_state_is_seen(monkeypatch):
    asked = {"qubits": 2, "steps": 3, "seed": 0}
    assert closed_forms.depolarizing(**asked) < 1e-12
    monkeypatch.setattr(closed_forms, "closed_form", lambda rho_0, signal: signal * rho_0)
    assert closed_forms.depolarizing(**asked) > 0.01


def test_the_sign_of_a_conv_unit_is_seen():
    assert closed_forms.conv_unit(sign=1, seed=3) < 1e-12
    assert closed_forms.conv_unit(sign=-1, seed=3) > 0.1


def test_the_quantum_fisher_information_is_not_the_metric(monkeypatch):
    assert closed_forms.product_metric(qubits=2, seed=0) < 1e-12
    whole = closed_forms.fubini_study_metric
    monkeypatch.setattr(closed_forms, "fubini_study_metric", lambda *a: 4 * whole(*a))
    assert closed_forms.product_metric(qubits=2, seed=0) > 0.1


def test_angles_that_do_not_act_are_not_counted(monkeypatch):
    asked = {"circuit": "hqconv", "options": {"depth": 1}, "seed": 0}
    assert counts.acting_angles(**asked) == 28
    whole = counts.QuantumLayer.forward
    monkeypatch.setattr(  # only the first wire's value is read: a part of the angles cannot reach it
        counts.QuantumLayer, "forward", lambda self, **given: whole(self, **given)[:, :1]
    )
    assert 0 < counts.acting_angles(**asked) < 28


def test_counts_say_what_they_do_not_know():
    small = {"model": "eeqdm", "options": {"image_size": 4, "depth": 2}}
    assert counts.model(count="parameters", **small) == 18
    assert counts.model(count="parameters", module="layer", **small) == 18
    with pytest.raises(UnknownName, match="no count of a model 'weights'"):
        counts.model(count="weights", **small)
    with pytest.raises(UnknownName, match="part of 'eeqdm' called 'decoder'"):
        counts.model(count="parameters", module="decoder", **small)
    with pytest.raises(UnknownName, match="option of 'koelle-dense-L50' called"):
        counts.setting(preset="koelle-dense-L50", option="lerning_rate")
    with pytest.raises(InvalidOption, match="is no number"):
        counts.setting(preset="cacioppo-16x16", option="depths")


def test_arithmetic_on_printed_numbers():
    assert printed.mean(values=[1, 2, 6]) == 3
    assert printed.deviation(values=[1, 3]) == pytest.approx(math.sqrt(2))
    assert printed.change(before=200, after=150) == -25
    assert printed.difference(values=[3, 5, 4]) == 1
    assert printed.lower(values=[1, 5], beside=[2, 4]) == 1
    error, most = 0.02, 3.0
    decibel = 10 * math.log10(most**2 / error)
    assert printed.largest_value(error=error, decibel=decibel) == pytest.approx(most)
    x = np.arange(1, 8)
    assert printed.growth(at=x, values=3 * x + 1) < 0.01
    assert printed.growth(at=x, values=3 * np.exp(0.7 * x)) > 100
    for wrong in (
        lambda: printed.deviation(values=[1]),
        lambda: printed.change(before=0, after=1),
        lambda: printed.lower(values=[1], beside=[1, 2]),
        lambda: printed.growth(at=[1, 2, 3], values=[1, 0, 2]),
    ):
        with pytest.raises(InvalidData):
            wrong()


def test_an_estimate_keeps_its_interval_and_its_seed():
    found = compute({"check": "entanglement", "depth": 1, "mixing": "rx", "samples": 50, "seed": 3})
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert found.seeds == (3,)
