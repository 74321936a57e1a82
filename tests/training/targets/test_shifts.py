"""Parameter shift on Aer beside the engine's adjoint: two ways to each gradient."""

from __future__ import annotations

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

from qdm_qiskit.circuits import CircuitSpec, eeqdm
from qdm_qiskit.layers import engine_executor
from qdm_qiskit.training.targets.draws import Draws
from qdm_qiskit.training.targets.joints import EngineJoint
from qdm_qiskit.training.targets.reading import TrainedReading
from qdm_qiskit.training.targets.shifts import AerJoint, with_free_angles
from qdm_qiskit.training.targets.target import CallExecutor


def unusual() -> CircuitSpec:
    """A circuit of gates and angles that have no shift rule of their own."""
    x, a, b = Parameter("x"), Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(3, global_phase=a)
    circuit.h(0)
    circuit.crx(2 * a + x, 0, 1)
    circuit.u(a * b, x, b, 2)
    circuit.cp(a, 1, 2)
    circuit.rzz(b - x * a, 0, 2)
    circuit.cry(a, 2, 0, ctrl_state=0)
    circuit.ry(0.3, 1)
    observables = [SparsePauliOp(["ZIX", "IYI"], [0.5, -2]), SparsePauliOp("ZZZ")]
    return CircuitSpec.from_circuit(
        circuit, inputs=[x], weights=[a, b], readout=observables, name="unusual"
    )


def executors(spec: CircuitSpec, shots: int | None = None) -> tuple[CallExecutor, CallExecutor]:
    """The engine and Aer behind the same reading."""
    reading, draws = TrainedReading.of(spec), Draws(1)
    qubits = range(spec.num_qubits) if reading.plan is None else reading.plan.qubits
    draws.begin(0)
    found = [
        CallExecutor(
            reading,
            [
                kind(each, reading.logical, reading.bits, qubits, "layer", draws, shots)
                for each in reading.logical_circuits()
            ],
        )
        for kind in (EngineJoint, AerJoint)
    ]
    return found[0], found[1]


def test_values_and_gradients_are_those_of_the_adjoint():
    for spec in (unusual(), eeqdm(num_data=2, depth=1)):
        torch.manual_seed(0)
        amplitude = spec.encoding == "amplitude"
        given = torch.rand(4, spec.num_amplitudes if amplitude else 1, dtype=torch.float64) + 0.1
        angles = torch.rand(len(spec.weights), dtype=torch.float64)
        upstream = torch.rand(4, spec.readout.num_outputs, dtype=torch.float64)
        found = []
        for executor in (engine_executor(spec), *executors(spec)):
            x, w = given.clone().requires_grad_(), angles.clone().requires_grad_()
            unit = torch.nn.functional.normalize(x, dim=1)
            outputs = executor(w, unit, None) if amplitude else executor(w, None, x)
            (outputs * upstream).sum().backward()
            found.append((outputs.detach(), w.grad, x.grad))
        for other in found[1:]:
            for one, two in zip(found[0], other, strict=True):
                torch.testing.assert_close(one, two, atol=1e-10, rtol=0)


def test_every_free_angle_is_its_own_and_nothing_else_changes():
    spec = unusual()
    circuit, angles = with_free_angles(spec.circuit)
    assert len(angles) == circuit.num_parameters > len(spec.circuit.parameters)
    uses = [p for item in circuit.data for p in item.operation.params if hasattr(p, "parameters")]
    assert len(uses) == len(set(uses)) == len(angles)


def test_shots_are_unbiased_in_values_and_gradients():
    """Of a linear loss: means over repetitions within five standard errors of the exact ones."""
    spec = eeqdm(num_data=2, depth=1)
    exactly = engine_executor(spec)
    amplitudes = torch.tensor([[0.6, 0, 0.8, 0], [0, 1.0, 0, 0]], dtype=torch.float64)
    angles = torch.linspace(0.3, 1.4, len(spec.weights), dtype=torch.float64)
    upstream = torch.tensor([[1.0, -2, 0, 1], [0.5, 3, 1, 0]], dtype=torch.float64)

    def run(executor) -> np.ndarray:
        w = angles.clone().requires_grad_()
        outputs = executor(w, amplitudes, None)
        (outputs * upstream).sum().backward()
        return np.concatenate([outputs.detach().numpy().ravel(), w.grad.numpy()])

    wanted = run(exactly)
    for executor in executors(spec, shots=50):
        found = np.stack([run(executor) for _ in range(60)])
        error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
        assert (np.abs(found.mean(axis=0) - wanted) < 5 * error + 1e-12).all()
        assert found[:, :8].std(axis=0).max() > 0.02  # shots there are
