"""TensorCircuit-NG's density matrices on JAX, with a device's noise: one jitted function.

Its circuit is made of the same channels and rotations that the engine's is, each channel by its Kraus
operators; samples by vmap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tensorcircuit as tc
from qiskit.circuit import Parameter, ParameterExpression

from qdm_qiskit.engine.noise.lowering import NoisyCircuit


def _line(angle: ParameterExpression) -> tuple[Parameter, float, float]:
    """Return the parameter of an angle, its factor and what is added."""
    (parameter,) = angle.parameters
    added, one = (float(angle.bind({parameter: value})) for value in (0.0, 1.0))
    return parameter, one - added, added


def build(
    noisy: NoisyCircuit, inputs: list[Parameter], weights: list[Parameter], measured: list[int]
) -> Callable[[np.ndarray, np.ndarray], tuple[Any, Any, Any]]:
    """Return a function of inputs ``(batch, x)`` and weights: values of Z of the measured qubits, the
    gradients of the mean square in weights and in inputs.
    """
    tc.set_backend("jax")
    tc.set_dtype("complex64")
    place = {qubit: k for k, qubit in enumerate(noisy.active)}
    rows = {p: ("inputs", k) for k, p in enumerate(inputs)}
    rows |= {p: ("weights", k) for k, p in enumerate(weights)}
    operations: list[tuple[Any, ...]] = []
    for event in noisy.events:
        wires = [place[q] for q in reversed(event.qubits)]
        if event.channel is None:
            parameter, factor, added = _line(event.angle)
            operations.append((event.pauli.lower(), wires, rows[parameter], factor, added))
        else:
            kraus = [np.asarray(k, np.complex64) for k in event.channel.kraus]
            operations.append(("kraus", wires, kraus))

    def values(x: Any, w: Any) -> Any:
        circuit = tc.DMCircuit(len(place))
        for operation in operations:
            if operation[0] == "kraus":
                circuit.general_kraus(operation[2], *operation[1])
                continue
            pauli, wires, (kind, row), factor, added = operation
            angle = factor * (x if kind == "inputs" else w)[row] + added
            getattr(circuit, f"r{pauli}")(*wires, theta=angle)
        diagonal = jnp.real(jnp.diag(circuit.state())).reshape([2] * len(place))
        found = []
        for qubit in measured:
            other = tuple(k for k in range(len(place)) if k != place[qubit])
            chances = diagonal.sum(other)
            if qubit in noisy.confusion:
                chances = chances @ jnp.asarray(noisy.confusion[qubit], jnp.float32)
            found.append(chances[0] - chances[1])
        return jnp.stack(found)

    def loss(w: Any, x: Any) -> tuple[Any, Any]:
        z = jax.vmap(values, (0, None))(x, w)
        return (z**2).mean(), z

    slope = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))

    def step(x: np.ndarray, w: np.ndarray) -> tuple[Any, Any, Any]:
        (_, z), (to_weights, to_inputs) = slope(jnp.asarray(w), jnp.asarray(x))
        return tuple(jax.block_until_ready((z, to_weights, to_inputs)))

    return step
