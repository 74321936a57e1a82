"""TensorCircuit-NG on JAX: one jitted function, samples by vmap, many layers rolled up by scan.

Tried and not faster: the batch as last axis, jax.checkpoint around the scanned layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tensorcircuit as tc
from workloads import Gate, Result, Step, Workload

UNROLLED = 10
"""Up to so many layers are written out: their compilation takes longer, their step a tenth less."""


def build(workload: Workload) -> Step:
    """Rotation matrices for all layers at once, outside of scan and vmap."""
    tc.set_backend("jax")
    tc.set_dtype("complex64")
    n, data = workload.spec.num_qubits, workload.data
    prefix, layers = workload.prefix, workload.layers
    groups = len(layers) // workload.period if len(layers) > UNROLLED else 0
    rolled = groups * workload.period
    per_layer = len([k for gate in layers[0] for k in gate.weights])
    rot = layers[0][0].name == "rot"
    signs = jnp.asarray(workload.z_signs, dtype=jnp.float32)

    def layer(circuit: Any, gates: Sequence[Gate], angles: Any) -> None:
        """``angles``: of this layer; matrices ``(rots, 2, 2)`` where the layer has rotations."""
        used = 0
        for gate in gates:
            wires = [n - 1 - qubit for qubit in gate.qubits]
            if gate.name == "rot":
                circuit.unitary(*wires, unitary=angles[used])
                used += 1
            elif gate.weights:
                getattr(circuit, gate.name)(*wires, theta=angles[used])
                used += 1
            else:
                getattr(circuit, gate.name)(*wires)

    def run(initial: Any, inputs: Any, angles: Any) -> Any:
        circuit = tc.Circuit(n) if initial is None else tc.Circuit(n, inputs=initial)
        for gate in prefix:
            wires = [n - 1 - qubit for qubit in gate.qubits]
            if gate.input is not None:
                circuit.rx(*wires, theta=inputs[gate.input])
            else:
                getattr(circuit, gate.name)(*wires)

        def body(state: Any, these: Any) -> tuple[Any, None]:
            inner = tc.Circuit(n, inputs=state)
            for k in range(workload.period):
                layer(inner, layers[k], these[k])
            return inner.state(), None

        if rolled:
            stacked = angles[:rolled].reshape(groups, workload.period, *angles.shape[1:])
            state, _ = jax.lax.scan(body, circuit.state(), stacked)
            circuit = tc.Circuit(n, inputs=state)
        for k in range(rolled, len(layers)):
            layer(circuit, layers[k], angles[k])
        state = circuit.state()
        return state.real**2 + state.imag**2

    def outputs_of(weights: Any, inputs: Any, states: Any) -> Any:
        angles = weights.reshape(len(layers), per_layer)
        if rot:
            angles = _rotations(angles.reshape(len(layers), -1, 3))
        axes = (None if states is None else 0, None if inputs is None else 0, None)
        probabilities = jax.vmap(run, in_axes=axes)(states, inputs, angles)
        return probabilities[:, ::2] if workload.reads_probabilities else probabilities @ signs

    def loss_of(weights: Any, inputs: Any, states: Any, targets: Any) -> Any:
        outputs = outputs_of(weights, inputs, states)
        return ((outputs * workload.scale - targets) ** 2).mean(), outputs

    wanted = (0,) if data.inputs is None else (0, 1)
    compiled = jax.jit(jax.value_and_grad(loss_of, argnums=wanted, has_aux=True))
    weights = jnp.asarray(data.weights, dtype=jnp.float32)
    inputs = None if data.inputs is None else jnp.asarray(data.inputs, dtype=jnp.float32)
    states = None
    if data.amplitudes is not None:
        states = jnp.asarray(workload.full_states().astype(np.complex64))
    targets = jnp.asarray(data.targets, dtype=jnp.float32)

    def step() -> Result:
        (loss, outputs), gradients = jax.block_until_ready(
            compiled(weights, inputs, states, targets)
        )
        return Result(loss, outputs, *gradients)

    return step


def _rotations(angles: Any) -> Any:
    """``(..., 3)`` to ``(..., 2, 2)``: RZ(omega) RY(theta) RZ(phi)."""
    phi, theta, omega = angles[..., 0], angles[..., 1], angles[..., 2]
    cos, sin = jnp.cos(theta / 2), jnp.sin(theta / 2)
    plus, minus = jnp.exp(-0.5j * (phi + omega)), jnp.exp(0.5j * (phi - omega))
    rows = [cos * plus, -sin * minus, sin * minus.conj(), cos * plus.conj()]
    return jnp.stack(rows, axis=-1).reshape(*theta.shape, 2, 2).astype(jnp.complex64)
