"""Contract of all denoisers of the package."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from ..circuits.composition import Part
from ..circuits.loaders import EXACT, Loader, loader_name
from ..circuits.spec import CircuitSpec
from ..diffusion import StateSpace
from ..errors import InvalidData, InvalidOption, InvalidTemplate, TargetUnavailable
from ..layers import BranchLayer, QuantumLayer, StateLayer
from ..layers.arrays import device_of, exact, to_exact_array
from ..layers.executors import EngineExecutor
from ..layers.quantum_layer import WeightMap, normalised
from ..notebook import Markup, card, facts, folded, one_line

if TYPE_CHECKING:
    from .spec_denoiser import SpecDenoiser

__all__ = [
    "MAX_IMAGE_SIZE",
    "MAX_SHOWN_CIRCUITS",
    "CircuitDenoiser",
    "Denoiser",
    "check_train_loader",
    "label_angles",
    "refused_train_loader",
]

MAX_SHOWN_CIRCUITS = 4
"""Most circuits of a model that a notebook shows."""
MAX_IMAGE_SIZE = 1_024
"""Largest height and width of a model's images, which is that of the data."""


class Denoiser(nn.Module, ABC):
    """Map from noisy images to the prediction that the diffusion process wants.

    A concrete model takes its options, a frozen dataclass, and an optional generator of initial
    weights. ``save_model`` and ``load_model`` in :mod:`qdm_qiskit.models` write and read folders.

    >>> import torch
    >>> from qdm_qiskit.circuits import eeqdm
    >>> model = Denoiser.from_spec(eeqdm(num_data=2, depth=1), image_shape=(1, 2, 2))
    >>> model(torch.rand(3, 1, 2, 2), torch.ones(3)).shape
    torch.Size([3, 1, 2, 2])
    """

    name: ClassVar[str]
    """Name in the catalogue, in checkpoints, and of its entry point."""
    source: ClassVar[str] = ""
    """Paper, section or equation, for reports."""
    config_class: ClassVar[type]
    """The dataclass of its options."""
    state_space: ClassVar[StateSpace] = "unit"
    """Space of its inputs and predictions; the diffusion process must be of the same space."""
    data_kind: ClassVar[Literal["images", "states"]] = "images"
    """Kind of data it learns from: images, or the ensembles of :mod:`qdm_qiskit.data.states`."""
    recommended: ClassVar[Mapping[str, Any]] = {}
    """Options of data, diffusion and training that it is trained with unless others are given."""

    fresh_parts: ClassVar[frozenset[str]] = frozenset()
    """Sub-modules that transfer learning does not take over from the classical counterpart."""

    call_loader: str | None = None
    """Name of the loader of all its circuits' amplitudes where they run; None for their own ones."""
    config: Any
    """Options that it was built with."""
    image_shape: tuple[int, int, int]
    """(channels, height, width) of its images."""

    @staticmethod
    def from_spec(
        spec: CircuitSpec,
        *,
        image_shape: tuple[int, int, int],
        num_classes: int = 10,
        scale: float = math.pi,
        time_scale: float = math.pi,
        weight_map: WeightMap = "identity",
        init_std: float = 0.4,
        generator: torch.Generator | None = None,
    ) -> SpecDenoiser:
        """Make a denoiser of one circuit, such as :meth:`.CircuitSpec.from_circuit` gives.

        Args:
            spec: The circuit and its roles.
            image_shape: (channels, size, size). As many pixels as the circuit has image inputs, or at
                most as many as the loader's amplitudes; and as many as it reads qubits, expectation
                values, or outcomes of qubits (rounded up to a power of two).
            num_classes: Classes, for a circuit with a label: its angle is ``2 pi class / num_classes``.
            scale: Radians of a pixel of value 1: an image input is ``scale * pixel``.
            time_scale: Radians of the time 1, the start of the reverse chain.
            weight_map: Weights to angles.
            init_std: Standard deviation of the initial weights, at least 0.
            generator: Source of the initial weights.

        Returns:
            The denoiser. ``resolve_run(denoiser, {...})`` makes a training run of it, which draws
            weights of its own.

        Raises:
            InvalidArgument: If an argument is of another kind.
            InvalidOption: If the images do not fit what the circuit takes or reads, there is nothing to
                train, or an option is out of range.
        """
        from .spec_denoiser import denoiser_of

        return denoiser_of(
            spec,
            image_shape=image_shape,
            num_classes=num_classes,
            scale=scale,
            time_scale=time_scale,
            weight_map=weight_map,
            init_std=init_std,
            generator=generator,
        )

    @classmethod
    def teacher_options(cls, options: Any) -> Any | None:
        """Return the options of the classical counterpart from which the model can take weights.

        Args:
            options: Of :attr:`config_class`.

        Returns:
            Options of the same class, or None where there is no such counterpart.
        """
        return None

    def with_loader(self, loader: Loader | str) -> Self:
        """Return a copy whose circuits' amplitudes are loaded otherwise where they run.

        Args:
            loader: The name of a loader, which is made for the width of each circuit.

        Raises:
            UnknownName, InvalidOption, InvalidExtension: If there is no such loader.
            InvalidTemplate: If it does not fit a circuit, or no circuit loads amplitudes.
        """
        if not isinstance(loader, str):
            raise InvalidOption(
                f"'{self.name}' is no single circuit, and a loader object is made for one; give a "
                "name, such as 'staircase:4'."
            )
        specs = [layer.spec for layer in self._circuit_layers()]
        loading = [spec for spec in specs if spec.encoding == "amplitude"]
        if not loading:
            what = "angles only" if specs else "no circuit"
            raise InvalidTemplate(
                f"'{self.name}' takes {what}, so nothing is loaded; leave loader out."
            )
        for spec in loading:
            spec.loaded_by(loader)
        copied = copy.deepcopy(self)
        copied.call_loader = loader
        return copied

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of one x_t: that of an image, unless the model diffuses something else."""
        return self.image_shape

    def chain_parts(self, num_steps: int) -> tuple[Part, ...]:
        """Circuits of all steps from x_T to x_0, where each acts on the state that the last one left.

        Such a chain is one circuit; see :mod:`qdm_qiskit.sampling.coherent`.

        Args:
            num_steps: T.

        Raises:
            TargetUnavailable: If the steps are no such chain, with the reason.
        """
        raise TargetUnavailable(
            f"Steps of '{self.name}' are no circuits on one and the same state; run it step by step."
        )

    def chain_inputs(self, labels: Tensor | None, batch: int) -> Tensor | None:
        """Inputs of the circuits of :meth:`chain_parts`, ``(batch, num_inputs)``, if they have any."""
        return None

    def fit_data(self, images: Tensor, generator: torch.Generator) -> None:
        """Learn parts outside of the diffusion loss, such as an encoder, from training images.

        Called once when a run starts afresh. What it finds belongs into parameters or buffers, so
        that checkpoints hold it.

        Args:
            images: ``(count, channels, height, width)`` in [0, 1], all training images.
            generator: Source of randomness.
        """

    def fit_labelled(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> None:
        """As :meth:`fit_data`, for models whose parts are told the classes too.

        A training run calls this one; by default the labels are left aside.

        Args:
            images: ``(count, channels, height, width)`` in [0, 1], all training images.
            labels: Their class indices ``(count,)``.
            generator: Source of randomness.
        """
        self.fit_data(images, generator)

    @property
    def learns_from_data(self) -> bool:
        """Whether :meth:`fit_data` learns anything from the images."""
        return type(self).fit_data is not Denoiser.fit_data

    def encode_data(self, images: Tensor) -> Tensor:
        """Images as the data that are diffused, ``(batch, *state_shape)`` in [0, 1]."""
        return images

    def decode_data(self, data: Tensor) -> Tensor:
        """Images of data that came out of the reverse chain, ``(batch, channels, height, width)``."""
        return data

    @abstractmethod
    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """Predict from noisy states.

        Args:
            x: ``(batch, *state_shape)``, of the model's state space.
            t: ``(batch,)`` time in (0, 1], the step divided by the number of steps.
            labels: ``(batch,)`` class indices for guided models, else None.

        Returns:
            The prediction, of the shape of ``x``.

        Raises:
            InvalidData: If a shape does not fit, or labels are missing or not wanted.
        """

    @property
    def num_parameters(self) -> int:
        """Number of trainable numbers."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    @property
    def num_quantum_parameters(self) -> int:
        """Number of trainable numbers that belong to circuits."""
        return sum(layer.weights.numel() for layer in self._circuit_layers())

    @property
    def num_qubits(self) -> int:
        """Number of qubits of its largest circuit, 0 for a classical model."""
        return max((layer.spec.num_qubits for layer in self._circuit_layers()), default=0)

    def _circuit_layers(self) -> list[QuantumLayer | StateLayer | BranchLayer]:
        kinds = QuantumLayer | StateLayer | BranchLayer
        return [each for each in self.modules() if isinstance(each, kinds)]

    def __repr__(self) -> str:
        size = " x ".join(str(side) for side in self.image_shape)
        return one_line(
            type(self).__name__,
            f"{self.num_parameters} parameters ({self.num_quantum_parameters} in circuits)",
            f"{self.num_qubits} qubits",
            f"{self.data_kind} of {size}",
        )

    def _repr_html_(self) -> str:
        return card(self.name, *self.shown(), about=type(self).__name__)

    def shown(self) -> tuple[Markup, ...]:
        """Return size, options and circuits, as a notebook shows them."""
        options = [
            (each.name, getattr(self.config, each.name))
            for each in fields(self.config)
            if each.repr  # a user's own circuit is an option too, as text of thousands of letters
        ]
        specs = {id(layer.spec): layer.spec for layer in self._circuit_layers()}
        circuits = [folded(f"circuit {spec.name}", *spec.shown()) for spec in specs.values()]
        size = facts(
            [
                ("parameters", f"{self.num_parameters:,}"),
                ("in circuits", f"{self.num_quantum_parameters:,}"),
                ("qubits", self.num_qubits),
                (self.data_kind, " x ".join(str(side) for side in self.image_shape)),
                ("space of the states", self.state_space),
                ("circuits", len(specs)),
            ]
        )
        return size, folded("options", facts(options)), *circuits[:MAX_SHOWN_CIRCUITS]

    def check_images(self, x: Tensor) -> None:
        """Refuse images of another shape, and values that are not finite.

        Raises:
            InvalidData: With both shapes, or the number of the image.
        """
        if x.ndim != 4 or tuple(x.shape[1:]) != self.image_shape:
            raise InvalidData(
                f"'{self.name}' takes images of shape (batch, {', '.join(map(str, self.image_shape))})"
                f", got {tuple(x.shape)}."
            )
        bad = ~torch.isfinite(x).flatten(1).all(dim=1)
        if bool(bad.any()):
            raise InvalidData(f"Image {int(bad.nonzero()[0])} of {len(x)} holds NaN or infinity.")


class CircuitDenoiser(Denoiser):
    """Denoiser of one circuit, with classical arithmetic before and after it.

    The three parts are separate so that the circuit in the middle can run anywhere:
    ``decode(outputs of the circuit on encode(images))`` is the model.
    """

    layer: QuantumLayer

    @property
    def spec(self) -> CircuitSpec:
        """Circuit and its roles."""
        return self.layer.spec

    def with_loader(self, loader: Loader | str) -> Self:
        """Return a copy whose images are loaded otherwise where its circuit runs.

        Args:
            loader: A loader, or the name of one.

        Raises:
            UnknownName, InvalidOption, InvalidExtension: If there is no such loader.
            InvalidTemplate: If it does not fit the circuit, or the circuit loads no real amplitudes.
        """
        spec = replace(self.spec, loader=loader)
        if not isinstance(self.layer.executor, EngineExecutor):
            raise InvalidOption(
                f"The executor of '{self.name}' has its loader in it; give qnn_executor a spec with "
                "another one."
            )
        copied = copy.deepcopy(self)
        copied.layer.spec = spec
        if "loader" in (each.name for each in fields(self.config)):
            copied.config = replace(self.config, loader=loader_name(loader))
        return copied

    @abstractmethod
    def encode(self, x: Tensor, labels: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Amplitudes ``(batch, 2**n)`` (any norm) and inputs ``(batch, num_inputs)`` of the circuit."""

    def encode_at(
        self, x: Tensor, t: Tensor | None, labels: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """As :meth:`encode`, for a circuit that is told the time: t is ``(batch,)`` in (0, 1].

        A circuit without a time, which most are, takes what :meth:`encode` gives.
        """
        return self.encode(x, labels)

    @torch.no_grad()
    def circuit_inputs(
        self, x: Tensor, labels: Tensor | None = None, time: float | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the circuit's inputs for images, free of the model's device, type and graph.

        Args:
            x: ``(batch, *state_shape)``, wherever they are.
            labels: ``(batch,)`` class indices of guided models, else None.
            time: In (0, 1], the step divided by the number of steps; None where the circuit has no
                time.

        Returns:
            Amplitudes ``(batch, 2**n)`` with unit rows and inputs ``(batch, num_inputs)``, each None
            where the circuit takes none; on the CPU, in float64 or complex128, without a graph.

        Raises:
            InvalidData: If an image has another shape or cannot be encoded, or labels do not fit.
        """
        place = device_of(self)
        t = None if time is None else torch.full((len(x),), time, device=place)
        told = None if labels is None else labels.to(place)
        amplitudes, inputs = self.encode_at(x.to(place), t, told)
        if amplitudes is not None:
            amplitudes = exact(normalised(amplitudes, self.spec.num_amplitudes)).cpu()
        return amplitudes, None if inputs is None else exact(inputs).cpu()

    def circuit_values(self, amplitudes: Tensor | None, inputs: Tensor | None) -> np.ndarray:
        """Return values of the full circuit's parameters; see :meth:`.CircuitSpec.input_values`.

        Args:
            amplitudes: ``(batch, 2**n)`` of any norm, or None; what :meth:`encode` gives will do.
            inputs: ``(batch, num_inputs)`` or None, likewise.

        Returns:
            ``(batch, number of x_ parameters)`` float64.
        """
        return self.spec.input_values(
            None if amplitudes is None else to_exact_array(amplitudes),
            None if inputs is None else to_exact_array(inputs),
        )

    @abstractmethod
    def decode(self, outputs: Tensor) -> Tensor:
        """Images ``(batch, channels, height, width)`` from the circuit's outputs."""

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """Predict; see :meth:`Denoiser.forward`.

        In training a model with ``train_loader`` sees the states that its loader makes.
        """
        amplitudes, inputs = self.encode_at(x, t, labels)
        if self.training and amplitudes is not None and getattr(self.config, "train_loader", False):
            amplitudes = self._as_loaded(amplitudes)
        return self.decode(self.layer(amplitudes, inputs))

    @torch.no_grad()
    def _as_loaded(self, amplitudes: Tensor) -> Tensor:
        found = self.spec.loading.states(to_exact_array(amplitudes))
        if not amplitudes.is_complex():  # of a loader of real vectors, but for rounding
            found = found.real
        return torch.from_numpy(found).to(amplitudes)


def check_train_loader(loader: str, wanted: bool) -> None:
    """Refuse to train through the exact loader, which changes nothing.

    Raises:
        InvalidOption: With the way out.
    """
    if wanted and loader == EXACT:
        raise InvalidOption(
            "train_loader=true trains on what the loader makes, and the exact one makes the images "
            "themselves; set loader too, for example loader=staircase:3."
        )


def refused_train_loader(kind: type[Denoiser]) -> InvalidOption:
    """Return the error for a model without the option ``train_loader``; the caller raises it."""
    why = (
        "hands states from circuit to circuit, and training goes through all of them by derivatives, "
        "which a loader's fit does not have"
        if kind.state_space.startswith("complex") or kind.data_kind == "states"
        else "loads no amplitudes, or what its own trained layers make, for which a loader's fit has "
        "no derivative"
    )
    return InvalidOption(f"'{kind.name}' {why}; leave train_loader out.")


def label_angles(labels: Tensor | None, num_classes: int, batch: int, name: str) -> Tensor:
    """Angles ``2 pi label / num_classes`` of shape ``(batch, 1)``, in radians.

    Raises:
        InvalidData: If labels are missing, of another length, or out of range.
    """
    if labels is None or tuple(labels.shape) != (batch,):
        got = None if labels is None else tuple(labels.shape)
        raise InvalidData(f"'{name}' is guided and needs labels of shape ({batch},), got {got}.")
    if bool(((labels < 0) | (labels >= num_classes)).any()):
        raise InvalidData(
            f"Labels are class indices 0 .. {num_classes - 1}, got {labels.unique().tolist()}."
        )
    return (2 * torch.pi * labels.to(torch.get_default_dtype()) / num_classes).unsqueeze(1)
