"""Layers of a model whose circuits a target answers, call by call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from ..arguments import wrong
from ..circuits.readouts import ProbabilityReadout
from ..circuits.spec import CircuitSpec
from ..diffusion.states import unit_states
from ..engine import CircuitProgram
from ..errors import TargetUnavailable
from ..execution.calls import CallResult, CallTarget, CircuitCall, ErrorRecorder
from .arrays import exact, to_array
from .branch_layer import BranchLayer
from .executors import EngineExecutor
from .quantum_layer import QuantumLayer
from .state_blocks import StateBlocks
from .state_calls import ObservableWay, StateCalls
from .state_layer import StateLayer

_OF_STATES = (StateLayer, StateBlocks, BranchLayer)

__all__ = ["Caller", "ExactTarget", "answered_by", "calls_of", "quantum_layers", "together"]


@final
class Caller:
    """Caller, which makes the calls of one step and gives each its address.

    Args:
        target: Target that answers them.
        shots: Of each call; None asks for exact values.
        loader: Name of the loader of all circuits that take amplitudes; None for their own ones.
    """

    def __init__(self, target: CallTarget, shots: int | None, loader: str | None = None) -> None:
        self.target, self.shots, self.loader = target, shots, loader
        self._made: Counter[str] = Counter()

    def call(
        self,
        name: str,
        spec: CircuitSpec,
        angles: Tensor,
        amplitudes: Tensor | None = None,
        inputs: Tensor | None = None,
    ) -> CircuitCall:
        """Make the next call of a layer.

        Args:
            name: Path of the layer in its model.
            spec: The circuit.
            angles: ``(num_weights,)``.
            amplitudes: ``(rows, 2**n)`` with unit rows, or None.
            inputs: ``(rows, num_inputs)``, or None.
        """
        self._made[name] += 1
        number = self._made[name]
        return CircuitCall(
            name=name if number == 1 else f"{name}#{number}",
            spec=spec.loaded_by(self.loader),
            angles=_array(angles),
            amplitudes=None if amplitudes is None else _array(amplitudes),
            inputs=None if inputs is None else _array(inputs),
            shots=self.shots,
        )

    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        """Ask the target for calls that do not depend on each other."""
        return self.target.answer(calls)

    def note(self, name: str, errors: np.ndarray) -> None:
        """Tell the target standard errors of values made of its answers, if it records them."""
        if isinstance(self.target, ErrorRecorder):
            self.target.note(name, errors)


def _array(tensor: Tensor) -> np.ndarray:
    return to_array(exact(tensor.detach()).cpu())


@final
class _Asking:
    """Executor of a layer whose circuit a target answers."""

    def __init__(self, name: str, spec: CircuitSpec, caller: Caller) -> None:
        self._name, self._spec, self.caller = name, spec, caller

    def __call__(self, angles: Tensor, amplitudes: Tensor | None, inputs: Tensor | None) -> Tensor:
        [found] = self.caller.answer([self.call(angles, amplitudes, inputs)])
        return torch.from_numpy(found.outputs).to(angles)

    def call(self, angles: Tensor, amplitudes: Tensor | None, inputs: Tensor | None) -> CircuitCall:
        """Make the next call of this layer."""
        return self.caller.call(self._name, self._spec, angles, amplitudes, inputs)

    def statevector(
        self, angles: Tensor, amplitudes: Tensor | None, inputs: Tensor | None, *, renormalise: bool
    ) -> Tensor:
        """Return amplitudes, up to a global phase; see :class:`.StateCalls`."""
        assert amplitudes is not None  # whose phases are to be told: a circuit of states
        found = StateCalls(self._name, self.caller).of_layer(self._spec, angles, amplitudes, inputs)
        return unit_states(found) if renormalise else found


def together(
    layers: Sequence[QuantumLayer], given: Sequence[tuple[Tensor | None, Tensor | None]]
) -> list[Tensor]:
    """Run layers that do not depend on each other: where a target answers, as one job.

    On the engine, and on executors of their own, they run one after the other, as ever.

    Args:
        layers: Circuits; one may stand there twice.
        given: For each its amplitudes and its inputs, as :meth:`.QuantumLayer.forward` takes them.

    Returns:
        For each its outputs.

    Raises:
        InvalidArgument: If there are not as many of one as of the other.

    >>> from qdm_qiskit.circuits import eeqdm
    >>> layers = [QuantumLayer(eeqdm(num_data=2, depth=1)) for _ in range(2)]
    >>> [each.shape for each in together(layers, [(torch.rand(3, 4), None)] * 2)]
    [torch.Size([3, 4]), torch.Size([3, 4])]
    """
    if len(layers) != len(given):
        raise wrong(given, "given", f"a pair for each of the {len(layers)} layers")
    asking = [each.executor for each in layers if isinstance(each.executor, _Asking)]
    callers = {id(each.caller): each.caller for each in asking}
    if len(asking) < len(layers) or len(callers) != 1:
        return [layer(*each) for layer, each in zip(layers, given, strict=True)]
    [caller] = callers.values()
    angles = [each.angles() for each in layers]
    calls = [
        executor.call(turned, layer.encoded(amplitudes), inputs)
        for executor, layer, turned, (amplitudes, inputs) in zip(
            asking, layers, angles, given, strict=True
        )
    ]
    found = caller.answer(calls)
    return [
        torch.from_numpy(each.outputs).to(turned)
        for each, turned in zip(found, angles, strict=True)
    ]


def quantum_layers(model: nn.Module) -> dict[str, QuantumLayer]:
    """Return a model's layers whose circuits a target can answer, by their path, each once.

    A call's name begins with the path; the empty one of a layer alone is ``layer``.

    Raises:
        TargetUnavailable: If a layer runs on an executor of its own, or a part of the model runs
            circuits that are no calls, which would stay exact wherever the others ran.
    """
    found = {}
    for path, each in model.named_modules():
        name = path or "layer"
        if isinstance(each, QuantumLayer):
            if not isinstance(each.executor, EngineExecutor):
                raise TargetUnavailable(
                    f"Layer '{name}' runs on an executor of its own; give it the engine's, "
                    "engine_executor(spec), before a target answers its circuit."
                )
            found[name] = each
        elif _is_qnn(each):
            raise TargetUnavailable(
                f"Layer '{name}' is a QNN's, which no target answers; make a QuantumLayer of its "
                "circuit, with CircuitSpec.from_circuit; a QNN by itself runs by "
                "qdm.run_qnn(layer, inputs, target=...)."
            )
    return found


def _is_qnn(module: nn.Module) -> bool:
    """Return whether a part of a model runs a QNN; told by name, its library is slow to import."""
    return any(each.__name__ in ("QnnLayer", "TorchConnector") for each in type(module).__mro__)


@contextmanager
def answered_by(
    model: nn.Module,
    target: CallTarget,
    *,
    shots: int | None = None,
    observables: ObservableWay = "eigenbasis",
) -> Iterator[Caller]:
    """Let a target answer the circuits of a model's layers.

    Within the context the model is called as ever, for one step: its layers make their calls in the
    order of its arithmetic, and names are given anew with each context.

    Args:
        model: A model of layers on the engine. An attribute ``call_loader`` names the loader of its
            calls; see :meth:`.Denoiser.with_loader`.
        target: Answers the calls.
        shots: Of each call; None asks for exact values.
        observables: How trained observables are measured; see :data:`.ObservableWay`.

    Yields:
        The caller that makes the calls.

    Raises:
        TargetUnavailable: As :func:`quantum_layers`.
    """
    caller = Caller(target, shots, getattr(model, "call_loader", None))
    layers = quantum_layers(model)
    before = [layer.executor for layer in layers.values()]
    of_states = [each for each in model.named_modules() if isinstance(each[1], _OF_STATES)]
    try:
        for name, module in of_states:
            module.asked = StateCalls(name or "layer", caller, observables)
        for name, layer in layers.items():
            layer.executor = _Asking(name, layer.spec, caller)
        with torch.no_grad():
            yield caller
    finally:
        for layer, executor in zip(layers.values(), before, strict=True):
            layer.executor = executor
        for _, module in of_states:
            module.asked = None


@final
class ExactTarget:
    """Engine as a target: exact values, whatever shots are asked for.

    :attr:`calls` keeps the calls in order: the work of a step, for its price.
    """

    def __init__(self) -> None:
        self.calls: list[list[CircuitCall]] = []
        self._engines: dict[int, EngineExecutor] = {}

    def programs(self) -> list[tuple[CircuitSpec, CircuitProgram]]:
        """Return the circuits that were called, each with its compiled program."""
        return [(each.spec, each.program) for each in self._engines.values()]

    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        """Answer calls; see :class:`.CallTarget`."""
        self.calls.append(list(calls))
        return [self._one(call) for call in calls]

    def _one(self, call: CircuitCall) -> CallResult:
        engine = self._engines.setdefault(id(call.spec), EngineExecutor(call.spec))
        given = [
            None if each is None else torch.from_numpy(each)
            for each in (call.amplitudes, call.inputs)
        ]
        outputs = to_array(engine(torch.from_numpy(call.angles), *given))
        readout = call.spec.readout
        kept = None
        if isinstance(readout, ProbabilityReadout) and readout.postselect:
            kept = None if readout.renormalise else outputs.sum(axis=1)
        return CallResult(outputs=outputs, kept=kept)


@torch.no_grad()
def calls_of(
    model: nn.Module,
    x: Tensor,
    t: Tensor,
    labels: Tensor | None = None,
    *,
    target: ExactTarget | None = None,
    observables: ObservableWay = "eigenbasis",
) -> list[list[CircuitCall]]:
    """Return the calls of one step, as the engine's exact values lead through it.

    Args:
        model: A denoiser.
        x: ``(batch, ...)`` states.
        t: ``(batch,)`` times in (0, 1].
        labels: ``(batch,)`` or None.
        target: The target that answers, for its programs; a fresh one if None.
        observables: As for :func:`answered_by`.

    Returns:
        The jobs of the step in their order, each a list of calls that do not depend on each other.
    """
    target = ExactTarget() if target is None else target
    with answered_by(model, target, observables=observables):
        model(x, t, labels)
    return target.calls
