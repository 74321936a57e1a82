"""QPU seconds before a run: IBM's formula, the device's numbers, and the price that a server asks."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit import QuantumCircuit, transpile

from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.hardware.plan.qpu_seconds import DEFAULT_REP_DELAY_SECONDS, Timing, timing
from qdm_qiskit.mitigation.readout import construct_circuits


@pytest.fixture(scope="module")
def device():
    return load_backend("fake_torino")


@pytest.fixture(scope="module")
def isa(device):
    circuit = QuantumCircuit(4)
    circuit.h(0)
    for qubit in range(3):
        circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    return transpile(circuit, device, seed_transpiler=1, optimization_level=1)


def test_the_formula_is_ibms():
    clock = Timing(
        overhead_seconds=2.0,
        rep_delay_seconds=250e-6,
        circuit_seconds=100e-6,
        calibration_seconds=10e-6,
    )
    # The example of the documentation's rule of thumb: 2 + 0.00035 a shot.
    assert clock.job_seconds(10_000) == pytest.approx(2 + 0.00035 * 10_000)
    assert clock.job_seconds(10_000, calibration=True) == pytest.approx(2 + 0.00026 * 10_000)


@given(
    st.floats(0, 10),
    st.floats(0, 1e-3),
    st.floats(0, 1e-2),
    st.integers(0, 10**6),
    st.integers(0, 99),
)
def test_jobs_are_linear_in_executions_and_pay_the_overhead_each(o, r, d, n, k):
    clock = Timing(
        overhead_seconds=o, rep_delay_seconds=r, circuit_seconds=d, calibration_seconds=0.0
    )
    both = clock.job_seconds(n) + clock.job_seconds(k)
    assert both == pytest.approx(clock.job_seconds(n + k) + o, rel=1e-9, abs=1e-9)


def test_numbers_are_the_devices(device, isa):
    calibration = construct_circuits([0, 1], device.num_qubits)
    clock = timing(device, isa, calibration)
    assert clock.rep_delay_seconds == 250e-6
    # Qiskit's own schedule, which takes another way: its duration after as-late-as-possible padding.
    scheduled = transpile(
        isa, device, optimization_level=0, scheduling_method="alap", seed_transpiler=1
    )
    expected = scheduled.estimate_duration(device.target, unit="s")
    assert clock.circuit_seconds == pytest.approx(expected, rel=1e-9)
    readout = device.target["measure"][(0,)].duration
    x = device.target["x"][(0,)].duration
    assert clock.calibration_seconds == pytest.approx(x + readout)


def test_a_repetition_delay_can_be_given_within_the_devices_range(device, isa):
    assert timing(device, isa, rep_delay_seconds=1e-4).rep_delay_seconds == 1e-4
    with pytest.raises(InvalidOption, match=r"fake_torino is 0 to 0\.0005 seconds, got 0\.001"):
        timing(device, isa, rep_delay_seconds=1e-3)


def test_a_device_without_a_default_gets_ibms(isa):
    old = load_backend("fake_melbourne")
    circuit = transpile(QuantumCircuit(1, 1), old)
    assert timing(old, circuit).rep_delay_seconds == DEFAULT_REP_DELAY_SECONDS


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_times_are_finite(bad):
    with pytest.raises(InvalidOption, match="finite seconds"):
        Timing(
            overhead_seconds=bad,
            rep_delay_seconds=0.0,
            circuit_seconds=0.0,
            calibration_seconds=0.0,
        )


def test_assumptions_name_every_number(device, isa):
    clock = timing(device, isa)
    text = " ".join(clock.assumptions())
    assert "2 s overhead" in text
    assert "250 us repetition delay" in text
    assert f"{clock.circuit_seconds * 1e6:.2f} us circuit" in text
    assert "wall-clock" in text
