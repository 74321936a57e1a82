"""The benchmarks' workloads are what they say: peers and times are not looked at here."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from tests.helpers import ROOT

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def workloads(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    known = set(sys.modules)
    import workloads

    yield workloads
    for name in set(sys.modules) - known:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == BENCHMARKS:
            del sys.modules[name]


def tiny(workloads):
    return [
        workloads.image_denoiser("W1", 4, 3, batch=2, half=True),
        workloads.image_denoiser("W2", 3, 4, batch=3, half=False),
        workloads.hqconv("W3", batch=2, num_layers=1),
        workloads.ry_ring("W4", num_qubits=3, batch=2),
    ]


def loss_by_qiskit(workload, weights):
    """The loss from the list of gates that the peers get, gate by gate and sample by sample."""
    n, data = workload.spec.num_qubits, workload.data
    rows = []
    for row in range(workload.batch):
        circuit = QuantumCircuit(n)
        for gate in workload.gates:
            angles = [weights[k] for k in gate.weights]
            if gate.input is not None:
                angles = [data.inputs[row, gate.input]]
            if gate.name == "rot":
                for name, angle in zip(("rz", "ry", "rz"), angles, strict=True):
                    getattr(circuit, name)(angle, *gate.qubits)
            else:
                getattr(circuit, gate.name)(*angles, *gate.qubits)
        state = Statevector.from_label("0" * n)
        if data.amplitudes is not None:
            state = Statevector(workload.full_states()[row])
        rows.append(state.evolve(circuit).probabilities())
    return workload.loss_of(workload.outputs_of(np.array(rows)))[0]


@pytest.mark.parametrize("which", range(4))
def test_our_step_gives_the_loss_of_the_peers_gates_and_its_gradient(workloads, which):
    workload = tiny(workloads)[which]
    result = workloads.ours(workload, torch.float64)()
    weights = workload.data.weights
    assert result.loss.item() == pytest.approx(loss_by_qiskit(workload, weights), abs=1e-12)
    step = 1e-5 * np.random.default_rng(5).normal(size=weights.shape)
    up, down = (loss_by_qiskit(workload, weights + sign * step) for sign in (1, -1))
    slope = float(result.weight_grad.numpy() @ step)
    # Central differences: an error of order step**3 and 1e-16 of rounding, against a slope of 1e-5.
    assert 2 * slope == pytest.approx(up - down, abs=1e-11)
    assert (result.input_grad is None) == (workload.data.inputs is None)


def test_layers_repeat_with_the_period_that_scans_rely_on(workloads):
    for build in workloads.WORKLOADS.values():
        workload = build()
        layers, period = workload.layers, workload.period
        assert sum(map(len, layers)) + len(workload.prefix) == len(workload.gates)
        assert not any(gate.weights for gate in workload.prefix)
        for k, layer in enumerate(layers):
            shapes = [(gate.name, gate.qubits) for gate in layer]
            assert shapes == [(gate.name, gate.qubits) for gate in layers[k % period]]
            used = [position for gate in layer for position in gate.weights]
            assert used == list(range(k * len(used), (k + 1) * len(used)))


def test_issue_sizes(workloads):
    sizes = {
        name: (w.spec.num_qubits, len(w.spec.weights), w.batch, w.spec.readout.num_outputs)
        for name, w in ((name, build()) for name, build in workloads.WORKLOADS.items())
    }
    assert sizes["W1-L10"] == (9, 150, 64, 256)
    assert sizes["W1-L50"] == (9, 750, 64, 256)
    assert sizes["W2-L50"] == (9, 1350, 64, 256)
    assert sizes["W3"] == (12, 84, 64, 12)
    assert sizes["W4"] == (4, 8, 32, 4)


def test_a_smaller_batch_is_the_first_rows(workloads):
    whole = workloads.ry_ring("W4", num_qubits=3, batch=4)
    part = workloads.smaller(whole, 2)
    np.testing.assert_array_equal(part.data.inputs, whole.data.inputs[:2])
    np.testing.assert_array_equal(part.data.weights, whole.data.weights)


def test_what_a_step_issues_is_counted(workloads):
    from traffic import Traffic

    class Rates:
        flops = 1e9

        def copy_rate(self, size):
            return 1e9

    left, right = torch.rand(4, 8), torch.rand(8, 2)
    with Traffic(Rates()) as traffic:
        left @ right
        left.t()
    assert traffic.calls == 2
    assert traffic.flops == 2 * 4 * 8 * 2
    assert traffic.bytes == 4 * (4 * 8 + 8 * 2 + 4 * 2)
    assert traffic.seconds == pytest.approx(traffic.bytes / 1e9)


@pytest.mark.slow
def test_the_profile_runs_without_peers(workloads):
    from profiling import profile_table

    table = profile_table(
        "tiny", workloads.ours(workloads.ry_ring("W4", num_qubits=10, num_layers=8))
    )
    assert "aten::mul" in table
    assert "outside (Python, autograd)" in table
