"""What answers a model's circuits while it is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor, nn

from ...circuits import CircuitSpec
from ...circuits.loaders import EXACT
from ...engine.noise import MAX_AUTO_DENSITY_QUBITS
from ...errors import InvalidOption, TargetUnavailable
from ...execution.devices import as_backend
from ...execution.targets import parse_target
from ...layers import BranchLayer, Executor, QuantumLayer, StateBlocks, StateLayer
from ...layers.calling import quantum_layers
from ...models import Denoiser
from ...progress import Message, Progress, silent
from ..processes import join_processes
from .choice import QNN, device_names
from .device import DeviceCircuit, NoiseScale, density_bytes
from .draws import Draws
from .joints import EngineJoint
from .loading import input_values
from .places import read_places, write_places
from .reading import Joint, TrainedReading
from .sharing import Sharing, sharing_of

if TYPE_CHECKING:
    from ..config import TrainingConfig

__all__ = ["CallExecutor", "TrainingTarget", "check_trainable", "exact", "training_target"]


@final
class CallExecutor:
    """An :data:`.Executor` of a layer, by the distributions of its measured circuits.

    Args:
        reading: Circuits of the layer and what is read of them.
        joints: The distribution of each circuit.
    """

    def __init__(self, reading: TrainedReading, joints: Sequence[Joint]) -> None:
        self.reading, self.joints = reading, joints

    def __call__(self, angles: Tensor, amplitudes: Tensor | None, inputs: Tensor | None) -> Tensor:
        """Return outputs, differentiable in the angles, the inputs, and what is loaded."""
        values = input_values(self.reading.spec, amplitudes, inputs)
        found = [joint(values, angles.double()) for joint in self.joints]
        return self.reading.outputs(found, len(values)).to(angles)


@final
class TrainingTarget:
    """Executors of a model's layers, in whose place the engine's come back afterwards.

    Args:
        executors: For each device in turn, the executor of each layer by its path.
        draws: Their streams.
        scale: Share of the noise that acts.
        config: The run's.
        on_step: Called with a seed at each step, for parts that draw by themselves.
        sharing: The processes that may run the circuits of a batch together; None where the executors
            cannot.
    """

    def __init__(
        self,
        executors: Sequence[Mapping[str, Executor]],
        draws: Draws,
        scale: NoiseScale,
        config: TrainingConfig,
        on_step: Callable[[int], None] | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        self._sharing = sharing
        self._executors, self._draws, self._scale, self._config = executors, draws, scale, config
        self._on_step = on_step

    @contextmanager
    def answering(self, *models: nn.Module | None) -> Iterator[None]:
        """Let it answer the circuits of models with the same layers, until the context ends."""
        layers = [quantum_layers(each) for each in models if each is not None]
        before = [(layer, layer.executor) for each in layers for layer in each.values()]
        self._layers = layers
        try:
            yield
        finally:
            self._layers = []
            for layer, executor in before:
                layer.executor = executor

    def together(self, images: int | None) -> bool:
        """Choose who runs the circuits of the next images; return whether all processes do, together.

        They do where there are fewer images than processes, and where numbers are drawn: a draw belongs
        to the whole batch, or a run would depend on the number of processes.

        Args:
            images: Of the batch, which processes share out otherwise; None if each has all of them.
        """
        sharing, config = self._sharing, self._config
        if sharing is None or sharing.count == 1:
            return False
        draws = config.train_shots is not None or config.noise_injection
        sharing.active = images is None or images < sharing.count or draws
        return sharing.active

    def begin(self, epoch: int, batch: int, step: int) -> None:
        """Begin a step, within :meth:`answering`.

        Args:
            epoch: Complete epochs.
            batch: Batches before this one in its epoch; -1 for the test images behind it.
            step: Steps before this one in the run, by which devices take turns.
        """
        growing = self._config.noise_epochs
        self._scale.share = min(1.0, epoch / growing) if growing else 1.0
        self._draws.begin(epoch, batch + 1)
        if self._on_step is not None:
            self._on_step(self._draws.next_seed(""))
        chosen = self._executors[step % len(self._executors)]
        for each in self._layers:
            for name, layer in each.items():
                layer.executor = chosen[name]


def training_target(
    model: Denoiser,
    config: TrainingConfig,
    run: Path,
    *,
    resume: bool = False,
    progress: Progress = silent,
) -> TrainingTarget | None:
    """Return what answers a model's circuits in training; None for the engine's exact values.

    Circuits on a device are transpiled now, once; where they stand is kept in the run's folder.

    Args:
        model: The run's.
        config: Its training.
        run: Its folder.
        resume: True to go on with the places in the folder.
        progress: Receives what takes a while.

    Raises:
        InvalidOption, TargetUnavailable, UnsupportedCircuit, UnknownName: In one line, if the model
            cannot be trained there, or the target cannot be used here.
    """
    target = config.train_on
    if target == "engine:cuda" and not torch.cuda.is_available():
        raise TargetUnavailable("Target 'engine:cuda' needs a CUDA device; use 'engine'.")
    if exact(config):
        return None
    check_trainable(model, target)
    layers = quantum_layers(model)
    draws, scale, sharing = Draws(config.seed), NoiseScale(), sharing_of(join_processes())
    scale.grows = config.noise_epochs > 0
    if target == QNN:
        return _on_qnn(layers, draws, scale, config)
    if not device_names(target):
        executors = {
            name: CallExecutor(reading, _simulated(name, reading, layer, draws, config, sharing))
            for name, layer in layers.items()
            for reading in [TrainedReading.of(_loaded(model, layer, target))]
        }
        return TrainingTarget([executors], draws, scale, config, sharing=sharing)
    kept = read_places(run) if resume else {}
    found, places = [], {}
    for device in device_names(target):
        backend = as_backend(device)
        progress(Message(f"transpiling for {device}"))
        known = {place.layer: place for place in kept.get(device, ())}
        circuits = {
            name: DeviceCircuit(
                name,
                _loaded(model, layer, target),
                backend,
                config.seed,
                known.get(name),
                config.train_layout,
            )
            for name, layer in layers.items()
        }
        if not config.noise_injection:
            _say_large(circuits.values(), device, progress)
        places[device] = [each.place for each in circuits.values()]
        found.append(
            {
                name: CallExecutor(
                    each.reading,
                    each.joints(
                        draws,
                        config.train_shots,
                        readout=config.train_readout,
                        injected=config.noise_injection,
                        noise_scale=scale,
                        sharing=sharing,
                    ),
                )
                for name, each in circuits.items()
            }
        )
    if not resume:
        write_places(run, target, places)
    return TrainingTarget(found, draws, scale, config, sharing=sharing)


def _say_large(circuits: Iterable[DeviceCircuit], device: str, progress: Progress) -> None:
    """Say what exact noise costs where a pure state a row would be the usual choice."""
    largest = max(circuits, key=lambda each: each.active_qubits)
    qubits = largest.active_qubits
    if qubits > MAX_AUTO_DENSITY_QUBITS:
        progress(
            Message(
                f"'{largest.name}' uses {qubits} qubits of {device}: exact noise takes at least "
                f"{density_bytes(qubits) / 2**30:.3g} GiB and seconds for each row of a batch; "
                f"noise_injection=true takes a pure state of {16 * 2**qubits / 2**20:.3g} MiB."
            )
        )


def exact(config: TrainingConfig) -> bool:
    """Return True if a run is trained on the engine's exact values."""
    return config.train_on.startswith("engine") and config.train_shots is None


def check_trainable(
    model: Denoiser, target: str, way_out: str = "leave train_on at 'engine'"
) -> None:
    """Refuse a model that only the engine can train.

    Args:
        model: The model.
        target: Where it was to be trained.
        way_out: What to do, for the message.

    Raises:
        TargetUnavailable: With the reason.
    """
    if not model.num_qubits:
        raise TargetUnavailable(
            f"'{model.name}' has no circuits, so nothing of it can be trained on '{target}'; "
            f"{way_out}."
        )
    of_states = [
        name or type(each).__name__
        for name, each in model.named_modules()
        if isinstance(each, StateLayer | StateBlocks | BranchLayer)
    ]
    if of_states or model.state_space.startswith("complex") or model.data_kind == "states":
        where = f" ('{of_states[0]}')" if of_states else ""
        raise TargetUnavailable(
            f"'{model.name}' hands states from circuit to circuit{where}, and what '{target}' gives "
            f"of a state is counts, which have no gradient in it; {way_out}, and sample there."
        )


def _loaded(model: Denoiser, layer: QuantumLayer, target: str) -> CircuitSpec:
    """Return a layer's circuit with the loader that runs; the engine starts from states."""
    if target.startswith("engine"):
        return layer.spec.loaded_by(EXACT) if layer.spec.encoding == "amplitude" else layer.spec
    return layer.spec.loaded_by(model.call_loader)


def _simulated(
    name: str,
    reading: TrainedReading,
    layer: QuantumLayer,
    draws: Draws,
    config: TrainingConfig,
    sharing: Sharing,
) -> list[Joint]:
    qubits = range(layer.spec.num_qubits) if reading.plan is None else reading.plan.qubits
    if config.train_on.startswith("engine"):
        return [
            EngineJoint(
                each,
                reading.logical,
                reading.bits,
                qubits,
                name,
                draws,
                config.train_shots,
                sharing,
            )
            for each in reading.logical_circuits()
        ]
    from .shifts import AerJoint

    device = parse_target(config.train_on).device
    _check_aer(device)
    return [
        AerJoint(
            each,
            reading.logical,
            reading.bits,
            qubits,
            name,
            draws,
            config.train_shots,
            device=device,
            sharing=sharing,
        )
        for each in reading.logical_circuits()
    ]


def _check_aer(device: str) -> None:
    from ...execution.aer import AerRunner

    AerRunner(seed=0, device=device)  # refuses a GPU that is not there


def _on_qnn(
    layers: Mapping[str, QuantumLayer], draws: Draws, scale: NoiseScale, config: TrainingConfig
) -> TrainingTarget:
    """Return qiskit-machine-learning's own QNNs on Aer's primitives, for comparison."""
    from qiskit_aer.primitives import EstimatorV2, SamplerV2

    from ...circuits.readouts import ExpectationReadout
    from ...layers import qnn_executor

    primitives: list[Any] = []
    executors: dict[str, Executor] = {}
    for name, layer in layers.items():
        if isinstance(layer.spec.readout, ExpectationReadout):
            if config.train_shots is not None:
                raise InvalidOption(
                    f"'{name}' reads expectation values, and Aer's estimator takes a precision and "
                    "no shots; leave train_shots out, or take train_on 'aer'."
                )
            primitive: Any = EstimatorV2(options={"default_precision": 0.0})
        else:
            if config.train_shots is None:
                raise InvalidOption(
                    f"'{name}' reads probabilities, and a sampler has finite shots; set train_shots, "
                    "for example 1024."
                )
            primitive = SamplerV2(default_shots=config.train_shots, seed=0)
        primitives.append(primitive)
        executors[name] = qnn_executor(layer.spec, primitive)

    def seeded(seed: int) -> None:
        for number, each in enumerate(primitives):
            if isinstance(each, SamplerV2):
                each._seed = seed + number

    return TrainingTarget([executors], draws, scale, config, seeded)
