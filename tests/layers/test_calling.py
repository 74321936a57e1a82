"""Calls of a model's layers: their names, their order, their answers, and who may not be asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import StatevectorSampler
from qiskit.quantum_info import SparsePauliOp
from torch import nn

from qdm_qiskit.circuits import CircuitSpec, cacioppo_denoiser, eeqdm, hqconv
from qdm_qiskit.errors import InvalidArgument, InvalidData, TargetUnavailable
from qdm_qiskit.layers import QuantumLayer, StateLayer, qnn_executor
from qdm_qiskit.layers.calling import ExactTarget, answered_by, calls_of, quantum_layers, together
from qdm_qiskit.models.defalco import HybridUNet, HybridUNetConfig
from qdm_qiskit.models.defalco.circuits import HybridConv
from qdm_qiskit.models.koelle_unet import QUNet, QUNetConfig
from tests.helpers import generator


def two_qubits(readout):
    circuit = QuantumCircuit(2, name="two")
    x, w = Parameter("x"), Parameter("w")
    circuit.ry(x, 0)
    circuit.cx(0, 1)
    circuit.rx(w, 1)
    return CircuitSpec.from_circuit(circuit, inputs=[x], weights=[w], readout=readout)


class Two(nn.Module):
    """Two circuits, the first of which is called twice."""

    def __init__(self):
        super().__init__()
        self.a = QuantumLayer(two_qubits([0, 1]), generator=generator(1))
        self.b = QuantumLayer(
            two_qubits([SparsePauliOp("ZZ"), SparsePauliOp(["XI", "IY"])]), generator=generator(2)
        )

    def forward(self, x, t, labels=None):
        first = self.a(inputs=x)[:, :1]
        second, third = together([self.a, self.b], [(None, first), (None, x)])
        return second[:, :1] + third[:, :1]


class Failing:
    def answer(self, calls):
        raise RuntimeError("lost")


def test_calls_have_the_address_of_their_layer_in_the_order_of_the_step():
    jobs = calls_of(Two(), torch.rand(3, 1), torch.ones(3))
    assert [[call.name for call in job] for job in jobs] == [["a"], ["a#2", "b"]]
    assert [call.num_rows for job in jobs for call in job] == [3, 3, 3]


def test_names_are_given_anew_with_each_context():
    model, target = Two(), ExactTarget()
    for _ in range(2):
        with answered_by(model, target):
            model(torch.rand(2, 1), torch.ones(2))
    assert [call.name for job in target.calls for call in job] == ["a", "a#2", "b"] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "shape", "jobs"),
    [
        (
            HybridUNet(HybridUNetConfig(circuits=2, layers=1), generator=generator(1)),
            (2, 1, 28, 28),
            [2, 2, 2, 2],
        ),
        (
            HybridUNet(HybridUNetConfig(quanvolution=True), generator=generator(1)),
            (2, 1, 28, 28),
            [1, 1, 1, 1],
        ),
        (QUNet(QUNetConfig(image_size=4, levels=2, depth=1)), (2, 1, 4, 4), [1, 1, 1, 1]),
    ],
)
def test_the_engine_as_target_gives_the_model_itself(model, shape, jobs):
    model = model.eval()
    x, t = torch.rand(*shape, generator=generator(2)), torch.full((2,), 0.5)
    target = ExactTarget()
    with torch.no_grad():
        expected = model(x, t)
    with answered_by(model, target):
        found = model(x, t)
    assert [len(job) for job in target.calls] == jobs
    names = [call.name for job in target.calls for call in job]
    assert len(set(names)) == len(names)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=2e-5)
    with torch.no_grad():
        np.testing.assert_array_equal(model(x, t).numpy(), expected.numpy())


def test_filters_together_are_the_filters_one_by_one_to_the_bit():
    conv = HybridConv(7, "hqconv", 2, layers=1, generator=generator(3))
    found = []
    parts = list(enumerate((slice(0, 3), slice(3, 6), slice(6, 7))))

    def one_by_one(x):
        return torch.cat([conv.filters[k](x[:, part]) for k, part in parts], dim=1)

    for way in (conv, one_by_one):
        x = torch.rand(2, 7, 4, 4, generator=generator(4)).requires_grad_()
        conv.zero_grad()
        out = way(x)
        (out * torch.arange(out.numel()).reshape(out.shape)).sum().backward()
        found.append([out.detach(), x.grad, *(p.grad.clone() for p in conv.parameters())])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_together_wants_a_pair_for_each_layer():
    with pytest.raises(InvalidArgument, match="a pair for each of the 1 layers"):
        together([QuantumLayer(eeqdm(2, 1))], [])


def test_amplitudes_are_checked_where_a_target_answers():
    layer = QuantumLayer(eeqdm(2, 1))
    with (
        answered_by(layer, ExactTarget()),
        pytest.raises(InvalidData, match="all-zero images cannot be encoded"),
    ):
        together([layer], [(torch.zeros(1, 4), None)])


def test_executors_come_back_when_an_exception_flies():
    model = Two()
    before = [model.a.executor, model.b.executor]
    with pytest.raises(RuntimeError, match="lost"), answered_by(model, Failing()):
        model(torch.rand(2, 1), torch.ones(2))
    assert [model.a.executor, model.b.executor] == before
    assert model(torch.rand(2, 1), torch.ones(2)).requires_grad


def test_what_would_stay_exact_without_a_word_is_refused():
    spec = two_qubits([0, 1])
    own = nn.ModuleDict(
        {"mine": QuantumLayer(spec, executor=qnn_executor(spec, StatevectorSampler()))}
    )
    with pytest.raises(TargetUnavailable, match="Layer 'mine' runs on an executor of its own"):
        quantum_layers(own)
    states = nn.ModuleDict({"state": StateLayer(cacioppo_denoiser(2), num_rows=1)})
    assert quantum_layers(states) == {}  # which tell their states, and make calls of their own
    target = ExactTarget()
    with answered_by(states, target):
        states["state"](torch.ones(1, 4) + 0j, torch.zeros(1, dtype=torch.int64))
    assert [call.name for job in target.calls for call in job] == ["state"]
    from qiskit_machine_learning.neural_networks import EstimatorQNN

    circuit = QuantumCircuit(1)
    w = Parameter("w")
    circuit.ry(w, 0)
    from qiskit.primitives import StatevectorEstimator

    qnn = EstimatorQNN(circuit=circuit, weight_params=[w], estimator=StatevectorEstimator())
    with pytest.raises(TargetUnavailable, match=r"Layer 'qnn' is a QNN's.*qdm\.run_qnn"):
        quantum_layers(nn.ModuleDict({"qnn": QuantumLayer.from_qnn(qnn)}))


def test_one_filter_under_two_names_is_one_layer():
    conv = HybridConv(3, "hqconv", 1, layers=1)
    model = nn.ModuleList([conv, conv])
    assert list(quantum_layers(model)) == ["0.filters.0.layer"]
    assert hqconv(depth=1).num_qubits == 12
