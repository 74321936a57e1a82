"""The templates by name, each with the options of a small example that the gallery draws."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType, SimpleNamespace
from typing import Any, Literal

from qiskit import QuantumCircuit

from ..arguments import checked_text, shown
from ..doors import Door, Parts
from ..errors import (
    InvalidArgument,
    InvalidExtension,
    InvalidOption,
    InvalidTemplate,
    QdmError,
    unknown_name,
)
from ..options import convert
from .angle_encodings import (
    angle_encoding,
    basis_encoding,
    dense_angle_encoding,
    phase_encoding,
)
from .ansatz_denoisers import ansatz_denoiser
from .ansatzes import basic_entangling_layers, hamiltonian_variational, hardware_efficient
from .blocks import conv_unit, identity_block, phase_mixing, qamp_layers
from .encodings import amplitude_loader
from .entanglers import pairwise_bell_stage, strongly_entangling_layers
from .hierarchical import mera, qcnn
from .hybrid_convolutions import basic_convolution, fqconv, hqconv
from .image_denoisers import eeqdm, qddm
from .koelle import q_dense, quantum_convolution
from .line import line, line_amplitudes
from .spec import CircuitSpec, register_spec
from .state_denoisers import cacioppo_denoiser, conditioned_latent_denoiser, qamp_denoiser

__all__ = [
    "CIRCUITS",
    "TEMPLATES",
    "Group",
    "Template",
    "template",
]

Group = Literal["encoding", "block", "ansatz", "denoiser", "other"]
"""Purpose of a template: data into states, a part of larger circuits, a trainable circuit, or a
whole denoising step of a paper; or a circuit of another package, which says that itself."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """A function that builds a spec, its options, and where it comes from."""

    name: str
    """Name in the catalogue and of the files that show it."""
    build: Callable[..., CircuitSpec]
    """Function that takes every name in :attr:`options` as a keyword."""
    options: Mapping[str, object] = field(hash=False)
    """Every option with the value that the small example takes."""
    group: Group
    """Purpose."""
    source: str
    """Paper, section or equation."""
    summary: str
    """One line on what the circuit does."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    def example(self) -> CircuitSpec:
        """Return the spec with the example's options: small enough for a drawing."""
        return self.build(**self.options)

    def changed(self, settings: Mapping[str, object]) -> Template:
        """Return the template with some options of its example changed, as `qdm` sets them.

        Args:
            settings: Option name to value or text.

        Raises:
            InvalidOption: If an option is unknown or its text cannot be read.
        """
        for key in settings:
            if key not in self.options:
                kind = f"option of '{self.name}' called"
                raise InvalidOption(str(unknown_name(kind, key, self.options)))
        read = {key: _converted(key, text, self.options[key]) for key, text in settings.items()}
        return replace(self, options={**self.options, **read})

    def with_options(self, **changes: object) -> CircuitSpec:
        """Return the spec with some of the example's options changed.

        Args:
            **changes: Options by name.

        Returns:
            The spec.

        Raises:
            InvalidTemplate: If an option is unknown, or the template refuses a value.
        """
        for name in changes:
            if name not in self.options:
                kind = f"option of template '{self.name}' called"
                raise InvalidTemplate(str(unknown_name(kind, name, self.options)))
        return self.build(**{**self.options, **changes})


def _on_register(
    name: str,
    circuit: Callable[..., QuantumCircuit],
    options: Mapping[str, object],
    *,
    group: Group,
    source: str,
    summary: str,
) -> Template:
    """Make a template of a circuit whose qubits all hold data and are all read.

    Encodings take angles, the others work on amplitudes.
    """
    encoding: Literal["angle", "amplitude"] = "angle" if group == "encoding" else "amplitude"

    def build(**values: object) -> CircuitSpec:
        return register_spec(circuit(**values), source=source, encoding=encoding)

    return Template(
        name=name, build=build, options=options, group=group, source=source, summary=summary
    )


def _by_name(*templates: Template) -> SimpleNamespace:
    return SimpleNamespace(**{each.name: each for each in templates})


_OURS = _by_name(
    _on_register(
        "amplitude_loader",
        amplitude_loader,
        {"num_qubits": 3, "phases": False},
        group="encoding",
        source="Möttönen et al., quant-ph/0407010, figures 2 and 4",
        summary="Any real or complex vector as amplitudes, by uniformly controlled rotations.",
    ),
    _on_register(
        "basis_encoding",
        basis_encoding,
        {"num_wires": 4},
        group="encoding",
        source="Schuld and Petruccione, Machine Learning with Quantum Computers",
        summary="Bits as a basis state, by RY of 0 or pi.",
    ),
    _on_register(
        "angle_encoding",
        angle_encoding,
        {"num_wires": 4, "axis": "x"},
        group="encoding",
        source="Schuld and Petruccione, Machine Learning with Quantum Computers",
        summary="One value a wire as an angle of RX, RY, or H and RZ.",
    ),
    _on_register(
        "dense_angle_encoding",
        dense_angle_encoding,
        {"num_values": 8},
        group="encoding",
        source="LaRose and Coyle, arXiv:2003.01695",
        summary="Two values a wire: the angle of RY and a phase.",
    ),
    _on_register(
        "phase_encoding",
        phase_encoding,
        {"num_wires": 4},
        group="encoding",
        source="Schuld and Petruccione, Machine Learning with Quantum Computers",
        summary="One value a wire as the phase of an equal superposition.",
    ),
    _on_register(
        "pairwise_bell_stage",
        pairwise_bell_stage,
        {"num_wires": 4},
        group="block",
        source="Shah and Vatsa, arXiv:2411.15973, section 3.1",
        summary="H on the first half of the wires, then CNOTs to their partners in the second.",
    ),
    _on_register(
        "conv_unit",
        conv_unit,
        {"sign": "plus"},
        group="block",
        source="Vatan and Williams, quant-ph/0308006",
        summary="exp(i (alpha XX + beta YY + gamma ZZ)) by three CNOTs; weights: gamma, alpha, beta.",
    ),
    _on_register(
        "phase_mixing",
        phase_mixing,
        {"num_wires": 4, "mixing": "qft"},
        group="block",
        source="QAMP 2025, code of 25 January 2026",
        summary="CRZ from the first wire to all others, then the Fourier transform.",
    ),
    _on_register(
        "qamp_layers",
        qamp_layers,
        {"num_wires": 4, "depth": 1, "mixing": "qft", "closed": True, "sign": "plus"},
        group="block",
        source="QAMP 2025, code of 25 January 2026",
        summary="ConvUnits on even, then odd pairs, then PhaseMixing.",
    ),
    _on_register(
        "identity_block",
        identity_block,
        {"num_wires": 4, "depth": 2},
        group="block",
        source="Cacioppo et al., arXiv:2311.15444, and the authors' code",
        summary="Rotations between a CNOT chain and its inverse: the identity at zero angles.",
    ),
    _on_register(
        "strongly_entangling_layers",
        strongly_entangling_layers,
        {"num_wires": 4, "depth": 3},
        group="ansatz",
        source="Schuld et al., arXiv:1804.00633",
        summary="Three rotations a wire, then a ring of CNOTs whose range grows with the layer.",
    ),
    _on_register(
        "basic_entangling_layers",
        basic_entangling_layers,
        {"num_wires": 4, "depth": 4},
        group="ansatz",
        source="De Falco et al. (2024); PennyLane's BasicEntanglerLayers",
        summary="RX on each wire, then a ring of CNOTs.",
    ),
    _on_register(
        "hardware_efficient",
        hardware_efficient,
        {
            "num_wires": 4,
            "depth": 2,
            "entanglement": "linear",
            "rotations": ("ry", "rz"),
            "entangler": "cx",
            "final_rotations": True,
        },
        group="ansatz",
        source="Kandala et al., arXiv:1704.05018",
        summary="Rotations, then two-wire gates in a line, a ring, all pairs, or a device's couplings.",
    ),
    _on_register(
        "hamiltonian_variational",
        hamiltonian_variational,
        {"num_wires": 4, "depth": 2, "model": "tfim", "periodic": False},
        group="ansatz",
        source="Wecker, Hastings and Troyer, arXiv:1507.08969",
        summary="Evolution under the parts of an Ising or Heisenberg chain, one angle a part.",
    ),
    Template(
        name="qcnn",
        build=qcnn,
        options={"num_wires": 4, "kernel": "conv_unit", "shared": True},
        group="ansatz",
        source="Cong, Choi and Lukin, arXiv:1810.03787",
        summary="Convolution and pooling until one wire is left, which is read.",
    ),
    Template(
        name="mera",
        build=mera,
        options={"num_wires": 8, "periodic": False},
        group="ansatz",
        source="Grant et al., arXiv:1804.03680",
        summary="Disentanglers and isometries, level by level, until one wire is left.",
    ),
    Template(
        name="hqconv",
        build=hqconv,
        options={"depth": 1, "direction": "code"},
        group="ansatz",
        source="De Falco et al. (2024), figure 5",
        summary="Three channels of 2 x 2 pixels: controlled rotations in each, then between them.",
    ),
    Template(
        name="fqconv",
        build=fqconv,
        options={"depth": 1, "direction": "code"},
        group="ansatz",
        source="De Falco et al. (2024), figure 6",
        summary="Three channels of 2 x 2 pixels: controlled rotations between equal pixels.",
    ),
    Template(
        name="basic_convolution",
        build=basic_convolution,
        options={"num_wires": 4, "depth": 4},
        group="ansatz",
        source="De Falco et al. (2024), the 40th channel of the full hybrid",
        summary="One channel of 2 x 2 pixels under basic entangling layers.",
    ),
    Template(
        name="eeqdm",
        build=eeqdm,
        options={"num_data": 4, "depth": 2, "guided": False},
        group="denoiser",
        source="Shah and Vatsa, arXiv:2411.15973, section 3.1",
        summary="Bell stage on the data, then layers on half the register and the ancilla.",
    ),
    Template(
        name="qddm",
        build=qddm,
        options={"num_data": 4, "depth": 2, "guided": False},
        group="denoiser",
        source="Kölle et al., arXiv:2401.07049, section 4",
        summary="Strongly entangling layers on all data wires and the ancilla.",
    ),
    Template(
        name="q_dense",
        build=q_dense,
        options={
            "num_data": 4,
            "depth": 2,
            "ancilla": True,
            "guided": False,
            "reuploads": 1,
            "complex_amplitudes": False,
            "entanglers": "ring",
        },
        group="denoiser",
        source="Kölle et al., arXiv:2401.07049, section 4",
        summary="The Q-Dense circuit in all its variants: ancilla, label, re-uploading, states.",
    ),
    Template(
        name="quantum_convolution",
        build=quantum_convolution,
        options={"num_wires": 4, "depth": 2},
        group="block",
        source="Kölle et al., arXiv:2401.07049",
        summary="Strongly entangling layers on an amplitude-encoded patch: QU-Net's convolution.",
    ),
    Template(
        name="cacioppo_denoiser",
        build=cacioppo_denoiser,
        options={"num_data": 3, "depths": (2, 2, 2)},
        group="denoiser",
        source="Cacioppo et al., arXiv:2311.15444, and the authors' code",
        summary="Three identity blocks; an ancilla joins the middle one and is projected on |0>.",
    ),
    Template(
        name="conditioned_latent_denoiser",
        build=conditioned_latent_denoiser,
        options={
            "num_data": 3,
            "num_labels": 4,
            "depths": (2, 2, 2),
            "project_labels": False,
        },
        group="denoiser",
        source="Cacioppo et al., arXiv:2311.15444; layout inferred from its counts",
        summary="Three blocks on a latent state and qubits that hold the class; 1110 angles in full.",
    ),
    Template(
        name="qamp_denoiser",
        build=qamp_denoiser,
        options={"num_data": 4, "reps": 1, "mixing": "qft", "sign": "plus"},
        group="denoiser",
        source="QAMP 2025, code of 25 January 2026",
        summary="Three blocks of ConvUnits and PhaseMixing, the middle one with an ancilla.",
    ),
    Template(
        name="ansatz_denoiser",
        build=ansatz_denoiser,
        options={
            "num_pixels": 16,
            "num_wires": 4,
            "depth": 2,
            "encoding": "dense_angle",
            "ansatz": "hardware_efficient",
        },
        group="denoiser",
        source="ours: data re-uploading (Pérez-Salinas et al., arXiv:1907.02085)",
        summary="Any ansatz behind any encoding of an image; an outcome for each pixel is read.",
    ),
    Template(
        name="line",
        build=line,
        options={
            "num_qubits": 4,
            "uploads": 3,
            "bricks": 2,
            "entangled": True,
            "readouts": "zz",
        },
        group="denoiser",
        source="ours: data re-uploading (Pérez-Salinas et al., arXiv:1907.02085) on a line",
        summary="Uploads of RY and RZ on a line with bricks of CZ between; <Z> and <ZZ> are read.",
    ),
    Template(
        name="line_amplitudes",
        build=line_amplitudes,
        options={"num_data": 3, "depth": 2, "guided": True, "entangled": True},
        group="denoiser",
        source="ours: a few latents as amplitudes on a line",
        summary="RY and RZ on amplitudes and an ancilla, CZ along the line; the class turns each RY.",
    ),
)
"""The templates of this package, an attribute each."""


def _checked(part: Any, name: str) -> Template:
    """Return what an entry point names as a template: one, a spec, or a function that makes a spec."""
    if isinstance(part, Template):
        return part if part.name == name else replace(part, name=name)
    origin = CIRCUITS.origin(name)
    source = f"package {origin.package} {origin.version}"
    if isinstance(part, CircuitSpec):
        options: dict[str, object] = {}
        source, summary = part.source or source, f"{part.num_qubits} qubits, from {origin.module}"
    elif callable(part) and not isinstance(part, type):
        options = _defaults(part)
        lines = (inspect.getdoc(part) or "").splitlines()
        summary = lines[0] if lines else f"Made by {origin.module}."
    else:
        raise InvalidArgument(
            "a circuit's entry point is a CircuitSpec, which CircuitSpec.from_circuit(circuit, ...) "
            f"makes, or a function that returns one, got {shown(part)}."
        )

    def build(**values: object) -> CircuitSpec:
        made = part if isinstance(part, CircuitSpec) else _called(part, values, name)
        if not isinstance(made, CircuitSpec):
            raise InvalidExtension(
                f"'{origin.module}' of package {origin.package} returns a CircuitSpec, which "
                f"CircuitSpec.from_circuit(circuit, ...) makes, got {shown(made)}."
            )
        return made if made.source else replace(made, source=source)

    return Template(
        name=name, build=build, options=options, group="other", source=source, summary=summary
    )


def _called(function: Callable[..., Any], values: Mapping[str, object], name: str) -> Any:
    try:
        return function(**values)
    except QdmError:
        raise
    except Exception as error:  # whatever another package's code raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        package = CIRCUITS.origin(name).package
        raise InvalidExtension(
            f"Circuit '{name}' of package {package} cannot be made: {reason}"
        ) from error


def _defaults(function: Callable[..., Any]) -> dict[str, object]:
    """Return the arguments of a function, each with its default, as options of a template."""
    found: dict[str, object] = {}
    for each in inspect.signature(function).parameters.values():
        if each.kind not in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
            raise InvalidArgument(
                f"its arguments can be given by name, and '{each.name}' cannot; write it out."
            )
        if each.default is each.empty:
            raise InvalidArgument(
                f"its arguments have defaults, which make the example that `qdm circuits` shows, and "
                f"'{each.name}' has none."
            )
        found[each.name] = each.default
    return found


CIRCUITS: Door[Template] = Door(
    "circuit", "template", {name: f"{__name__}:_OURS.{name}" for name in vars(_OURS)}, _checked
)
"""The door of circuits: other packages' come by the entry-point group ``qdm_qiskit.circuit``."""

TEMPLATES: Mapping[str, Template] = Parts(CIRCUITS)
"""All templates by name, those of this package first; other packages' are loaded when asked for."""


def template(name: str) -> Callable[..., CircuitSpec]:
    """Return the function that builds the template of this name.

    Raises:
        UnknownName: If there is none; the message lists what exists.
        InvalidExtension: If another package brings it, and it cannot be used.
    """
    return CIRCUITS.get(checked_text(name, "name")).build


def _converted(key: str, value: object, example: object) -> object:
    """Return text as a value of the example's kind; other values as they are."""
    if not isinstance(value, str) or isinstance(example, str):
        return value
    if isinstance(example, bool | int | float):
        return convert(key, value, type(example))
    if isinstance(example, tuple) and all(type(each) is int for each in example):
        return convert(key, value, tuple[int, ...])
    if isinstance(example, tuple) and all(isinstance(each, str) for each in example):
        return convert(key, value, tuple[str, ...])
    raise InvalidOption(f"'{key}' can be set from Python only; leave it out here.")
