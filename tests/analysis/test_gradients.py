"""Gradient variances against integrals that are known, and their decay against known rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp, Statevector

from qdm_qiskit.analysis import (
    Estimate,
    GradientScan,
    gradient_samples,
    gradient_scan,
    haar_gradient_variance,
)
from qdm_qiskit.analysis import gradient_variance as variance
from qdm_qiskit.analysis.states import random_angles
from qdm_qiskit.circuits import hardware_efficient, strongly_entangling_layers
from qdm_qiskit.errors import InvalidData, InvalidOption


def product(num_qubits: int) -> QuantumCircuit:
    """One RY on each qubit: the warm-up example of arXiv:2001.00550."""
    circuit = QuantumCircuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.ry(Parameter(f"w_{qubit:04d}"), qubit)
    return circuit


def value(circuit, angles, observable) -> float:
    state = Statevector(circuit.assign_parameters(angles))
    n = circuit.num_qubits
    if observable == "global":
        return abs(state.data[0]) ** 2
    if observable == "local":
        return float(np.mean([state.probabilities([q])[0] for q in range(n)]))
    return state.expectation_value(observable).real


@pytest.mark.parametrize("observable", ["global", "local", SparsePauliOp(["XIZ", "YYI"], [0.5, 2])])
def test_gradients_are_the_differences_of_qiskits_values(observable):
    circuit = strongly_entangling_layers(3, 2)
    found = gradient_samples(
        circuit, observable, samples=3, generator=np.random.default_rng(1), start_angle=0.0
    )
    angles = random_angles(circuit, 3, np.random.default_rng(1)).numpy()
    step = 1e-5
    for row, point in enumerate(angles):
        for k in range(0, circuit.num_parameters, 4):
            ahead = step * np.eye(circuit.num_parameters)[k]
            slope = value(circuit, point + ahead, observable)
            slope -= value(circuit, point - ahead, observable)
            assert found[row, k] == pytest.approx(slope / (2 * step), abs=1e-8)


@pytest.mark.parametrize("num_qubits", [1, 3])
@pytest.mark.parametrize("component", [None, 0])
def test_the_variance_of_a_product_is_its_integral(num_qubits, component):
    """Var[d (prod cos^2)] = (1/8) (3/8)^(n-1); of the mean over qubits, 1 / (8 n^2)."""
    rng = np.random.default_rng(2)
    exact = {"global": (3 / 8) ** (num_qubits - 1) / 8, "local": 1 / (8 * num_qubits**2)}
    for observable, expected in exact.items():
        found = variance(
            product(num_qubits), observable, samples=4000, generator=rng, component=component
        )
        assert found.low < found.value < found.high
        assert found.value == pytest.approx(expected, rel=0.1)
        assert found.low * 0.97 < expected < found.high * 1.03


def test_the_decay_of_a_product_has_the_known_rates():
    """(3/8)^n for the global cost, n^-2 for the local one."""
    rng = np.random.default_rng(3)
    circuits = [product(n) for n in (2, 3, 4, 6, 8)]
    scan = gradient_scan(circuits, "global", samples=3000, generator=rng)
    fit = scan.exponential()
    assert fit.slope == pytest.approx(math.log2(3 / 8), abs=4 * fit.error)
    assert fit.error < 0.05
    assert fit.chi_squared < scan.power_law().chi_squared / 10
    scan = gradient_scan(circuits, "local", samples=3000, generator=rng)
    fit = scan.power_law()
    assert fit.slope == pytest.approx(-2, abs=4 * fit.error)
    assert fit.error < 0.05
    assert fit.chi_squared < scan.exponential().chi_squared / 10


@pytest.mark.slow
def test_the_hardware_efficient_ansatz_has_a_barren_plateau_at_depth_n():
    """At n layers a qubit costs the global cost a factor of 4 and the local one about 2."""
    deep = [hardware_efficient(n, depth=n) for n in (4, 6, 8)]
    shallow = [hardware_efficient(n, depth=2) for n in (4, 6, 8)]
    rng = np.random.default_rng(7)
    scans = {
        (name, cost): gradient_scan(circuits, cost, samples=300, generator=rng)
        for name, circuits in (("deep", deep), ("shallow", shallow))
        for cost in ("global", "local")
    }
    # Of 2-designs of these sizes it is -1.96; two layers would give about -1.8.
    assert scans["deep", "global"].exponential().slope == pytest.approx(-1.93, abs=0.08)
    assert scans["deep", "local"].exponential().slope == pytest.approx(-1.15, abs=0.2)
    # A local cost helps, most of all at a fixed depth, where its gradients fall as a power of n.
    assert scans["shallow", "local"].power_law().slope == pytest.approx(-2.5, abs=0.35)
    last = {key: scan.variances[-1].value for key, scan in scans.items()}
    assert last["shallow", "local"] > 3 * last["deep", "local"] > 9 * last["deep", "global"]


@pytest.mark.parametrize("observable", ["global", "local", SparsePauliOp(["ZZI", "IXY"], [1, 0.5])])
def test_deep_circuits_reach_the_limit_of_2_designs(observable):
    """Twelve layers; the parameter, an RY, stands in the middle of them."""
    circuit = strongly_entangling_layers(3, 12)
    found = variance(
        circuit, observable, samples=2000, generator=np.random.default_rng(6), component=55
    )
    exact = haar_gradient_variance(observable, 3)
    assert found.low * 0.95 < exact < found.high * 1.05
    assert found.high / found.low < 1.5


def test_the_limit_of_2_designs_by_its_formula():
    assert haar_gradient_variance("global", 3) == pytest.approx(1 / (2 * 9**2))
    # Tr O^2 - (Tr O)^2 / N = N / (4 n) for the local cost.
    assert haar_gradient_variance("local", 3) == pytest.approx(8 / 18 * (8 / 12) / 63)
    with pytest.raises(InvalidData, match="act on all 3 qubits"):
        haar_gradient_variance(SparsePauliOp("ZZ"), 3)
    with pytest.raises(InvalidOption, match="got 'both'"):
        haar_gradient_variance("both", 3)


def test_a_fit_finds_the_line_it_was_given():
    points = tuple(Estimate(v, v / 1.2, v * 1.2) for v in (2.0**-3, 2.0**-5, 2.0**-9))
    fit = GradientScan((2, 4, 8), points).exponential()
    assert (fit.slope, fit.points) == (pytest.approx(-1), 3)
    assert fit.chi_squared == pytest.approx(0, abs=1e-12)
    # Weighted least squares by hand: sigma / sqrt(sum (n - mean)^2).
    sigma = 2 * math.log2(1.2) / 3.92
    assert fit.error == pytest.approx(sigma / math.sqrt(sum((n - 14 / 3) ** 2 for n in (2, 4, 8))))
    worse = (*points[:2], Estimate(1.0, 0.9, 1.1))
    assert GradientScan((2, 4, 8), worse).exponential().error > 5 * fit.error


def test_progress_and_refusals():
    rng, calls = np.random.default_rng(4), []
    small = {"samples": 5, "generator": rng}
    circuits = [product(n) for n in (1, 2)]
    scan = gradient_scan(
        circuits, "local", **small, progress=lambda each: calls.append((each.done, each.total))
    )
    assert calls == [(1, 2), (2, 2)]
    with pytest.raises(InvalidData, match="at least 3 sizes"):
        scan.exponential()
    with pytest.raises(InvalidOption, match=r"increasing numbers of qubits, got \[2, 1\]"):
        gradient_scan(circuits[::-1], "local", **small)
    with pytest.raises(InvalidOption, match="increasing numbers"):
        gradient_scan([], "local", **small)
    with pytest.raises(InvalidOption, match="global, local or a SparsePauliOp; got 'both'"):
        variance(product(2), "both", **small)
    with pytest.raises(InvalidOption, match="position among 2 parameters, got 2"):
        variance(product(2), "local", **small, component=2)
    with pytest.raises(InvalidOption, match="samples must be 2 to"):
        variance(product(2), "local", samples=1, generator=rng)
    with pytest.raises(InvalidData, match="act on all 2 qubits"):
        variance(product(2), SparsePauliOp("Z"), **small)


def test_a_direction_without_any_effect_has_variance_zero():
    circuit = QuantumCircuit(2)
    circuit.rz(Parameter("w_0000"), 0)
    found = variance(circuit, "local", samples=10, generator=np.random.default_rng(5))
    assert found == Estimate(0.0, 0.0, 0.0)
    # Behind a Hadamard, what is 0 comes out as rounding, which is no variance either.
    circuit.h(0)
    circuit.rz(Parameter("w_0001"), 0)
    values = gradient_samples(circuit, "local", samples=9, generator=np.random.default_rng(5))
    assert not values[:, 1].any()
