"""Layer circuits on any Qiskit primitive, through SamplerQNN / EstimatorQNN and TorchConnector."""

from __future__ import annotations

from typing import Any

import torch
from qiskit.passmanager import BasePassManager
from qiskit.primitives import BaseEstimatorV2, BaseSamplerV2
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.neural_networks import EstimatorQNN, SamplerQNN
from torch import Tensor

from ..arguments import of_kind
from ..circuits.readouts import ExpectationReadout
from ..circuits.spec import WAY_TO_SPEC, CircuitSpec
from ..errors import InvalidData, InvalidOption
from ..execution.aer_primitives import estimated_noise
from ..execution.devices import DeviceLike, as_backend
from ..execution.noise_coverage import UnknownGates, check_estimated, checked_unknown_gates
from .arrays import to_exact_array
from .executors import Executor, read_probabilities
from .qnn_circuits import prepare

__all__ = [
    "qnn_executor",
]

INSTEAD = "use qiskit.primitives.BackendEstimatorV2(backend=AerSimulator(noise_model=...))"
"""The Estimator that measures on Aer."""


def qnn_executor(
    spec: CircuitSpec,
    primitive: BaseSamplerV2 | BaseEstimatorV2,
    *,
    device: DeviceLike | None = None,
    pass_manager: BasePassManager | None = None,
    unknown_gates: UnknownGates = "refuse",
) -> Executor:
    """Return an executor with outputs and parameter-shift gradients from a Qiskit primitive.

    Data are loaded by the spec's full circuit, as on a device. For a primitive on a device or a
    snapshot of one the circuit is transpiled; for one on Aer it is written in gates that Aer runs
    right and its noise model knows. TorchConnector computes in float32.

    Args:
        spec: The circuit and its roles.
        primitive: A sampler for probability readouts, an estimator for expectation values, such as
            ``qiskit_aer.primitives.SamplerV2()``. Shots or precision are its defaults.
        device: What to transpile for where the primitive's backend does not say, such as an Aer
            simulator with the noise model of ``"fake_torino"``: a device's name, a ``BackendV2`` or a
            ``NoiseModel``.
        pass_manager: Transpiles the circuit in the place of ours; observables follow its layout.
        unknown_gates: ``"noiseless"`` leaves gates that the noise model does not know in the
            circuit, where Aer runs them without an error; ``"refuse"`` translates them into gates
            that it knows, and names them if that cannot be done.

    Returns:
        The executor. It is differentiable in the angles, and in the inputs of angle-encoded
        circuits; with amplitude encoding, amplitudes and inputs that require a gradient are refused,
        because the loader's angles are computed outside of torch.

    Raises:
        InvalidOption: If the kind of primitive does not fit the readout, ``unknown_gates`` does not
            exist, or both device and pass manager are given.
        UnknownName: If there is no such device.
        UnsupportedCircuit: If the noise model knows gates and the circuit cannot be written in them,
            the circuit has more qubits than the device, or all errors of the noise model are of the
            readout, which Aer's own Estimator leaves out.
    """
    of_kind(spec, CircuitSpec, "spec", WAY_TO_SPEC)
    of_kind(primitive, BaseSamplerV2 | BaseEstimatorV2, "primitive", "give an instance")
    checked_unknown_gates(unknown_gates)
    if device is not None and pass_manager is not None:
        raise InvalidOption("device and pass_manager both say how to transpile; give one of them.")
    if pass_manager is not None:
        of_kind(
            pass_manager, BasePassManager, "pass_manager", "generate_preset_pass_manager makes one"
        )
    how: dict[str, Any] = {
        "device": None if device is None else as_backend(device),
        "pass_manager": pass_manager,
    }
    unread = estimated_noise(primitive)
    if unread is not None:
        check_estimated(unread, INSTEAD)
    return _made(spec, primitive, unknown_gates, how)


def _made(
    spec: CircuitSpec,
    primitive: BaseSamplerV2 | BaseEstimatorV2,
    unknown_gates: UnknownGates,
    how: dict[str, Any],
) -> Executor:
    circuit = spec.full_circuit(measure=not isinstance(spec.readout, ExpectationReadout))
    inputs = [p for p in circuit.parameters if p.name.startswith("x_")]
    weights = [p for p in circuit.parameters if p.name.startswith("w_")]
    wants_input_gradients = spec.encoding == "angle"
    if isinstance(spec.readout, ExpectationReadout):
        if not isinstance(primitive, BaseEstimatorV2):
            raise InvalidOption(f"'{spec.name}' reads expectation values and needs an estimator.")
        ready = prepare(circuit, spec.readout.observables, primitive, unknown_gates, **how)
        assert isinstance(ready.primitive, BaseEstimatorV2)  # it is of the same kind
        qnn: EstimatorQNN | SamplerQNN = EstimatorQNN(
            circuit=ready.circuit,
            observables=list(ready.observables),
            input_params=inputs,
            weight_params=weights,
            estimator=ready.primitive,
            input_gradients=wants_input_gradients,
            # None leaves it to the primitive, as BaseEstimatorV2.run says. The QNN's own default of
            # 1/64 makes even an exact simulator add noise to the outputs; its gradients do not.
            default_precision=None,  # type: ignore[arg-type] # declared a float
        )
    else:
        if not isinstance(primitive, BaseSamplerV2):
            raise InvalidOption(f"'{spec.name}' reads probabilities and needs a sampler.")
        ready = prepare(circuit, (), primitive, unknown_gates, **how)
        assert isinstance(ready.primitive, BaseSamplerV2)  # it is of the same kind
        qnn = SamplerQNN(
            circuit=ready.circuit,
            input_params=inputs,
            weight_params=weights,
            sampler=ready.primitive,
            # On a device the circuit has more qubits than outcomes have bits.
            interpret=int,
            output_shape=2**spec.num_qubits,
            input_gradients=wants_input_gradients,
        )
    return _OnPrimitive(
        spec, primitive, {**how, "unknown_gates": unknown_gates}, TorchConnector(qnn)
    )


def _made_again(
    spec: CircuitSpec, primitive: BaseSamplerV2 | BaseEstimatorV2, options: dict[str, Any]
) -> Executor:
    """Return the executor in a copy; the connector's own weights are drawn and not used."""
    how = dict(options)
    with torch.random.fork_rng(devices=[]):
        return _made(spec, primitive, how.pop("unknown_gates"), how)


class _OnPrimitive:
    """Executor of :func:`qnn_executor`; an object, no function, so that layers can be pickled."""

    def __init__(
        self,
        spec: CircuitSpec,
        primitive: BaseSamplerV2 | BaseEstimatorV2,
        options: dict[str, Any],
        connector: TorchConnector,
    ) -> None:
        self.spec, self.primitive, self.options = spec, primitive, options
        self.connector = connector
        self.names = [name for name, _ in connector.named_parameters(remove_duplicate=False)]

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave out the connector: SamplerQNN cannot be pickled (qiskit-machine-learning 0.9.1)."""
        return _made_again, (self.spec, self.primitive, self.options)

    def __call__(self, angles: Tensor, amplitudes: Tensor | None, given: Tensor | None) -> Tensor:
        """Return outputs; see :data:`Executor`."""
        spec = self.spec
        if not bool(torch.isfinite(angles).all()):
            raise InvalidData("Weights must be finite, got NaN or infinity.")
        if spec.encoding == "amplitude":
            if any(each is not None and each.requires_grad for each in (amplitudes, given)):
                raise InvalidData(
                    "A Qiskit primitive gives no gradient in amplitudes, nor in inputs beside them; "
                    "use the engine, or detach."
                )
            values = spec.input_values(
                None if amplitudes is None else to_exact_array(amplitudes),
                None if given is None else to_exact_array(given),
            )
            rows = torch.as_tensor(values, dtype=angles.dtype)
        else:
            spec.input_values(None, None if given is None else to_exact_array(given))
            assert given is not None  # just checked
            rows = given
        # The connector owns parameters of its own; the layer's angles take their place.
        outputs = torch.func.functional_call(
            self.connector, dict.fromkeys(self.names, angles), (rows,)
        )
        outputs = outputs.to(angles.dtype)
        if isinstance(spec.readout, ExpectationReadout):
            return outputs
        return read_probabilities(spec, outputs)
