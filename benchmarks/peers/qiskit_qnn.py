"""Stock qiskit-machine-learning: EstimatorQNN and TorchConnector on Aer, parameter shift."""

from __future__ import annotations

import torch
from qiskit_aer.primitives import EstimatorV2
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.neural_networks import EstimatorQNN
from workloads import Step, Workload, torch_step


def build(workload: Workload) -> Step:
    """Exact expectation values (no precision asked for), inputs' gradients switched on."""
    spec = workload.spec
    qnn = EstimatorQNN(
        circuit=spec.circuit,
        observables=list(spec.readout.observables),
        input_params=list(spec.inputs),
        weight_params=list(spec.weights),
        estimator=EstimatorV2(options={"backend_options": {"max_parallel_threads": 1}}),
        input_gradients=True,
        default_precision=None,
    )
    connector = TorchConnector(qnn)
    with torch.no_grad():
        connector.weight.copy_(torch.as_tensor(workload.data.weights))
    return torch_step(workload, lambda _, inputs: connector(inputs), connector.weight)
