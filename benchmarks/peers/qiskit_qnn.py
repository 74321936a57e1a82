"""qiskit-machine-learning's EstimatorQNN: with TorchConnector on Aer or on the engine, and without."""

from __future__ import annotations

from typing import Any

import torch
from qiskit_aer.primitives import EstimatorV2
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.neural_networks import EstimatorQNN
from workloads import Step, Workload, torch_step

from qdm_qiskit.engine import EngineEstimator, EngineEstimatorGradient
from qdm_qiskit.layers import QuantumLayer


def build(workload: Workload) -> Step:
    """Stock, on Aer with parameter shift."""
    estimator = EstimatorV2(options={"backend_options": {"max_parallel_threads": 1}})
    return _step(workload, TorchConnector(_qnn(workload, estimator=estimator)))


def build_on_engine(workload: Workload) -> Step:
    """The same classes, unmodified, on our estimator and its gradient."""
    estimator = EngineEstimator()
    gradient = EngineEstimatorGradient(estimator)
    return _step(workload, TorchConnector(_qnn(workload, estimator=estimator, gradient=gradient)))


def build_from_qnn(workload: Workload) -> Step:
    """``QuantumLayer.from_qnn``: the QNN's circuit without TorchConnector and its Jacobian."""
    return _step(workload, QuantumLayer.from_qnn(_qnn(workload, estimator=EngineEstimator())))


def _qnn(workload: Workload, **options: Any) -> EstimatorQNN:
    """Exact expectation values, inputs' gradients switched on."""
    spec = workload.spec
    return EstimatorQNN(
        circuit=spec.circuit,
        observables=list(spec.readout.observables),
        input_params=list(spec.inputs),
        weight_params=list(spec.weights),
        input_gradients=True,
        default_precision=0.0,
        **options,
    )


def _step(workload: Workload, module: Any) -> Step:
    with torch.no_grad():
        module.weight.copy_(torch.as_tensor(workload.data.weights))
    return torch_step(workload, lambda _, inputs: module(inputs), module.weight)
