"""Which runner a target gets, and by whose name."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qdm_qiskit.engine.noise.engine_runner import NoisyEngineRunner
from qdm_qiskit.engine.noise.runners import noise_alone, runner_for
from qdm_qiskit.errors import InvalidArgument, InvalidOption, TargetUnavailable
from qdm_qiskit.execution.aer import AerRunner
from qdm_qiskit.execution.factory import make_runner
from qdm_qiskit.execution.local import LocalRunner
from qdm_qiskit.execution.noisy import NoisyRunner
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.execution.targets import parse_target
from qdm_qiskit.sampling import SamplingConfig


@pytest.mark.parametrize(
    ("target", "simulator", "kind"),
    [
        ("noisy:fake_quito", "auto", NoisyEngineRunner),
        (parse_target("noisy:fake_quito"), "auto", NoisyEngineRunner),
        (load_backend("fake_quito"), "engine", NoisyEngineRunner),
        ("noisy:fake_quito", "aer", NoisyRunner),
        ("local:fake_quito", "auto", LocalRunner),
        ("aer", "auto", AerRunner),
    ],
)
def test_the_runner_of_a_target(target, simulator, kind):
    runner = runner_for(target, seed=1, simulator=simulator)
    assert type(runner) is kind
    assert runner.seed == 1


def test_aer_by_name_gives_the_counts_of_make_runner():
    circuit = QuantumCircuit(5, 1)
    circuit.sx(0)
    circuit.measure(0, 0)
    runners = [
        runner_for("noisy:fake_quito", seed=3, simulator="aer", readout="asymmetric"),
        make_runner("noisy:fake_quito", seed=3, readout="asymmetric"),
    ]
    one, two = (each.run([(circuit, np.zeros((1, 0)))], shots=500)[0] for each in runners)
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("target", ["aer", "local:fake_quito"])
@pytest.mark.parametrize("simulator", ["engine", "aer"])
def test_targets_of_one_simulator_have_none_to_choose(target, simulator):
    message = f"Target '{target}' has one simulator; leave simulator at 'auto'"
    with pytest.raises(InvalidOption, match=message):
        runner_for(target, seed=1, simulator=simulator)
    with pytest.raises(InvalidOption, match=message):
        SamplingConfig(target=target, shots=8, simulator=simulator)


def test_other_wrong_targets_and_simulators():
    message = "simulator is 'auto', 'engine' or 'aer', got 'qiskit'"
    with pytest.raises(InvalidOption, match=message):
        runner_for("noisy:fake_quito", seed=1, simulator="qiskit")
    with pytest.raises(InvalidOption, match=message):
        SamplingConfig(target="noisy:fake_quito", shots=8, simulator="qiskit")
    with pytest.raises(TargetUnavailable, match="evaluates models without circuits"):
        runner_for("engine", seed=1)
    with pytest.raises(InvalidArgument, match="target"):
        runner_for(QuantumCircuit(1), seed=1)


@pytest.mark.parametrize("target", ["noisy:fake_quito", "local:fake_quito"])
@pytest.mark.parametrize("readout", ["mean", "asymmetric"])
def test_what_noise_alone_gives_is_the_same_whoever_is_asked(target, readout):
    runner = runner_for(target, seed=9, readout=readout)
    circuit = QuantumCircuit(5, 1)
    angle = Parameter("x")
    circuit.rz(angle, 0)
    circuit.sx(0)
    circuit.rz(angle, 0)
    circuit.sx(0)
    circuit.measure(0, 0)
    expected = NoisyRunner("fake_quito", seed=0, readout=readout).mean_output(circuit)
    found = noise_alone(runner, circuit, readout=readout)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
