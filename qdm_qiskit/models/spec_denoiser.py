"""A denoiser of one circuit of the user's own, made from its spec.

Its options hold the whole spec, the circuit as QPY, so that a run's folder, a checkpoint and a plan
have the circuit with them: whoever reads them needs none of the code that made it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, final, get_args

import torch
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from ..arguments import of_kind, wrong
from ..circuits import CIRCUITS
from ..circuits.canonical import canonical_circuit
from ..circuits.loaders import EXACT, loader_name
from ..circuits.readouts import ExpectationReadout, ProbabilityReadout, Readout
from ..circuits.saved import circuit_from_text, circuit_text
from ..circuits.spec import CircuitSpec
from ..errors import InvalidData, InvalidOption, unknown_name
from ..layers import QuantumLayer
from ..layers.quantum_layer import WeightMap
from ..options import convert, field_types, settle
from .base import (
    MAX_IMAGE_SIZE,
    CircuitDenoiser,
    Denoiser,
    check_train_loader,
    label_angles,
)

__all__ = [
    "CircuitModelConfig",
    "SpecDenoiser",
    "circuit_options",
    "config_of_circuit",
    "denoiser_of",
]


@dataclass(frozen=True, kw_only=True)
class CircuitModelConfig:
    """Options of a denoiser of one's own circuit; :meth:`.Denoiser.from_spec` fills them in."""

    circuit: str = field(repr=False, hash=False)
    """The spec's circuit as QPY in base64."""
    encoding: Literal["angle", "amplitude"]
    """Encoding of data; see :class:`.CircuitSpec`."""
    data_qubits: tuple[int, ...]
    """Qubits that carry data, least significant first; the others are ancillas."""
    readout_qubits: tuple[int, ...] = ()
    """Qubits whose probabilities are read; empty for expectation values."""
    postselect: tuple[tuple[int, ...], ...] = ()
    """Pairs (qubit, outcome) that must hold."""
    renormalise: bool = False
    """Divide by the probability of the post-selection."""
    observables: tuple[tuple[str, ...], ...] = ()
    """Terms of each observable, as in ``"0.5 ZZI"``; empty for probabilities."""
    time_input: int | None = None
    """Position of the time among the inputs."""
    label_input: int | None = None
    """Position of the class among the inputs."""
    input_names: tuple[str, ...] = ()
    """The user's own names of the inputs."""
    weight_names: tuple[str, ...] = ()
    """The user's own names of the weights."""
    source: str = ""
    """Source of the circuit."""
    loader: str = EXACT
    """Loader of images where the circuit runs, if it takes amplitudes: exact, bricks:L, staircase:L;
    see `qdm parts loader`."""
    train_loader: bool = False
    """Train on the states that the loader makes, in place of the images' own."""
    image_size: int = 8
    """Height and width of the images, at least 2."""
    channels: int = 1
    """1 for grey, 3 for RGB."""
    num_classes: int = 10
    """Number of classes, for a circuit with a label."""
    scale: float = math.pi
    """Radians of a pixel of value 1."""
    time_scale: float = math.pi
    """Radians of the time 1."""
    weight_map: WeightMap = "identity"
    """Weights to angles."""
    init_std: float = 0.4
    """Standard deviation of the initial weights."""

    def __post_init__(self) -> None:
        settle(self)
        check_train_loader(self.loader, self.train_loader)
        if not 2 <= self.image_size <= MAX_IMAGE_SIZE:
            raise InvalidOption(f"image_size is 2 to {MAX_IMAGE_SIZE}, got {self.image_size}.")
        if self.channels not in (1, 3):
            raise InvalidOption(f"channels is 1 (grey) or 3 (RGB), got {self.channels}.")
        if self.num_classes < 1:
            raise InvalidOption(f"num_classes must be at least 1, got {self.num_classes}.")
        if self.weight_map not in get_args(WeightMap):
            raise InvalidOption(
                f"weight_map is one of {', '.join(get_args(WeightMap))}; got {self.weight_map!r}."
            )
        for name in ("scale", "time_scale", "init_std"):
            value = getattr(self, name)
            if not math.isfinite(value) or (name == "init_std" and value < 0):
                least = " >= 0" if name == "init_std" else ""
                raise InvalidOption(f"{name} must be a finite number{least}, got {value}.")
        if any(len(pair) != 2 for pair in self.postselect):
            raise InvalidOption(f"postselect holds pairs (qubit, outcome), got {self.postselect}.")

    def __eq__(self, other: object) -> bool:
        """Compare all options; circuits by their gates: Qiskit's version is in the text, too."""
        if not isinstance(other, CircuitModelConfig):
            return NotImplemented
        rest = [each.name for each in fields(self) if each.name != "circuit"]
        if any(getattr(self, name) != getattr(other, name) for name in rest):
            return False
        if self.circuit == other.circuit:
            return True
        return circuit_from_text(self.circuit) == circuit_from_text(other.circuit)

    @property
    def guided(self) -> bool:
        """True if the circuit is told the class."""
        return self.label_input is not None

    @property
    def num_pixels(self) -> int:
        """Number of pixels of all channels."""
        return self.channels * self.image_size**2

    def spec(self) -> CircuitSpec:
        """The spec.

        Raises:
            InvalidOption: If the circuit or an observable cannot be read.
            InvalidTemplate: If the roles do not fit the circuit.
        """
        circuit = circuit_from_text(self.circuit)
        return CircuitSpec(
            name=circuit.name,
            circuit=circuit,
            encoding=self.encoding,
            data_qubits=self.data_qubits,
            ancilla_qubits=tuple(
                qubit for qubit in range(circuit.num_qubits) if qubit not in self.data_qubits
            ),
            readout=self._readout(),
            loader=self.loader,
            source=self.source,
            time_input=self.time_input,
            label_input=self.label_input,
            input_names=self.input_names,
            weight_names=self.weight_names,
        )

    def _readout(self) -> Readout:
        if bool(self.readout_qubits) == bool(self.observables):
            raise InvalidOption(
                "A circuit reads qubits or observables: one of readout_qubits and observables is set."
            )
        if self.observables:
            return ExpectationReadout(observables=tuple(map(_sum_of, self.observables)))
        pairs = tuple((qubit, outcome) for qubit, outcome in self.postselect)
        return ProbabilityReadout(
            qubits=self.readout_qubits, postselect=pairs, renormalise=self.renormalise
        )


@final
class SpecDenoiser(CircuitDenoiser):
    """One circuit between an image's pixels and its own outcomes.

    Image inputs take ``scale * pixel``, row by row and channel by channel; a loader takes the pixels as
    amplitudes. A circuit that reads k qubits predicts ``2**k`` times the probabilities of their
    outcomes, or, if there are as many qubits as pixels, with each qubit's probability of 1; one that
    reads expectation values <O> with ``(1 - <O>) / 2``. All are clamped to [0, 1].

    Args:
        config: The options.
        generator: Source of the initial weights.

    Raises:
        InvalidOption: If the images do not fit the circuit, or there is nothing to train.
    """

    name = "circuit"
    config_class = CircuitModelConfig
    config: CircuitModelConfig

    def __init__(
        self, config: CircuitModelConfig, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.image_shape = (config.channels, config.image_size, config.image_size)
        spec = config.spec()
        _check_input(spec, config)
        self._per_pixel = _check_output(spec, config)
        self.layer = QuantumLayer(
            spec,
            weight_map=config.weight_map,
            init_std=config.init_std,
            generator=generator,
        )

    def encode(self, x: Tensor, labels: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """See :meth:`encode_at`, for circuits without a time."""
        return self.encode_at(x, None, labels)

    def encode_at(
        self, x: Tensor, t: Tensor | None, labels: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Amplitudes ``(batch, 2**n)``, or None, and inputs ``(batch, num_inputs)``, or None.

        Args:
            x: ``(batch, channels, size, size)``.
            t: ``(batch,)`` in (0, 1]; may be None where the circuit has no time.
            labels: ``(batch,)`` class indices where the circuit has a label, else None.

        Raises:
            InvalidData: If a shape does not fit, or time or labels are missing or not wanted.
        """
        self.check_images(x)
        flat = x.flatten(1)
        return self._amplitudes(flat), self._inputs(flat, t, labels)

    def decode(self, outputs: Tensor) -> Tensor:
        """Return pixels from probabilities or expectation values; see the class."""
        readout = self.spec.readout
        if isinstance(readout, ExpectationReadout):
            pixels = (1 - outputs) / 2
        elif self._per_pixel:
            index = torch.arange(readout.num_outputs, device=outputs.device)
            bits = [(index >> k) & 1 for k in range(len(readout.qubits))]
            pixels = outputs @ torch.stack(bits, dim=1).to(outputs)
        else:
            pixels = outputs * readout.num_outputs
        return pixels[:, : self.config.num_pixels].clamp(0, 1).reshape(-1, *self.image_shape)

    def _amplitudes(self, flat: Tensor) -> Tensor | None:
        if self.spec.encoding == "angle":
            return None
        missing = self.spec.num_amplitudes - flat.shape[1]
        return torch.nn.functional.pad(flat, (0, missing)) if missing else flat

    def _inputs(self, flat: Tensor, t: Tensor | None, labels: Tensor | None) -> Tensor | None:
        spec, config = self.spec, self.config
        if labels is not None and not config.guided:
            raise InvalidData(f"'{spec.name}' has no label and takes no labels.")
        if not spec.inputs:
            return None
        columns = list((config.scale * flat).unbind(1)) if spec.image_inputs else []
        special: dict[int, Tensor] = {}
        if spec.time_input is not None:
            if t is None or tuple(t.shape) != (len(flat),):
                got = None if t is None else tuple(t.shape)
                raise InvalidData(
                    f"'{spec.name}' is told the time and needs t of shape ({len(flat)},), got {got}."
                )
            special[spec.time_input] = config.time_scale * t.to(flat)
        if spec.label_input is not None:
            angles = label_angles(labels, config.num_classes, len(flat), spec.name)
            special[spec.label_input] = angles.to(flat).squeeze(1)
        for position in sorted(special):
            columns.insert(position, special[position])
        return torch.stack(columns, dim=1)


def denoiser_of(
    spec: CircuitSpec,
    *,
    image_shape: Sequence[int],
    num_classes: int,
    scale: float,
    time_scale: float,
    weight_map: WeightMap,
    init_std: float,
    generator: torch.Generator | None,
) -> SpecDenoiser:
    """Make a denoiser of a spec; see :meth:`.Denoiser.from_spec`."""
    of_kind(spec, CircuitSpec, "spec", "CircuitSpec.from_circuit(circuit, ...) makes one")
    if spec.complex_amplitudes:
        raise InvalidOption(
            f"Images are real, but '{spec.name}' loads complex amplitudes; leave complex_amplitudes "
            "out."
        )
    channels, size = _square(image_shape)
    readout = spec.readout
    circuit = canonical_circuit(spec.circuit)
    circuit.name = spec.name
    probability = readout if isinstance(readout, ProbabilityReadout) else None
    config = CircuitModelConfig(
        circuit=circuit_text(circuit),
        encoding=spec.encoding,
        data_qubits=spec.data_qubits,
        readout_qubits=() if probability is None else probability.qubits,
        postselect=() if probability is None else probability.postselect,
        renormalise=probability is not None and probability.renormalise,
        observables=tuple(map(_terms, readout.observables))
        if isinstance(readout, ExpectationReadout)
        else (),
        time_input=spec.time_input,
        label_input=spec.label_input,
        input_names=spec.input_names,
        weight_names=spec.weight_names,
        source=spec.source,
        loader=loader_name(spec.loader),
        image_size=size,
        channels=channels,
        num_classes=int(_number(num_classes, "num_classes", int)),
        scale=float(_number(scale, "scale", float)),
        time_scale=float(_number(time_scale, "time_scale", float)),
        weight_map=weight_map,
        init_std=float(_number(init_std, "init_std", float)),
    )
    made = SpecDenoiser(config, generator=generator)
    if not isinstance(spec.loader, str):  # options hold its name at most
        made.layer.spec = replace(made.spec, loader=spec.loader)
    return made


_SET_BY_NAME = (
    "image_size",
    "channels",
    "num_classes",
    "scale",
    "time_scale",
    "weight_map",
    "init_std",
    "loader",
    "train_loader",
)
"""Options of a model that is made of a circuit by name, beside those of its template."""


def circuit_options(name: str) -> tuple[str, ...]:
    """Return the names of the options of a denoiser of a circuit that has a name.

    Raises: as :func:`config_of_circuit`.
    """
    return (*CIRCUITS.get(name).options, *_SET_BY_NAME)


def config_of_circuit(name: str, settings: Mapping[str, Any]) -> CircuitModelConfig:
    """Return the options of a denoiser of a circuit that has a name.

    Args:
        name: Of :data:`~qdm_qiskit.circuits.TEMPLATES`.
        settings: Options of the template, and image_size, channels and the other options of
            :meth:`.Denoiser.from_spec`, as values or text. The size is that of square images of as
            many pixels as the circuit takes, unless it is set.

    Raises:
        UnknownName: If there is no such circuit.
        InvalidExtension: If another package brings it, and it cannot be used.
        InvalidOption: If an option is unknown, or the images do not fit.
    """
    template = CIRCUITS.get(name)
    known = circuit_options(name)
    for key in settings:
        if key not in known:
            raise InvalidOption(str(unknown_name(f"option of '{name}' called", key, known)))
    spec = template.changed({k: v for k, v in settings.items() if k in template.options}).example()
    kinds = field_types(CircuitModelConfig)
    given = {
        key: convert(key, value, kinds[key])
        for key, value in settings.items()
        if key not in template.options
    }
    if "loader" in given:
        spec = replace(spec, loader=given.pop("loader"))
    through = given.pop("train_loader", False)
    channels = given.pop("channels", 1)
    size = given.pop("image_size", None) or _size_of(spec, channels)
    read = len(spec.image_inputs) if spec.weights else 0  # from_spec refuses one without weights
    if spec.encoding == "angle" and read not in (0, channels * size**2):
        hint = "num_pixels" if "num_pixels" in template.options else "other options of the circuit"
        raise InvalidOption(
            f"image_size={size} and channels={channels} make {channels * size**2} pixels, but '{name}' "
            f"takes {read}; leave image_size out, or set {hint}."
        )
    made = Denoiser.from_spec(spec, image_shape=(channels, size, size), **given).config
    return replace(made, train_loader=through)


def _size_of(spec: CircuitSpec, channels: int) -> int:
    """Return the side of square images of as many pixels as the circuit takes."""
    pixels = spec.num_amplitudes if spec.encoding == "amplitude" else len(spec.image_inputs)
    side = math.isqrt(pixels // max(1, channels))
    if channels * side**2 != pixels:
        raise InvalidOption(
            f"'{spec.name}' takes {pixels} pixels, which are no square image of {channels} channels; "
            "set image_size and channels."
        )
    return side


def _square(image_shape: Sequence[int]) -> tuple[int, int]:
    """Return channels and size of square images."""
    good = isinstance(image_shape, Sequence) and not isinstance(image_shape, str)
    if not good or not all(type(each) is int for each in image_shape):
        raise wrong(image_shape, "image_shape", "three whole numbers (channels, size, size)")
    if len(image_shape) != 3 or image_shape[1] != image_shape[2]:
        raise InvalidOption(
            "`image_shape` is (channels, size, size) of square images, as in (1, 8, 8), got "
            f"{tuple(image_shape)}."
        )
    return image_shape[0], image_shape[1]


def _number(value: float, name: str, kind: type) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        raise wrong(value, name, "a whole number" if kind is int else "a number")
    return value


def _check_input(spec: CircuitSpec, config: CircuitModelConfig) -> None:
    pixels, count = config.num_pixels, len(spec.image_inputs)
    shape = (config.channels, config.image_size, config.image_size)
    if not spec.weights:
        raise InvalidOption(f"'{spec.name}' has no weights, so there is nothing to train.")
    if spec.encoding == "amplitude" and spec.num_amplitudes < pixels:
        raise InvalidOption(
            f"Images of shape {shape} have {pixels} pixels, but the {len(spec.data_qubits)} data "
            f"qubits of '{spec.name}' hold {spec.num_amplitudes} amplitudes; load more qubits, or "
            "choose another image_shape."
        )
    if count not in (({0, pixels}) if spec.encoding == "amplitude" else {pixels}):
        raise InvalidOption(
            f"Images of shape {shape} have {pixels} pixels, but '{spec.name}' has {count} inputs for "
            "them; list as many in `inputs`, choose another image_shape, or load amplitudes."
        )


def _check_output(spec: CircuitSpec, config: CircuitModelConfig) -> bool:
    """Return True if each qubit that is read gives one pixel."""
    readout, pixels = spec.readout, config.num_pixels
    shape = (config.channels, config.image_size, config.image_size)
    if isinstance(readout, ExpectationReadout):
        if readout.num_outputs == pixels:
            return False
        raise InvalidOption(
            f"Images of shape {shape} have {pixels} pixels, but '{spec.name}' reads "
            f"{readout.num_outputs} expectation values; read one for each pixel."
        )
    count = len(readout.qubits)
    if count == pixels:
        return True
    needed = (pixels - 1).bit_length()
    if count != needed:
        raise InvalidOption(
            f"Images of shape {shape} have {pixels} pixels, so '{spec.name}' reads {needed} qubits "
            f"(an outcome for each pixel) or {pixels} (a qubit for each), got {count}; choose another "
            "readout or image_shape."
        )
    return False


def _terms(observable: SparsePauliOp) -> tuple[str, ...]:
    return tuple(f"{float(c.real)!r} {label}" for label, c in observable.to_list())


def _sum_of(terms: Sequence[str]) -> SparsePauliOp:
    try:
        pairs = [(label, float(c)) for c, label in (term.split(" ") for term in terms)]
        return SparsePauliOp.from_list(pairs)
    except Exception as error:  # Qiskit has several for a wrong label
        raise InvalidOption(
            f"An observable's terms are as in '0.5 ZZI', got {terms[:3]}."
        ) from error
